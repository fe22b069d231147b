//! `undiffuse trilemma`: sample quality, mode coverage and speed against each other (Xiao et al. 2022,
//! arXiv:2112.07804), over models, samplers and steps, in one run that goes on where it stopped.

mod chart;
mod report;

use crate::draw_args::DeviceArgs;
use crate::evaluate::{asked, default_folder, look, Judge, Judged, MetricArgs, Speed};
use crate::output::{file, grid, try_file};
use crate::reproduce::long;
use crate::sets::{self, Set};
use crate::text::{table, Side};
use crate::work::Work;
use crate::{progress, Failure};
use image::{codecs::png, RgbImage};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use undiffuse::diffusion::Sampler;
use undiffuse::gpu::Gpu;
use undiffuse::pipeline::{Class, Evaluation, Model, Outputs, Pipeline, Sample};

/// Pictures of a contact sheet.
const SHOWN: usize = 30;

#[derive(clap::Args)]
pub struct Args {
    /// The models, named as for `sample`
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAME,NAME,...")]
    models: Vec<String>,
    /// The samplers; one that does not suit a model is left out for it, and the report says why
    /// [default: each model's own]
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME,...")]
    samplers: Vec<Sampler>,
    /// The numbers of steps [default: each sampler's]
    #[arg(long, value_delimiter = ',', value_name = "N,N,...")]
    steps: Vec<usize>,
    /// Images of each point
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    count: u64,
    /// What to compare with: a folder of pictures, or an .npz of `images` or `features`
    #[arg(long, value_name = "FOLDER|FILE.npz")]
    reference: PathBuf,
    #[command(flatten)]
    metrics: MetricArgs,
    /// A class by name or number, `all` for each in turn, `none` for the empty class [default: all]
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Seed of all noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Images at once [default: what fits]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Say what it would take, and draw nothing
    #[arg(long)]
    plan: bool,
    /// The folder in which samples are kept: one for each point, as `evaluate` takes it
    #[arg(long, default_value = "evaluation", value_name = "FOLDER")]
    work: PathBuf,
    /// The report: one file of HTML, beside it the numbers as .json and .csv
    #[arg(long, default_value = "trilemma.html", value_name = "FILE.html")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// A model with a sampler in so many steps.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    model: String,
    sampler: &'static str,
    steps: usize,
    /// The command that makes this point alone.
    command: String,
    evaluation: Evaluation,
    speed: Option<Speed>,
    /// Whether no other point is better in one of quality, coverage and speed and as good in the others.
    pareto: bool,
    /// Some samples, as a PNG file.
    #[serde(skip)]
    sheet: Vec<u8>,
}

impl Point {
    fn quality(&self) -> f64 {
        self.evaluation.frechet.value
    }

    fn coverage(&self) -> f64 {
        self.evaluation.compared.as_ref().map_or(f64::NAN, |c| c.coverage.value)
    }

    fn seconds(&self) -> f64 {
        self.speed.as_ref().map_or(f64::NAN, |s| s.seconds_per_100.value)
    }

    fn name(&self) -> String {
        format!("{}, {}, {} steps", self.model, self.sampler, self.steps)
    }

    /// Whether it is as good in all three, and better in one.
    fn dominates(&self, other: &Point) -> bool {
        let pairs = [
            (self.quality(), other.quality()),
            (-self.coverage(), -other.coverage()),
            (self.seconds(), other.seconds()),
        ];
        pairs.iter().all(|(a, b)| a <= b) && pairs.iter().any(|(a, b)| a < b)
    }
}

