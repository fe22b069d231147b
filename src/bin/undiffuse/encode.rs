//! `undiffuse encode`: the latents of pictures.

use crate::flow_args::{finish, read, FlowArgs, Given};
use crate::output::{npz, Kind, Output};
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;

#[derive(clap::Args)]
pub struct Args {
    /// Pictures (PNG, JPEG, WebP, GIF, BMP, PNM), or one .npz or .npy file of numbers
    /// [count, h, w, c] from -1 to 1
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    flow: FlowArgs,
    /// Where the latents go: float32 `images` [count, h, w, c]
    #[arg(long, default_value = "latents.npz", value_name = "FILE.npz")]
    out: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let output = Output::open(&args.out)?;
    let Kind::Npz(path) = &output.to else {
        return Err(format!("--out {}: latents are numbers, an .npz file", args.out.display()).into());
    };
    let pipeline = args.flow.open()?;
    let images = match read(&args.images, pipeline.describe().sample)? {
        Given::Numbers(numbers) => numbers,
        Given::Levels(levels) => levels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect(),
    };
    let mut job = pipeline.encode(&images, &args.flow.options())?;
    finish(&mut job, "picture")?;
    let latents = job.tensors()?;
    npz::write(path, &latents, &job.provenance().doing("encode"))?;
    let square: f64 = latents.values.iter().map(|v| f64::from(*v).powi(2)).sum();
    let deviation = (square / latents.values.len() as f64).sqrt();
    say!("wrote {}; root mean square {deviation:.4}", path.display());
    if args.flow.json {
        let report = job.report();
        say!(
            stdout,
            "{}",
            json!({ "file": path.display().to_string(), "count": report.images,
            "root_mean_square": deviation, "report": report })
        );
    }
    Ok(())
}
