//! `undiffuse evaluate`: how good a model's samples are, or pictures that are there: quality, coverage,
//! modes, likelihood and speed, each with its interval.

pub mod speech;

use crate::draw_args::DrawArgs;
use crate::output::file;
use crate::progress::{self, Progress};
use crate::sets::{self, Given, Set};
use crate::shard::ShardArgs;
use crate::work::{Took, Work};
use crate::Failure;
use serde_json::{json, Value};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use undiffuse::diffusion::Sampler;
use undiffuse::gpu::Gpu;
use undiffuse::kernels::Summation;
use undiffuse::metrics::{Estimate, KernelOptions};
use undiffuse::pipeline::flow::dequantised;
use undiffuse::pipeline::{
    Evaluation, EvaluationOptions, Extractor, FeatureModel, Model, Outputs, Pictures, Pipeline, Reference,
    Sample,
};
use undiffuse::shape::Shape;

/// What lies in a work folder at the end.
const RESULT: &str = "evaluation.json";

#[derive(clap::Args)]
pub struct Args {
    /// Pictures to evaluate in place of a model's samples: a folder, an .npz of `images`, or of `features`
    /// (`undiffuse features`, `undiffuse merge`)
    #[arg(value_name = "PICTURES", conflicts_with_all = ["model", "recipe", "count", "work", "shard"])]
    pictures: Option<PathBuf>,
    /// What to compare with: a folder of pictures, an .npz of `images` or `features`, or of statistics
    /// (`mu`, `sigma`), which give the Frechet distance alone
    #[arg(long, value_name = "FOLDER|FILE.npz", required_unless_present_any = ["shard", "plan"])]
    reference: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricArgs,
    /// How many images are drawn
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    count: u64,
    #[command(flatten)]
    draw: DrawArgs,
    #[command(flatten)]
    shard: ShardArgs,
    /// The folder in which samples are kept: a run that stopped goes on there, and parts (--shard) meet
    /// [default: evaluation/ and a name of model, sampler and options]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Also the likelihood of so many pictures of the reference, in bits per dimension
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    likelihood: Option<u32>,
    /// Solve the likelihood's equation in so many steps of order 4, in place of steps of its own
    #[arg(long, value_name = "N", requires = "likelihood")]
    likelihood_steps: Option<usize>,
    /// Say what drawing would take, and draw nothing
    #[arg(long)]
    plan: bool,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// How sets are compared.
#[derive(clap::Args, Clone)]
pub struct MetricArgs {
    /// The feature network: a folder, or one of the zoo. Distances are called by its name
    #[arg(long, default_value = "zoo/fashion-classifier", value_name = "NAME|FOLDER|FILE")]
    pub features: String,
    /// Pictures are three grey ones, stacked as channels (Stacked MNIST): the network looks at each channel, and
    /// modes are combinations of its classes, 1000 of ten
    #[arg(long)]
    pub stacked: bool,
    /// Precision, recall, density and coverage: which neighbour's distance is the radius
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    k: u32,
    /// Kernel distance: how many pairs of subsets
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1 << 16))]
    kernel_subsets: u32,
    /// Kernel distance: pictures of a subset, at most as many as there are
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1 << 24))]
    kernel_subset_size: u32,
    /// Subsets, without replacement, that the intervals are found with; 0 for none
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1 << 12))]
    intervals: u32,
}

impl MetricArgs {
    /// What the flags say.
    pub fn options(&self) -> EvaluationOptions {
        let kernel = KernelOptions {
            subsets: self.kernel_subsets as usize,
            subset_size: self.kernel_subset_size as usize,
            ..KernelOptions::default()
        };
        let (k, subsets) = (self.k as usize, self.intervals as usize);
        EvaluationOptions { k, kernel, subsets, ..EvaluationOptions::default() }
    }

    /// The feature network on a device.
    pub fn extractor(&self, gpu: &Gpu) -> Result<Extractor, Failure> {
        let model = FeatureModel::find(&self.features)?;
        Ok(Extractor::new(gpu, if self.stacked { model.stacked(3)? } else { model })?)
    }
}

