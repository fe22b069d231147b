//! One PNG and the record in it of how it was made.
//!
//! | chunk | what |
//! | --- | --- |
//! | `tEXt Software` | program and version |
//! | `iTXt Description` | one line for a person |
//! | `iTXt undiffuse` | the [`Record`] as JSON: a picture that it makes again |
//! | `iTXt undiffuse-kernels` | of another picture: whose kernels made it ([`crate::sums::kernels`]) |

use super::file::Part;
use super::{OutputError, MOST};
use ::png::{BitDepth, ColorType, Decoder, Encoder, Limits};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use undiffuse::pipeline::{Provenance, Report};

/// The keyword of the record's chunk.
const KEYWORD: &str = "undiffuse";
/// That of what is told of kernels.
const KERNELS: &str = "undiffuse-kernels";
/// The longest record that is read.
const RECORD_LIMIT: usize = 1 << 20;
/// What reading the chunks before the pixels may take.
const HEADER_LIMIT: usize = 16 << 20;
/// The largest zoom.
pub const MOST_ZOOM: u32 = 64;

/// How a file was made: its images, and how they lie in it (one is itself, more are a grid).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// How the images were made.
    #[serde(flatten)]
    pub made: Provenance,
    /// Width of a pixel in the file.
    pub zoom: u32,
}

/// Why a file does not tell how it was made.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The system refuses to read.
    #[error("cannot read {path}: {source}. --like wants a .png that undiffuse wrote")]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// Not a PNG, or a broken one.
    #[error("{path} is no whole PNG file ({what}). --like wants a .png that undiffuse wrote")]
    NotPng { path: PathBuf, what: String },
    /// No record.
    #[error(
        "{path} does not tell how it was made (no text chunk `undiffuse`): it is not a picture of `undiffuse \
         sample`, or a program that wrote it anew dropped the record. Give the options by hand"
    )]
    Missing { path: PathBuf },
    /// A record that cannot be.
    #[error("{path}: the record of how it was made is damaged: {what}. Give the options by hand")]
    Damaged { path: PathBuf, what: String },
}

/// What is said of a picture in the file itself.
#[derive(Clone, Debug)]
pub struct Text {
    description: String,
    record: Option<String>,
    kernels: Option<String>,
}

impl Text {
    /// A picture that the record makes again.
    pub fn record(record: &Record) -> Text {
        let json = serde_json::to_string(record).ok();
        Text { description: describe(&record.made), record: json, kernels: None }
    }

    /// A picture on the way to one.
    pub fn description(made: &Provenance, what: &str) -> Text {
        let kernels = json!({ "adapter": made.adapter, "kernel_set": made.kernel_set,
            "batch_invariant": made.batch_invariant });
        let description = format!("{what}; {}", describe(made));
        Text { description, record: None, kernels: Some(kernels.to_string()) }
    }

    /// A picture of what a job gave.
    pub fn of(report: &Report, what: String) -> Text {
        Text { description: what, record: None, kernels: Some(crate::sums::kernels(report).to_string()) }
    }

    /// Adds the chunks.
    pub fn add_to<W: Write>(&self, encoder: &mut Encoder<'_, W>) -> Result<(), ::png::EncodingError> {
        encoder.add_text_chunk("Software".into(), format!("undiffuse {}", env!("CARGO_PKG_VERSION")))?;
        encoder.add_itxt_chunk("Description".into(), self.description.clone())?;
        if let Some(record) = &self.record {
            encoder.add_itxt_chunk(KEYWORD.into(), record.clone())?;
        }
        if let Some(kernels) = &self.kernels {
            encoder.add_itxt_chunk(KERNELS.into(), kernels.clone())?;
        }
        Ok(())
    }
}

/// One line for a person.
fn describe(made: &Provenance) -> String {
    let images = match (made.first_index, made.count) {
        (i, 1) => format!("image {i}"),
        (i, n) => format!("images {i} to {}", i.saturating_add(n as u64 - 1)),
    };
    let class = match &made.class {
        None => String::new(),
        Some(class) => format!(", class {}", class.as_str().map_or(class.to_string(), str::to_owned)),
    };
    let eta = made.eta.map_or(String::new(), |eta| format!(", eta {eta}"));
    format!(
        "{images} of {} by undiffuse {}: {}, {} steps{eta}{class}, guidance scale {}, seed {}",
        made.model, made.undiffuse, made.sampler, made.steps, made.guidance_scale, made.seed
    )
}

