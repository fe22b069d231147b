//! `undiffuse bench`: what kernels, networks, loops and starts take, on the adapters here.

mod compare;
mod machine;
mod model;
mod network;
mod ops;
mod start;
mod steps;

use crate::output::file;
use crate::sums::Sums;
use crate::text::{table, Side};
use crate::Failure;
use clap::Subcommand;
use serde_json::{Map, Value};
use std::path::PathBuf;
use undiffuse::gpu::{self, Gpu, Options};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum What {
    /// Each kernel over the shapes of a network: GFLOP/s, GB/s, share of the adapter's measured peak.
    /// Of convolutions every variant that could be chosen, the chosen one marked
    Ops,
    /// One evaluation of the network: as a whole, dispatch by dispatch, and its memory
    Network,
    /// N steps of sampling against N times one evaluation: submissions, maps, the host's time
    Loop {
        /// Steps [default: 20, or those of the model's own sampler]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        steps: Option<u32>,
    },
    /// From the start of the process to the first image, with empty caches and with full ones
    Start {
        /// One start, told as JSON: what the measuring process runs
        #[arg(long, hide = true)]
        once: bool,
    },
}

#[derive(clap::Args)]
struct Common {
    /// An embedded model, a model folder, `zoo/NAME`, or `OWNER/NAME` as the Hugging Face cache has it
    /// [default: emoji32]
    #[arg(long, value_name = "MODEL", global = true)]
    model: Option<String>,
    /// The network of a published checkpoint (see `undiffuse recipes`), with synthetic weights
    #[arg(long, value_name = "NAME", global = true, conflicts_with = "model")]
    recipe: Option<String>,
    /// Make the weights from their names: for a model folder that has a configuration alone
    #[arg(long, global = true)]
    synthetic_weights: bool,
    /// Images at once
    #[arg(long, value_name = "N", default_value_t = 1, global = true,
          value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    batch: u32,
    /// Measurements, of which medians and the spread are told
    #[arg(long, value_name = "N", default_value_t = 5, global = true,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeats: u32,
    /// The adapter, by number or a part of its name (see `undiffuse info`), or `all` of them
    #[arg(long, value_name = "NAME|NUMBER|all", global = true)]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME", global = true)]
    backend: Option<String>,
    #[command(flatten)]
    sums: Sums,
    /// Write the numbers as JSON: an object, with `--adapter all` a list of them; `-` is stdout, in
    /// place of the tables
    #[arg(long, value_name = "FILE", global = true)]
    json: Option<PathBuf>,
    /// Print the tables as Markdown, ready for an issue
    #[arg(long, global = true)]
    markdown: bool,
    /// Measure nothing: compare two files of --json, ratios of B to A, the worst first
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"], global = true)]
    compare: Option<Vec<PathBuf>>,
}

/// What a benchmark found: numbers for machines, text and tables for people.
struct Found {
    json: Map<String, Value>,
    /// A line of the most important numbers.
    summary: String,
    tables: Vec<Table>,
}

/// A table for people.
struct Table {
    title: String,
    head: Vec<(&'static str, Side)>,
    rows: Vec<Vec<String>>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let c = &args.common;
    if let Some([a, b]) = c.compare.as_deref() {
        return print(c, &[compare::run(a, b)?]);
    }
    let Some(what) = &args.what else {
        return Err("say what to measure: ops, network, loop or start; or --compare A.json B.json".into());
    };
    if let What::Start { once: true } = what {
        return start::once(c);
    }
    if let Some(why) = machine::busy() {
        say!("warning: {why}: times will be noisy");
    }
    let mut found = Vec::new();
    for options in adapters(c)? {
        let gpu = crate::device::open(&options);
        let gpu = match gpu {
            Ok(gpu) => gpu,
            // Of all adapters some may not work: that is told, the others are measured.
            Err(e) if c.all() => {
                say!("warning: adapter {}: {e}", options.adapter.unwrap_or_default());
                continue;
            }
            Err(e) => return Err(e.into()),
        };
        let (i, b) = (gpu.info(), c.batch);
        say!("measuring on {} ({:?}), batch {b}", i.name, i.backend);
        found.push(match what {
            What::Ops => ops::run(c, &gpu)?,
            What::Network => network::run(c, &gpu)?,
            What::Loop { steps } => steps::run(c, &gpu, *steps)?,
            What::Start { .. } => start::run(c, &gpu, &options)?,
        });
    }
    if found.is_empty() {
        return Err("no adapter could be measured".into());
    }
    print(c, &found)
}

impl Common {
    fn all(&self) -> bool {
        self.adapter.as_deref() == Some("all")
    }
}

/// The adapters to measure.
fn adapters(c: &Common) -> Result<Vec<Options>, Failure> {
    let summation = c.sums.order();
    let one = |adapter| Options { adapter, summation, backend: c.backend.clone(), ..Options::default() };
    if !c.all() {
        return Ok(vec![one(c.adapter.clone())]);
    }
    let count = pollster::block_on(gpu::list(c.backend.as_deref()))?.len();
    Ok((0..count).map(|i| one(Some(i.to_string()))).collect())
}

/// What every benchmark says of itself.
fn head(bench: &str, c: &Common, gpu: &Gpu) -> Map<String, Value> {
    let info = gpu.info();
    let value = serde_json::json!({
        "bench": bench,
        "undiffuse": env!("CARGO_PKG_VERSION"),
        "adapter": info.name,
        "backend": format!("{:?}", info.backend).to_lowercase(),
        "driver": format!("{} {}", info.driver, info.driver_info).trim(),
        "kernel_set": gpu.kernel_set(),
        "batch_invariant": gpu.summation().is_batch_invariant(),
        "batch": c.batch,
        "repeats": c.repeats,
        "optimised": !cfg!(debug_assertions),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A name, its seconds, and what else is told of it.
fn row(name: &str, seconds: f64, more: Value) -> Value {
    let mut map = Map::new();
    map.insert("name".into(), name.into());
    map.insert("seconds".into(), seconds.into());
    if let Value::Object(more) = more {
        map.extend(more);
    }
    Value::Object(map)
}

fn print(c: &Common, found: &[Found]) -> Result<(), Failure> {
    let json = match found {
        [one] => serde_json::to_string_pretty(&one.json)?,
        many => serde_json::to_string_pretty(&many.iter().map(|f| &f.json).collect::<Vec<_>>())?,
    };
    match c.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => {
            say!(stdout, "{json}");
            return Ok(());
        }
        Some(path) => file::write(path, (json + "\n").as_bytes())?,
        None => {}
    }
    let mut text = String::new();
    for f in found {
        text += &if c.markdown { format!("\n**{}**\n", f.summary) } else { format!("\n{}\n", f.summary) };
        for t in &f.tables {
            text += &if c.markdown {
                t.markdown()
            } else {
                format!("\n{}\n{}", t.title, table(&t.head, &t.rows))
            };
        }
    }
    say!(stdout, "{}", text.trim());
    Ok(())
}

impl Table {
    fn markdown(&self) -> String {
        let safe = |s: &str| s.replace('|', "\\|");
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("\n{}\n\n", self.title);
        text += &line(self.head.iter().map(|h| safe(h.0)).collect());
        let rule = |side: &Side| if matches!(side, Side::Left) { "---" } else { "---:" };
        text += &line(self.head.iter().map(|h| rule(&h.1).to_string()).collect());
        for row in &self.rows {
            text += &line(row.iter().map(|c| safe(c)).collect());
        }
        text
    }
}