/// How long images took.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Speed {
    /// The adapter.
    pub adapter: String,
    /// Network evaluations of an image; of an adaptive sampler, of the one that took most.
    pub nfe: u64,
    /// Seconds for a hundred images, over the batches.
    pub seconds_per_100: Estimate,
    /// Images a second.
    pub images_per_second: f64,
    /// Joules of the whole machine for an image, where it counts them.
    pub joules_per_image: Option<Estimate>,
    /// Batches that were timed.
    pub batches: usize,
}

impl Speed {
    /// Of batches, none where none took any time.
    pub fn of(adapter: &str, took: &[Took]) -> Option<Speed> {
        let timed: Vec<&Took> = took.iter().filter(|t| t.seconds > 0.0 && t.images > 0).collect();
        let images: u64 = timed.iter().map(|t| t.images).sum();
        let seconds: f64 = timed.iter().map(|t| t.seconds).sum();
        if timed.is_empty() {
            return None;
        }
        // Each batch tells of as many images as it has.
        let weighted = |f: &dyn Fn(&Took) -> f64| -> Estimate {
            let mean = timed.iter().map(|t| f(t)).sum::<f64>() / images as f64;
            let n = timed.len() as f64;
            let squares: f64 = timed
                .iter()
                .map(|t| ((f(t) / t.images as f64 - mean) * t.images as f64 / images as f64).powi(2))
                .sum();
            Estimate::new(mean, (timed.len() > 1).then(|| (squares * n / (n - 1.0)).sqrt()))
        };
        let each = weighted(&|t| 100.0 * t.seconds);
        let joules = timed.iter().all(|t| t.joules.is_some());
        Some(Speed {
            adapter: adapter.into(),
            nfe: timed.iter().map(|t| t.nfe).max().unwrap_or_default(),
            seconds_per_100: each,
            images_per_second: images as f64 / seconds,
            joules_per_image: joules.then(|| weighted(&|t| t.joules.unwrap_or_default())),
            batches: timed.len(),
        })
    }
}

/// The likelihood of the reference's pictures.
#[derive(Clone, Debug, serde::Serialize)]
struct LikelihoodFound {
    /// Of so many pictures.
    pictures: usize,
    /// Bits per dimension; none where the model has no rule for it.
    bits_per_dimension: Option<Estimate>,
    /// Why there is none.
    why_not: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = progress::interrupt()?;
    // What a user named wrongly is told before anything is drawn.
    let reference = args.reference.as_deref().map(sets::read).transpose()?;
    match &args.pictures {
        Some(path) => given(args, path, reference),
        None => drawn(args, reference, &stop),
    }
}

/// Pictures that are there.
fn given(args: &Args, path: &Path, reference: Option<Given>) -> Result<(), Failure> {
    if args.likelihood.is_some() {
        return Err("--likelihood is of a model: name one with --model in place of pictures".into());
    }
    let subject = sets::read(path)?;
    let gpu = args.draw.device.open()?;
    let extractor = args.metrics.extractor(&gpu)?;
    let name = path.display().to_string();
    let Reference::Seen(seen) = look(subject, &name, &extractor)? else {
        let what = "a mean and a covariance are no pictures: they can be the --reference";
        return Err(format!("{name}: {what}").into());
    };
    let reference = looked(args, reference, &extractor)?;
    let found = Evaluation::of(extractor.model().describe(), &seen, &reference, args.metrics.options())?;
    let head = format!("{name}, {} pictures", seen.features.len());
    print(args.json, speech::text(&head, &of_reference(args, &found), &found).trim_end());
    if args.json {
        let all = json!({ "pictures": name, "reference": shown(args), "evaluation": found,
            "network_hash": extractor.model().hash(), "kernel_set": gpu.kernel_set(),
            "batch_invariant": gpu.summation().is_batch_invariant() });
        say!(stdout, "{all}");
    }
    Ok(())
}

