//! `undiffuse compare`: one model, many samplers and numbers of steps, the same noise.

use crate::draw::plot::{Plot, Series, Style};
use crate::draw::points::{cloud, DATA};
use crate::draw::sheet::{Cell, Sheet};
use crate::output::png::{self, MOST_ZOOM};
use crate::progress::{self, Progress};
use crate::sums::Sums;
use crate::text::seconds;
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undiffuse::diffusion::program::Instruction;
use undiffuse::diffusion::{Sampler, Schedule, Spread, System};
use undiffuse::gpu::Options;
use undiffuse::pipeline::{Class, Model, Outputs, Pipeline, PipelineError, Recipe, Sample};

/// Solvers whose state is `x0 + sigma eps` lose the image's digits where sigma is thousands.
const MOST_SIGMA: f64 = 200.0;

/// Where the steps end of a sampler that cannot go to 0.
const NEARLY: f64 = 1e-4;

#[derive(clap::Args)]
pub struct Args {
    /// The model, named as for `sample`
    #[arg(long, default_value = "emoji32", value_name = "NAME|FOLDER|OWNER/NAME")]
    model: String,
    /// A published checkpoint's recipe (see `undiffuse recipes`), for the file of --weights
    #[arg(long, value_name = "NAME", requires = "weights", conflicts_with = "model")]
    recipe: Option<String>,
    /// The checkpoint of --recipe: what PyTorch saved, or safetensors. Nothing in it is run
    #[arg(long, value_name = "FILE", requires = "recipe")]
    weights: Option<PathBuf>,
    /// The samplers, a row each [default: ddim, euler, heun, dpm2, lms, pndm, dpmpp_2m, dpmpp_2s, dpmpp_3m,
    /// unipc, deis; of CLD-SGM, LSGM and DDGAN their own]
    #[arg(long, value_name = "NAME,NAME,...", value_delimiter = ',')]
    samplers: Vec<Sampler>,
    /// The numbers of steps, a column each
    #[arg(long, value_name = "N,N,...", value_delimiter = ',', default_value = "5,10,20,40")]
    steps: Vec<usize>,
    /// The first timestep; the others follow in equal steps down to the image, the same for every
    /// sampler that takes a list [default: the last whose noise is at most 200 times the image]
    #[arg(long, value_name = "T")]
    from: Option<usize>,
    /// In place of these: each sampler's own steps, spread so where it can
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    grid: Option<Spread>,
    /// Images a point; the sheet shows the first, distances are over all
    #[arg(long, default_value_t = 4, value_name = "N")]
    count: usize,
    /// Steps of DPM-Solver++ 2M (of Runge-Kutta 4 for models without betas) for the converged solution
    /// of the probability-flow ODE; 0 leaves distances out (DDGAN has no such ODE)
    #[arg(long, default_value_t = 400, value_name = "N")]
    converged: usize,
    /// Clamp the predicted image as the model's file says. Without, all samplers solve the equation that
    /// the converged solution solves
    #[arg(long)]
    clamp: bool,
    /// A class by name or number, `all`, or `none` for the empty class
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long, default_value_t = 1.0, value_name = "X", allow_negative_numbers = true)]
    guidance_scale: f64,
    /// Seed of all noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The sheet; the plot of distances goes beside it: NAME-distance.svg and NAME-distance.png
    #[arg(long, default_value = "compare.png", value_name = "FILE.png")]
    out: PathBuf,
    /// Width of a pixel in the sheet
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    zoom: u32,
    /// The adapter, by number or a part of its name
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    #[command(flatten)]
    sums: Sums,
    /// Print one JSON object: every point
    #[arg(long)]
    json: bool,
}

/// The side of a picture of points.
const POINTS: u32 = 128;

/// What was drawn at one point.
struct Point {
    sampler: Sampler,
    steps: usize,
    nfe: usize,
    seconds: f64,
    /// To the converged solution, the root of the mean square; `None` where it means nothing.
    distance: Option<f64>,
    image: image::RgbImage,
}

