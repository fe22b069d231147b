//! `undiffuse forward`: what a forward process does to a picture.

use crate::draw::points::{cloud, NOISE};
use crate::draw::sheet::{Cell, Sheet};
use crate::output::png::{self, MOST_ZOOM};
use crate::{input, Failure};
use image::{Rgb, RgbImage};
use serde_json::json;
use std::path::PathBuf;
use undiffuse::diffusion::process::{Interpolated, Process};
use undiffuse::diffusion::{Continuous, Schedule, SchedulerConfig};
use undiffuse::kernels::noise;
use undiffuse::pipeline::Model;

/// More pictures than this are no sheet to look at.
const MOST: u32 = 256;
/// Points of a toy that are noised, and the side of their picture.
const POINTS: usize = 2000;
const SIDE: u32 = 128;
/// Pictures in a row.
const COLUMNS: usize = 8;

#[derive(clap::Args)]
pub struct Args {
    /// The picture: PNG, JPEG, WebP, GIF, BMP or PNM; none for the points of a `--model toy/NAME`
    image: Option<PathBuf>,
    /// How many steps from the image to noise
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST)))]
    steps: u32,
    /// The process: vp (linear beta), cosine, sub_vp, ve, edm, or chain: the schedule of --model
    /// (by default DDPM's), between its timesteps by log-SNR [default: vp, or chain with --model]
    #[arg(long, value_name = "NAME", value_parser = ["vp", "cosine", "sub_vp", "ve", "edm", "chain"])]
    process: Option<String>,
    /// The model whose schedule is shown, and whose size the picture gets, named as for `sample`
    #[arg(long, value_name = "NAME|FOLDER|OWNER/NAME")]
    model: Option<String>,
    /// Longest side of the picture that is worked on [default: 64, or the model's size]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    size: Option<u32>,
    /// Seed of the noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The sheet
    #[arg(long, default_value = "forward.png", value_name = "FILE.png")]
    out: PathBuf,
    /// Width of a pixel in the output
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    zoom: u32,
    /// Print one JSON object: the process at each time
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
        return Err(format!("--out {}: the sheet is a .png file", args.out.display()).into());
    }
    let model = args.model.as_deref().map(Model::find).transpose()?;
    let (process, about) = process(args, model.as_ref())?;
    let (start, end) = shown(&process);
    let times: Vec<f64> =
        (0..=args.steps).map(|k| start + (end - start) * f64::from(k) / f64::from(args.steps)).collect();
    let toy = model.as_ref().and_then(Model::as_toy);
    let image = match (toy, &args.image) {
        (Some(toy), None) => {
            let x = toy.draw(args.seed ^ u64::MAX, POINTS).into_iter().map(f64::from).collect();
            let point = |x: &[f64], a: f64, s: f64| {
                let scale = a.hypot(s).max(1.0);
                cloud(&x.iter().map(|v| (v / scale) as f32).collect::<Vec<_>>(), SIDE, NOISE)
            };
            let what = format!("{POINTS} points of toy/{} noised by {about}, seed {}", toy.name, args.seed);
            let path = Path { args, process: &process, about: &about, times: &times, what: &what, zoom: 1 };
            return noised(&path, x, point);
        }
        (Some(_), Some(_)) => return Err("the data of a toy are points: leave the picture out".into()),
        (None, None) => return Err("name a picture, or --model toy/NAME for points".into()),
        (None, Some(image)) => image,
    };
    let picture = input::read(image)?;
    let size = match (&model, args.size) {
        (Some(model), None) => {
            let shape = model.describe().sample;
            (shape.w as u32, shape.h as u32)
        }
        (_, longest) => within(picture.dimensions(), longest.unwrap_or(64)),
    };
    let picture = input::fitted(picture, size, "the picture");
    let x: Vec<f64> = picture.as_raw().iter().map(|v| f64::from(*v) / 127.5 - 1.0).collect();
    let what = format!("{} noised by {about}, seed {}", image.display(), args.seed);
    let show = |x: &[f64], a: f64, s: f64| shown_at(x, size, a, s);
    let path = Path { args, process: &process, about: &about, times: &times, what: &what, zoom: args.zoom };
    noised(&path, x, show)
}

/// A path through a process, and how it is told of.
struct Path<'a> {
    args: &'a Args,
    process: &'a Process,
    about: &'a str,
    times: &'a [f64],
    what: &'a str,
    zoom: u32,
}

