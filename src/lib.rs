//! undiffuse: diffusion models run backwards on any GPU.
#![warn(missing_docs)]

mod clock;
pub mod diffusion;
pub mod engine;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod pipeline;
pub mod shape;
pub mod weights;
