//! `undiffuse sample` of a model whose images are points in the plane: plots, paths, numbers.

use crate::draw::points::{cloud, flow, scatter, DATA, NOISE};
use crate::output::animation::Animation;
use crate::output::npz;
use crate::output::png::Text;
use crate::output::{file, try_file};
use crate::progress::Progress;
use crate::Failure;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use undiffuse::pipeline::{Job, Outputs, Pipeline, Report, Sample, Tensors};

/// The side of a frame of a film, in pixels.
const FRAME: u32 = 320;

/// What to write.
pub struct Wanted<'a> {
    /// The points: .png or .svg (a plot), .npz or .csv.
    pub out: &'a Path,
    /// Their paths: .png or .svg.
    pub flow: Option<&'a Path>,
    /// A film of their state: .png.
    pub animate: Option<&'a Path>,
    /// Print one JSON object.
    pub json: bool,
}

/// The kinds of a file for points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Svg,
    Npz,
    Csv,
}

impl Kind {
    fn of(flag: &str, path: &Path, kinds: &[(&str, Kind)]) -> Result<Kind, Failure> {
        let end = path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
        let kind = kinds.iter().find(|(name, _)| *name == end).map(|(_, kind)| *kind);
        kind.ok_or_else(|| {
            let names: Vec<String> = kinds.iter().map(|(name, _)| format!(".{name}")).collect();
            let path = path.display();
            format!("{flag} {path}: what this model draws are points: name a {} file", names.join(", "))
                .into()
        })
    }
}

const PLOTS: [(&str, Kind); 2] = [("png", Kind::Png), ("svg", Kind::Svg)];
const ALL: [(&str, Kind); 4] = [PLOTS[0], PLOTS[1], ("npz", Kind::Npz), ("csv", Kind::Csv)];

