//! A set of pictures, each restored as many ways as wanted, and how near they come: PSNR to the whole pictures,
//! and the distance of the set to a reference by a feature network, beside what is commonly done without a model.

use super::{by, Common, Given, How, Task};
use crate::draw::sheet::{Cell, Sheet};
use crate::evaluate::speech::estimate;
use crate::evaluate::{asked, default_folder, fnv, look, MetricArgs, Speed};
use crate::output::npz::{self, Array, Values};
use crate::output::{png, try_file};
use crate::sets::{self, Set};
use crate::text::{table, Side};
use crate::work::Work;
use crate::{progress, Failure};
use image::RgbImage;
use serde_json::{json, Value};
use std::path::{Path, PathBuf};
use undiffuse::diffusion::linear::Restoration;
use undiffuse::diffusion::sampler::SolverOptions;
use undiffuse::metrics::Estimate;
use undiffuse::pipeline::{Evaluation, Model, Outputs, Reference, Sample};
use undiffuse::shape::Shape;

/// Numbers of measurements that a job is given at once.
const MOST_GIVEN: usize = 1 << 26;
/// Pictures of a strip.
const SHOWN: usize = 10;
/// Restorations of each in a strip.
const WAYS: usize = 3;

/// What is told of a set.
#[derive(clap::Args)]
pub struct SetArgs {
    /// So many of its pictures, evenly spread [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 32))]
    pictures: Option<u64>,
    /// Also the distance of the restorations to these pictures, by a feature network: a folder, or an
    /// .npz of `images` or `features`
    #[arg(long, value_name = "FOLDER|FILE.npz")]
    reference: Option<PathBuf>,
    #[command(flatten)]
    metrics: MetricArgs,
    /// The folder in which restorations are kept; a run that stopped goes on there
    /// [default: restoration/ and a name of model, sampler and options]
    #[arg(long, value_name = "FOLDER")]
    work: Option<PathBuf>,
    /// Some of its pictures as a .png file too: what was, what is left of it, and what is made of that
    #[arg(long, value_name = "FILE.png")]
    strip: Option<PathBuf>,
    /// Restorations at once [default: what fits]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
}

impl SetArgs {
    /// Whether a set is named, not a picture.
    pub fn is_set(path: &Path) -> bool {
        path.is_dir() || path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz"))
    }

    /// Refuses what is of sets alone.
    pub fn refuse(&self, path: &Path) -> Result<(), Failure> {
        let options = [
            ("pictures", self.pictures.is_some()),
            ("reference", self.reference.is_some()),
            ("work", self.work.is_some()),
            ("strip", self.strip.is_some()),
            ("batch", self.batch.is_some()),
        ];
        match options.iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                let path = path.display();
                Err(format!("--{name} is of a set, and {path} is none: name a folder or an .npz file").into())
            }
            None => Ok(()),
        }
    }

    /// Refuses outputs that cannot be, before any work is done.
    pub fn writable(&self, common: &Common) -> Result<(), Failure> {
        if common.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("npz")) {
            return Err(format!("--out {}: of a set, an .npz file is written", common.out.display()).into());
        }
        if let Some(strip) = &self.strip {
            if strip.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
                return Err(format!("--strip {}: a .png file is written", strip.display()).into());
            }
            try_file(strip)?;
        }
        Ok(try_file(&common.out)?)
    }

    /// Reads the set.
    pub fn read(&self, path: &Path) -> Result<Given, Failure> {
        let sets::Given::Pictures(set) = sets::read(path)? else {
            return Err(format!("{}: features are no pictures to restore", path.display()).into());
        };
        let all: Vec<&[u8]> = set.levels.chunks_exact(set.shape.len().max(1)).collect();
        let count = self.pictures.map_or(all.len(), |n| usize::try_from(n).unwrap_or(usize::MAX));
        let count = count.min(all.len());
        // Sets are often sorted.
        let some: Vec<&[u8]> = (0..count).map(|i| all[i * all.len() / count]).collect();
        let pictures: Vec<RgbImage> = some.iter().map(|p| shown(p, set.shape)).collect();
        if pictures.is_empty() {
            return Err(format!("{}: no picture is there", path.display()).into());
        }
        Ok(Given { pictures, clear: None, is_set: true })
    }
}

