//! The midpoint method with ancestral noise (k-diffusion's DPM2 ancestral;
//! diffusers' `KDPM2AncestralDiscreteScheduler`): [`super::dpm2`] from `sigma` to
//! `sigma_down`, then noise of the deviation `sigma_up`:
//!
//! ```text
//! sigma_up   = sigma_next sqrt(1 - sigma_next^2 / sigma^2)
//! sigma_down = sigma_next^2 / sigma
//! sigma_mid  = sqrt(sigma sigma_down)
//! ```

use super::super::program::Program;
use super::super::Error;
use super::{Context, Sampler};

/// The program of the midpoint method with ancestral noise.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    super::dpm2::midpoints(context, sampler, super::euler_a::split)
}
