//! Pictures that a user gives.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use std::path::{Path, PathBuf};

/// The longest side that is read.
const MOST_SIDE: u32 = 1 << 14;
/// The memory that reading may take.
const MOST_BYTES: u64 = 1 << 30;

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The system refuses to read.
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// No picture, or a broken one.
    #[error("{path} is no picture that can be read ({what}): give a PNG, JPEG, WebP, GIF, BMP or PNM file")]
    NotAPicture { path: PathBuf, what: String },
}

/// Reads a picture of any format; the EXIF orientation is obeyed, alpha is laid over white.
pub fn read(path: &Path) -> Result<RgbImage, InputError> {
    Ok(read_with_alpha(path)?.0)
}

/// [`read`], and where the picture has an alpha channel what is transparent in it: white where it is.
pub fn read_with_alpha(path: &Path) -> Result<(RgbImage, Option<RgbImage>), InputError> {
    let unreadable = |source| InputError::Unreadable { path: path.into(), source };
    let broken = |e: image::ImageError| InputError::NotAPicture { path: path.into(), what: e.to_string() };
    let mut reader =
        ImageReader::open(path).and_then(ImageReader::with_guessed_format).map_err(unreadable)?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_SIDE);
    limits.max_image_height = Some(MOST_SIDE);
    limits.max_alloc = Some(MOST_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(broken)?;
    picture.apply_orientation(orientation);
    if !picture.color().has_alpha() {
        return Ok((picture.to_rgb8(), None));
    }
    let rgba = picture.to_rgba8();
    let (w, h) = rgba.dimensions();
    let over_white = RgbImage::from_fn(w, h, |x, y| {
        let [r, g, b, a] = rgba.get_pixel(x, y).0.map(u32::from);
        image::Rgb([r, g, b].map(|c| ((c * a + 255 * (255 - a) + 127) / 255) as u8))
    });
    let clear = RgbImage::from_fn(w, h, |x, y| image::Rgb([255 - rgba.get_pixel(x, y).0[3]; 3]));
    Ok((over_white, Some(clear)))
}

/// [`fit`], with a note where the picture had another size.
pub fn fitted(picture: RgbImage, size: (u32, u32), name: &str) -> RgbImage {
    if picture.dimensions() != size {
        let ((w, h), (to_w, to_h)) = (picture.dimensions(), size);
        say!("note: {name} is {w} x {h}, resized to {to_w} x {to_h}");
    }
    fit(picture, size)
}

/// Levels from 0 to 255, `[h, w, c]`, of three colours or of their luma; `None` of other channels.
pub fn levels(picture: &RgbImage, channels: usize) -> Option<Vec<u8>> {
    match channels {
        3 => Some(picture.as_raw().clone()),
        1 => Some(image::imageops::grayscale(picture).into_raw()),
        _ => None,
    }
}

/// The levels of a picture that an image of `c` channels was shown as, `[h, w, c]`: grey is in each colour.
pub fn channels(shown: &RgbImage, c: usize) -> Vec<u8> {
    let c = if c < 3 { 1 } else { 3 };
    shown.as_raw().chunks_exact(3).flat_map(|p| &p[..c]).copied().collect()
}

/// The picture at another size: its middle, cut to the new proportions, then resized.
pub fn fit(picture: RgbImage, size: (u32, u32)) -> RgbImage {
    if picture.dimensions() == size {
        return picture;
    }
    let filter = image::imageops::FilterType::CatmullRom;
    DynamicImage::ImageRgb8(picture).resize_to_fill(size.0, size.1, filter).to_rgb8()
}