/// Levels as a picture of colours.
fn shown(levels: &[u8], shape: Shape) -> RgbImage {
    RgbImage::from_fn(shape.w as u32, shape.h as u32, |x, y| {
        let at = (y as usize * shape.w + x as usize) * shape.c;
        image::Rgb([0, 1, 2].map(|c| levels[at + c.min(shape.c - 1)]))
    })
}

/// A row of the result: pictures made in one way.
struct Way {
    name: String,
    /// `[count, h, w, c]`.
    levels: Vec<u8>,
    /// To the whole pictures, picture by picture.
    psnr: Option<Vec<f64>>,
    /// Its distance to the reference.
    found: Option<Evaluation>,
}

/// Restores each picture of a set.
pub fn run(how: &How, model: Model, task: Task) -> Result<(), Failure> {
    let stop = progress::interrupt()?;
    let (common, set) = (&how.common, &how.set);
    let Task { degradation, measured, whole, plain } = task;
    let (shape, to) = (degradation.operator().from(), degradation.operator().to());
    let (name, count, each) = (degradation.name(), measured.len() / to.len(), common.count.max(1));
    let reference = set.reference.as_deref().map(sets::read).transpose()?;
    let options = Sample {
        sampler: how.sampler,
        solver: how.solver.over(SolverOptions::default()),
        outputs: Outputs { images: true, tensors: false, textures: false },
        batch: set.batch,
        ..common.options(&model)
    };
    let mut asked = asked(&model, &options, common.sums.order());
    let operator = fnv(serde_json::to_string(&degradation.operator())?.as_bytes());
    asked["degradation"] =
        json!({ "name": name, "operator": format!("{operator:016x}"), "noise": how.noise });
    // What is given tells the set, how it was degraded and by which noise.
    let bytes: Vec<u8> = measured.iter().flat_map(|v| v.to_le_bytes()).collect();
    asked["given"] = json!(format!("{:016x}", fnv(&bytes)));
    asked["each"] = json!(each);
    let pipeline = common.pipeline(model)?;
    // What does not fit the network is told before anything is drawn.
    let judge = match reference {
        None => None,
        Some(reference) => {
            let extractor = set.metrics.extractor(pipeline.gpu())?;
            let name = set.reference.as_ref().map_or(String::new(), |p| p.display().to_string());
            let reference = look(reference, &name, &extractor)?;
            Some((extractor, reference))
        }
    };
    let folder = match &set.work {
        Some(path) => path.clone(),
        None => default_folder(Path::new("restoration"), pipeline.name(), &options, &asked),
    };
    let work = Work::open(&folder, &asked, "--work")?;
    let block = (MOST_GIVEN / to.len() / each).max(1);
    for first in (0..count).step_by(block) {
        let pictures = first..(first + block).min(count);
        let images = (pictures.start * each) as u64..(pictures.end * each) as u64;
        if work.missing(images.clone())?.is_empty() {
            continue;
        }
        let given = pictures.flat_map(|i| measured[i * to.len()..(i + 1) * to.len()].repeat(each)).collect();
        let restoration =
            Restoration { degradation: degradation.clone(), measured: given, noise: how.noise / 127.5 };
        work.draw(&pipeline, &Sample { restoration: Some(restoration), ..options.clone() }, images, &stop)?;
    }
    let (drawn, took) = work.read(0..(count * each) as u64)?;
    let speed = Speed::of(&pipeline.gpu().info().name, &took);
    let levels = |values: &[f32]| values.iter().map(|v| level(*v)).collect::<Vec<u8>>();
    let whole = whole.map(|whole| levels(&whole));
    let singles: Vec<&[u8]> = drawn.levels.chunks_exact(shape.len()).collect();
    let first: Vec<u8> = singles.iter().step_by(each).flat_map(|x| x.iter().copied()).collect();
    let mean: Vec<u8> = singles.chunks_exact(each).flat_map(mean).collect();
    let psnr = |levels: &[u8]| -> Option<Vec<f64>> {
        let pairs = levels.chunks_exact(shape.len()).zip(whole.as_ref()?.chunks_exact(shape.len()));
        Some(pairs.map(|(a, b)| psnr(a, b)).collect())
    };
    let way = |name: String, levels: Vec<u8>| Way { name, psnr: psnr(&levels), levels, found: None };
    let mut ways = vec![
        way(plain.0.into(), levels(&by(&plain.1, &measured))),
        way("a restoration".into(), first),
        way(format!("the mean of {each}"), mean),
    ];
    // Of single restorations, all are counted.
    ways[1].psnr = whole.as_ref().map(|whole| {
        let of = |(singles, whole): (&[&[u8]], &[u8])| {
            singles.iter().map(|x| self::psnr(x, whole)).sum::<f64>() / each as f64
        };
        singles.chunks_exact(each).zip(whole.chunks_exact(shape.len())).map(of).collect()
    });
    ways.extend(whole.clone().map(|whole| Way {
        name: "the whole pictures".into(),
        levels: whole,
        psnr: None,
        found: None,
    }));
    if let Some((extractor, reference)) = &judge {
        for way in &mut ways {
            let pictures =
                Set { levels: way.levels.clone(), shape, index: (0..count as u64).collect(), labels: None };
            if let Reference::Seen(seen) = look(sets::Given::Pictures(pictures), &way.name, extractor)? {
                let about = extractor.model().describe();
                way.found = Some(Evaluation::of(about, &seen, reference, set.metrics.options())?);
            }
        }
    }
    save(&common.out, &ways, shape)?;
    if let Some(path) = &set.strip {
        // As large as a picture, nothing is done about it.
        let left = if to == shape { measured.clone() } else { by(&degradation.pseudo_inverse(), &measured) };
        let what = format!(
            "{name} of {}, undone by {} with {}",
            common.image.display(),
            pipeline.name(),
            how.sampler.name()
        );
        png::write_plain(
            path,
            &strip(&ways, &levels(&left), &singles, each, shape).draw(common.zoom)?,
            &what,
        )?;
    }
    let nfe = speed.as_ref().map_or(0, |s| s.nfe);
    let head = format!(
        "{name}, {count} pictures of {}, {each} restorations each by {} with {}, {nfe} evaluations",
        common.image.display(),
        pipeline.name(),
        how.sampler.name()
    );
    let text = format!("{head}\n{}", told(&ways));
    let all = json!({
        "model": pipeline.name(), "sampler": how.sampler.name(), "run": asked, "degradation": name, "noise": how.noise,
        "kernel_set": pipeline.gpu().kernel_set(), "batch_invariant": pipeline.batch_invariant(&options),
        "pictures": count, "count": each, "nfe": nfe, "speed": speed, "seed": common.seed,
        "reference": set.reference.as_ref().map(|p| p.display().to_string()),
        "features": judge.as_ref().map(|(e, _)| e.model().describe().called.clone()),
        "ways": ways.iter().map(Way::json).collect::<Vec<Value>>(),
        "work": work.path().display().to_string(), "file": common.out.display().to_string(),
    });
    if common.json {
        say!("{}", text.trim_end());
        say!(stdout, "{all}");
    } else {
        say!(stdout, "{}", text.trim_end());
    }
    say!("wrote {}", common.out.display());
    Ok(())
}

