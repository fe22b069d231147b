//! Floor 7: where networks and programs meet.
//!
//! A program's instructions and the networks they evaluate are lowered into one
//! [`Plan`](crate::graph::plan::Plan): one memory plan, one list of dispatches.
//! Instructions that differ only in numbers (time, coefficients, draw) are
//! lowered once; their numbers lie in a table with a row per step, and a counter
//! on the GPU says which row is meant. The whole loop is then a list of segments
//! that the host submits without looking at anything in between.

mod check;
pub mod doctor;
mod evaluate;
mod executable;
mod expression;
mod lower;
mod numbers;
mod operator;
mod output;
mod outputs;
mod pace;
mod peak;
mod profile;
mod repeat;
mod run;
pub mod tune;

pub use check::BadOrigin;
pub use evaluate::{evaluate, Evaluator};
pub use executable::{Batch, Executable};
pub use output::{texture, Drawn, Kept, Source};
pub use outputs::{image_bytes, tight, Outputs};
pub use peak::{peak, Peak};
pub use profile::{evaluate_again, profile, Clock, DispatchTime, Profile};
pub use repeat::Passes;
pub use run::{Run, Status, Turn};

use crate::graph::{Graph, GraphError};

/// A network of a program: the graph and the names of its tensors.
#[derive(Clone, Debug)]
pub struct NetGraph {
    /// The network, with its fusions done.
    pub graph: Graph,
    /// Names of the image inputs, in the program's order.
    pub images: Vec<String>,
    /// Name of the time input.
    pub time: Option<String>,
    /// Name of the class input.
    pub label: Option<String>,
    /// Name of the output.
    pub output: String,
}

/// Errors of lowering and running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The program is malformed.
    #[error(transparent)]
    Program(Box<crate::diffusion::program::ProgramError>),
    /// Planning failed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The device failed.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// A result is not a number: the model's weights or the options are to blame.
    #[error("image {image}: {count} values are NaN or infinite. {origin}")]
    NotFinite {
        /// The image's index.
        image: u64,
        /// How many of its values.
        count: u32,
        /// Where they came from.
        origin: BadOrigin,
    },
    /// An adaptive solver did not come to its end.
    #[error(
        "image {image}: the solver is not at its end after {passes} steps, accepted and rejected: \
         use a larger --rtol and --atol, or a sampler of fixed steps"
    )]
    NotDone {
        /// The image's index.
        image: u64,
        /// Passes of the loop.
        passes: u32,
    },
    /// A mistake in this library; please report it.
    #[error("internal error (please report it): {0}")]
    Internal(String),
}

impl From<crate::diffusion::program::ProgramError> for EngineError {
    fn from(e: crate::diffusion::program::ProgramError) -> Self {
        EngineError::Program(Box::new(e))
    }
}
