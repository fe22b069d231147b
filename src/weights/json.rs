//! JSON files: size caps, and errors that say file and line.

use super::WeightsError;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// The largest configuration file that is read.
pub const CONFIG_LIMIT: u64 = 1 << 20;

/// The largest index of tensors that is read.
pub const INDEX_LIMIT: u64 = 64 << 20;

/// A JSON text and where it came from.
#[derive(Clone, Debug)]
pub struct Json {
    /// The file, or a description of where the text came from.
    pub path: PathBuf,
    /// The text; not yet known to be valid.
    pub text: String,
}

impl Json {
    /// A text that is not from a file; `path` is what errors call it.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    /// Reads a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`WeightsError::TooLarge`], [`WeightsError::Io`], [`WeightsError::Json`] for text that is not UTF-8.
    pub fn read(path: &Path, limit: u64) -> Result<Self, WeightsError> {
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(io)?.len();
        if size > limit {
            return Err(WeightsError::TooLarge { path: path.to_owned(), size, limit });
        }
        let text = String::from_utf8(std::fs::read(path).map_err(io)?).map_err(|e| WeightsError::Json {
            path: path.to_owned(),
            line: 0,
            column: 0,
            what: e.to_string(),
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    /// The text as a `T`.
    ///
    /// # Errors
    /// [`WeightsError::Json`] with path, line and column.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, WeightsError> {
        serde_json::from_str(self.text.trim_start_matches('\u{feff}')).map_err(|e| WeightsError::Json {
            path: self.path.clone(),
            line: e.line(),
            column: e.column(),
            what: e.to_string(),
        })
    }
}