/// A model's samples.
fn drawn(args: &Args, reference: Option<Given>, stop: &AtomicBool) -> Result<(), Failure> {
    let model = args.draw.model()?;
    if model.is_points() {
        return Err(format!("{} draws points: `sample` grades them", model.name()).into());
    }
    let shard = args.shard.read()?;
    let mut options = args.draw.options();
    if args.draw.sampler.is_none() {
        options.sampler = model.default_sampler();
    }
    options.outputs = Outputs { images: true, tensors: false, textures: false };
    let asked = asked(&model, &options, args.draw.device.sums.order());
    let name = args.draw.recipe.clone().unwrap_or_else(|| model.name().to_string());
    let gpu = args.draw.device.open()?;
    let pipeline = Pipeline::new(&gpu, model, |_, _| {})?;
    crate::device::keep(&gpu);
    for note in pipeline.notes() {
        say!("note: {note}");
    }
    let all = 0..args.count;
    let own = shard.map_or(all.clone(), |s| s.range(args.count));
    if args.plan {
        return plan(args, &pipeline, &options, own.end - own.start);
    }
    // Before hours of drawing, whether the network takes such pictures.
    let extractor = match shard {
        Some(_) => None,
        None => {
            let extractor = args.metrics.extractor(&gpu)?;
            let image = pipeline.model().image();
            let blank = Shape { c: if image.c < 3 { 1 } else { 3 }, ..image };
            extractor.look(&name, Pictures { levels: &vec![0; blank.len()], shape: blank }, |_, _| {})?;
            Some(extractor)
        }
    };
    // The reference's pictures are kept beside their features only where the likelihood wants them.
    let reference_set = match &reference {
        Some(Given::Pictures(set)) if args.likelihood.is_some() => Some((set.levels.clone(), set.shape)),
        _ => None,
    };
    if args.likelihood.is_some() && reference_set.is_none() && shard.is_none() {
        return Err(
            "--likelihood is of the reference's pictures: name a folder or an .npz of `images`".into()
        );
    }
    let reference = match &extractor {
        Some(extractor) => Some(looked(args, reference, extractor)?),
        None => None,
    };
    let work = Work::open(&folder(args, &name, &options, &asked), &asked, "--work")?;
    let path = work.path().display();
    let (Some(extractor), Some(reference)) = (extractor, reference) else {
        let drawn = work.draw(&pipeline, &options, own.clone(), stop)?;
        let part = shard.map_or(String::new(), |s| format!("part {} of {}, ", s.part, s.of));
        say!("{part}images {} to {}: {drawn} drawn, all are in {path}", own.start, own.end);
        if args.json {
            let shard = shard.map(|s| json!({ "part": s.part, "of": s.of }));
            let all = json!({ "shard": shard, "first": own.start, "end": own.end, "drawn": drawn,
                "work": path.to_string(), "kernel_set": gpu.kernel_set(),
                "batch_invariant": pipeline.batch_invariant(&options) });
            say!(stdout, "{all}");
        }
        return Ok(());
    };
    let judge = Judge { extractor: &extractor, reference: &reference, options: args.metrics.options() };
    let Judged { found, speed, .. } = judge.samples(&work, &pipeline, &options, args.count, stop)?;
    let likelihood = match (args.likelihood, reference_set) {
        (Some(n), Some((levels, shape))) => {
            let set = Set { levels, shape, index: Vec::new(), labels: None };
            Some(likelihood(args, &pipeline, &set, n as usize, options.seed)?)
        }
        _ => None,
    };
    let made = json!({ "model": name, "sampler": options.sampler.name(), "run": asked, "count": args.count,
        "reference": shown(args), "evaluation": found, "speed": speed, "likelihood": likelihood,
        "network_hash": extractor.model().hash(), "work": path.to_string(), "kernel_set": gpu.kernel_set(),
        "batch_invariant": pipeline.batch_invariant(&options) });
    file::write(&work.path().join(RESULT), (serde_json::to_string_pretty(&made)? + "\n").as_bytes())?;
    let head = format!("{name}, {}, {} images", options.sampler.name(), args.count);
    let mut text = speech::text(&head, &of_reference(args, &found), &found);
    text += &speech::speed(speed.as_ref());
    if let Some(likelihood) = &likelihood {
        text += &match (&likelihood.bits_per_dimension, &likelihood.why_not) {
            (Some(bits), _) => speech::likelihood(bits, likelihood.pictures),
            (None, why) => {
                format!("  likelihood        not computed: {}\n", why.as_deref().unwrap_or_default())
            }
        };
    }
    print(args.json, text.trim_end());
    if args.json {
        say!(stdout, "{made}");
    }
    Ok(())
}

