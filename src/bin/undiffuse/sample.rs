//! `undiffuse sample`: draw pictures.

use crate::draw_args::DrawArgs;
use crate::like::{class_name, Like};
use crate::output::animation::Animation;
use crate::output::png::{Text, MOST_ZOOM};
use crate::output::{Kind, Output, Writer};
use crate::points;
use crate::progress::{self, Progress};
use crate::shard::ShardArgs;
use crate::text;
use crate::Failure;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undiffuse::gpu::Options;
use undiffuse::pipeline::{Job, Model, Outputs, Pipeline, PipelineError, Provenance, Sample};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    draw: DrawArgs,
    /// How many images; one of a `toy/` is 1024 points [default: 1]
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Index of the first image: an image is a function of model, options, seed and index [default: 0]
    #[arg(long, value_name = "I")]
    first_index: Option<u64>,
    #[command(flatten)]
    shard: ShardArgs,
    /// Make a picture of `undiffuse sample` again, with all options that it records; flags beside
    /// this one come before what is recorded. Says what is not as it was, and whether the pixels are
    /// equal
    #[arg(long, value_name = "FILE.png")]
    like: Option<PathBuf>,
    /// A .png file (a grid of all images), a folder (a file per image, named by index), or an .npz
    /// file (float32 `images` [count, h, w, c] as the sampler ended, `labels`, `index`, `seed`); of
    /// points a .png or .svg plot, .npz or .csv
    /// [default: undiffuse.png; with --like FILE.png, FILE-again.png]
    #[arg(long, value_name = "FILE|FOLDER")]
    out: Option<PathBuf>,
    /// In an .npz file, write the levels of the pictures, uint8 `images` [count, h, w, c], as training and
    /// evaluation tools read them, in place of the sampler's numbers
    #[arg(long)]
    levels: bool,
    /// Width of a pixel in the output [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    zoom: Option<u32>,
    /// Also write an animated PNG of how the images come to be: all of them, in the grid of --out,
    /// in at most 61 frames
    #[arg(long, value_name = "FILE.png")]
    animate: Option<PathBuf>,
    /// Of a model whose images are points (`toy/NAME`): their paths from noise to data
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    flow: Option<PathBuf>,
    /// Write the present estimate of the images every N steps: NAME-step0010.png beside --out NAME.png,
    /// INDEX-step0010.png in a folder
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    preview_every: Option<u32>,
    /// Print one JSON object about the run on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = progress::interrupt()?;
    let mut like = args.like.as_deref().map(Like::open).transpose()?;
    let (mut options, zoom) = settle(args, like.as_mut())?;
    if let Some(shard) = args.shard.read()? {
        let range = shard.range(options.count as u64);
        if range.is_empty() {
            say!("part {} of {} of {} image(s) is empty: nothing to do", shard.part, shard.of, options.count);
            return Ok(());
        }
        options.first_index = options.first_index.saturating_add(range.start);
        options.count = (range.end - range.start) as usize;
    }
    let out = out(args);
    let model = model(args, like.as_ref())?;
    if args.draw.sampler.is_none() && like.is_none() {
        options.sampler = model.default_sampler();
    }
    if model.is_points() {
        return draw_points(args, model, options, &out, &stop);
    }
    if args.flow.is_some() {
        return Err(format!("--flow draws the paths of points: {} draws images", model.name()).into());
    }
    let output = Output::open(&out)?;
    let mut animation = args.animate.as_deref().map(|p| Animation::open(p, &out, zoom)).transpose()?;
    let gpu = args.draw.device.open_as(&adapter(args, like.as_ref()))?;
    let mut progress = Progress::new();
    let mut prepare = |done: usize, of: usize| {
        if stop.load(Ordering::SeqCst) {
            // Nothing is drawn yet, and planning cannot be interrupted from here.
            progress.done();
            say!("undiffuse: stopped before anything was drawn");
            output.abandon();
            std::process::exit(130);
        }
        progress.show(0.0, &format!("preparing {done}/{of}"));
    };
    let pipeline = Pipeline::new(&gpu, model, &mut prepare)?;
    crate::device::keep(&gpu);
    for note in pipeline.notes() {
        say!("note: {note}");
    }
    let shape = pipeline.model().image();
    let size = (shape.w, shape.h);
    output.check(options.count, size, zoom)?;
    let info = gpu.info();
    say!("{} on {} ({:?})", pipeline.name(), info.name, info.backend);
    if info.device_type == wgpu::DeviceType::Cpu {
        say!("note: this is a software adapter; a GPU would be far faster");
    }
    let numbers = matches!(output.to, Kind::Npz(_));
    if args.levels && !numbers {
        return Err("--levels is for an .npz file: name one with --out".into());
    }
    let images = !numbers || args.levels || like.is_some() || animation.is_some();
    options.outputs = Outputs { images, tensors: numbers, textures: false };
    let mut job = pipeline.sample_with_progress(&options, &mut prepare)?;
    for note in job.report().notes {
        say!("note: {note}");
    }
    let made = job.provenance();
    if let Some(like) = &mut like {
        like.compare(&made, size)?;
    }
    if let Some(animation) = &mut animation {
        animation.plan(made.steps, made.count, size)?;
    }
    let keep = args.levels || animation.is_some() || like.as_ref().is_some_and(Like::comparable);
    let mut writer = Writer::new(&output, made.clone(), zoom, keep);
    let mut look =
        Look { every: args.preview_every.map(|n| n as usize), animation: animation.as_mut(), last: 0 };
    let drawn = draw(&mut job, &stop, &mut progress, &mut writer, &mut look);
    progress.done();
    if let (Err(_), Some(rest)) = (&drawn, writer.rest()) {
        say!("note: {rest}");
    }
    drawn?;
    let tensors = if numbers { Some(job.tensors()?) } else { None };
    writer.finish(tensors.as_ref(), args.levels)?;
    if let Some(animation) = &animation {
        let text = Text::description(&made, "how the images come to be");
        let path = animation.finish(writer.images(), &text)?;
        writer.wrote(path);
    }
    let report = job.report();
    let rate = report.images as f64 / report.seconds.max(1e-9);
    let work = match &report.adaptive {
        None => {
            format!("{} steps of {}, {} network evaluations each", report.steps, report.sampler, report.nfe)
        }
        Some(adaptive) => format!("{}, {}", report.sampler, text::adaptive(adaptive)),
    };
    say!(
        "{} image(s), {work}: {:.2} s ({rate:.2} images/s) on {}",
        report.images,
        report.seconds,
        report.adapter
    );
    say!("wrote {}", writer.said());
    let verdict = like.map(|like| like.verdict(writer.images())).transpose()?;
    if args.json {
        say!(stdout, "{}", json(&report, &made, zoom, &writer, verdict)?);
    }
    Ok(())
}

