//! What can go wrong while a graph is built or planned.

use crate::gpu::GpuError;
use crate::shape::Shape;
use crate::weights::WeightsError;

/// Errors of graphs and plans.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// The configuration asks for an op on shapes that it does not take.
    #[error("{op} at `{scope}`: {what} (inputs {shapes}); the model's configuration does not fit together")]
    Shape {
        /// The op.
        op: &'static str,
        /// The module.
        scope: String,
        /// The rule that is broken.
        what: String,
        /// All input shapes.
        shapes: String,
    },
    /// A tensor without elements, or with more than can be addressed.
    #[error(
        "{op} at `{scope}`: a tensor of shape {shape} is empty or too large; check sample_size and channels"
    )]
    Size {
        /// The op.
        op: String,
        /// The module.
        scope: String,
        /// The shape.
        shape: Shape,
    },
    /// An op that derivatives in forward mode do not know.
    #[error("{op} at `{scope}` has no rule for its derivative, which likelihoods need")]
    NoTangent {
        /// The op.
        op: &'static str,
        /// The module.
        scope: String,
    },
    /// A part of an architecture that this library does not have.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// A weight could not be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The adapter refused.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// A mistake in this library; please report it.
    #[error("internal error (please report it): {0}")]
    Internal(String),
}