/// What judges samples.
pub struct Judge<'a> {
    pub extractor: &'a Extractor,
    pub reference: &'a Reference,
    pub options: EvaluationOptions,
}

/// What it found.
pub struct Judged {
    pub found: Evaluation,
    pub speed: Option<Speed>,
    /// The samples.
    pub set: Set,
}

impl Judge<'_> {
    /// Draws what is missing of `count` samples in a work folder, and judges all of them.
    pub fn samples(
        &self,
        work: &Work,
        pipeline: &Pipeline,
        options: &Sample,
        count: u64,
        stop: &AtomicBool,
    ) -> Result<Judged, Failure> {
        let drawn = work.draw(pipeline, options, 0..count, stop)?;
        let (set, took) = work.read(0..count)?;
        say!("{}: {count} images, {} of them from before", work.path().display(), count - drawn);
        let pictures = Pictures { levels: &set.levels, shape: set.shape };
        let seen = looking(pipeline.name(), |progress| {
            Ok(self.extractor.look(pipeline.name(), pictures, progress)?)
        })?;
        let about = self.extractor.model().describe();
        let found = Evaluation::of(about, &seen, self.reference, self.options)?;
        Ok(Judged { found, speed: Speed::of(&pipeline.gpu().info().name, &took), set })
    }
}

/// What the images are a function of, and the count is not.
pub fn asked(model: &Model, o: &Sample, summation: Summation) -> Value {
    let mut asked = json!({
        "model": model.hash(),
        "sampler": o.sampler.name(),
        "steps": o.steps,
        "grid": o.grid.map(|g| g.name()),
        "timesteps": o.timesteps,
        "sigmas": o.sigmas,
        "eta": o.eta,
        "solver": o.solver,
        "class": crate::like::class_name(&o.class),
        "guidance_scale": o.guidance_scale,
        "seed": o.seed,
        "rng": o.rng.name(),
    });
    if !summation.is_default() {
        asked["summation"] = summation.name().into();
    }
    asked
}

fn folder(args: &Args, name: &str, options: &Sample, asked: &Value) -> PathBuf {
    match &args.work {
        Some(path) => path.clone(),
        None => default_folder(Path::new("evaluation"), name, options, asked),
    }
}

/// `MODEL-SAMPLER-STEPS-HASH` in `base`.
pub fn default_folder(base: &Path, name: &str, options: &Sample, asked: &Value) -> PathBuf {
    let plain = |text: &str| -> String {
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
    };
    let steps = options.steps.map_or(String::new(), |s| format!("-{s}"));
    let short: String = name.rsplit(['/', '\\']).next().unwrap_or(name).chars().take(40).collect();
    let hash = format!("{:08x}", fnv(asked.to_string().as_bytes()) >> 32);
    base.join(format!("{}-{}{steps}-{hash}", plain(&short), plain(options.sampler.name())))
}

