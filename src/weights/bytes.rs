//! Bytes that tensors share: mapped from a file, owned, or embedded.

use super::WeightsError;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Immutable bytes, cheap to clone.
#[derive(Clone)]
pub struct Bytes(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(not(target_arch = "wasm32"))]
    Mapped(Arc<memmap2::Mmap>),
    Owned(Arc<Vec<u8>>),
    Static(&'static [u8]),
}

impl Bytes {
    /// Maps the file into memory (in a browser: reads it).
    ///
    /// The file must not be shortened by another program while it is in use:
    /// reading past its new end would end this process, as for every mapped file.
    ///
    /// # Errors
    /// [`WeightsError::Io`] with the path; [`WeightsError::Damaged`] for an empty file.
    pub fn open(path: &Path) -> Result<Bytes, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let meta = std::fs::metadata(path).map_err(io)?;
        if !meta.is_file() {
            return Err(WeightsError::NotFound { path: path.to_owned(), what: "not a file".to_owned() });
        }
        if meta.len() == 0 {
            return Err(WeightsError::Damaged {
                path: path.to_owned(),
                what: "the file is empty".to_owned(),
            });
        }
        #[cfg(not(target_arch = "wasm32"))]
        {
            let file = std::fs::File::open(path).map_err(io)?;
            // SAFETY: the mapping is read-only and private to us; the one hazard, another
            // program that shortens the file, is stated in the documentation above.
            #[allow(unsafe_code)]
            let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io)?;
            Ok(Bytes(Kind::Mapped(Arc::new(map))))
        }
        #[cfg(target_arch = "wasm32")]
        {
            std::fs::read(path).map(Bytes::from).map_err(io)
        }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            #[cfg(not(target_arch = "wasm32"))]
            Kind::Mapped(map) => map,
            Kind::Owned(vec) => vec,
            Kind::Static(slice) => slice,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(vec: Vec<u8>) -> Self {
        Bytes(Kind::Owned(Arc::new(vec)))
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(slice: &'static [u8]) -> Self {
        Bytes(Kind::Static(slice))
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.as_slice().len())
    }
}
