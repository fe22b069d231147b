//! Where pictures go: one file (a grid, or numbers), or a folder of files. Each file is
//! written whole or not at all.

pub mod animation;
pub mod file;
pub mod grid;
pub mod npz;
pub mod png;
mod writer;

pub use writer::Writer;

use std::path::{Path, PathBuf};

/// Why nothing could be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The folder or file cannot be written.
    #[error("cannot write {path}: {source}. Choose another place for it, as with --out, or check permissions and space")]
    Unwritable { path: PathBuf, source: std::io::Error },
    /// Another format was asked for.
    #[error("cannot write {path}: only .png and .npz are written; name such a file or a folder")]
    NotPng { path: PathBuf },
    /// The pixels could not be encoded.
    #[error("cannot encode {path}: {what}")]
    Encode { path: PathBuf, what: String },
    /// More pixels than a PNG should have.
    #[error("{what} would have more than {MOST} pixels: {advice}")]
    TooLarge { what: String, advice: &'static str },
    /// One file cannot be two.
    #[error("--out and --animate both name {path}: name two files")]
    Twice { path: PathBuf },
    /// Only pictures move.
    #[error("cannot write {path}: an animation is a .png (APNG): name a .png file with --animate")]
    NotAnimated { path: PathBuf },
}

impl OutputError {
    fn unwritable(path: &Path, source: std::io::Error) -> OutputError {
        OutputError::Unwritable { path: path.to_path_buf(), source }
    }
}

/// The most pixels of a file, for the memory that they take.
pub const MOST: u64 = 1 << 28;

/// Where images go.
#[derive(Debug)]
pub struct Output {
    /// What `--out` names.
    pub to: Kind,
    /// Folders that were made for it, the outermost first.
    made: Vec<PathBuf>,
}

/// What `--out` names.
#[derive(Debug)]
pub enum Kind {
    /// One file with all images.
    Grid(PathBuf),
    /// One file with the numbers of all images.
    Npz(PathBuf),
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
    /// Reads `--out` and tries that it can be written to, before any work is done. What
    /// killed runs left half-written there is removed.
    pub fn open(path: &Path) -> Result<Output, OutputError> {
        let mut made = Vec::new();
        let (folder, to) = match extension(path).as_deref() {
            _ if path.is_dir() => (path.to_path_buf(), Kind::Folder(path.to_path_buf())),
            Some("png") => (parent(path), Kind::Grid(path.to_path_buf())),
            Some("npz") => (parent(path), Kind::Npz(path.to_path_buf())),
            _ if path.is_file() => return Err(OutputError::NotPng { path: path.to_path_buf() }),
            Some("jpg" | "jpeg" | "gif" | "webp" | "bmp" | "tif" | "tiff" | "npy") => {
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
            std::fs::create_dir_all(path).map_err(|e| OutputError::unwritable(path, e))?;
        }
        try_place(path, &folder)?;
        Ok(out)
    }

    /// Takes away the folders that were made and are empty still.
    pub fn abandon(&self) {
        for folder in self.made.iter().rev() {
            // Fails where something lies in it, as it should.
            let _ = std::fs::remove_dir(folder);
        }
    }

    /// Whether `count` images of this size can be written, before they are drawn.
    pub fn check(&self, count: usize, size: (usize, usize), zoom: u32) -> Result<(), OutputError> {
        let size = grid::zoomed_size(size, zoom)?;
        match self.to {
            Kind::Grid(_) => grid::Sheet::new(count, size).map(|_| ()),
            Kind::Npz(_) | Kind::Folder(_) => Ok(()),
        }
    }
}

/// Tries that the file `path` can be written, before any work is done.
pub fn try_file(path: &Path) -> Result<(), OutputError> {
    try_place(path, &parent(path))
}

/// Tries that `path` can be written in `folder`, and removes leftovers there.
fn try_place(path: &Path, folder: &Path) -> Result<(), OutputError> {
    if !folder.is_dir() {
        let e = std::io::Error::new(std::io::ErrorKind::NotFound, format!("no folder {}", folder.display()));
        return Err(OutputError::unwritable(path, e));
    }
    let swept = file::sweep(folder);
    if swept > 0 {
        say!("note: {swept} half-written file(s) of a run that was killed removed from {}", folder.display());
    }
    file::try_folder(folder).map_err(|e| OutputError::unwritable(path, e))
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|e| e.to_string_lossy().to_lowercase())
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_path_buf(),
        _ => PathBuf::from("."),
    }
}
