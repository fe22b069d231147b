//! Ancestral sampling of the discrete chain in terms of its score (Song et al. 2021,
//! arXiv:2011.13456, eq. 4 and appendix F, eq. 47):
//!
//! ```text
//! VP:  x_mean = (x + beta_k score) / sqrt(1 - beta_k)      std = sqrt(beta_k)
//! VE:  x_mean = x + (sigma_k^2 - sigma_{k-1}^2) score
//!      std    = sqrt(sigma_{k-1}^2 (sigma_k^2 - sigma_{k-1}^2) / sigma_k^2)
//! ```
//!
//! The last step is its mean. Sub-VP has no discrete chain and is refused.

use super::super::continuous::{Continuous, Level};
use super::super::prediction::Linear;
use super::super::process::Process;
use super::super::program::Program;
use super::super::Error;
use super::options::{Corrector, Predictor};
use super::reverse_diffusion::Update;
use super::{pc, Context, Sampler};

/// The step from a level to the one below.
pub(super) fn update(view: &Continuous, level: &Level) -> Result<Update, Error> {
    let (g2, score) = (level.added * level.added, view.score(level.t));
    let mean = Linear { x: (1.0 + g2 * score.x) / level.keep, out: g2 * score.out / level.keep };
    let noise = match view.process {
        Process::Ve { .. } | Process::Edm => level.added * level.below / level.std,
        Process::SubVp { .. } => {
            let need = "a sub-VP process has no discrete chain; choose euler_maruyama or reverse_diffusion";
            return Err(Error::option("sampler", "ancestral", need));
        }
        _ => level.added,
    };
    Ok(Update { mean, noise })
}

/// The program of ancestral sampling.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    pc::with(context, sampler, Predictor::Ancestral, Corrector::None)
}
