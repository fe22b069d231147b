//! Floor 6: the mathematics of diffusion, pure and free of any GPU.
//!
//! A scheduler configuration ([`SchedulerConfig`]) gives a noise schedule
//! ([`Schedule`]) and the times to visit ([`timesteps`]). A sampler ([`sampler`])
//! writes a [`program::Program`]: registers, per-image slots and a few kinds of
//! instruction, with all coefficients computed here in f64. Two executors run
//! it: the GPU and the f64 interpreter of [`program::interpret`], which takes
//! any closure as the network.
//!
//! ```
//! use undiffuse::diffusion::{sampler::{Context, Sampler}, SchedulerConfig};
//! use undiffuse::shape::Shape;
//!
//! let config = SchedulerConfig::from_json(r#"{"beta_schedule": "squaredcos_cap_v2"}"#)?;
//! let program = Sampler::Ddim.program(&Context::new(&config, Shape::new(4, 4, 1), 10))?;
//! assert_eq!(program.nfe(), 10);
//! // The network that always answers "no noise".
//! let image = program.interpret(&Default::default(), |_| Ok(vec![0.0; 16]), |_, shape| vec![0.5; shape.len()], |_| ())?;
//! assert_eq!(image.len(), 16);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beta;
pub mod cld;
pub mod continuous;
mod error;
pub mod grid;
pub mod guidance;
pub mod latent;
pub mod linear;
pub mod prediction;
pub mod process;
pub mod program;
pub mod rng;
pub mod sampler;
pub mod schedule;
pub mod scheduler_config;
pub mod score_sde;
pub mod sdedit;
pub mod solver_config;
pub mod spread;
pub mod system;
pub mod timesteps;

pub use continuous::Continuous;
pub use error::Error;
pub use prediction::Prediction;
pub use process::Process;
pub use program::Program;
pub use rng::Rng;
pub use sampler::Sampler;
pub use schedule::Schedule;
pub use scheduler_config::SchedulerConfig;
pub use solver_config::SolverConfig;
pub use spread::Spread;
pub use system::System;

#[cfg(test)]
mod tests;