struct Drawn {
    nfe: usize,
    seconds: f64,
    floats: Vec<f32>,
    image: image::RgbImage,
    stochastic: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
        return Err(format!("--out {}: the sheet is a .png file", args.out.display()).into());
    }
    let stop = progress::interrupt()?;
    let gpu = crate::device::open(&Options {
        adapter: args.adapter.clone(),
        summation: args.sums.order(),
        ..Options::default()
    })?;
    let model = match (&args.recipe, &args.weights) {
        (Some(recipe), Some(weights)) => Recipe::find(recipe)?.open(weights)?,
        _ => Model::find(&args.model)?,
    };
    let samplers = match &args.samplers[..] {
        [] => default_samplers(&model),
        given => given.to_vec(),
    };
    let model = if args.clamp { model } else { model.unclamped() };
    let pipeline = Pipeline::new(&gpu, model, |_, _| {})?;
    say!("{} on {}", pipeline.name(), gpu.info().name);
    let solver = solver(pipeline.model()).filter(|_| args.converged > 0);
    let total = samplers.len() * args.steps.len() + usize::from(solver.is_some());
    let mut progress = Progress::new();
    let mut done = 0;
    let mut draw = |options: Sample, what: &str| -> Result<Drawn, Failure> {
        done += 1;
        let part = |inside: f64| (done as f64 - 1.0 + inside) / total as f64;
        progress.show(part(0.0), what);
        let drawn = draw(&pipeline, &options, &stop, |inside| progress.show(part(inside), what));
        if done == total || drawn.is_err() {
            progress.done();
        }
        drawn
    };
    let base = Sample {
        count: args.count,
        class: args.class.clone().unwrap_or_default(),
        guidance_scale: args.guidance_scale,
        seed: args.seed,
        outputs: Outputs { images: !pipeline.model().is_points(), tensors: true, textures: false },
        ..Sample::default()
    };
    let ladder = Ladder::new(pipeline.model(), args)?;
    let with = |sampler: Sampler, steps| ladder.set(sampler, steps, base.clone());
    let converged =
        solver.map(|solver| draw(with(solver, args.converged), "the converged solution")).transpose()?;
    let mut points = Vec::new();
    for &sampler in &samplers {
        for &steps in &args.steps {
            let what = format!("{} {steps}", sampler.name());
            match draw(with(sampler, steps), &what) {
                Ok(d) => {
                    let distance =
                        converged.as_ref().filter(|_| !d.stochastic).map(|c| rms(&c.floats, &d.floats));
                    let Drawn { nfe, seconds, image, .. } = d;
                    points.push(Point { sampler, steps, nfe, seconds, distance, image });
                }
                Err(Failure::Cancelled) => return Err(Failure::Cancelled),
                // One that cannot go so many steps leaves its place empty.
                Err(Failure::Error(e)) if is_option(&*e) => {
                    say!("note: {what}: {}", undiffuse::pipeline::chain(&*e));
                }
                Err(e) => return Err(e),
            }
        }
    }
    if points.is_empty() {
        return Err("no sampler could go any of these numbers of steps: see the notes above".into());
    }
    let mut files = vec![args.out.clone()];
    let about = format!("{}, guidance {}, seed {}", pipeline.name(), args.guidance_scale, args.seed);
    png::write_plain(
        &args.out,
        &sheet(args, &samplers, &points).draw(if pipeline.model().is_points() { 1 } else { args.zoom })?,
        &format!("samplers compared: {about}"),
    )?;
    if converged.is_some() {
        let stem = args.out.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        files.extend(
            plot(&samplers, &points, &about).write(&args.out.with_file_name(format!("{stem}-distance")))?,
        );
    }
    table(&points);
    say!("wrote {}", files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "));
    if args.json {
        let point = |p: &Point| {
            json!({ "sampler": p.sampler.name(), "steps": p.steps, "nfe": p.nfe,
            "seconds": p.seconds, "distance": p.distance })
        };
        let converged = converged
            .as_ref()
            .map(|c| json!({ "sampler": solver.map(Sampler::name), "steps": args.converged, "nfe": c.nfe }));
        let object = json!({
            "model": pipeline.name(), "adapter": gpu.info().name, "kernel_set": gpu.kernel_set(),
            "batch_invariant": pipeline.batch_invariant(&Sample::default()), "count": args.count, "seed": args.seed,
            "guidance_scale": args.guidance_scale, "grid": args.grid.map(Spread::name), "from": ladder.from(), "converged": converged,
            "points": points.iter().map(point).collect::<Vec<_>>(),
            "files": files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>(),
        });
        say!(stdout, "{object}");
    }
    Ok(())
}

/// What is compared where nothing is named: of a system its own samplers of so many steps.
fn default_samplers(model: &Model) -> Vec<Sampler> {
    use Sampler::*;
    match &model.scheduler().system {
        Some(system) => Sampler::of_system(system).iter().copied().filter(|s| !s.is_adaptive()).collect(),
        None => vec![Ddim, Euler, Heun, Dpm2, Lms, Pndm, Dpmpp2m, Dpmpp2s, Dpmpp3m, UniPc, Deis],
    }
}

/// What solves the probability flow, where there is one.
fn solver(model: &Model) -> Option<Sampler> {
    let config = model.scheduler();
    match &config.system {
        Some(System::Cld(_)) => Some(Sampler::CldOde),
        Some(System::Lsgm(_)) => Some(Sampler::LsgmOde),
        Some(System::Ddgan(_)) => None,
        // A model without a chain of betas is solved in its own time.
        None if (config.continuous.is_none() || config.trained_betas.is_some()) && !config.edm => {
            Some(Sampler::Dpmpp2m)
        }
        None => Some(Sampler::Rk4),
    }
}

/// The levels that samplers visit.
struct Ladder<'a> {
    schedule: Schedule,
    from: usize,
    args: &'a Args,
}