/// Noises `x` from time to time along one path, and writes a sheet of what `show` makes of it.
fn noised(
    path: &Path<'_>,
    mut x: Vec<f64>,
    show: impl Fn(&[f64], f64, f64) -> RgbImage,
) -> Result<(), Failure> {
    let Path { args, process, about, times, what, zoom } = *path;
    let mut rows = Vec::new();
    let mut cells = Vec::new();
    // Beyond the image itself, the exact transition from one time to the next: one path.
    let mut before = None;
    for (k, &t) in times.iter().enumerate() {
        let (a, s) = (process.mean(t), process.std(t));
        let (keep, added) = process.transition(before, t);
        let mut z = vec![0f32; x.len()];
        noise::fill(args.seed, 0, k as u32, &mut z);
        x.iter_mut().zip(z).for_each(|(x, z)| *x = keep * *x + added * f64::from(z));
        before = Some(t);
        let log_snr = process.log_snr(t);
        rows.push(json!({ "t": t, "mean": a, "std": s, "log_snr": finite(log_snr),
            "drift": process.drift(t), "diffusion": process.diffusion(t) }));
        let lines = vec![format!("t {}", short(t)), format!("a {} s {}", short(a), short(s))];
        cells.push(Some(Cell { image: show(&x, a, s), lines }));
    }
    let cells = cells.chunks(COLUMNS).map(<[_]>::to_vec).collect();
    let sheet = Sheet { cells, ..Sheet::default() }.draw(zoom)?;
    png::write_plain(&args.out, &sheet, what)?;
    say!("{about}: x_t = a x_0 + s z");
    say!("{:>10} {:>10} {:>10} {:>10}", "t", "a", "s", "log-SNR");
    for row in &rows {
        let number = |key: &str| row[key].as_f64().map_or("inf".into(), short);
        say!("{:>10} {:>10} {:>10} {:>10}", number("t"), number("mean"), number("std"), number("log_snr"));
    }
    say!("wrote {}", args.out.display());
    if args.json {
        let file = args.out.display().to_string();
        say!(stdout, "{}", json!({ "process": about, "times": rows, "file": file, "seed": args.seed }));
    }
    Ok(())
}

fn process(args: &Args, model: Option<&Model>) -> Result<(Process, String), Failure> {
    if let (None, Some(model)) = (&args.process, model.filter(|m| m.is_points())) {
        let own = Continuous::of(model.scheduler())?.process;
        return Ok((own, format!("the process of {}", model.name())));
    }
    let default = if model.is_some() { "chain" } else { "vp" };
    let name = args.process.as_deref().unwrap_or(default);
    let linear = "beta linear from 0.1 to 20";
    Ok(match name {
        "chain" => {
            let own = SchedulerConfig::default();
            let config = model.map_or(&own, Model::scheduler);
            let whose = model.map_or("DDPM".into(), |m| m.name().to_string());
            let chain = Interpolated::new(&Schedule::new(config)?)?;
            (Process::VpDiscrete(chain), format!("the chain of {whose}"))
        }
        "cosine" => (Process::VpCosine { offset: 0.008 }, "VP, cosine".into()),
        "sub_vp" => (Process::SubVp { beta_min: 0.1, beta_max: 20.0 }, format!("sub-VP, {linear}")),
        "ve" => (Process::Ve { sigma_min: 0.01, sigma_max: 50.0 }, "VE, sigma from 0.01 to 50".into()),
        "edm" => (Process::Edm, "EDM, sigma from 0 to 80".into()),
        _ => (Process::VpLinear { beta_min: 0.1, beta_max: 20.0 }, format!("VP, {linear}")),
    })
}

/// The interval that is shown: EDM's goes to infinity, and the cosine's end has no image left.
fn shown(process: &Process) -> (f64, f64) {
    match process {
        Process::Edm => (0.0, 80.0),
        Process::VpCosine { .. } => (0.0, 0.999),
        other => other.interval(),
    }
}

/// A state as a picture: divided by its size where noise makes it larger than an image.
fn shown_at(x: &[f64], size: (u32, u32), a: f64, s: f64) -> RgbImage {
    let scale = a.hypot(s).max(1.0);
    let byte = |v: f64| ((v / scale * 0.5 + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8;
    RgbImage::from_fn(size.0, size.1, |px, py| {
        let i = 3 * (py as usize * size.0 as usize + px as usize);
        Rgb([byte(x[i]), byte(x[i + 1]), byte(x[i + 2])])
    })
}

/// The size whose longest side is at most `longest`.
fn within((w, h): (u32, u32), longest: u32) -> (u32, u32) {
    let most = w.max(h);
    if most <= longest {
        return (w, h);
    }
    let side = |n: u32| ((u64::from(n) * u64::from(longest)).div_ceil(u64::from(most)) as u32).max(1);
    (side(w), side(h))
}

fn finite(v: f64) -> Option<f64> {
    v.is_finite().then_some(v)
}

/// Four digits.
fn short(v: f64) -> String {
    match v.abs() {
        a if a >= 1000.0 => format!("{v:.0}"),
        a if a >= 0.01 || a == 0.0 => {
            let text = format!("{v:.3}");
            text.trim_end_matches('0').trim_end_matches('.').into()
        }
        _ => format!("{v:.1e}"),
    }
}
