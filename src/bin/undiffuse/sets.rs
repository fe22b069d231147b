//! Sets of pictures that a user names: a folder, an `.npz` of pictures, of features, or of statistics.

use crate::arrays::{Arrays, ArraysError, Found, Numbers};
use crate::input::{self, InputError};
use crate::Failure;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use undiffuse::metrics::{Features, Moments};
use undiffuse::pipeline::{Extractor, Pictures, Reference, Seen};
use undiffuse::shape::Shape;

/// The text in a features file that says whose they are.
pub const NETWORK: &str = "network.json";
/// Folders within a folder.
const DEEP: usize = 4;
/// The most pictures of a folder.
const MOST: usize = 1 << 22;

/// What a user names.
pub enum Given {
    /// Pictures.
    Pictures(Set),
    /// Features, that were found before.
    Features(Kept),
    /// Mean and covariance.
    Statistics {
        /// The numbers.
        moments: Moments,
        /// Whether the number of pictures is known.
        counted: bool,
    },
}

/// Pictures of one size.
pub struct Set {
    /// `[count, h, w, c]`.
    pub levels: Vec<u8>,
    /// The shape of one.
    pub shape: Shape,
    /// The index of each.
    pub index: Vec<u64>,
    /// The class of each, where the file says it.
    pub labels: Option<Vec<i64>>,
}

/// Features, and of which pictures.
pub struct Kept {
    /// The features, and what the network makes of the classes.
    pub seen: Seen,
    /// The index of each picture.
    pub index: Vec<u64>,
    /// Whose.
    pub network: Network,
}

/// Which network found features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// What it is called.
    pub features: String,
    /// What tells it from every other.
    pub hash: String,
}

impl Network {
    /// Of an extractor.
    pub fn of(extractor: &Extractor) -> Network {
        let model = extractor.model();
        Network { features: model.describe().called.clone(), hash: model.hash().into() }
    }
}

/// Reads what a user names.
pub fn read(path: &Path) -> Result<Given, Failure> {
    if path.is_dir() {
        return Ok(Given::Pictures(folder(path)?));
    }
    if path.extension().is_none_or(|e| e != "npz") {
        let path = path.display();
        return Err(format!("{path}: name a folder of pictures, or an .npz file").into());
    }
    let mut file = Arrays::open(path)?;
    if file.has("mu") {
        return statistics(path, &mut file);
    }
    if file.has("features") {
        return Ok(Given::Features(features(path, &mut file)?));
    }
    // ADM's evaluation names nothing.
    let name = ["images", "arr_0"].into_iter().find(|name| file.has(name));
    let name = name.ok_or_else(|| {
        let there = file.names().join(", ");
        file.wrong(format!("no `images`, `features` or `mu` and `sigma`; there are {there}"))
    })?;
    Ok(Given::Pictures(pictures(&mut file, name)?))
}

/// All pictures of a folder and of those within it, by name.
fn folder(path: &Path) -> Result<Set, Failure> {
    let mut files = Vec::new();
    list(path, DEEP, &mut files)?;
    files.sort();
    let mut set: Option<Set> = None;
    for file in &files {
        let picture = input::read(file)?;
        let shape = Shape::new(picture.height() as usize, picture.width() as usize, 3);
        let set =
            set.get_or_insert_with(|| Set { levels: Vec::new(), shape, index: Vec::new(), labels: None });
        if set.shape != shape {
            let (w, h) = (set.shape.w, set.shape.h);
            return Err(format!(
                "{} is {} x {}, the others are {w} x {h}: all pictures of a set have one size",
                file.display(),
                shape.w,
                shape.h
            )
            .into());
        }
        set.levels.extend_from_slice(picture.as_raw());
        set.index.push(set.index.len() as u64);
    }
    set.ok_or_else(|| format!("{}: no picture is there", path.display()).into())
}

fn list(path: &Path, deep: usize, files: &mut Vec<PathBuf>) -> Result<(), InputError> {
    let unreadable = |source| InputError::Unreadable { path: path.into(), source };
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?.path();
        let known = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "ppm", "pgm", "pnm"];
        let kind = entry.extension().map(|e| e.to_string_lossy().to_lowercase());
        if entry.is_dir() && deep > 0 {
            list(&entry, deep - 1, files)?;
        } else if kind.is_some_and(|k| known.contains(&&k[..])) && files.len() < MOST {
            files.push(entry);
        }
    }
    Ok(())
}

