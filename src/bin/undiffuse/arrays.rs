//! Arrays of an `.npz` file that anybody may have written.

use npyz::{NpyFile, Order};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// The most numbers of an array.
const MOST: u64 = 1 << 31;
/// The most of a text.
const TEXT: u64 = 1 << 20;
/// What deflate can make of a byte.
const DENSEST: u64 = 1100;

/// Why a file of arrays cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArraysError {
    /// The system refuses to read.
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// No such file, or a broken one.
    #[error("{path}: {what}")]
    Wrong { path: PathBuf, what: String },
}

/// A file of arrays.
pub struct Arrays {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
    size: u64,
}

/// An array.
#[derive(Debug)]
pub struct Found {
    pub shape: Vec<usize>,
    pub values: Numbers,
}

/// Its numbers.
#[derive(Debug)]
pub enum Numbers {
    U8(Vec<u8>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    U64(Vec<u64>),
}

impl Numbers {
    /// As doubles.
    pub fn f64(self) -> Vec<f64> {
        match self {
            Numbers::U8(v) => v.into_iter().map(f64::from).collect(),
            Numbers::F32(v) => v.into_iter().map(f64::from).collect(),
            Numbers::F64(v) => v,
            Numbers::I64(v) => v.into_iter().map(|v| v as f64).collect(),
            Numbers::U64(v) => v.into_iter().map(|v| v as f64).collect(),
        }
    }

    /// As singles.
    pub fn f32(self) -> Vec<f32> {
        match self {
            Numbers::F32(v) => v,
            other => other.f64().into_iter().map(|v| v as f32).collect(),
        }
    }

    /// As whole numbers; `None` where they are not.
    pub fn whole(self) -> Option<Vec<i64>> {
        match self {
            Numbers::I64(v) => Some(v),
            Numbers::U64(v) => v.into_iter().map(|v| i64::try_from(v).ok()).collect(),
            Numbers::U8(v) => Some(v.into_iter().map(i64::from).collect()),
            Numbers::F32(_) | Numbers::F64(_) => None,
        }
    }
}

impl Arrays {
    /// Opens a file.
    pub fn open(path: &Path) -> Result<Arrays, ArraysError> {
        let unreadable = |source| ArraysError::Unreadable { path: path.into(), source };
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let archive = ZipArchive::new(BufReader::new(file))
            .map_err(|e| ArraysError::Wrong { path: path.into(), what: format!("no .npz file ({e})") })?;
        Ok(Arrays { path: path.into(), archive, size })
    }

    /// An error about this file.
    pub fn wrong(&self, what: impl Into<String>) -> ArraysError {
        ArraysError::Wrong { path: self.path.clone(), what: what.into() }
    }

    /// Whether there is an array of the name.
    pub fn has(&self, name: &str) -> bool {
        self.archive.index_for_name(&format!("{name}.npy")).is_some()
    }

    /// The names of all arrays.
    pub fn names(&self) -> Vec<String> {
        self.archive.file_names().filter_map(|n| n.strip_suffix(".npy")).map(String::from).collect()
    }

    /// A text beside the arrays.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut text = String::new();
        self.archive.by_name(name).ok()?.take(TEXT).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// An array; `None` where there is none of the name.
    pub fn get(&mut self, name: &str) -> Result<Option<Found>, ArraysError> {
        if !self.has(name) {
            return Ok(None);
        }
        let path = self.path.clone();
        let wrong = |what: String| ArraysError::Wrong { path, what: format!("array `{name}`: {what}") };
        // An entry that is compressed may be larger than the file, but not by any factor.
        let most = self.size.saturating_mul(DENSEST);
        let entry = match self.archive.by_name(&format!("{name}.npy")) {
            Ok(entry) => entry,
            Err(e) => return Err(wrong(e.to_string())),
        };
        let size = entry.size().min(most);
        array(entry, size).map(Some).map_err(wrong)
    }

    /// An array that must be there.
    pub fn need(&mut self, name: &str) -> Result<Found, ArraysError> {
        let there = self.names().join(", ");
        self.get(name)?.ok_or_else(|| self.wrong(format!("no array `{name}`; there are {there}")))
    }
}

fn array(reader: impl Read, size: u64) -> Result<Found, String> {
    let file = NpyFile::new(reader).map_err(|e| e.to_string())?;
    let kind = file.dtype().descr();
    let kind = kind.trim_matches('\'').to_string();
    let long = file.shape().to_vec();
    let len = long.iter().try_fold(1u64, |n, side| n.checked_mul(*side));
    let bytes: u64 = match &kind[..] {
        "|u1" => 1,
        "<f2" | "<i2" => 2,
        "<f4" | "<i4" => 4,
        _ => 8,
    };
    let len = len.filter(|len| *len <= MOST && len.saturating_mul(bytes) <= size);
    let len = len.ok_or("it claims more numbers than it holds or than are read")? as usize;
    let shape: Vec<usize> = long.iter().map(|s| *s as usize).collect();
    let fortran = file.order() == Order::Fortran && shape.iter().filter(|s| **s > 1).count() > 1;
    let io = |e: std::io::Error| e.to_string();
    let values = match &kind[..] {
        "|u1" => Numbers::U8(file.into_vec().map_err(io)?),
        "<f4" => Numbers::F32(file.into_vec().map_err(io)?),
        "<f8" => Numbers::F64(file.into_vec().map_err(io)?),
        "<i8" => Numbers::I64(file.into_vec().map_err(io)?),
        "<u8" => Numbers::U64(file.into_vec().map_err(io)?),
        "<i4" => Numbers::I64(file.into_vec::<i32>().map_err(io)?.into_iter().map(i64::from).collect()),
        other => return Err(format!("its numbers are {other}; u1, f4, f8, i4, i8 and u8 are read")),
    };
    if fortran {
        return Err("it is in Fortran's order: write it with numpy.ascontiguousarray".into());
    }
    if len == 0 {
        return Err("it holds nothing".into());
    }
    Ok(Found { shape, values })
}
