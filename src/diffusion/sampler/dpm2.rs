//! The midpoint method on the probability flow, the midpoint being taken in `log
//! sigma` (k-diffusion's DPM2 after Karras et al. 2022, arXiv:2206.00364, and
//! DPM-Solver-2 of Lu et al. 2022, arXiv:2206.00927; diffusers'
//! `KDPM2DiscreteScheduler`).
//!
//! ```text
//! sigma_mid = sqrt(sigma sigma_next)
//! x_mid     = x + (sigma_mid - sigma) d(x, sigma)
//! x         = x + (sigma_next - sigma) d(x_mid, sigma_mid)
//! ```
//!
//! with `d = (x - x0) / sigma`. A program step is one evaluation; the last step, to
//! sigma = 0, is Euler's alone.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Instruction, Program, Reg, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{copy, mix, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Fractional, last: Last::Zero, round: true, bounds: false };

/// The program of the midpoint method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    midpoints(context, sampler, |_, next| (0.0, next))
}

/// The midpoint method to `down`, with the noise `up`: both of `split(sigma, next)`.
pub(super) fn midpoints(
    context: &Context<'_>,
    sampler: Sampler,
    split: impl Fn(f64, f64) -> (f64, f64),
) -> Result<Program, Error> {
    let mut s = Solve::new(context, sampler, Space::Ve, RULES, Limits::NONE)?;
    s.refuse_sample()?;
    let start = s.register("start");
    let z: Option<Reg> = (split(2.0, 1.0).0 > 0.0).then(|| s.register("z"));
    let (x, x0) = (s.x, s.x0);
    for k in 0..s.len() {
        let (sigma, next) = (s.grid.sigmas[k], s.grid.sigmas[k + 1]);
        let (up, down) = split(sigma, next);
        let middle = (sigma * down).sqrt();
        let mut list = s.predict(k);
        list.push(copy(start, x));
        list.push(mix(x, vec![Term::new(middle / sigma, x), Term::new(1.0 - middle / sigma, x0)]));
        s.push(s.grid.times[k], list);
        if middle > 0.0 {
            let (t, views) = (s.time_of(middle), s.views(middle, middle));
            let mut list = s.evaluate(middle, t);
            list.extend(s.denoised(views));
            let slope = (down - sigma) / middle;
            let mut terms = vec![Term::new(slope, x), Term::new(-slope, x0), Term::new(1.0, start)];
            if let Some(z) = z {
                list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
                terms.push(Term::new(up, z));
            }
            list.push(mix(x, terms));
            s.push(t, list);
        }
    }
    Ok(s.program)
}
