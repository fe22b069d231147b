//! `undiffuse reproduce`: a recipe as its authors ran it, image by image into a folder, and on from
//! where an earlier run stopped.

use crate::output::png::{self, Record, Text};
use crate::output::{file, OutputError};
use crate::progress::{self, Progress};
use crate::sums::Sums;
use crate::text::{bytes, count, seconds};
use crate::work::Work;
use crate::Failure;
use serde_json::json;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undiffuse::gpu::Options;
use undiffuse::pipeline::{Effort, Job, Model, Pipeline, Recipe, Sample};

/// Images of a folder within the folder.
const SHARD: u64 = 1000;
/// Images that figures as FID are counted with.
const FID: u64 = 50_000;

#[derive(clap::Args)]
pub struct Args {
    /// The recipe (see `undiffuse recipes`), or a .toml file of the same form
    #[arg(value_name = "RECIPE")]
    recipe: String,
    /// Its checkpoint: what PyTorch saved, or safetensors. Nothing in it is run
    #[arg(long, value_name = "FILE", required_unless_present = "synthetic_weights")]
    weights: Option<PathBuf>,
    /// Weights made from their names in place of a checkpoint: for speed and memory. The images mean
    /// nothing
    #[arg(long, conflicts_with = "weights")]
    synthetic_weights: bool,
    /// How many images
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    images: u64,
    /// The folder: 000/000000.png and on, a thousand in a folder, and run.json, which says what it is
    /// of. Images that are there already are not drawn again [default: the recipe's name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Seed of all noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Images at once [default: what fits]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Say what it would take, and draw nothing
    #[arg(long)]
    plan: bool,
    /// The adapter, by number or a part of its name (see `undiffuse info`)
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    #[command(flatten)]
    sums: Sums,
    /// Memory that the engine may have on the device, in MiB
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    memory: Option<u64>,
    /// Print one JSON object about the run on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = progress::interrupt()?;
    let recipe = Recipe::find(&args.recipe)?;
    let model = match &args.weights {
        Some(path) => recipe.open(path)?,
        None => recipe.synthetic()?,
    };
    let options = Sample { seed: args.seed, batch: args.batch, ..recipe.published(&model)? };
    let parameters = recipe.count_parameters()?;
    let mut folder = None;
    let mut left: Vec<Range<u64>> = std::iter::once(0..args.images).collect();
    if !args.plan {
        let opened = Folder::open(args, &recipe, &model, &options)?;
        left = opened.missing(args.images)?;
        folder = Some(opened);
    }
    let missing: u64 = left.iter().map(|r| r.end - r.start).sum();
    let mut drawn = 0;
    let (mut effort, mut kernels) = (None, None);
    if let Some(first) = left.first() {
        let gpu = crate::device::open(&Options {
            adapter: args.adapter.clone(),
            backend: args.backend.clone(),
            summation: args.sums.order(),
            ..Default::default()
        })?;
        if let Some(mib) = args.memory {
            gpu.set_memory_budget(Some(mib << 20));
        }
        let mut progress = Progress::new();
        let mut prepare = |done: usize, of: usize| {
            if stop.load(Ordering::SeqCst) {
                // Planning cannot be interrupted from here.
                progress.done();
                say!("undiffuse: stopped before anything was drawn");
                std::process::exit(130);
            }
            progress.show(0.0, &format!("preparing {done}/{of}"));
        };
        let pipeline = Pipeline::new(&gpu, model, &mut prepare)?;
        for note in pipeline.notes() {
            say!("note: {note}");
        }
        let job = pipeline.sample_with_progress(&of(&options, first), &mut prepare)?;
        progress.done();
        let takes = job.effort()?;
        state(&recipe, parameters, &options, &takes, missing, args.images);
        effort = Some(takes);
        kernels = Some((gpu.kernel_set(), pipeline.batch_invariant(&options)));
        if let Some(folder) = &folder {
            let mut job = Some(job);
            for range in &left {
                let job = match job.take() {
                    Some(job) => job,
                    None => pipeline.sample(&of(&options, range))?,
                };
                draw(job, folder, &stop, &mut drawn, missing)?;
            }
        }
    }
    if let Some(folder) = &folder {
        let before = args.images - missing;
        say!("{}: {} images, {before} of them from before", folder.path.display(), args.images);
    }
    if args.json {
        let folder = folder.map(|f| f.path.display().to_string());
        let all = json!({ "recipe": recipe.name, "parameters": parameters, "published": recipe.parameters,
            "images": args.images, "drawn": drawn, "folder": folder, "takes": effort,
            "kernel_set": kernels.as_ref().map(|k| &k.0), "batch_invariant": kernels.as_ref().map(|k| k.1) });
        say!(stdout, "{all}");
    }
    Ok(())
}