/// What could not be measured, and why.
#[derive(Clone, Debug, Serialize)]
pub struct Left {
    model: String,
    sampler: &'static str,
    steps: Option<usize>,
    why: String,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = progress::interrupt()?;
    let kinds = ["html", "htm"];
    if args.out.extension().is_none_or(|e| !kinds.iter().any(|k| e.eq_ignore_ascii_case(k))) {
        return Err(format!("--out {}: the report is an .html file", args.out.display()).into());
    }
    let numbers = ["json", "csv"].map(|kind| args.out.with_extension(kind));
    for path in numbers.iter().chain([&args.out]) {
        try_file(path)?;
    }
    // What is named wrongly is told before anything is drawn.
    let models = args.models.iter().map(|name| Model::find(name)).collect::<Result<Vec<_>, _>>()?;
    let reference = sets::read(&args.reference)?;
    if matches!(reference, sets::Given::Statistics { .. }) {
        let path = args.reference.display();
        return Err(format!("{path}: coverage needs the reference's pictures, or features of them").into());
    }
    let gpu = args.device.open()?;
    if args.plan {
        return plan(args, &gpu, models);
    }
    let extractor = args.metrics.extractor(&gpu)?;
    let reference = look(reference, &args.reference.display().to_string(), &extractor)?;
    let judge = Judge { extractor: &extractor, reference: &reference, options: args.metrics.options() };
    let (mut points, mut left) = (Vec::new(), Vec::new());
    for model in models {
        let (ways, without) = ways(args, &model);
        left.extend(without);
        let pipeline = Pipeline::new(&gpu, model, |_, _| {})?;
        crate::device::keep(&gpu);
        for options in ways {
            points.push(point(args, &pipeline, &options, &judge, &stop)?);
        }
    }
    if points.is_empty() {
        let why = left
            .first()
            .map_or(String::new(), |l: &Left| format!(" ({} of {}: {})", l.sampler, l.model, l.why));
        return Err(format!("no sampler suits any of the models{why}").into());
    }
    let best: Vec<bool> = points.iter().map(|p| !points.iter().any(|other| other.dominates(p))).collect();
    points.iter_mut().zip(best).for_each(|(point, best)| point.pareto = best);
    let about = json!({ "count": args.count, "reference": args.reference.display().to_string(),
        "features": extractor.model().describe().called, "adapter": gpu.info().name, "kernel_set": gpu.kernel_set(),
        "batch_invariant": gpu.summation().is_batch_invariant(), "points": points, "left_out": left });
    let [as_json, as_csv] = &numbers;
    file::write(as_json, (serde_json::to_string_pretty(&about)? + "\n").as_bytes())?;
    file::write(as_csv, report::csv(&points).as_bytes())?;
    let html = report::html(&points, &left, &about)?;
    file::write(&args.out, html.as_bytes())?;
    let text = report::text(&points);
    if args.json {
        say!("{}", text.trim_end());
        say!(stdout, "{about}");
    } else {
        say!(stdout, "{}", text.trim_end());
    }
    for left in &left {
        let steps = left.steps.map_or(String::new(), |s| format!(" in {s} steps"));
        say!("note: {} of {}{steps} is left out: {}", left.sampler, left.model, left.why);
    }
    say!("wrote {}, {}, {}", args.out.display(), as_json.display(), as_csv.display());
    Ok(())
}

/// What to draw with a model, and what does not suit it.
fn ways(args: &Args, model: &Model) -> (Vec<Sample>, Vec<Left>) {
    let (mut ways, mut left) = (Vec::new(), Vec::new());
    let samplers =
        if args.samplers.is_empty() { vec![model.default_sampler()] } else { args.samplers.clone() };
    for sampler in samplers {
        let steps: Vec<Option<usize>> = match args.steps.is_empty() || sampler.is_adaptive() {
            true => vec![None],
            false => args.steps.iter().copied().map(Some).collect(),
        };
        for steps in steps {
            let options = Sample {
                sampler,
                steps,
                class: args.class.clone().unwrap_or_default(),
                seed: args.seed,
                batch: args.batch,
                outputs: Outputs { images: true, tensors: false, textures: false },
                ..Sample::default()
            };
            match model.program(&options) {
                Ok(_) if model.is_points() => {
                    let why = "it draws points".into();
                    left.push(Left { model: model.name().into(), sampler: sampler.name(), steps, why });
                }
                Ok(_) => ways.push(options),
                Err(e) => {
                    let why = undiffuse::pipeline::chain(&e);
                    left.push(Left { model: model.name().into(), sampler: sampler.name(), steps, why });
                }
            }
        }
    }
    (ways, left)
}

fn point(
    args: &Args,
    pipeline: &Pipeline,
    options: &Sample,
    judge: &Judge<'_>,
    stop: &AtomicBool,
) -> Result<Point, Failure> {
    let (name, sampler) = (pipeline.name().to_string(), options.sampler.name());
    let asked = asked(pipeline.model(), options, args.device.sums.order());
    let folder = default_folder(&args.work, &name, options, &asked);
    let steps = options.steps.map_or(String::new(), |s| format!(" in {s} steps"));
    say!("{name}, {sampler}{steps}");
    let work = Work::open(&folder, &asked, "--work")?;
    let Judged { found, speed, set } = judge.samples(&work, pipeline, options, args.count, stop)?;
    let steps = match options.sampler.is_adaptive() {
        true => 0,
        false => pipeline.program(options)?.steps.len(),
    };
    Ok(Point {
        command: command(args, &name, options, &folder),
        model: name,
        sampler,
        steps,
        evaluation: found,
        speed,
        pareto: false,
        sheet: sheet(&set)?,
    })
}

