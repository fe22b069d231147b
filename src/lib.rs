//! Diffusion models run backwards on any GPU: pure Rust and hand-written WGSL.
//!
//! A diffusion model turns noise into data by undoing a forward process step by
//! step with a neural network. This crate runs that reverse process on wgpu: the
//! network becomes a graph of ops, the sampler a program, both are planned once,
//! and the GPU runs the whole loop; the host sees nothing between the first noise
//! and the last image.
//!
//! ```
//! use undiffuse::{gpu::{Gpu, Options}, pipeline::{Pipeline, Sample}};
//!
//! let gpu = Gpu::open(&Options::default())?;            // or Gpu::adopt(device, queue)
//! let pipeline = Pipeline::embedded(&gpu, "emoji32")?;  // or Pipeline::open(&gpu, "path/to/model")?
//! let options = Sample { count: 2, steps: Some(2), seed: 7, ..Default::default() };
//! let mut job = pipeline.sample(&options)?;
//! while let Some(progress) = job.advance(std::time::Duration::from_millis(8))? {
//!     println!("{:.0} %", 100.0 * progress.fraction()); // draw a frame here
//! }
//! let images: Vec<image::RgbImage> = job.images()?;     // one readback per batch
//! # assert_eq!(images.len(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An image is a function of model, sampler, seed and index, bit for bit on one
//! adapter, whatever the batch, the chunks of submission or the shard.
//!
//! The floors, each importing only what is below it:
//!
//! | floor | module | what lives there |
//! | --- | --- | --- |
//! | 8 | [`pipeline`] | what an application uses: models, jobs, images |
//! | 7 | [`engine`] | programs and networks lowered to one plan, and run |
//! | 6 | [`diffusion`] | the mathematics, GPU-free: schedules, programs, samplers |
//! | 6 | [`metrics`] | how near two sets of pictures are, by their features |
//! | 5 | [`models`] | one module per architecture |
//! | 4 | [`nn`] | blocks that models share |
//! | 3 | [`graph`] | networks as graphs, fusions, memory, plans |
//! | 2 | [`gpu`] | the device |
//! | 1 | [`kernels`] | WGSL kernels and their host twins, described without a device |
//! | 0 | [`weights`], [`shape`] | checkpoint formats; what all agree on |
#![warn(missing_docs)]
#![deny(unsafe_code, unsafe_op_in_unsafe_fn)]

#[cfg(feature = "capi")]
#[allow(unsafe_code)] // pointers from C
pub mod capi;
mod clock;
pub mod diffusion;
pub mod engine;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod metrics;
pub mod models;
pub mod nn;
pub mod pipeline;
pub mod shape;
pub mod weights;
