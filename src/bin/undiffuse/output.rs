//! Where pictures go: one grid, or a folder of files. Each file is written whole
//! (to a temporary file beside it, then renamed) or not at all.

use image::{ImageFormat, RgbImage};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Why nothing could be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The folder or file cannot be written.
    #[error("cannot write {path}: {source}. Choose another --out, or check permissions and space")]
    Unwritable { path: PathBuf, source: std::io::Error },
    /// Another format was asked for.
    #[error("cannot write {path}: only .png is written; name a .png file or a folder")]
    NotPng { path: PathBuf },
    /// The pixels could not be encoded.
    #[error("cannot encode {path}: {source}")]
    Encode { path: PathBuf, source: image::ImageError },
    /// A grid larger than a PNG can be.
    #[error("a grid of {count} images is too large for one file: name a folder with --out")]
    TooLarge { count: usize },
}

/// What `--out` names.
pub enum Output {
    /// One file with all images.
    Grid(PathBuf),
    /// One file per image, named by index.
    Folder(PathBuf),
}

impl Output {
    /// Reads `--out` and tries that it can be written to, before any work is done.
    pub fn open(path: &Path) -> Result<Output, OutputError> {
        let unwritable = |p: &Path, source| OutputError::Unwritable { path: p.to_path_buf(), source };
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let (folder, out) = match extension.as_deref() {
            _ if path.is_dir() => (path.to_path_buf(), Output::Folder(path.to_path_buf())),
            Some("png") => (parent(path), Output::Grid(path.to_path_buf())),
            Some("jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff") => {
                return Err(OutputError::NotPng { path: path.to_path_buf() })
            }
            _ => {
                std::fs::create_dir_all(path).map_err(|e| unwritable(path, e))?;
                (path.to_path_buf(), Output::Folder(path.to_path_buf()))
            }
        };
        tempfile::NamedTempFile::new_in(&folder).map_err(|e| unwritable(path, e))?;
        Ok(out)
    }
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Writes one PNG, whole or not at all.
pub fn write_png(path: &Path, image: &RgbImage) -> Result<(), OutputError> {
    let unwritable = |source| OutputError::Unwritable { path: path.to_path_buf(), source };
    let mut bytes = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|source| OutputError::Encode { path: path.to_path_buf(), source })?;
    let mut file = tempfile::Builder::new()
        .prefix(".undiffuse-")
        .suffix(".part")
        .tempfile_in(parent(path))
        .map_err(unwritable)?;
    file.write_all(bytes.get_ref()).map_err(unwritable)?;
    file.as_file().sync_all().map_err(unwritable)?;
    // Temporary files are private; a picture is as readable as any other file.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file().set_permissions(mode).map_err(unwritable)?;
    }
    file.persist(path).map_err(|e| unwritable(e.error))?;
    Ok(())
}

/// All images on white, six to eight in a row, each pixel `zoom` wide.
pub fn grid(images: &[RgbImage], zoom: u32) -> Result<RgbImage, OutputError> {
    let too_large = || OutputError::TooLarge { count: images.len() };
    let (w, h) = images.first().map_or((1, 1), |i| i.dimensions());
    let (w, h) = (w.checked_mul(zoom).ok_or_else(too_large)?, h.checked_mul(zoom).ok_or_else(too_large)?);
    let gap = (w / 16).max(1);
    let count = images.len() as u32;
    let columns = (1..=count.max(1)).find(|c| c * c * 2 >= count * 3).unwrap_or(1);
    let rows = count.div_ceil(columns).max(1);
    let side = |n: u32, size: u32| (size + gap).checked_mul(n).and_then(|s| s.checked_add(gap));
    let (Some(width), Some(height)) = (side(columns, w), side(rows, h)) else { return Err(too_large()) };
    if u64::from(width) * u64::from(height) > 1 << 28 {
        return Err(too_large());
    }
    let mut sheet = RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    for (i, image) in images.iter().enumerate() {
        let (column, row) = (i as u32 % columns, i as u32 / columns);
        let big = zoomed(image, zoom);
        let (x, y) = (gap + column * (w + gap), gap + row * (h + gap));
        image::imageops::replace(&mut sheet, &big, i64::from(x), i64::from(y));
    }
    Ok(sheet)
}

/// Each pixel `zoom` times as wide and high.
pub fn zoomed(image: &RgbImage, zoom: u32) -> RgbImage {
    let (w, h) = image.dimensions();
    RgbImage::from_fn(w * zoom, h * zoom, |x, y| *image.get_pixel(x / zoom, y / zoom))
}
