//! `undiffuse likelihood`: bits per dimension of pictures.

use crate::flow_args::{finish, read, FlowArgs, Given};
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;
use undiffuse::pipeline::flow::dequantised;
use undiffuse::pipeline::{Density, Sample};

#[derive(clap::Args)]
pub struct Args {
    /// Pictures of the model's size (PNG, JPEG, WebP, GIF, BMP, PNM), or one .npz or .npy file of
    /// numbers [count, h, w, c] from -1 to 1, which are taken as they are
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    flow: FlowArgs,
    /// Probes of Hutchinson's estimator for each picture, a solution of the flow each
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    probes: u32,
    /// Take the middle of each of the 256 levels, in place of a uniform number within it
    #[arg(long)]
    no_dequantise: bool,
    /// Seed of the probes and of dequantisation
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let pipeline = args.flow.open()?;
    let shape = pipeline.describe().sample;
    let given = read(&args.images, shape)?;
    let levels = matches!(given, Given::Levels(_));
    let images = match given {
        Given::Numbers(numbers) => numbers,
        Given::Levels(levels) => {
            dequantised(&levels, shape.len(), (!args.no_dequantise).then_some(args.seed), 0)
        }
    };
    let options = Sample { seed: args.seed, ..args.flow.options() };
    let mut work = pipeline.likelihood(&images, args.probes as usize, &options)?;
    finish(&mut work.job, "solution")?;
    let all = work.finish()?;
    let name = |i: usize| match (levels, args.images.get(i)) {
        (true, Some(path)) => path.display().to_string(),
        _ => format!("{} {i}", args.images[0].display()),
    };
    for (i, density) in all.iter().enumerate() {
        say!("{}: {}", name(i), spoken(density, levels));
    }
    let mean = |f: &dyn Fn(&Density) -> f64| all.iter().map(f).sum::<f64>() / all.len() as f64;
    let (nats, bits) = (mean(&|d| d.nats), mean(&|d| d.bits_per_dimension()));
    // Over pictures, whose estimates have errors of their own.
    let n = all.len() as f64;
    let squares: f64 = all.iter().map(|d| (d.bits_per_dimension() - bits).powi(2)).sum();
    let error = (n > 1.0).then(|| (squares / (n - 1.0) / n).sqrt());
    if let Some(error) = error.filter(|_| levels) {
        say!("{} pictures: {bits:.4} bits/dim, standard error {error:.4}", all.len());
    }
    if args.flow.json {
        let one = |(i, d): (usize, &Density)| {
            json!({ "image": name(i), "nats": d.nats, "nats_error": known(d.error, args.probes),
                "bits_per_dimension": levels.then(|| d.bits_per_dimension()),
                "bits_error": levels.then(|| known(d.bits_error(), args.probes)) })
        };
        let images: Vec<_> = all.iter().enumerate().map(one).collect();
        let summary = json!({ "images": images, "probes": args.probes, "seed": args.seed,
            "dimensions": shape.len(), "dequantised": levels && !args.no_dequantise, "mean_nats": nats,
            "mean_bits_per_dimension": levels.then_some(bits),
            "bits_error_over_images": error.filter(|_| levels), "report": work.job.report() });
        say!(stdout, "{summary}");
    }
    Ok(())
}

/// The error, where more than one probe tells something of it.
fn known(error: f64, probes: u32) -> Option<f64> {
    (probes > 1).then_some(error)
}

fn spoken(d: &Density, levels: bool) -> String {
    let pm = |v: f64, e: f64, digits: usize| match e > 0.0 {
        true => format!("{v:.digits$} +- {e:.digits$}"),
        false => format!("{v:.digits$}"),
    };
    let nats = format!("log p = {} nats", pm(d.nats, d.error, 2));
    match levels {
        true => format!("{} bits/dim ({nats})", pm(d.bits_per_dimension(), d.bits_error(), 4)),
        false => nats,
    }
}