/// The options: what a flag says, else what the file of `--like` records, else the default.
fn settle(args: &Args, like: Option<&mut Like>) -> Result<(Sample, u32), PipelineError> {
    let given = Sample { batch: args.draw.batch, ..Sample::default() };
    let Some(like) = like else {
        let options = Sample {
            count: args.count.unwrap_or(given.count),
            first_index: args.first_index.unwrap_or(given.first_index),
            ..args.draw.options()
        };
        return Ok((options, args.zoom.unwrap_or(1)));
    };
    let made = like.options()?;
    let maybe = |x: &Option<f64>| x.map_or("default".to_string(), |x| x.to_string());
    let steps = args.draw.grid.instead(like, made.clone());
    if let Some(model) = &args.draw.model {
        like.instead("model", Some(model.clone()), like.record.made.model.clone(), String::clone);
    }
    let sampler = like.instead("sampler", args.draw.sampler, made.sampler, |s| s.name().to_string());
    let options = Sample {
        count: like.instead("count", args.count, made.count, usize::to_string),
        first_index: like.instead("first-index", args.first_index, made.first_index, u64::to_string),
        sampler,
        // An adaptive sampler has no steps: those of another are none of its own.
        steps: steps.steps.filter(|_| !sampler.is_adaptive() || args.draw.grid.steps.is_some()),
        grid: steps.grid,
        timesteps: steps.timesteps,
        sigmas: steps.sigmas,
        batch: args.draw.batch.or(made.batch),
        // The recorded eta is the recorded sampler's.
        eta: match sampler == made.sampler {
            true => like.instead("eta", args.draw.eta.map(Some), made.eta, maybe),
            false => args.draw.eta,
        },
        // So are the recorded solver options.
        solver: args.draw.solver.over(if sampler == made.sampler { made.solver } else { given.solver }),
        class: like.instead("class", args.draw.class.clone(), made.class, class_name),
        guidance_scale: like.instead(
            "guidance-scale",
            args.draw.guidance_scale,
            made.guidance_scale,
            f64::to_string,
        ),
        seed: like.instead("seed", args.draw.seed, made.seed, u64::to_string),
        rng: like.instead("rng", args.draw.rng, made.rng, |r| r.name().into()),
        ..given
    };
    // The width of a pixel is no part of the images.
    Ok((options, args.zoom.unwrap_or(like.record.zoom)))
}

