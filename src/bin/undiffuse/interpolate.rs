//! `undiffuse interpolate`: from one picture to another through the latent space of a model.

use crate::flow_args::{finish, read, FlowArgs, Given};
use crate::output::animation::Animation;
use crate::output::png::{self, Text, MOST_ZOOM};
use crate::output::{grid, try_file};
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;
use undiffuse::pipeline::{slerp, Outputs, Sample};

#[derive(clap::Args)]
pub struct Args {
    /// The first picture
    a: PathBuf,
    /// The last picture
    b: PathBuf,
    #[command(flatten)]
    flow: FlowArgs,
    /// Pictures from one to the other, both ends among them
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    frames: u16,
    /// An animated .png file, there and back
    #[arg(long, default_value = "interpolated.png", value_name = "FILE.png")]
    out: PathBuf,
    /// The frames beside each other, as a .png file too
    #[arg(long, value_name = "FILE.png")]
    strip: Option<PathBuf>,
    /// Width of a pixel in the output
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    zoom: u32,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    for path in [Some(&args.out), args.strip.as_ref()].into_iter().flatten() {
        if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
            return Err(format!("{}: a .png file is written", path.display()).into());
        }
        try_file(path)?;
    }
    if args.strip.as_ref() == Some(&args.out) {
        return Err("--strip and --out name one file".into());
    }
    let pipeline = args.flow.open()?;
    let shape = pipeline.describe().sample;
    let images = match read(&[args.a.clone(), args.b.clone()], shape)? {
        Given::Numbers(numbers) => numbers,
        Given::Levels(levels) => levels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect(),
    };
    let options = args.flow.options();
    let mut encoding = pipeline.encode(&images, &options)?;
    finish(&mut encoding, "picture")?;
    let latents = encoding.tensors()?.values;
    let (a, b) = latents.split_at(shape.len());
    let between = slerp(a, b, usize::from(args.frames));
    let outputs = Outputs { images: true, tensors: false, textures: false };
    let mut job = pipeline.decode(&between, &Sample { outputs, ..options })?;
    finish(&mut job, "frame")?;
    let frames = job.images()?;
    let what = format!("from {} to {} in {} frames", args.a.display(), args.b.display(), args.frames);
    let text = Text::description(&job.provenance().doing("interpolate"), &what);
    if let Some(strip) = &args.strip {
        png::write(strip, &grid::grid(&frames, args.zoom)?, &text)?;
        say!("wrote {}", strip.display());
    }
    let back = frames.iter().rev().skip(1).cloned();
    let film: Vec<_> = frames.iter().cloned().chain(back).collect();
    Animation::film(&args.out, film, args.zoom, &text)?;
    say!("wrote {}", args.out.display());
    if args.flow.json {
        let (report, file) = (job.report(), args.out.display().to_string());
        say!(stdout, "{}", json!({ "file": file, "frames": frames.len(), "report": report }));
    }
    Ok(())
}