impl<'a> Ladder<'a> {
    fn new(model: &Model, args: &'a Args) -> Result<Self, Failure> {
        let schedule = Schedule::single(model.scheduler())?;
        let last = schedule.alpha_bar().len() - 1;
        let sane = |t: &usize| schedule.sigma(*t) <= MOST_SIGMA;
        let from = args.from.unwrap_or_else(|| (0..=last).rev().find(sane).unwrap_or(last));
        if from > last {
            return Err(format!("--from {from}: the last timestep of this model is {last}").into());
        }
        Ok(Self { schedule, from, args })
    }

    /// The first timestep, where it is the same for all.
    fn from(&self) -> Option<usize> {
        self.args.grid.is_none().then_some(self.from)
    }

    /// The options of `steps` steps of a sampler.
    fn set(&self, sampler: Sampler, steps: usize, base: Sample) -> Sample {
        let base = Sample { sampler, ..base };
        if self.args.grid.is_some() || !sampler.takes_lists() {
            let grid = self.args.grid.filter(|g| sampler.follows(*g));
            return Sample { steps: Some(steps), grid, ..base };
        }
        let at = |k: usize| ((self.from + 1) * (steps - k)).div_ceil(steps.max(1)).saturating_sub(1);
        let times: Vec<usize> = (0..steps).map(at).collect();
        if sampler.follows(Spread::Karras) {
            // DEIS cannot reach the image itself: it goes as near as nobody sees.
            let end = if sampler == Sampler::Deis { NEARLY } else { 0.0 };
            let sigmas = times.iter().map(|t| self.schedule.sigma(*t)).chain([end]).collect();
            return Sample { sigmas: Some(sigmas), ..base };
        }
        Sample { timesteps: Some(times), ..base }
    }
}

/// Draws a point's images.
fn draw(
    pipeline: &Pipeline,
    options: &Sample,
    stop: &AtomicBool,
    mut progress: impl FnMut(f64),
) -> Result<Drawn, Failure> {
    let program = pipeline.program(options)?;
    // Noise is where all begins; behind the first evaluation it is a part of the way.
    let mut way = program.instructions().skip_while(|i| !matches!(i, Instruction::Eval { .. }));
    let stochastic = way.any(|i| matches!(i, Instruction::Noise { .. }));
    let mut job = pipeline.sample(options)?;
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            return Err(Failure::Cancelled);
        }
        progress(p.fraction());
    }
    let floats = job.tensors()?.values;
    let image = match pipeline.model().is_points() {
        true => cloud(&floats, POINTS, DATA),
        false => job.images()?.swap_remove(0),
    };
    let report = job.report();
    Ok(Drawn { nfe: report.nfe, seconds: report.seconds, floats, image, stochastic })
}

/// Whether it is the options that cannot be.
fn is_option(e: &(dyn std::error::Error + 'static)) -> bool {
    matches!(
        e.downcast_ref::<PipelineError>(),
        Some(PipelineError::Option { .. } | PipelineError::Sampler(_))
    )
}

fn rms(a: &[f32], b: &[f32]) -> f64 {
    let square = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    (a.iter().zip(b).map(square).sum::<f64>() / a.len().max(1) as f64).sqrt()
}

fn sheet(args: &Args, samplers: &[Sampler], points: &[Point]) -> Sheet {
    let cell = |sampler: Sampler, steps: usize| {
        let p = points.iter().find(|p| p.sampler == sampler && p.steps == steps)?;
        let mut lines = vec![format!("{} NFE", p.nfe), seconds(p.seconds)];
        lines.extend(p.distance.map(|d| format!("d {d:.1e}")));
        Some(Cell { image: p.image.clone(), lines })
    };
    Sheet {
        columns: args.steps.iter().map(|s| format!("{s} steps")).collect(),
        rows: samplers.iter().map(|s| s.name().to_string()).collect(),
        cells: samplers.iter().map(|s| args.steps.iter().map(|n| cell(*s, *n)).collect()).collect(),
    }
}

fn plot(samplers: &[Sampler], points: &[Point], about: &str) -> Plot {
    let series = samplers.iter().enumerate().map(|(color, s)| {
        let own = points.iter().filter(|p| p.sampler == *s);
        let points = own.filter_map(|p| Some((p.nfe as f64, p.distance?))).collect();
        Series { name: s.name().into(), points, style: Style::Curve, color }
    });
    Plot {
        title: format!("distance to the converged ODE solution: {about}"),
        x: "network evaluations (NFE)".into(),
        y: "root mean square difference".into(),
        log: true,
        size: (900, 640),
        limits: None,
        series: series.filter(|s| !s.points.is_empty()).collect(),
    }
}

fn table(points: &[Point]) {
    say!("{:<16} {:>6} {:>6} {:>10} {:>10}", "sampler", "steps", "NFE", "time", "distance");
    for p in points {
        let distance = p.distance.map_or("-".into(), |d| format!("{d:.2e}"));
        say!(
            "{:<16} {:>6} {:>6} {:>10} {:>10}",
            p.sampler.name(),
            p.steps,
            p.nfe,
            seconds(p.seconds),
            distance
        );
    }
}
