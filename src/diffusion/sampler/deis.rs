//! DEIS, polynomials in `log rho` (Zhang & Chen 2022, arXiv:2204.13902, section 3.3,
//! "tAB" in `rho = sigma / alpha`; diffusers' `DEISMultistepScheduler`).
//!
//! The predicted noise is a polynomial in `log rho` through the last values, and its
//! integral over rho is exact:
//!
//! ```text
//! x_t = alpha_t (x / alpha_s + sum_j eps_j integral_{rho_s}^{rho_t} L_j(log rho) d rho)
//! ```
//!
//! The first steps have fewer values, and so do the last ones of fewer than 15
//! (`lower_order_final`). The last level is the least of training, not 0.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Program, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{sum, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Whole, last: Last::Never, round: true, bounds: false };

/// The program of DEIS.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let solver = &context.config.solver;
    let most = solver.solver_order.unwrap_or(2);
    if !(1..=3).contains(&most) {
        return Err(Error::config("solver_order", most, "it must be 1, 2 or 3"));
    }
    let mut s = Solve::new(context, sampler, Space::Vp, RULES, Limits::THRESHOLD)?;
    let steps = s.len();
    let few = solver.lower_order_final.unwrap_or(true) && steps < 15;
    let m = s.history(false, most);
    let x = s.x;
    for k in 0..steps {
        let order = match steps - k {
            1 if few => 1,
            2 if few => most.min(2),
            _ => most,
        }
        .min(k + 1);
        let (from, to) = (s.level(k), s.level(k + 1));
        let rho = |j: usize| s.grid.sigmas[k - j];
        if s.grid.sigmas[k + 1] <= 0.0 {
            return Err(Error::option(
                "sigmas",
                "0 at the end",
                "deis cannot go to 0; end with a small level",
            ));
        }
        let mut list = Solve::shift(&m, k);
        list.extend(s.predict(k));
        list.extend(s.remember(&m, k, false));
        let mut terms = vec![Term::new(to.alpha / from.alpha, x)];
        for (j, eps) in m.iter().enumerate().take(order) {
            let nodes: Vec<f64> = (0..order).filter(|i| *i != j).map(|i| rho(i).ln()).collect();
            let scale: f64 = nodes.iter().map(|node| rho(j).ln() - node).product();
            let integral = primitive(s.grid.sigmas[k + 1], &nodes) - primitive(rho(0), &nodes);
            terms.push(Term::new(to.alpha * integral / scale, *eps));
        }
        list.extend(sum(x, &terms));
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// An integral over rho of the product of `log rho - node`, of two nodes at most.
fn primitive(rho: f64, nodes: &[f64]) -> f64 {
    let l = rho.ln();
    match nodes {
        [] => rho,
        [a] => rho * (l - 1.0 - a),
        [a, b, ..] => rho * (l * l - 2.0 * l + 2.0 - (a + b) * (l - 1.0) + a * b),
    }
}