/// As the engine makes pictures of what a sampler ended with.
fn level(v: f32) -> u8 {
    v.mul_add(0.5, 0.5).clamp(0.0, 1.0).mul_add(255.0, 0.5).floor() as u8
}

/// The mean of several pictures.
fn mean(of: &[&[u8]]) -> Vec<u8> {
    let len = of.first().map_or(0, |x| x.len());
    let sum = |i: usize| of.iter().map(|x| u32::from(x[i])).sum::<u32>() as f32;
    (0..len).map(|i| (sum(i) / of.len() as f32).round() as u8).collect()
}

/// Peak signal-to-noise ratio, dB; 100 of pictures that are the same.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let mean = a.iter().zip(b).map(square).sum::<f64>() / a.len().max(1) as f64;
    (-10.0 * (mean / (255.0 * 255.0)).log10()).min(100.0)
}

impl Way {
    fn psnr(&self) -> Option<Estimate> {
        self.psnr.as_deref().map(Estimate::of_mean)
    }

    fn json(&self) -> Value {
        json!({ "name": self.name, "psnr": self.psnr(), "evaluation": self.found })
    }
}

/// A line for each way.
fn told(ways: &[Way]) -> String {
    let head = [("", Side::Left), ("PSNR, dB", Side::Right), ("Frechet distance", Side::Right)];
    let cell = |v: Option<Estimate>| v.map_or("-".into(), |v| estimate(&v, 2));
    let row =
        |way: &Way| vec![way.name.clone(), cell(way.psnr()), cell(way.found.as_ref().map(|f| f.frechet))];
    let mut text = table(&head, &ways.iter().map(row).collect::<Vec<_>>());
    if let Some(found) = ways.iter().find_map(|w| w.found.as_ref()) {
        text += &format!(
            "  distances by the {} features of {} (not FID) to {} pictures; +- is a standard error over the pictures\n",
            found.width, found.features, found.reference.map_or("an unknown number of".into(), |n| n.to_string())
        );
    }
    text
}

