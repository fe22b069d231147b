//! Numbers for NumPy: `numpy.load("data.npz")`.
//!
//! | array | type and shape | what |
//! | --- | --- | --- |
//! | `images` | float32 `[count, h, w, c]` | as the sampler ended: -1 to 1 by and large, not clamped, not rounded |
//! | `labels` | int64 `[count]` | the class of each; -1 for the empty class and for models without classes |
//! | `index` | uint64 `[count]` | the index of each |
//! | `seed`, `first_index` | uint64, no dimension | |
//! | `provenance.json` | bytes | how they were made |
//!
//! Entries are stored, not compressed, and may be of any size (zip64).

use super::file::Part;
use super::OutputError;
use npyz::{DType, WriteOptions, WriterBuilder};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;
use undiffuse::pipeline::{Provenance, Tensors};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Entries from this size on are written as zip64.
const LARGE: usize = 1 << 31;
/// Numbers that are turned into bytes at once.
const BLOCK: usize = 1 << 14;

/// An array of a file.
#[derive(Clone, Debug)]
pub struct Array<'a> {
    pub name: &'a str,
    pub shape: Vec<u64>,
    pub values: Values<'a>,
}

/// Its numbers.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    U8(&'a [u8]),
    F32(&'a [f32]),
    F64(&'a [f64]),
    I64(&'a [i64]),
    U64(&'a [u64]),
}

/// Writes what a job drew.
pub fn write(path: &Path, data: &Tensors, made: &Provenance) -> Result<(), OutputError> {
    drawn(path, data, Values::F32(&data.values), made)
}

/// The same with the pictures' levels, `[count, h, w, c]`, in place of the sampler's numbers.
pub fn write_levels(
    path: &Path,
    data: &Tensors,
    levels: &[u8],
    made: &Provenance,
) -> Result<(), OutputError> {
    drawn(path, data, Values::U8(levels), made)
}

fn drawn(path: &Path, data: &Tensors, images: Values<'_>, made: &Provenance) -> Result<(), OutputError> {
    let (n, mut s) = (data.labels.len() as u64, data.shape);
    if let Values::U8(levels) = images {
        // Pictures are grey or of three colours, whatever else the model draws.
        s.c = levels.len() / data.labels.len().max(1) / s.pixels().max(1);
    }
    let index: Vec<u64> = (0..n).map(|i| data.first_index.wrapping_add(i)).collect();
    let arrays = [
        Array { name: "images", shape: vec![n, s.h as u64, s.w as u64, s.c as u64], values: images },
        Array { name: "labels", shape: vec![n], values: Values::I64(&data.labels) },
        Array { name: "index", shape: vec![n], values: Values::U64(&index) },
        Array { name: "seed", shape: vec![], values: Values::U64(&[made.seed]) },
        Array { name: "first_index", shape: vec![], values: Values::U64(&[data.first_index]) },
    ];
    let text = serde_json::to_vec(made).map_err(|e| OutputError::unwritable(path, e.into()))?;
    save(path, &arrays, Some(("provenance.json", &text)))
}

/// Writes arrays and a text beside them into one file, whole or not at all.
pub fn save(path: &Path, arrays: &[Array<'_>], text: Option<(&str, &[u8])>) -> Result<(), OutputError> {
    let unwritable = |e| OutputError::unwritable(path, e);
    let file = BufWriter::new(Part::new(path)?);
    let file = fill(file, arrays, text).map_err(unwritable)?;
    file.into_inner().map_err(|e| unwritable(e.into_error()))?.finish()
}

/// Keeps the first error and from then on only counts what is written: `ZipWriter` would
/// print the errors of closing a broken archive.
struct Kept<W> {
    to: W,
    error: Option<io::Error>,
    at: u64,
    end: u64,
}

impl<W: Write> Write for Kept<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = bytes.len();
        if self.error.is_none() {
            match self.to.write(bytes) {
                Ok(n) => written = n,
                // Whoever writes tries again.
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
                Err(e) => self.error = Some(e),
            }
        }
        self.at += written as u64;
        self.end = self.end.max(self.at);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.error.is_none() {
            self.error = self.to.flush().err();
        }
        Ok(())
    }
}

impl<W: Seek> Seek for Kept<W> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        if self.error.is_none() {
            self.error = self.to.seek(SeekFrom::Start(self.at)).err();
        }
        Ok(self.at)
    }
}

fn fill<W: Write + Seek>(to: W, arrays: &[Array<'_>], text: Option<(&str, &[u8])>) -> io::Result<W> {
    let mut zip = ZipWriter::new(Kept { to, error: None, at: 0, end: 0 });
    for Array { name, shape, values } in arrays {
        match values {
            Values::U8(values) => array(&mut zip, name, "|u1", shape, values, |v| [v])?,
            Values::F32(values) => array(&mut zip, name, "<f4", shape, values, f32::to_le_bytes)?,
            Values::F64(values) => array(&mut zip, name, "<f8", shape, values, f64::to_le_bytes)?,
            Values::I64(values) => array(&mut zip, name, "<i8", shape, values, i64::to_le_bytes)?,
            Values::U64(values) => array(&mut zip, name, "<u8", shape, values, u64::to_le_bytes)?,
        }
    }
    if let Some((name, text)) = text {
        zip.start_file(name, options(text.len()))?;
        zip.write_all(text)?;
    }
    let Kept { to, error, .. } = zip.finish()?;
    error.map_or(Ok(to), Err)
}

fn options(bytes: usize) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(bytes >= LARGE)
}

/// One `.npy` entry.
fn array<T: Copy, const N: usize>(
    zip: &mut ZipWriter<impl Write + Seek>,
    name: &str,
    kind: &str,
    shape: &[u64],
    values: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> io::Result<()> {
    let internal = |e: String| io::Error::new(io::ErrorKind::InvalidData, e);
    if shape.iter().product::<u64>() != values.len() as u64 {
        return Err(internal(format!("{} numbers for `{name}` of shape {shape:?}", values.len())));
    }
    zip.start_file(format!("{name}.npy"), options(values.len().saturating_mul(N)))?;
    let kind = DType::new_scalar(kind.parse().map_err(|e| internal(format!("{e}")))?);
    let header = WriteOptions::new_header_only().dtype(kind).shape(shape).writer(Vec::new());
    zip.write_all(&header.write_header_only()?)?;
    for block in values.chunks(BLOCK) {
        let block: Vec<u8> = block.iter().flat_map(|&v| bytes(v)).collect();
        zip.write_all(&block)?;
    }
    Ok(())
}
