//! Euler's method on the probability flow, with churn (Karras et al. 2022,
//! arXiv:2206.00364, algorithm 2 without its correction).
//!
//! The state is `x = x0 + sigma eps`. From `sigma` to `sigma_next`:
//!
//! ```text
//! gamma     = min(s_churn / steps, sqrt(2) - 1) where s_tmin <= sigma <= s_tmax, else 0
//! sigma_hat = sigma (1 + gamma)
//! x_hat     = x + sqrt(sigma_hat^2 - sigma^2) s_noise z
//! d         = (x_hat - x0) / sigma_hat
//! x         = x_hat + (sigma_next - sigma_hat) d
//! ```
//!
//! As in diffusers, the network sees x, not x_hat, and is told sigma's time.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Instruction, Program, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{mix, Solve, Space};
use super::{Context, Sampler};

/// How Euler's levels are spread.
const RULES: Rules = Rules { family: Family::Fractional, last: Last::Training, round: false, bounds: true };

/// The program of Euler's method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    in_space(context, sampler, Space::Ve)
}

/// The same, for a model in EDM's parametrisation too.
pub(super) fn in_space(context: &Context<'_>, sampler: Sampler, space: Space) -> Result<Program, Error> {
    let mut s = Solve::new(context, sampler, space, RULES, Limits::NONE)?;
    let churn = context.churn.unwrap_or_default();
    for (option, value) in [("s_churn", churn.s_churn), ("s_noise", churn.s_noise)] {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::option(option, value, "it must be finite and not negative"));
        }
    }
    let z = (churn.s_churn > 0.0).then(|| s.register("z"));
    let (x, x0) = (s.x, s.x0);
    let steps = (s.grid.sigmas.len() - 1) as f64;
    for k in 0..s.len() {
        let (sigma, next, t) = (s.grid.sigmas[k], s.grid.sigmas[k + 1], s.grid.times[k]);
        let gamma = match (churn.s_tmin..=churn.s_tmax).contains(&sigma) {
            true => (churn.s_churn / steps).min(2f64.sqrt() - 1.0),
            false => 0.0,
        };
        let hat = sigma * (1.0 + gamma);
        let mut list = s.evaluate(sigma, t);
        if let Some(z) = z.filter(|_| gamma > 0.0) {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            let added = churn.s_noise * (hat * hat - sigma * sigma).sqrt();
            list.push(mix(x, vec![Term::new(1.0, x), Term::new(added, z)]));
        }
        let views = match space {
            Space::Edm(_) => s.views(hat, hat),
            _ => s.views(sigma, hat),
        };
        list.extend(s.denoised(views));
        let ratio = next / hat;
        list.push(mix(x, vec![Term::new(ratio, x), Term::new(1.0 - ratio, x0)]));
        s.push(t, list);
    }
    Ok(s.program)
}
