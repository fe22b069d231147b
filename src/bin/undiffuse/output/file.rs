//! Files that are written whole (to a `.part` file beside them, then renamed) or not at
//! all, and what remains of them where a run was killed.
//!
//! A run holds a lock on each part file that it writes. The system gives the lock back
//! when the process ends, however it ends: a part file without a lock is a leftover.

use super::{parent, OutputError};
use fs4::{FileExt, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

const PREFIX: &str = ".undiffuse-";
const SUFFIX: &str = ".part";
/// How often a new part file may be mistaken for a leftover by a run that sweeps.
const TRIES: usize = 16;

/// A file that comes to be when it is finished.
#[derive(Debug)]
pub struct Part {
    file: NamedTempFile,
    path: PathBuf,
}

impl Part {
    /// Begins the file `path`.
    pub fn new(path: &Path) -> Result<Part, OutputError> {
        let made = Part::make(&parent(path)).map_err(|source| OutputError::unwritable(path, source))?;
        Ok(Part { file: made, path: path.to_path_buf() })
    }

    fn make(folder: &Path) -> io::Result<NamedTempFile> {
        for _ in 0..TRIES {
            let file = tempfile::Builder::new().prefix(PREFIX).suffix(SUFFIX).tempfile_in(folder)?;
            match FileExt::try_lock(file.as_file()) {
                // Another run may have swept it between the two calls.
                Ok(()) if !file.path().exists() => {}
                Err(TryLockError::WouldBlock) => {}
                // Where locks are not to be had nobody sweeps either.
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(file),
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<(), OutputError> {
        let path = std::mem::take(&mut self.path);
        self.persist(&path).map_err(|source| OutputError::unwritable(&path, source))
    }

    fn persist(self, path: &Path) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        // Temporary files are private; a picture is as readable as any other file.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            self.file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        }
        self.file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.as_file_mut().seek(to)
    }
}

/// Writes a whole file.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), OutputError> {
    let mut part = Part::new(path)?;
    part.write_all(bytes).map_err(|source| OutputError::unwritable(path, source))?;
    part.finish()
}

/// Tries that a file can be made in `folder`.
pub fn try_folder(folder: &Path) -> io::Result<()> {
    // The name of the trial file is nothing to a reader: the kind of the error is.
    Part::make(folder).map(|_| ()).map_err(|e| e.kind().into())
}

/// Removes what killed runs left in `folder`; how many files those were. Faults are none of
/// the run's business: what cannot be removed stays.
pub fn sweep(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let ours = |name: &str| name.starts_with(PREFIX) && name.ends_with(SUFFIX);
    let ours = entries.flatten().filter(|e| {
        e.file_name().to_str().is_some_and(ours) && e.file_type().is_ok_and(|kind| kind.is_file())
    });
    ours.filter(|entry| remove_if_left(&entry.path())).count()
}

fn remove_if_left(path: &Path) -> bool {
    let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).open(path) else { return false };
    // The lock is held while it is removed, so that a run which has just made the file sees it go.
    FileExt::try_lock(&file).is_ok() && std::fs::remove_file(path).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn leftovers_go_and_files_being_written_stay() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(".undiffuse-dead.part"), b"half").unwrap();
        std::fs::write(dir.path().join("mine.part"), b"x").unwrap();
        std::fs::create_dir(dir.path().join(".undiffuse-folder.part")).unwrap();
        let mut part = Part::new(&dir.path().join("a")).unwrap();
        part.write_all(b"whole").unwrap();
        assert_eq!(sweep(dir.path()), 1);
        assert_eq!(names(dir.path()), 3);
        part.finish().unwrap();
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"whole");
        assert_eq!(sweep(dir.path()), 0);
    }

    #[test]
    fn what_is_not_finished_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"before").unwrap();
        let mut part = Part::new(&dir.path().join("a")).unwrap();
        part.write_all(b"half").unwrap();
        drop(part);
        assert_eq!(names(dir.path()), 1);
        assert_eq!(std::fs::read(dir.path().join("a")).unwrap(), b"before");
    }
}