/// Draws points and writes what is wanted.
pub fn run(
    pipeline: &Pipeline,
    options: Sample,
    wanted: &Wanted<'_>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let kind = Kind::of("--out", wanted.out, &ALL)?;
    for path in [Some(wanted.out), wanted.flow].into_iter().flatten() {
        try_file(path)?;
    }
    let flow_kind = wanted.flow.map(|path| Kind::of("--flow", path, &PLOTS)).transpose()?;
    let mut film = wanted.animate.map(|path| Animation::open(path, wanted.out, 1)).transpose()?;
    if (wanted.flow.is_some() || film.is_some()) && options.sampler.is_adaptive() {
        let name = options.sampler.name();
        return Err(format!(
            "{name} chooses its steps on the device and goes through all of them at once: for --flow and \
             --animate take one with steps, as rk4 or ddim"
        )
        .into());
    }
    let (model, sampler) = (pipeline.name().to_string(), options.sampler.name());
    let options = Sample { outputs: Outputs { images: false, tensors: true, textures: false }, ..options };
    let mut job = pipeline.sample(&options)?;
    let made = job.provenance();
    if let Some(film) = &mut film {
        film.plan(made.steps, 1, (FRAME as usize, FRAME as usize))?;
    }
    let states = draw(&mut job, wanted.flow.is_some(), film.as_mut(), stop)?;
    let tensors = job.tensors()?;
    let report = job.report();
    let what = format!("{model}, {sampler}, {} evaluations, seed {}", report.nfe, made.seed);
    let mut files: Vec<PathBuf> = vec![wanted.out.into()];
    let text = Text::description(&made, "points");
    let save = |kind: Kind, path: &Path, plot: &crate::draw::plot::Plot| -> Result<(), Failure> {
        match kind {
            Kind::Svg => file::write(path, plot.svg()?.as_bytes())?,
            _ => crate::output::png::write(path, &plot.picture()?, &text)?,
        }
        Ok(())
    };
    match kind {
        Kind::Npz => npz::write(wanted.out, &tensors, &made)?,
        Kind::Csv => file::write(wanted.out, csv(&tensors).as_bytes())?,
        Kind::Png | Kind::Svg => save(kind, wanted.out, &scatter(&what, &[("", &tensors.values)], DATA))?,
    }
    if let (Some(path), Some(kind), Some(mut states)) = (wanted.flow, flow_kind, states) {
        states.push(tensors.values[..states.first().map_or(0, Vec::len)].to_vec());
        save(kind, path, &flow(&format!("paths: {what}"), &states, NOISE))?;
        files.push(path.into());
    }
    if let Some(film) = &film {
        let shown = options.batch.map_or(job.report().batch, |b| b.min(options.count));
        let first = (shown * tensors.shape.len()).min(tensors.values.len());
        let last = [cloud(&tensors.values[..first], FRAME, NOISE)];
        files.push(film.finish(&last, &Text::description(&made, "points on their way"))?.into());
    }
    say(&report, &tensors);
    let grade = pipeline.model().as_toy().map(|toy| toy.grade(&tensors.values));
    if let Some(g) = &grade {
        say!(
            "{:.2} % of the points within 4 deviations of a component, {} of {} components hit, shares off by {:.2} %",
            100.0 * g.near,
            g.hit,
            g.components,
            100.0 * g.variation
        );
    }
    say!("wrote {}", files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "));
    if wanted.json {
        let mut json = serde_json::to_value(&report)?;
        if let (Some(all), serde_json::Value::Object(made)) =
            (json.as_object_mut(), serde_json::to_value(&made)?)
        {
            all.extend(made);
        }
        json["points"] = (tensors.values.len() / 2).into();
        json["grade"] = serde_json::to_value(&grade)?;
        json["files"] = files.iter().map(|f| f.display().to_string()).collect();
        say!(stdout, "{json}");
    }
    Ok(())
}

/// Runs the job; the states of the first batch behind each step, where they are wanted.
fn draw(
    job: &mut Job,
    keep: bool,
    mut film: Option<&mut Animation>,
    stop: &AtomicBool,
) -> Result<Option<Vec<Vec<f32>>>, Failure> {
    let mut states = keep.then(Vec::new);
    let mut progress = Progress::new();
    let looks = keep || film.is_some();
    if looks {
        job.stop_every(if keep { 1 } else { film.as_ref().map_or(1, |f| f.every) });
    }
    let mut last = 0;
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            progress.done();
            return Err(Failure::Cancelled);
        }
        progress.show(p.fraction(), &format!("step {}/{}", p.step, p.steps));
        if !looks || p.images > 0 || p.step == last || p.step == p.steps {
            continue;
        }
        last = p.step;
        let Some(state) = job.state()? else { continue };
        if let Some(film) = film.as_mut().filter(|f| p.step.is_multiple_of(f.every)) {
            film.add(p.step, &[cloud(&state, FRAME, NOISE)]);
        }
        states.iter_mut().for_each(|s| s.push(state.clone()));
    }
    progress.done();
    Ok(states)
}

/// `x,y` of each point, with the index of its image.
fn csv(tensors: &Tensors) -> String {
    let mut text = String::from("image,x,y\n");
    let points = tensors.shape.pixels().max(1);
    for (i, p) in tensors.values.chunks_exact(2).enumerate() {
        let image = tensors.first_index.wrapping_add((i / points) as u64);
        let _ = writeln!(text, "{image},{},{}", p[0], p[1]);
    }
    text
}

fn say(report: &Report, tensors: &Tensors) {
    let work = match &report.adaptive {
        None => format!("{} steps of {}, {} evaluations", report.steps, report.sampler, report.nfe),
        Some(adaptive) => format!("{}, {}", report.sampler, crate::text::adaptive(adaptive)),
    };
    say!(
        "{} points ({} images of {}), {work}: {:.2} s on {}",
        tensors.values.len() / 2,
        report.images,
        tensors.shape.pixels(),
        report.seconds,
        report.adapter
    );
}
