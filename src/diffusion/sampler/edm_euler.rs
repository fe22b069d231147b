//! Euler's method for a model in EDM's parametrisation (Karras et al. 2022,
//! arXiv:2206.00364, table 1 and algorithm 2; diffusers' `EDMEulerScheduler`):
//! [`super::euler`], the network seeing `c_in x` and being told `log(sigma) / 4`, with
//!
//! ```text
//! x0 = c_skip x + c_out F
//! c_skip = d^2 / (sigma^2 + d^2)        c_in = 1 / sqrt(sigma^2 + d^2)
//! c_out  = sigma d / sqrt(sigma^2 + d^2)  (its negative under v_prediction)      d = sigma_data
//! ```
//!
//! Levels are spread by `rho` between `sigma_max` and `sigma_min`; the noise begins
//! with the deviation `sqrt(sigma_max^2 + 1)`, as in diffusers.

use super::super::program::Program;
use super::super::{Error, Prediction};
use super::solve::Space;
use super::{Context, Sampler};

/// The program of Euler's method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    super::euler::in_space(context, sampler, space(context)?)
}

/// EDM's scale, for models that have it.
pub(super) fn space(context: &Context<'_>) -> Result<Space, Error> {
    match context.config.prediction_type {
        Prediction::Sample => {
            let need = "a model in EDM's parametrisation has epsilon or v_prediction";
            Err(Error::config("prediction_type", "sample", need))
        }
        _ => Ok(Space::Edm(context.config.solver.sigma_data)),
    }
}