/// `images` are one restoration of each picture, as `evaluate` reads them.
fn save(path: &Path, ways: &[Way], shape: Shape) -> Result<(), Failure> {
    let n = (ways[0].levels.len() / shape.len()) as u64;
    let index: Vec<u64> = (0..n).collect();
    let mut arrays = vec![Array { name: "index", shape: vec![n], values: Values::U64(&index) }];
    for (way, name) in ways.iter().zip(["plain", "images", "mean", "whole"]) {
        let sides = vec![n, shape.h as u64, shape.w as u64, shape.c as u64];
        arrays.push(Array { name, shape: sides, values: Values::U8(&way.levels) });
    }
    for (way, name) in ways.iter().zip(["psnr_plain", "psnr_images", "psnr_mean"]) {
        if let Some(psnr) = &way.psnr {
            arrays.push(Array { name, shape: vec![n], values: Values::F64(psnr) });
        }
    }
    Ok(npz::save(path, &arrays, None)?)
}

/// Pictures evenly spread over the set, one beside the other: whole, left, plain, restored, their mean.
fn strip(ways: &[Way], left: &[u8], singles: &[&[u8]], each: usize, shape: Shape) -> Sheet {
    let count = singles.len() / each;
    let some: Vec<usize> = (0..count.min(SHOWN)).map(|i| i * count / count.min(SHOWN)).collect();
    let cell = |levels: &[u8]| Some(Cell { image: shown(levels, shape), lines: Vec::new() });
    let row =
        |levels: &[u8]| some.iter().map(|i| cell(&levels[i * shape.len()..(i + 1) * shape.len()])).collect();
    let mut rows: Vec<(String, Vec<Option<Cell>>)> = Vec::new();
    rows.extend(ways.get(3).map(|whole| ("whole".into(), row(&whole.levels))));
    rows.push(("what is left".into(), row(left)));
    rows.push((ways[0].name.clone(), row(&ways[0].levels)));
    for way in 0..WAYS.min(each) {
        let name = if way == 0 { "restored".into() } else { String::new() };
        rows.push((name, some.iter().map(|i| cell(singles[i * each + way])).collect()));
    }
    rows.push((ways[2].name.trim_start_matches("the ").into(), row(&ways[2].levels)));
    let (rows, cells) = rows.into_iter().unzip();
    Sheet { columns: Vec::new(), rows, cells }
}