/// Writes one PNG that is not made by a sampler: a plot, a sheet.
pub fn write_plain(path: &Path, image: &RgbImage, description: &str) -> Result<(), OutputError> {
    write(path, image, &Text { description: description.into(), record: None, kernels: None })
}

/// Writes one PNG.
pub fn write(path: &Path, image: &RgbImage, text: &Text) -> Result<(), OutputError> {
    let mut file = BufWriter::new(Part::new(path)?);
    encode(&mut file, image, text).map_err(|e| encoding(path, e))?;
    into_part(path, file)?.finish()
}

fn encode(to: impl Write, image: &RgbImage, text: &Text) -> Result<(), ::png::EncodingError> {
    let mut encoder = Encoder::new(to, image.width(), image.height());
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    text.add_to(&mut encoder)?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(image.as_raw())?;
    writer.finish()
}

/// The file below, with all that was written.
pub(super) fn into_part(path: &Path, file: BufWriter<Part>) -> Result<Part, OutputError> {
    file.into_inner().map_err(|e| OutputError::unwritable(path, e.into_error()))
}

/// An encoder's error: the disk's or ours.
pub(super) fn encoding(path: &Path, error: ::png::EncodingError) -> OutputError {
    match error {
        ::png::EncodingError::IoError(source) => OutputError::unwritable(path, source),
        other => OutputError::Encode { path: path.to_path_buf(), what: other.to_string() },
    }
}

/// The record in a file that anybody may have made.
pub fn read_record(path: &Path) -> Result<Record, RecordError> {
    let not_png = |e: ::png::DecodingError| RecordError::NotPng { path: path.into(), what: e.to_string() };
    let damaged = |what: String| RecordError::Damaged { path: path.into(), what };
    let decoder = Decoder::new_with_limits(BufReader::new(open(path)?), Limits { bytes: HEADER_LIMIT });
    let reader = decoder.read_info().map_err(not_png)?;
    let info = reader.info();
    let mut text = None;
    for chunk in info.utf8_text.iter().filter(|c| c.keyword == KEYWORD) {
        let mut chunk = chunk.clone();
        chunk.decompress_text_with_limit(RECORD_LIMIT).map_err(|e| damaged(e.to_string()))?;
        text = Some(chunk.get_text().map_err(|e| damaged(e.to_string()))?);
    }
    // Some programs write chunks of plain letters back as tEXt.
    let plain = info.uncompressed_latin1_text.iter().find(|c| c.keyword == KEYWORD).map(|c| c.text.clone());
    let text = text.or(plain).ok_or_else(|| RecordError::Missing { path: path.into() })?;
    if text.len() > RECORD_LIMIT {
        return Err(damaged(format!("{} bytes, more than {RECORD_LIMIT}", text.len())));
    }
    parse(&text).map_err(damaged)
}

fn parse(text: &str) -> Result<Record, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if !value.is_object() {
        return Err("not a JSON object".into());
    }
    // What is printed must not command a terminal.
    if strings(&value).any(|s| s.chars().any(char::is_control)) {
        return Err("control characters in a text".into());
    }
    let record: Record = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if !(1..=MOST_ZOOM).contains(&record.zoom) {
        return Err(format!("zoom {}: from 1 to {MOST_ZOOM}", record.zoom));
    }
    if record.made.count == 0 {
        return Err("count 0".into());
    }
    Ok(record)
}

/// Every text in a value, keys too.
fn strings(value: &serde_json::Value) -> Box<dyn Iterator<Item = &str> + '_> {
    use serde_json::Value;
    match value {
        Value::String(s) => Box::new(std::iter::once(s.as_str())),
        Value::Array(items) => Box::new(items.iter().flat_map(strings)),
        Value::Object(map) => {
            Box::new(map.iter().flat_map(|(k, v)| std::iter::once(k.as_str()).chain(strings(v))))
        }
        _ => Box::new(std::iter::empty()),
    }
}

/// The pixels of such a file.
pub fn read_pixels(path: &Path) -> Result<RgbImage, RecordError> {
    let not_png = |e: image::ImageError| RecordError::NotPng { path: path.into(), what: e.to_string() };
    let mut reader = image::ImageReader::with_format(BufReader::new(open(path)?), image::ImageFormat::Png);
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MOST * 4);
    reader.limits(limits);
    Ok(reader.decode().map_err(not_png)?.to_rgb8())
}

fn open(path: &Path) -> Result<File, RecordError> {
    let unreadable = |source| RecordError::Unreadable { path: path.into(), source };
    // A pipe or a folder is no file to read twice.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a file")));
    }
    File::open(path).map_err(unreadable)
}