/// The options of a range of images.
fn of(options: &Sample, range: &Range<u64>) -> Sample {
    let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
    Sample { first_index: range.start, count, ..options.clone() }
}

/// Says what it takes.
fn state(recipe: &Recipe, parameters: u64, options: &Sample, takes: &Effort, missing: u64, images: u64) {
    say!("{}: {} ({})", recipe.name, recipe.about, recipe.paper);
    let published = match recipe.parameters {
        Some(n) if n == parameters => ", as published".into(),
        Some(n) => format!(", published are {n}"),
        None => String::new(),
    };
    say!("  parameters   {} ({parameters}{published})", count(parameters));
    let steps = if takes.adaptive { "steps of its own".into() } else { format!("{} steps", takes.steps) };
    say!("  sampler      {}, {steps}", options.sampler.name());
    for net in &takes.nets {
        let each = if takes.adaptive { " in a pass" } else { " an image" };
        say!(
            "  {:<12} {} evaluations{each}, {} multiply-adds and {} each",
            net.name,
            net.evaluations,
            count(net.macs),
            seconds(net.seconds)
        );
    }
    say!("  memory       {} on the device, images at once {}", bytes(takes.bytes), takes.batch);
    if takes.adaptive {
        say!("  time         {} a pass on {}: its error says how many", long(takes.seconds), takes.adapter);
        return;
    }
    let each = takes.seconds;
    say!(
        "  time         about {} an image on {}: {} for {missing} of {images}, {} for the {FID} of a FID",
        long(each),
        takes.adapter,
        long(each * missing as f64),
        long(each * FID as f64)
    );
}

/// Seconds, minutes, hours or days.
pub fn long(s: f64) -> String {
    match s {
        s if s < 120.0 => seconds(s),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// Draws a job's images, each of which is written when its batch is done.
fn draw(
    mut job: Job,
    folder: &Folder,
    stop: &AtomicBool,
    drawn: &mut u64,
    missing: u64,
) -> Result<(), Failure> {
    let made = job.provenance();
    let mut progress = Progress::new();
    let mut written = 0;
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            progress.done();
            say!("note: {drawn} of {missing} images are written; the same command goes on");
            return Err(Failure::Cancelled);
        }
        let what = format!("image {}/{}, step {}/{}", p.images, p.count, p.step, p.steps);
        progress.show(p.fraction(), &what);
        for image in job.take() {
            let made = made.image(written);
            let path = folder.image(made.first_index)?;
            png::write(&path, &image, &Text::record(&Record { made, zoom: 1 }))?;
            written += 1;
            *drawn += 1;
        }
    }
    progress.done();
    Ok(())
}

/// The folder of a run.
struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Opens the folder of a run, or makes it. A folder of another run is refused, and one that
    /// holds other things.
    fn open(args: &Args, recipe: &Recipe, model: &Model, options: &Sample) -> Result<Folder, Failure> {
        let name = recipe.name.trim_end_matches(".toml").replace('/', "-");
        let path = args.out.clone().unwrap_or_else(|| name.into());
        let mut asked = json!({
            "recipe": recipe.name,
            "model": model.hash(),
            "synthetic_weights": args.synthetic_weights,
            "sampler": options.sampler.name(),
            "steps": options.steps,
            "solver": options.solver,
            "seed": options.seed,
        });
        if let Some(summation) = args.sums.given() {
            asked["summation"] = summation.name().into();
        }
        Work::open(&path, &asked, "--out")?;
        Ok(Folder { path })
    }

    /// The file of an image, in a folder that is there.
    fn image(&self, index: u64) -> Result<PathBuf, OutputError> {
        let shard = self.shard(index);
        std::fs::create_dir_all(&shard)
            .map_err(|source| OutputError::Unwritable { path: shard.clone(), source })?;
        Ok(shard.join(format!("{index:06}.png")))
    }

    fn shard(&self, index: u64) -> PathBuf {
        self.path.join(format!("{:03}", index / SHARD))
    }

    /// Images below `count` that are not there, as ranges. What killed runs left is removed.
    fn missing(&self, count: u64) -> Result<Vec<Range<u64>>, Failure> {
        let mut left: Vec<Range<u64>> = Vec::new();
        for first in (0..count).step_by(SHARD as usize) {
            let shard = self.shard(first);
            file::sweep(&shard);
            let last = count.min(first + SHARD);
            for index in first..last {
                if shard.join(format!("{index:06}.png")).is_file() {
                    continue;
                }
                match left.last_mut() {
                    Some(range) if range.end == index => range.end += 1,
                    _ => left.push(index..index + 1),
                }
            }
        }
        Ok(left)
    }
}
