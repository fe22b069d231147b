//! Reverse diffusion (Song et al. 2021, arXiv:2011.13456, appendix E, eq. 46): the
//! discrete forward chain `x_k = x_{k-1} + f_k(x_{k-1}) + G_k z`, reversed as the
//! continuous process is:
//!
//! ```text
//! x_mean  = x_k - f_k(x_k) + G_k^2 score
//! x_{k-1} = x_mean + G_k z
//! ```
//!
//! with `f_k(x) = (sqrt(1 - beta_k) - 1) x`, `G_k = sqrt(beta_k)` of VP and `f_k = 0`,
//! `G_k^2 = sigma_k^2 - sigma_{k-1}^2` of VE. With `probability_flow` the score counts
//! half and nothing is drawn. The last step is its mean.

use super::super::continuous::{Continuous, Level};
use super::super::prediction::Linear;
use super::super::program::Program;
use super::super::Error;
use super::options::{Corrector, Predictor};
use super::{pc, Context, Sampler};

/// What a step makes of the state: a mean in `x` and the network's output, and noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Update {
    pub(super) mean: Linear,
    pub(super) noise: f64,
}

/// The step from a level to the one below.
pub(super) fn update(view: &Continuous, level: &Level, flow: bool) -> Update {
    let (g2, score) = (level.added * level.added, view.score(level.t));
    let g2 = if flow { 0.5 * g2 } else { g2 };
    let mean = Linear { x: 2.0 - level.keep + g2 * score.x, out: g2 * score.out };
    Update { mean, noise: if flow { 0.0 } else { level.added } }
}

/// The program of reverse diffusion.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    pc::with(context, sampler, Predictor::ReverseDiffusion, Corrector::None)
}
