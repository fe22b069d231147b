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

/// Writes one file, whole or not at all.
pub fn write(path: &Path, data: &Tensors, made: &Provenance) -> Result<(), OutputError> {
    let unwritable = |e| OutputError::unwritable(path, e);
    let file = BufWriter::new(Part::new(path)?);
    let file = fill(file, data, made).map_err(unwritable)?;
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

fn fill<W: Write + Seek>(to: W, data: &Tensors, made: &Provenance) -> io::Result<W> {
    let mut zip = ZipWriter::new(Kept { to, error: None, at: 0, end: 0 });
    let (n, s) = (data.labels.len() as u64, data.shape);
    let index: Vec<u64> = (0..n).map(|i| data.first_index.wrapping_add(i)).collect();
    let shape = [n, s.h as u64, s.w as u64, s.c as u64];
    array(&mut zip, "images", "<f4", &shape, &data.values, |v| v.to_le_bytes())?;
    array(&mut zip, "labels", "<i8", &[n], &data.labels, |v| v.to_le_bytes())?;
    array(&mut zip, "index", "<u8", &[n], &index, |v| v.to_le_bytes())?;
    array(&mut zip, "seed", "<u8", &[], &[made.seed], |v| v.to_le_bytes())?;
    array(&mut zip, "first_index", "<u8", &[], &[data.first_index], |v| v.to_le_bytes())?;
    zip.start_file("provenance.json", options(0))?;
    zip.write_all(&serde_json::to_vec(made)?)?;
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
