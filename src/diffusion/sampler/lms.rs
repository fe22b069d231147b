//! Linear multistep (Adams-Bashforth with steps of any length) on the probability
//! flow (k-diffusion; diffusers' `LMSDiscreteScheduler`).
//!
//! The state is `x = x0 + sigma eps`, its slope `d_k = (x - x0) / sigma_k`. The last
//! `order` slopes are interpolated by a polynomial in sigma, which is integrated:
//!
//! ```text
//! x = x + sum_j d_{k-j} integral_{sigma_k}^{sigma_{k+1}} prod_{i != j} (s - sigma_{k-i}) / (sigma_{k-j} - sigma_{k-i}) ds
//! ```
//!
//! The first steps have fewer slopes: of order 4 in the steps, 2 in all.

use super::super::grid::{Family, Last, Rules};
use super::super::program::{Program, Term};
use super::super::Error;
use super::denoise::Limits;
use super::solve::{copy, mix, sum, Solve, Space};
use super::{Context, Sampler};

const RULES: Rules = Rules { family: Family::Fractional, last: Last::Zero, round: false, bounds: false };
const MOST: usize = 8;

/// The program of the linear multistep method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let order = context.order.unwrap_or(4);
    if !(1..=MOST).contains(&order) {
        return Err(Error::option("order", order, format!("choose 1 to {MOST}")));
    }
    let mut s = Solve::new(context, sampler, Space::Ve, RULES, Limits::NONE)?;
    let slopes: Vec<_> = (0..order).map(|j| s.register(&format!("d{j}"))).collect();
    let x = s.x;
    for k in 0..s.len() {
        let known = order.min(k + 1);
        let mut list = s.predict(k);
        list.extend((1..known).rev().map(|j| copy(slopes[j], slopes[j - 1])));
        list.push(mix(slopes[0], s.eps_terms(k)));
        let mut terms = vec![Term::new(1.0, x)];
        terms.extend((0..known).map(|j| Term::new(weight(&s.grid.sigmas, k, known, j), slopes[j])));
        list.extend(sum(x, &terms));
        s.push(s.grid.times[k], list);
    }
    Ok(s.program)
}

/// The integral of the j-th of `known` Lagrange polynomials, exact to degree 7.
fn weight(sigmas: &[f64], k: usize, known: usize, j: usize) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (-0.861_136_311_594_052_6, 0.347_854_845_137_453_9),
        (-0.339_981_043_584_856_3, 0.652_145_154_862_546_1),
        (0.339_981_043_584_856_3, 0.652_145_154_862_546_1),
        (0.861_136_311_594_052_6, 0.347_854_845_137_453_9),
    ];
    let (from, to) = (sigmas[k], sigmas[k + 1]);
    let lagrange = |at: f64| {
        let others = (0..known).filter(|i| *i != j);
        others.map(|i| (at - sigmas[k - i]) / (sigmas[k - j] - sigmas[k - i])).product::<f64>()
    };
    let half = 0.5 * (to - from);
    NODES.iter().map(|(node, w)| w * half * lagrange(0.5 * (from + to) + half * node)).sum()
}
