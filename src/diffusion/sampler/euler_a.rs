//! Euler's method with ancestral noise (k-diffusion; diffusers'
//! `EulerAncestralDiscreteScheduler`): DDPM's chain in the scale `x = x0 + sigma eps`.
//!
//! From `sigma` to `sigma_next`, the step goes down to less and noise goes up again:
//!
//! ```text
//! sigma_up   = sigma_next sqrt(1 - sigma_next^2 / sigma^2)
//! sigma_down = sqrt(sigma_next^2 - sigma_up^2) = sigma_next^2 / sigma
//! x          = x + (sigma_down - sigma) (x - x0) / sigma + sigma_up z
//! ```

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Instruction, Program, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{mix, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Fractional, last: Last::Zero, round: false, bounds: false };

/// The program of Euler's method with ancestral noise.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut s = Solve::new(context, sampler, Space::Ve, RULES, Limits::NONE)?;
    s.refuse_sample()?;
    let z = s.register("z");
    let (x, x0) = (s.x, s.x0);
    for k in 0..s.len() {
        let (sigma, next) = (s.grid.sigmas[k], s.grid.sigmas[k + 1]);
        let (up, down) = split(sigma, next);
        let mut list = s.predict(k);
        let ratio = down / sigma;
        let mut terms = vec![Term::new(ratio, x), Term::new(1.0 - ratio, x0)];
        if up > 0.0 {
            list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
            terms.push(Term::new(up, z));
        }
        list.push(mix(x, terms));
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// `sigma_up` and `sigma_down`.
pub(super) fn split(sigma: f64, next: f64) -> (f64, f64) {
    let up = next * (1.0 - (next / sigma).powi(2)).max(0.0).sqrt();
    (up, next * next / sigma)
}
