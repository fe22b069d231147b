//! One evaluation of a network, dispatch by dispatch:
//!
//!     cargo bench --bench network -- [--tangent] [--exact | --fastest] FOLDER BATCH [REPEATS]
//!
//! FOLDER holds a diffusers `config.json`, or `unet/config.json`; weights are those of
//! tests, made from names. `--tangent` evaluates its derivative along a direction too. `--serve` in place of REPEATS evaluates once for each line
//! of the standard input and prints seconds and process CPU seconds: what a script
//! needs that measures several programs in turn.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;
use undiffuse::engine::{evaluate_again, profile};
use undiffuse::gpu::{Gpu, Options};
use undiffuse::graph::{passes, Graph};
use undiffuse::kernels::Summation;
use undiffuse::models;
use undiffuse::weights::{Deterministic, Json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let (flags, args): (Vec<String>, Vec<String>) =
        args.into_iter().partition(|a| a.starts_with("--") && a != "--serve");
    let [folder, batch, rest @ ..] = &args[..] else {
        eprintln!("usage: network [--tangent] [--exact | --fastest] FOLDER BATCH [REPEATS | --serve]");
        return Ok(());
    };
    let (folder, n): (&Path, usize) = (Path::new(folder), batch.parse()?);
    let nested = folder.join("unet/config.json");
    let path = if nested.exists() { nested } else { folder.join("config.json") };
    let mut graph = Graph::new();
    models::open(&Json::read(&path, 1 << 20)?, None)?.build(&Deterministic, &mut graph)?;
    let mut graph = graph.without_taps();
    let flag = |name: &str| flags.iter().any(|f| f == name);
    if flag("--tangent") {
        graph = graph.with_tangent("sample", "output")?;
    }
    let graph = passes::run(&graph);
    let summation = match (flag("--exact"), flag("--fastest")) {
        (true, _) => Summation::Exact,
        (_, true) => Summation::Fastest,
        _ => Summation::Image,
    };
    let gpu = Gpu::open(&Options { summation, ..Options::default() })?;
    if rest.first().is_some_and(|r| r == "--serve") {
        let mut again = evaluate_again(&gpu, &graph, n)?;
        again()?;
        println!("ready");
        for line in std::io::stdin().lock().lines() {
            line?;
            let start = Instant::now();
            again()?;
            println!("{}", start.elapsed().as_secs_f64());
            std::io::stdout().flush()?;
        }
        return Ok(());
    }
    let repeats = rest.first().map_or(Ok(5), |r| r.parse())?;
    let p = profile(&gpu, &graph, n, repeats)?;
    let mut order: Vec<_> = p.dispatches.iter().collect();
    order.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let sum: f64 = order.iter().map(|d| d.seconds).sum();
    println!("{:>8} {:>6} {:>9}  dispatch", "ms", "share", "GFLOP/s");
    for d in &order {
        let rate = 2e-9 * d.macs as f64 / d.seconds.max(1e-9);
        let kernel = format!("{}/{}", d.kernel, d.variant);
        println!(
            "{:8.3} {:5.1}% {rate:9.1}  {kernel:32} {}",
            1e3 * d.seconds,
            100.0 * d.seconds / sum,
            d.label
        );
    }
    let mut families = std::collections::BTreeMap::<&str, (f64, usize)>::new();
    for d in &p.dispatches {
        let f = families.entry(d.kernel).or_default();
        *f = (f.0 + d.seconds, f.1 + 1);
    }
    println!();
    for (kernel, (seconds, count)) in families {
        println!("{:8.3} ms {:5.1}%  {kernel}, {count} dispatches", 1e3 * seconds, 100.0 * seconds / sum);
    }
    let least = p.seconds.iter().copied().fold(f64::INFINITY, f64::min);
    println!(
        "\n{} on {}: batch {n}, {:.3} GMAC, {} dispatches; least {:.1} ms ({:.1} GFLOP/s), empty dispatches {:.2} ms; \
         weights {} bytes, activations {}, largest live set {}",
        folder.display(),
        gpu.info().name,
        1e-9 * p.macs as f64,
        p.dispatches.len(),
        1e3 * least,
        2e-9 * p.macs as f64 / least,
        1e3 * p.empty_seconds,
        p.weights_bytes,
        p.activation_bytes,
        p.live_set_bytes,
    );
    Ok(())
}
