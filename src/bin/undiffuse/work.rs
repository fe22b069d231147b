//! A folder of samples that grows: `run.json` says what it is of, each file holds the images of one batch,
//! and how long they took. A run that stopped goes on, and several may fill one folder.

use crate::arrays::Arrays;
use crate::energy::Energy;
use crate::output::npz::{self, Array, Values};
use crate::output::{file, OutputError};
use crate::progress::Progress;
use crate::sets::Set;
use crate::{input, Failure};
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use undiffuse::pipeline::{Pipeline, Sample};
use undiffuse::shape::Shape;

/// The file that says what a folder is of.
pub const RUN: &str = "run.json";
/// No more of it is read.
const RUN_LIMIT: u64 = 1 << 20;

/// The folder of a run.
pub struct Work {
    path: PathBuf,
}

/// A file of samples.
struct Chunk {
    range: Range<u64>,
    path: PathBuf,
}

/// How long the images of a file took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Took {
    /// Images.
    pub images: u64,
    /// Seconds.
    pub seconds: f64,
    /// Joules of the whole machine, where it counts them.
    pub joules: Option<f64>,
    /// Network evaluations of the image that took most.
    pub nfe: u64,
}

impl Work {
    /// Opens the folder of the run `asked`, or makes it. A folder of another run is refused, and one that
    /// holds other things.
    pub fn open(path: &Path, asked: &Value, option: &str) -> Result<Work, Failure> {
        let unwritable = |source| OutputError::Unwritable { path: path.into(), source };
        let run = path.join(RUN);
        std::fs::create_dir_all(path).map_err(unwritable)?;
        file::sweep(path);
        if run.exists() {
            let found = read(&run, option)?;
            let keys = asked.as_object().into_iter().flat_map(|map| map.keys());
            let other: Vec<String> = keys
                .filter(|key| found.get(key) != asked.get(key))
                .map(|key| format!("{key} {} there, {} asked for", found[key], asked[key]))
                .collect();
            if !other.is_empty() {
                let (path, other) = (path.display(), other.join("; "));
                return Err(
                    format!("{path} is of another run ({other}): name another folder with {option}").into()
                );
            }
        } else {
            if std::fs::read_dir(path).map_err(unwritable)?.next().is_some() {
                let path = path.display();
                return Err(format!(
                    "{path} is not empty and holds no {RUN}: name a new folder with {option}"
                )
                .into());
            }
            file::write(&run, (serde_json::to_string_pretty(asked)? + "\n").as_bytes())?;
        }
        Ok(Work { path: path.into() })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files, by their first index; of two that overlap, the first is taken.
    fn chunks(&self) -> Result<Vec<Chunk>, Failure> {
        let unreadable = |source| OutputError::Unwritable { path: self.path.clone(), source };
        let mut chunks = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(unreadable)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let range = name.strip_prefix("samples-").and_then(|n| n.strip_suffix(".npz"));
            let Some((first, last)) = range.and_then(|r| r.split_once('-')) else { continue };
            if let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) {
                if first <= last && last < u64::MAX {
                    chunks.push(Chunk { range: first..last + 1, path: entry.path() });
                }
            }
        }
        chunks.sort_by_key(|c| (c.range.start, std::cmp::Reverse(c.range.end)));
        let mut end = 0;
        chunks.retain(|c| {
            let own = c.range.start >= end;
            end = end.max(c.range.end);
            own
        });
        Ok(chunks)
    }

    /// Images of `wanted` that are not there.
    pub fn missing(&self, wanted: Range<u64>) -> Result<Vec<Range<u64>>, Failure> {
        let mut left = Vec::new();
        let mut at = wanted.start;
        for chunk in self.chunks()? {
            let (first, end) = (chunk.range.start.max(at), chunk.range.end.min(wanted.end));
            if first >= end {
                continue;
            }
            if first > at {
                left.push(at..first);
            }
            at = end;
        }
        if at < wanted.end {
            left.push(at..wanted.end);
        }
        Ok(left)
    }

    /// Draws what of `wanted` is missing; each batch is written when it is done. A restoration is of the images
    /// of `wanted`.
    pub fn draw(
        &self,
        pipeline: &Pipeline,
        options: &Sample,
        wanted: Range<u64>,
        stop: &AtomicBool,
    ) -> Result<u64, Failure> {
        let left = self.missing(wanted.clone())?;
        let all: u64 = left.iter().map(|r| r.end - r.start).sum();
        let mut drawn = 0;
        let mut progress = Progress::new();
        for range in left {
            let count = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            let at = (range.start - wanted.start) as usize;
            let restoration = options.restoration.as_ref().map(|r| r.of_images(at..at + count));
            let options = Sample { first_index: range.start, count, restoration, ..options.clone() };
            let mut job = pipeline.sample(&options)?;
            let shape = pipeline.model().image();
            let (mut first, mut before) = (range.start, (Instant::now(), Energy::start()));
            while let Some(p) = job.advance(Duration::from_millis(100))? {
                if stop.load(Ordering::SeqCst) {
                    progress.done();
                    say!("note: {drawn} of {all} images are written; the same command goes on");
                    return Err(Failure::Cancelled);
                }
                let share = drawn as f64 / all as f64 + p.fraction() * count as f64 / all as f64;
                let share = share - (first - range.start) as f64 / all as f64;
                progress.show(share, &format!("image {first}/{}, step {}/{}", wanted.end, p.step, p.steps));
                let images = job.take();
                if images.is_empty() {
                    continue;
                }
                let report = job.report();
                let took = Took {
                    images: images.len() as u64,
                    seconds: before.0.elapsed().as_secs_f64(),
                    joules: before.1.as_ref().and_then(Energy::joules),
                    nfe: report.nfe as u64,
                };
                let levels: Vec<u8> = images.iter().flat_map(|i| input::channels(i, shape.c)).collect();
                let labels = (0..images.len() as u64).map(|i| {
                    let label = pipeline.model().label(&options.class, first + i)?;
                    Ok(label.map_or(-1, |l| l as i64))
                });
                let labels = labels.collect::<Result<Vec<i64>, undiffuse::pipeline::PipelineError>>()?;
                self.write(first, shape, &levels, &labels, took)?;
                first += images.len() as u64;
                drawn += images.len() as u64;
                before = (Instant::now(), Energy::start());
            }
        }
        progress.done();
        Ok(drawn)
    }

    fn write(
        &self,
        first: u64,
        shape: Shape,
        levels: &[u8],
        labels: &[i64],
        took: Took,
    ) -> Result<(), OutputError> {
        let n = took.images;
        let index: Vec<u64> = (first..first + n).collect();
        let c = (levels.len() / shape.pixels().max(1)) as u64 / n.max(1);
        let (seconds, nfe) = ([took.seconds], [took.nfe]);
        let joules: Vec<f64> = took.joules.into_iter().collect();
        let mut arrays = vec![
            Array {
                name: "images",
                shape: vec![n, shape.h as u64, shape.w as u64, c],
                values: Values::U8(levels),
            },
            Array { name: "labels", shape: vec![n], values: Values::I64(labels) },
            Array { name: "index", shape: vec![n], values: Values::U64(&index) },
            Array { name: "seconds", shape: vec![1], values: Values::F64(&seconds) },
            Array { name: "nfe", shape: vec![1], values: Values::U64(&nfe) },
        ];
        if took.joules.is_some() {
            arrays.push(Array { name: "joules", shape: vec![1], values: Values::F64(&joules) });
        }
        let path = self.path.join(format!("samples-{first:06}-{:06}.npz", first + n - 1));
        npz::save(&path, &arrays, None)
    }

    /// The images of `wanted`, all of which must be there, and what they took.
    pub fn read(&self, wanted: Range<u64>) -> Result<(Set, Vec<Took>), Failure> {
        let (mut all, mut took): (Option<Set>, Vec<Took>) = (None, Vec::new());
        for chunk in
            self.chunks()?.iter().filter(|c| c.range.start < wanted.end && c.range.end > wanted.start)
        {
            let crate::sets::Given::Pictures(set) = crate::sets::read(&chunk.path)? else {
                return Err(format!("{} holds no pictures", chunk.path.display()).into());
            };
            let mut file = Arrays::open(&chunk.path)?;
            let mut number = |name: &str| -> Result<Option<f64>, Failure> {
                Ok(file.get(name)?.and_then(|f| f.values.f64().first().copied()).filter(|v| v.is_finite()))
            };
            took.push(Took {
                images: set.index.len() as u64,
                seconds: number("seconds")?.unwrap_or_default(),
                joules: number("joules")?,
                nfe: number("nfe")?.unwrap_or_default() as u64,
            });
            if set.index != chunk.range.clone().collect::<Vec<u64>>() {
                return Err(format!("{} does not hold the images of its name", chunk.path.display()).into());
            }
            let from = (wanted.start.max(chunk.range.start) - chunk.range.start) as usize;
            let to = (wanted.end.min(chunk.range.end) - chunk.range.start) as usize;
            let len = set.shape.len();
            let all = all.get_or_insert_with(|| Set {
                levels: Vec::new(),
                shape: set.shape,
                index: Vec::new(),
                labels: Some(Vec::new()),
            });
            if all.shape != set.shape {
                return Err(format!("{} has pictures of another size", chunk.path.display()).into());
            }
            all.levels.extend_from_slice(&set.levels[from * len..to * len]);
            all.index.extend_from_slice(&set.index[from..to]);
            if let (Some(all), Some(own)) = (&mut all.labels, &set.labels) {
                all.extend_from_slice(&own[from..to]);
            }
        }
        let all = all.filter(|set| set.index.len() as u64 == wanted.end - wanted.start);
        let all = all.ok_or_else(|| format!("{}: images are missing", self.path.display()))?;
        Ok((all, took))
    }
}

/// What a folder is of.
fn read(path: &Path, option: &str) -> Result<Value, Failure> {
    let bad = |what: String| format!("{}: {what}: name another folder with {option}", path.display());
    let size = std::fs::metadata(path).map_err(|e| bad(e.to_string()))?.len();
    if size > RUN_LIMIT {
        return Err(bad(format!("{size} bytes are no file of undiffuse")).into());
    }
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| bad(e.to_string()))?;
    if !value.is_object() {
        return Err(bad("it says nothing of a run".into()).into());
    }
    // What is printed must not command a terminal.
    if value.to_string().len() > 1 << 14 || text.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return Err(bad("it is no file of undiffuse".into()).into());
    }
    Ok(value)
}
