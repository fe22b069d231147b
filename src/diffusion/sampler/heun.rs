//! Heun's method on the probability flow (Karras et al. 2022, arXiv:2206.00364,
//! algorithm 1): Euler's step, then the same step with the mean of both slopes.
//!
//! The state is `x = x0 + sigma eps`, its slope `d = (x - x0) / sigma`. A program
//! step is one evaluation, as in diffusers: after the first one of two the state is
//! Euler's. The last step, to sigma = 0, is Euler's alone.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Program, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{copy, mix, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Fractional, last: Last::Zero, round: false, bounds: false };

/// The program of Heun's method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let limits = Limits { clip: Some(false), threshold: false };
    let mut s = Solve::new(context, sampler, Space::Ve, RULES, limits)?;
    let (start, d) = (s.register("start"), s.register("d"));
    let (x, x0) = (s.x, s.x0);
    for k in 0..s.len() {
        let (sigma, next) = (s.grid.sigmas[k], s.grid.sigmas[k + 1]);
        let mut list = s.predict(k);
        list.push(copy(start, x));
        list.push(mix(d, vec![Term::new(1.0 / sigma, x), Term::new(-1.0 / sigma, x0)]));
        list.push(mix(x, vec![Term::new(next / sigma, x), Term::new(1.0 - next / sigma, x0)]));
        s.push(s.grid.times[k], list);
        if next > 0.0 && k + 1 < s.len() {
            let half = 0.5 * (next - sigma);
            let mut list = s.predict(k + 1);
            list.push(mix(
                x,
                vec![
                    Term::new(half / next, x),
                    Term::new(-half / next, x0),
                    Term::new(half, d),
                    Term::new(1.0, start),
                ],
            ));
            s.push(s.grid.times[k + 1], list);
        }
    }
    Ok(s.program)
}
