//! `undiffuse decode`: the pictures of latents.

use crate::flow_args::{finish, FlowArgs};
use crate::output::png::{self, Text, MOST_ZOOM};
use crate::output::{grid, npz, Kind, Output};
use crate::{numbers, Failure};
use serde_json::json;
use std::path::PathBuf;
use undiffuse::pipeline::{Outputs, Sample};

#[derive(clap::Args)]
pub struct Args {
    /// The latents: what `encode` wrote, or numpy's float32 [count, h, w, c]
    latents: PathBuf,
    #[command(flatten)]
    flow: FlowArgs,
    /// A .png file (a grid of all pictures) or an .npz file (float32 `images` [count, h, w, c])
    #[arg(long, default_value = "decoded.png", value_name = "FILE")]
    out: PathBuf,
    /// Width of a pixel in the output
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    zoom: u32,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let output = Output::open(&args.out)?;
    if matches!(output.to, Kind::Folder(_)) {
        return Err(format!("--out {}: name a .png or an .npz file", args.out.display()).into());
    }
    let pipeline = args.flow.open()?;
    let shape = pipeline.describe().sample;
    let latents = numbers::read(&args.latents, shape)?;
    output.check(latents.len() / shape.len(), (shape.w, shape.h), args.zoom)?;
    let numbers = matches!(output.to, Kind::Npz(_));
    let outputs = Outputs { images: !numbers, tensors: numbers, textures: false };
    let mut job = pipeline.decode(&latents, &Sample { outputs, ..args.flow.options() })?;
    finish(&mut job, "picture")?;
    let made = job.provenance().doing("decode");
    match numbers {
        true => npz::write(&args.out, &job.tensors()?, &made)?,
        false => {
            let what = format!("decoded from {}", args.latents.display());
            let sheet = grid::grid(&job.images()?, args.zoom)?;
            png::write(&args.out, &sheet, &Text::description(&made, &what))?;
        }
    }
    say!("wrote {}", args.out.display());
    if args.flow.json {
        let report = job.report();
        let file = args.out.display().to_string();
        say!(stdout, "{}", json!({ "file": file, "count": report.images, "report": report }));
    }
    Ok(())
}