/// FNV-1a: to tell folders apart, not to prove anything.
pub fn fnv(bytes: &[u8]) -> u64 {
    let mix = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// Looks at a set, showing how far it is.
pub fn look(given: Given, name: &str, extractor: &Extractor) -> Result<Reference, Failure> {
    looking(name, |progress| sets::seen(given, name, extractor, progress))
}

fn looking<T>(
    name: &str,
    look: impl FnOnce(&mut dyn FnMut(usize, usize)) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut progress = Progress::new();
    let seen = look(&mut |done, of| {
        progress.show(done as f64 / of.max(1) as f64, &format!("looking at {name}, {done}/{of}"));
    });
    progress.done();
    seen
}

fn looked(args: &Args, reference: Option<Given>, extractor: &Extractor) -> Result<Reference, Failure> {
    let reference = reference.ok_or("name what to compare with: --reference FOLDER|FILE.npz")?;
    look(reference, &shown(args), extractor)
}

/// A person reads stdout, unless a program does.
fn print(json: bool, text: &str) {
    if json {
        say!("{text}");
    } else {
        say!(stdout, "{text}");
    }
}

fn shown(args: &Args) -> String {
    args.reference.as_ref().map_or(String::new(), |p| p.display().to_string())
}

fn of_reference(args: &Args, found: &Evaluation) -> String {
    let count = found.reference.map_or("statistics alone".into(), |n| format!("{n} pictures"));
    format!("{} ({count})", shown(args))
}

fn plan(args: &Args, pipeline: &Pipeline, options: &Sample, images: u64) -> Result<(), Failure> {
    let count = usize::try_from(images.max(1)).unwrap_or(usize::MAX);
    let effort = pipeline.sample(&Sample { count, ..options.clone() })?.effort()?;
    let seconds = effort.seconds * images as f64;
    let each = if effort.adaptive { "a pass of each image" } else { "an image" };
    say!(
        "{} {each} on {}, {images} images: {}",
        crate::text::seconds(effort.seconds),
        effort.adapter,
        crate::reproduce::long(seconds)
    );
    if args.json {
        say!(stdout, "{}", json!({ "images": images, "seconds": seconds, "takes": effort }));
    }
    Ok(())
}

fn likelihood(
    args: &Args,
    pipeline: &Pipeline,
    set: &Set,
    n: usize,
    seed: u64,
) -> Result<LikelihoodFound, Failure> {
    let shape = pipeline.describe().sample;
    let (count, len) = (set.levels.len() / set.shape.len(), set.shape.len());
    let n = n.min(count);
    if (set.shape.h, set.shape.w) != (shape.h, shape.w) {
        let what = format!("the reference is {}, the model takes {shape}", set.shape);
        return Ok(LikelihoodFound { pictures: n, bits_per_dimension: None, why_not: Some(what) });
    }
    // Spread over the set, which may be sorted by class.
    let mut levels = Vec::new();
    for i in 0..n {
        let picture = &set.levels[i * count / n * len..][..len];
        match (set.shape.c, shape.c) {
            (a, b) if a == b => levels.extend_from_slice(picture),
            (1, 3) => levels.extend(picture.iter().flat_map(|v| [*v; 3])),
            (3, 1) => levels.extend(picture.chunks_exact(3).map(|p| p[0])),
            _ => {}
        }
    }
    let images = dequantised(&levels, shape.len(), Some(seed), 0);
    let options = Sample {
        sampler: if args.likelihood_steps.is_some() { Sampler::Rk4 } else { Sampler::Rk45 },
        steps: args.likelihood_steps,
        solver: args.draw.solver.over(Sample::default().solver),
        batch: args.draw.batch,
        seed,
        ..Sample::default()
    };
    let mut work = match pipeline.likelihood(&images, 1, &options) {
        Ok(work) => work,
        Err(e) => {
            let why = undiffuse::pipeline::chain(&e);
            return Ok(LikelihoodFound { pictures: n, bits_per_dimension: None, why_not: Some(why) });
        }
    };
    let bits: Vec<f64> = work.finish()?.iter().map(|d| d.bits_per_dimension()).collect();
    Ok(LikelihoodFound { pictures: n, bits_per_dimension: Some(Estimate::of_mean(&bits)), why_not: None })
}
