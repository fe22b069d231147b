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
    /// The text, with Python's non-standard numbers made null; not yet known to be valid.
    pub text: String,
}

impl Json {
    /// A text that is not from a file; `path` is what errors call it.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: standard(&text.into()) }
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
        Ok(Self::new(path, text))
    }

    /// The text as a `T`.
    ///
    /// # Errors
    /// [`WeightsError::Json`] with path, line and column.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, WeightsError> {
        let text = self.text.as_str();
        serde_json::from_str(text).map_err(|e| {
            let (line, column) = (e.line(), e.column());
            // The parser says where at the end of its words; here it stands before them.
            let what = e.to_string();
            let what = what.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&what);
            let what = &what.replace("expected usize", "expected a whole number that is not negative");
            let what = match key_before(text, line, column).filter(|key| e.is_data() && !what.contains(key)) {
                Some(key) => format!("{key}: {what}"),
                None => what.to_owned(),
            };
            WeightsError::Json { path: self.path.clone(), line, column, what }
        })
    }
}

/// Python writes `NaN`, `Infinity` and `-Infinity` into JSON, and diffusers'
/// scheduler configurations hold them (`lambda_min_clipped`). They become `null`,
/// padded so that lines and columns stay; a byte order mark is dropped.
fn standard(text: &str) -> String {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let mut out = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches('\u{feff}');
    let (mut in_string, mut escaped) = (false, false);
    while let Some(c) = rest.chars().next() {
        let word = WORDS.iter().find(|w| !in_string && rest.starts_with(**w));
        if let Some(word) = word {
            out.push_str(&format!("{:1$}", "null", word.len()));
            rest = &rest[word.len()..];
            continue;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = in_string,
            '"' => in_string = !in_string,
            _ => {}
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// The last key before a place: the field that a value there belongs to.
fn key_before(text: &str, line: usize, column: usize) -> Option<&str> {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let before = text.get(..start.checked_add(column)?).or(text.get(..start))?;
    let (head, _) = before.rsplit_once("\":")?;
    let (_, key) = head.rsplit_once('"')?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_only_python_knows_are_null() {
        let text = "\u{feff}{\"a\": -Infinity, \"NaN \\\" Infinity\": NaN,\n \"b\": [Infinity, 1]}";
        let json = Json::new("x", text);
        let value: serde_json::Value = json.parse().unwrap();
        let expected = serde_json::json!({ "a": null, "NaN \" Infinity": null, "b": [null, 1] });
        assert_eq!(value, expected);
        assert_eq!(Json::new("x", "[Infinity, x").text, "[null    , x");
    }

    #[test]
    fn errors_say_line_and_field_once() {
        #[derive(serde::Deserialize, Debug)]
        struct Wanted {
            #[allow(dead_code)]
            sizes: Vec<usize>,
        }
        let error = |text: &str| Json::new("c.json", text).parse::<Wanted>().unwrap_err().to_string();
        let text = error("{\"a\": 1,\n \"sizes\": [3, -1]}");
        assert_eq!(text, "c.json, line 2, column 16: sizes: invalid value: integer `-1`, expected a whole number that is not negative");
        assert_eq!(error("{\n"), "c.json, line 2, column 0: EOF while parsing an object");
        assert!(error("{\"b\": 1}").contains("missing field `sizes`"));
    }
}
