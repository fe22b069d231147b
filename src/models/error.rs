//! What can be wrong with a model.

use crate::graph::GraphError;
use crate::weights::WeightsError;
use std::path::PathBuf;

/// Errors of configurations and networks. Variants by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A field of the configuration is wrong, or asks for what is not supported.
    #[error("{path}: {field}: {what}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What it is, and what is accepted.
        what: String,
    },
    /// The configuration is of an architecture that this library does not have.
    #[error("{path}: _class_name: `{found}` is not supported; supported: {known}")]
    Class {
        /// The file.
        path: PathBuf,
        /// What it asks for.
        found: String,
        /// What there is.
        known: String,
    },
    /// The checkpoint does not fit the configuration, or is broken.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The network does not fit together.
    #[error(transparent)]
    Graph(GraphError),
}

impl From<GraphError> for ModelError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Weights(weights) => ModelError::Weights(weights),
            other => ModelError::Graph(other),
        }
    }
}
