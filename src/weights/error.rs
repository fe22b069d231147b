//! What can be wrong with a checkpoint.

use std::path::PathBuf;

/// Errors of checkpoint files. Variants by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The caller named a folder or file that is not there.
    #[error("{path}: {what}")]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What was looked for, and what would be accepted.
        what: String,
    },
    /// The checkpoint is of a kind that this library does not read.
    #[error("{path}: {what}")]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what is supported.
        what: String,
    },
    /// The file contradicts itself or its format: download or save it again.
    #[error("{path}: damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        what: String,
    },
    /// A JSON file is not valid JSON, or not of the expected form.
    #[error("{path}{}: {what}", place(*line, *column))]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1; 0 where the text as a whole is meant.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// A file is larger than any honest file of its kind.
    #[error("{path}: {size} bytes, more than the {limit} that a file of this kind may have")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The cap in bytes.
        limit: u64,
    },
    /// The checkpoint lacks a tensor that the model needs: it belongs to another configuration.
    #[error("{origin} has no tensor `{name}`{near}; config and weights do not belong together")]
    Missing {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// `" (near: a, b)"`, or nothing.
        near: String,
    },
    /// A tensor has another shape than the model needs.
    #[error("{origin}: tensor `{name}` has shape {found:?}, the model's configuration needs {wanted:?}")]
    Shape {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// What the model asks for.
        wanted: Vec<usize>,
        /// What is stored.
        found: Vec<usize>,
    },
    /// A tensor holds numbers of a type that is not read.
    #[error("{origin}: tensor `{name}` is {found}; wanted F32, F16 or BF16: convert the checkpoint")]
    Dtype {
        /// The tensor.
        name: String,
        /// The file.
        origin: String,
        /// The stored type, in safetensors' words.
        found: String,
    },
    /// A tensor holds a number that no network can use.
    #[error("tensor `{name}` holds {value} at index {index} (row-major): the checkpoint is broken")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The first offending element, row-major.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// The numbers given for a tensor do not fill its shape.
    #[error("tensor `{name}`: {found} numbers given for shape {shape:?}")]
    Length {
        /// The tensor.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// How many numbers there are.
        found: usize,
    },
    /// The system refused to read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// The place in a text, where one is known.
fn place(line: usize, column: usize) -> String {
    match line {
        0 => String::new(),
        _ => format!(", line {line}, column {column}"),
    }
}
