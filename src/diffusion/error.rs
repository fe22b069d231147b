//! What can go wrong on this floor, by who must act.

use super::program::{ProgramError, RunError, TableError};

/// An error of the diffusion floor.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scheduler configuration is no JSON object: mend or replace the file.
    #[error("scheduler_config.json cannot be read as a JSON object: {0}")]
    Json(String),

    /// A field of the scheduler configuration is refused: mend the file.
    #[error("scheduler_config.json: {field} is {value}; {need}")]
    Config {
        /// The field's name in the file.
        field: &'static str,
        /// What the file says.
        value: String,
        /// What would be accepted.
        need: String,
    },

    /// A field of the model's configuration is refused: mend the file.
    #[error("config.json: {field} is {value}; {need}")]
    Field {
        /// The field's name in the file.
        field: &'static str,
        /// What the file says.
        value: String,
        /// What would be accepted.
        need: String,
    },

    /// An option of the caller is refused: choose another value.
    #[error("{option} = {value}: {need}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What was asked for.
        value: String,
        /// What would be accepted.
        need: String,
    },

    /// Model, configuration and options do not fit each other.
    #[error("{sampler} cannot start or go on at t = {t}: {reason}")]
    Unsupported {
        /// The sampler's name.
        sampler: String,
        /// The training timestep.
        t: usize,
        /// Why, and what to do.
        reason: String,
    },

    /// A program breaks a rule: an error in the sampler that wrote it.
    #[error(transparent)]
    Program(Box<ProgramError>),

    /// A function of time is not smooth enough for a table: an error in the process.
    #[error(transparent)]
    Table(#[from] TableError),

    /// A program could not be interpreted.
    #[error(transparent)]
    Run(Box<RunError>),
}

impl From<ProgramError> for Error {
    fn from(e: ProgramError) -> Self {
        Self::Program(Box::new(e))
    }
}

impl From<RunError> for Error {
    fn from(e: RunError) -> Self {
        Self::Run(Box::new(e))
    }
}

impl Error {
    pub(crate) fn config(field: &'static str, value: impl ToString, need: impl Into<String>) -> Self {
        Self::Config { field, value: value.to_string(), need: need.into() }
    }

    pub(crate) fn field(field: &'static str, value: impl ToString, need: impl Into<String>) -> Self {
        Self::Field { field, value: value.to_string(), need: need.into() }
    }

    pub(crate) fn option(option: &'static str, value: impl ToString, need: impl Into<String>) -> Self {
        Self::Option { option, value: value.to_string(), need: need.into() }
    }
}