/// The command that makes this point alone.
fn command(args: &Args, name: &str, options: &Sample, folder: &Path) -> String {
    let mut words = vec!["undiffuse", "evaluate", "--model", name, "--sampler", options.sampler.name()];
    let (steps, count, seed) =
        (options.steps.map(|s| s.to_string()), args.count.to_string(), args.seed.to_string());
    if let Some(steps) = &steps {
        words.extend(["--steps", steps]);
    }
    let class = args.class.as_ref().map(crate::like::class_name);
    if let Some(class) = &class {
        words.extend(["--class", class]);
    }
    words.extend(["--seed", &seed, "--count", &count, "--features", &args.metrics.features]);
    if args.metrics.stacked {
        words.push("--stacked");
    }
    let (reference, folder) = (args.reference.display().to_string(), folder.display().to_string());
    words.extend(["--reference", &reference, "--work", &folder]);
    let order = args.device.sums.given().map(|s| format!("--{}", s.name()));
    words.extend(order.as_deref());
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,+=%".contains(c);
    let quoted = words.iter().map(|word| match word.chars().all(plain) && !word.is_empty() {
        true => (*word).to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// The first samples as a PNG file.
fn sheet(set: &Set) -> Result<Vec<u8>, Failure> {
    let (w, h) = (set.shape.w as u32, set.shape.h as u32);
    let images = set.levels.chunks_exact(set.shape.len()).take(SHOWN).filter_map(|levels| {
        let rgb = match set.shape.c {
            1 => levels.iter().flat_map(|v| [*v; 3]).collect(),
            _ => levels.to_vec(),
        };
        RgbImage::from_raw(w, h, rgb)
    });
    let sheet = image::DynamicImage::ImageRgb8(grid::grid(&images.collect::<Vec<_>>(), 1)?);
    let sheet = if set.shape.c == 1 { image::DynamicImage::ImageLuma8(sheet.to_luma8()) } else { sheet };
    let mut png = Vec::new();
    let (small, fit) = (png::CompressionType::Best, png::FilterType::Adaptive);
    sheet.write_with_encoder(png::PngEncoder::new_with_quality(&mut png, small, fit))?;
    Ok(png)
}

/// Says what each point takes.
fn plan(args: &Args, gpu: &Gpu, models: Vec<Model>) -> Result<(), Failure> {
    let (mut rows, mut all, mut sum) = (Vec::new(), Vec::new(), 0.0);
    for model in models {
        let (ways, left) = ways(args, &model);
        for l in left {
            say!("note: {} of {} is left out: {}", l.sampler, l.model, l.why);
        }
        let pipeline = Pipeline::new(gpu, model, |_, _| {})?;
        for options in ways {
            let asked = asked(pipeline.model(), &options, args.device.sums.order());
            let folder = default_folder(&args.work, pipeline.name(), &options, &asked);
            let missing: u64 = match folder.exists() {
                true => {
                    let left = Work::open(&folder, &asked, "--work")?.missing(0..args.count)?;
                    left.iter().map(|r| r.end - r.start).sum()
                }
                false => args.count,
            };
            let count = usize::try_from(args.count).unwrap_or(usize::MAX);
            let takes = pipeline.sample(&Sample { count, ..options.clone() })?.effort()?;
            let seconds = takes.seconds * missing as f64;
            sum += seconds;
            let passes = if takes.adaptive { " a pass" } else { "" };
            let steps = if takes.adaptive { "its own".into() } else { takes.steps.to_string() };
            rows.push(vec![
                pipeline.name().to_string(),
                options.sampler.name().to_string(),
                steps,
                missing.to_string(),
                format!("{}{passes}", crate::text::seconds(takes.seconds)),
                long(seconds),
            ]);
            all.push(
                json!({ "model": pipeline.name(), "sampler": options.sampler.name(), "missing": missing,
                "seconds": seconds, "takes": takes }),
            );
        }
    }
    let head = [
        ("model", Side::Left),
        ("sampler", Side::Left),
        ("steps", Side::Right),
        ("missing", Side::Right),
        ("an image", Side::Right),
        ("all", Side::Right),
    ];
    let text = table(&head, &rows);
    let total = format!("{} for all points on {}, by the time of one evaluation", long(sum), gpu.info().name);
    if args.json {
        say!("{}{total}", text);
        say!(
            stdout,
            "{}",
            json!({ "points": all, "seconds": sum, "adapter": gpu.info().name, "kernel_set": gpu.kernel_set() })
        );
    } else {
        say!(stdout, "{}{total}", text);
    }
    Ok(())
}