/// Draws with a model whose images are points in the plane.
fn draw_points(
    args: &Args,
    model: Model,
    options: Sample,
    out: &Path,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let pictures = [
        ("like", args.like.is_some()),
        ("zoom", args.zoom.is_some()),
        ("preview-every", args.preview_every.is_some()),
    ];
    if let Some((flag, _)) = pictures.iter().find(|(_, given)| *given) {
        return Err(format!("--{flag} is for images: {} draws points", model.name()).into());
    }
    let gpu = args.draw.device.open()?;
    let wanted =
        points::Wanted { out, flow: args.flow.as_deref(), animate: args.animate.as_deref(), json: args.json };
    points::run(&Pipeline::new(&gpu, model, |_, _| {})?, options, &wanted, stop)
}

fn out(args: &Args) -> PathBuf {
    let like = args.like.as_deref().and_then(Path::file_stem);
    let default = like.map_or("undiffuse.png".into(), |stem| format!("{}-again.png", stem.to_string_lossy()));
    args.out.clone().unwrap_or_else(|| default.into())
}

fn adapter(args: &Args, like: Option<&Like>) -> Options {
    let device = &args.draw.device;
    match like {
        Some(like) if device.adapter.is_none() && device.backend.is_none() => {
            Options { summation: device.sums.given().unwrap_or(like.record.made.summation), ..like.adapter() }
        }
        Some(like) => Options {
            summation: device.sums.given().unwrap_or(like.record.made.summation),
            ..device.options()
        },
        None => device.options(),
    }
}

fn model(args: &Args, like: Option<&Like>) -> Result<Model, Failure> {
    match (args.draw.recipe()?, &args.draw.model, like) {
        (Some(model), ..) => Ok(model),
        (None, None, Some(like)) => Ok(like.model()?),
        _ => args.draw.model(),
    }
}

/// What is looked at on the way.
struct Look<'a> {
    /// Steps between previews.
    every: Option<usize>,
    animation: Option<&'a mut Animation>,
    /// The step that was looked at last.
    last: usize,
}

impl Look<'_> {
    /// Looks where a step has just ended that somebody wants to see.
    fn at(&mut self, job: &mut Job, writer: &mut Writer) -> Result<(), Failure> {
        let p = job.progress();
        if p.step == std::mem::replace(&mut self.last, p.step) {
            return Ok(());
        }
        let preview = self.every.is_some_and(|n| p.step.is_multiple_of(n));
        let frame = self.animation.as_ref().is_some_and(|a| p.step.is_multiple_of(a.every));
        if !preview && !frame {
            return Ok(());
        }
        let Some(images) = job.preview_images()? else { return Ok(()) };
        if let Some(animation) = self.animation.as_mut().filter(|_| frame) {
            animation.add(p.step, &images);
        }
        if preview {
            writer.preview(p.step, p.images, &images)?;
        }
        Ok(())
    }
}

/// Runs the job; images go to the writer as their batch is done.
fn draw(
    job: &mut Job,
    stop: &AtomicBool,
    progress: &mut Progress,
    writer: &mut Writer,
    look: &mut Look,
) -> Result<(), Failure> {
    let looks = [look.every, look.animation.as_ref().map(|a| a.every)];
    if let Some(n) = looks.into_iter().flatten().reduce(gcd) {
        job.stop_every(n);
    }
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            return Err(Failure::Cancelled);
        }
        let what = format!("image {}/{}, step {}/{}", p.images, p.count, p.step, p.steps);
        progress.show(p.fraction(), &what);
        look.at(job, writer)?;
        writer.add(job.take())?;
    }
    Ok(())
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

/// One object about the run: the report, how the images were made, the files.
fn json(
    report: &undiffuse::pipeline::Report,
    made: &Provenance,
    zoom: u32,
    writer: &Writer,
    like: Option<serde_json::Value>,
) -> Result<serde_json::Value, serde_json::Error> {
    let mut json = serde_json::to_value(report)?;
    if let (Some(all), serde_json::Value::Object(made)) = (json.as_object_mut(), serde_json::to_value(made)?)
    {
        all.extend(made);
    }
    json["zoom"] = zoom.into();
    json["files"] = writer.files.iter().map(|f| f.display().to_string()).collect();
    if let Some(like) = like {
        json["like"] = like;
    }
    Ok(json)
}
