//! undiffuse: diffusion models run backwards on any GPU.
#![warn(missing_docs)]

pub mod graph;
pub mod kernels;
pub mod models;
pub mod nn;
pub mod shape;
pub mod weights;
