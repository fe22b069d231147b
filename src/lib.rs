//! undiffuse: diffusion models run backwards on any GPU.
#![warn(missing_docs)]

pub mod diffusion;
pub mod kernels;
pub mod shape;
