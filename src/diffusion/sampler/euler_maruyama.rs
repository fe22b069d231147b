//! Euler-Maruyama on the reverse SDE (Song et al. 2021, arXiv:2011.13456, eq. 6):
//!
//! ```text
//! x_mean = x + (f(t) x - g(t)^2 score) dt          dt < 0
//! x      = x_mean + g(t) sqrt(-dt) z
//! ```
//!
//! With `probability_flow` the score counts half and nothing is drawn: Euler's method on
//! the flow. The last step is its mean.

use super::super::continuous::{Continuous, Level};
use super::super::prediction::Linear;
use super::super::program::Program;
use super::super::Error;
use super::options::{Corrector, Predictor};
use super::reverse_diffusion::Update;
use super::{pc, Context, Sampler};

/// The step from a level to the one below.
pub(super) fn update(view: &Continuous, level: &Level, flow: bool) -> Update {
    let (f, g, score) = (view.process.drift(level.t), view.process.diffusion(level.t), view.score(level.t));
    let g2 = if flow { 0.5 * g * g } else { g * g };
    let mean = Linear { x: 1.0 + (f - g2 * score.x) * level.dt, out: -g2 * score.out * level.dt };
    Update { mean, noise: if flow { 0.0 } else { g * (-level.dt).sqrt() } }
}

/// The program of Euler-Maruyama.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    pc::with(context, sampler, Predictor::EulerMaruyama, Corrector::None)
}