fn pictures(file: &mut Arrays, name: &str) -> Result<Set, ArraysError> {
    let Found { shape, values } = file.need(name)?;
    let (count, shape) = match shape[..] {
        [n, h, w, c] => (n, Shape::new(h, w, c)),
        // Grey pictures without the axis.
        [n, h, w] => (n, Shape::new(h, w, 1)),
        _ => return Err(file.wrong(format!("`{name}` is {shape:?}, wanted are pictures [count, h, w, c]"))),
    };
    if !matches!(shape.c, 1 | 3) {
        let c = shape.c;
        return Err(file.wrong(format!("`{name}` has {c} channels: 1 or 3 are pictures, and they come last")));
    }
    let levels = match values {
        Numbers::U8(levels) => levels,
        // As the engine makes pictures of what a sampler ended with.
        Numbers::F32(values) if values.iter().all(|v| v.is_finite()) => values
            .iter()
            .map(|v| (v.mul_add(0.5, 0.5).clamp(0.0, 1.0).mul_add(255.0, 0.5)).floor() as u8)
            .collect(),
        _ => {
            return Err(file.wrong(format!("`{name}`: uint8 is read, or finite float32 from -1 to 1")));
        }
    };
    let whole = |file: &mut Arrays, name: &str| -> Result<Option<Vec<i64>>, ArraysError> {
        let Some(found) = file.get(name)? else { return Ok(None) };
        let whole = found.values.whole().filter(|v| v.len() == count);
        whole.map(Some).ok_or_else(|| file.wrong(format!("`{name}` are not {count} whole numbers")))
    };
    let index = whole(file, "index")?.map(|v| v.into_iter().map(|i| i as u64).collect());
    Ok(Set {
        levels,
        shape,
        index: index.unwrap_or_else(|| (0..count as u64).collect()),
        labels: whole(file, "labels")?,
    })
}

fn statistics(path: &Path, file: &mut Arrays) -> Result<Given, Failure> {
    let (mean, sigma) = (file.need("mu")?, file.need("sigma")?);
    let count = file.get("count")?.and_then(|f| f.values.whole()).and_then(|v| v.first().copied());
    let count = count.and_then(|n| u64::try_from(n).ok());
    let set = path.display().to_string();
    if mean.shape.len() != 1 || sigma.shape.len() != 2 {
        return Err(file.wrong("`mu` is a vector and `sigma` a matrix in files of statistics").into());
    }
    // Of an unknown number, only the covariance is known.
    let moments = Moments::from_statistics(&set, count.unwrap_or(2), mean.values.f64(), sigma.values.f64())?;
    Ok(Given::Statistics { moments, counted: count.is_some() })
}

fn features(path: &Path, file: &mut Arrays) -> Result<Kept, Failure> {
    let found = file.need("features")?;
    let [count, width] = found.shape[..] else {
        return Err(file.wrong(format!("`features` is {:?}, wanted is [count, width]", found.shape)).into());
    };
    let features = Features::new(&path.display().to_string(), width, found.values.f32())?;
    let logits = file.get("logits")?.map(|f| f.values.f32()).unwrap_or_default();
    if !logits.is_empty() && !logits.len().is_multiple_of(count) {
        return Err(file.wrong("`logits` are not of as many pictures as `features`").into());
    }
    let index = file.get("index")?.and_then(|f| f.values.whole()).filter(|v| v.len() == count);
    let index = index.map(|v| v.into_iter().map(|i| i as u64).collect());
    let network = file.text(NETWORK).and_then(|text| serde_json::from_str(&text).ok());
    let network = network.ok_or_else(|| {
        file.wrong(format!(
            "no {NETWORK} says whose features these are: they are not of `undiffuse features`"
        ))
    })?;
    Ok(Kept {
        seen: Seen { features, logits },
        index: index.unwrap_or_else(|| (0..count as u64).collect()),
        network,
    })
}

/// What a network sees of pictures, or saw before.
pub fn seen(
    given: Given,
    name: &str,
    extractor: &Extractor,
    progress: impl FnMut(usize, usize),
) -> Result<Reference, Failure> {
    match given {
        Given::Pictures(set) => {
            let pictures = Pictures { levels: &set.levels, shape: set.shape };
            Ok(Reference::Seen(extractor.look(name, pictures, progress)?))
        }
        Given::Features(kept) => {
            let own = Network::of(extractor);
            if kept.network != own {
                return Err(format!(
                    "{name} has features of {} ({}), asked for are those of {} ({})",
                    kept.network.features,
                    short(&kept.network.hash),
                    own.features,
                    short(&own.hash)
                )
                .into());
            }
            let width = extractor.model().describe().width;
            if kept.seen.features.width() != width {
                return Err(format!(
                    "{name} has {} features a picture, the network {width}",
                    kept.seen.features.width()
                )
                .into());
            }
            Ok(Reference::Seen(kept.seen))
        }
        Given::Statistics { moments, counted } => Ok(Reference::Statistics { moments, counted }),
    }
}

fn short(hash: &str) -> String {
    hash.chars().filter(char::is_ascii_hexdigit).take(12).collect()
}
