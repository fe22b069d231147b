//! Numbers that a user gives: `images` of an `.npz` file, or an `.npy` file.

use npyz::{NpyFile, Order};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use undiffuse::shape::Shape;
use zip::ZipArchive;

/// The most numbers that are read.
const MOST: u64 = 1 << 28;

/// Why a file of numbers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NumbersError {
    /// The system refuses to read.
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// No such file, or a broken one.
    #[error("{path}: {what}. Give what `sample --out FILE.npz` or `encode` writes, or numpy's float32 [count, h, w, c]")]
    Wrong { path: PathBuf, what: String },
}

/// Reads arrays `[count, h, w, c]` of float32.
pub fn read(path: &Path, shape: Shape) -> Result<Vec<f32>, NumbersError> {
    let unreadable = |source| NumbersError::Unreadable { path: path.into(), source };
    let wrong = |what: String| NumbersError::Wrong { path: path.into(), what };
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let file = BufReader::new(file);
    if path.extension().is_some_and(|e| e == "npy") {
        return array(file, size, shape).map_err(wrong);
    }
    let mut archive = ZipArchive::new(file).map_err(|e| wrong(format!("not an archive ({e})")))?;
    let entry = archive.by_name("images.npy").map_err(|e| wrong(format!("no array `images` ({e})")))?;
    // An entry that is compressed may be larger than the file, but not by any factor.
    let size = entry.size().min(size.saturating_mul(1100));
    array(entry, size, shape).map_err(wrong)
}

fn array(reader: impl Read, size: u64, shape: Shape) -> Result<Vec<f32>, String> {
    let file = NpyFile::new(reader).map_err(|e| e.to_string())?;
    let (dtype, order) = (file.dtype().descr(), file.order());
    if dtype != "'<f4'" || order != Order::C {
        return Err(format!("its numbers are {dtype}, {order:?} order: float32 in C order is read"));
    }
    let own = [shape.h as u64, shape.w as u64, shape.c as u64];
    let count = match file.shape() {
        [n, rest @ ..] if rest == own => *n,
        other => {
            return Err(format!(
                "its shape is {other:?}, the model's is [count, {}, {}, {}]",
                own[0], own[1], own[2]
            ))
        }
    };
    let len = own.iter().try_fold(count, |n, side| n.checked_mul(*side));
    match len {
        Some(0) => Err("it holds nothing".into()),
        Some(len) if len <= MOST && len.saturating_mul(4) <= size => {
            let values: Vec<f32> = file.into_vec().map_err(|e| e.to_string())?;
            match values.iter().position(|v| !v.is_finite()) {
                Some(i) => Err(format!("number {i} is {}", values[i])),
                None => Ok(values),
            }
        }
        _ => Err(format!("it claims {count} arrays, more than it holds or than are read")),
    }
}
