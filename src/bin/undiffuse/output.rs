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
    /// More pixels than a PNG should have.
    #[error("{what} would have more than {MOST} pixels: {advice}")]
    TooLarge { what: String, advice: &'static str },
}

/// The most pixels of a file, for the memory that they take.
const MOST: u64 = 1 << 28;

/// Where images go.
pub struct Output {
    /// What `--out` names.
    pub to: Kind,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

/// What `--out` names.
pub enum Kind {
    /// One file with all images.
    Grid(PathBuf),
    /// One file per image, named by index.
    Folder(PathBuf),
}

/// Folders made for images that never came are taken away again.
impl Drop for Output {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Output {
    /// Takes away the folders that were made and are empty still.
    pub fn abandon(&self) {
        for folder in self.made.iter().rev() {
            // Fails where something lies in it, as it should.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

impl Output {
    /// Reads `--out` and tries that it can be written to, before any work is done.
    pub fn open(path: &Path) -> Result<Output, OutputError> {
        let unwritable = |p: &Path, source| OutputError::Unwritable { path: p.to_path_buf(), source };
        let extension = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        let mut made = Vec::new();
        let (folder, to) = match extension.as_deref() {
            _ if path.is_dir() => (path.to_path_buf(), Kind::Folder(path.to_path_buf())),
            _ if path.is_file() && extension.as_deref() != Some("png") => {
                return Err(OutputError::NotPng { path: path.to_path_buf() })
            }
            Some("png") => (parent(path), Kind::Grid(path.to_path_buf())),
            Some("jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff") => {
                return Err(OutputError::NotPng { path: path.to_path_buf() })
            }
            _ => {
                let missing = path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists());
                made = missing.map(Path::to_path_buf).collect();
                made.reverse();
                (path.to_path_buf(), Kind::Folder(path.to_path_buf()))
            }
        };
        let out = Output { to, made };
        if matches!(out.to, Kind::Folder(_)) {
            std::fs::create_dir_all(path).map_err(|e| unwritable(path, e))?;
        }
        if !folder.is_dir() {
            let e =
                std::io::Error::new(std::io::ErrorKind::NotFound, format!("no folder {}", folder.display()));
            return Err(unwritable(path, e));
        }
        // The name of the trial file is nothing to a reader: the kind of the error is.
        tempfile::NamedTempFile::new_in(&folder).map_err(|e| unwritable(path, e.kind().into()))?;
        Ok(out)
    }

    /// Whether `count` images of this size can be written, before they are drawn.
    pub fn check(&self, count: usize, size: (usize, usize), zoom: u32) -> Result<(), OutputError> {
        let side = |n: usize| u32::try_from(n).ok().and_then(|n| n.checked_mul(zoom));
        let fits = match (side(size.0), side(size.1)) {
            (Some(w), Some(h)) if u64::from(w) * u64::from(h) <= MOST => Some((w, h)),
            _ => None,
        };
        let Some(size) = fits else {
            let what = format!("an image of {} x {} pixels, each {zoom} wide,", size.0, size.1);
            return Err(OutputError::TooLarge { what, advice: "use a smaller --zoom" });
        };
        match self.to {
            Kind::Grid(_) if count > 1 => Sheet::new(count, size).map(|_| ()),
            _ => Ok(()),
        }
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

/// Where images lie in a grid.
struct Sheet {
    columns: u32,
    gap: u32,
    size: (u32, u32),
}

impl Sheet {
    /// About three columns to two rows.
    fn new(count: usize, (w, h): (u32, u32)) -> Result<Sheet, OutputError> {
        let sheet = || {
            let count = u32::try_from(count).ok().filter(|&c| u64::from(c) <= MOST)?;
            let columns =
                (1..=count.max(1)).find(|&c| u64::from(c) * u64::from(c) * 2 >= u64::from(count) * 3);
            let columns = columns.unwrap_or(1);
            let gap = (w / 16).max(1);
            let side = |n: u32, one: u32| one.checked_add(gap)?.checked_mul(n)?.checked_add(gap);
            let size = (side(columns, w)?, side(count.div_ceil(columns).max(1), h)?);
            (u64::from(size.0) * u64::from(size.1) <= MOST).then_some(Sheet { columns, gap, size })
        };
        sheet().ok_or_else(|| OutputError::TooLarge {
            what: format!("a grid of {count} images"),
            advice: "name a folder with --out, or use a smaller --zoom",
        })
    }
}

/// All images on white, each pixel `zoom` wide.
pub fn grid(images: &[RgbImage], zoom: u32) -> Result<RgbImage, OutputError> {
    let (w, h) = images.first().map_or((1, 1), |i| i.dimensions());
    let (w, h) = (w.saturating_mul(zoom), h.saturating_mul(zoom));
    let Sheet { columns, gap, size } = Sheet::new(images.len(), (w, h))?;
    let mut sheet = RgbImage::from_pixel(size.0, size.1, image::Rgb([255; 3]));
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
