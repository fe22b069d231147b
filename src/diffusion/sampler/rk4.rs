//! The classical Runge-Kutta method of order 4 on the probability flow (Song et al.
//! 2021, arXiv:2011.13456, section 4.3), with equal steps in the model's own time, then
//! the last step to the image.
//!
//! ```text
//! k1 = slope(t, x)                      k2 = slope(t + h/2, x + h/2 k1)
//! k3 = slope(t + h/2, x + h/2 k2)       k4 = slope(t + h, x + h k3)
//! x  = x + h/6 (k1 + 2 k2 + 2 k3 + k4)
//! ```

use super::super::program::{Coef, Program, Reg};
use super::super::schedule::linspace;
use super::super::Error;
use super::equation::{combine, label, times, At, Equation};
use super::view::Model;
use super::{Context, Sampler};

/// The program of the method.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut m = Model::new(context, sampler)?;
    integrate(&mut m, Model::count(context, sampler)?)?;
    Ok(m.program)
}

/// Writes Kutta's other method of the order for any equation, the 3/8 rule (1901), on a grid of
/// times from where the solution begins to where it ends:
///
/// ```text
/// k2 = slope(t + h/3, x + h/3 k1)     k3 = slope(t + 2h/3, x + h (k2 - k1/3))
/// k4 = slope(t + h, x + h (k1 - k2 + k3))     x = x + h/8 (k1 + 3 k2 + 3 k3 + k4)
/// ```
pub(super) fn three_eighths(m: &mut impl Equation, grid: &[f64]) -> Result<(), Error> {
    const STAGES: [(f64, &[f64]); 4] =
        [(0.0, &[]), (1.0 / 3.0, &[1.0 / 3.0]), (2.0 / 3.0, &[-1.0 / 3.0, 1.0]), (1.0, &[1.0, -1.0, 1.0])];
    let (x, y) = (m.state(), m.like("y"));
    let k: Vec<Vec<Reg>> = (1..=4).map(|i| m.like(&format!("k{i}"))).collect();
    for pair in grid.windows(2) {
        let (t, h) = (pair[0], pair[1] - pair[0]);
        let sum = |weights: &[f64]| -> Vec<(Coef, &[Reg])> {
            let all = weights.iter().zip(&k).map(|(w, k)| (times(w * h), k.as_slice()));
            std::iter::once((times(1.0), x.as_slice())).chain(all).collect()
        };
        let mut list = Vec::new();
        for ((at, weights), k) in STAGES.into_iter().zip(&k) {
            let state = if weights.is_empty() { &x } else { &y };
            if !weights.is_empty() {
                list.extend(combine(&y, &sum(weights)));
            }
            let at = if at == 1.0 { pair[1] } else { t + at * h };
            list.extend(m.slope(At::Time(at), state, k));
        }
        list.extend(combine(&x, &sum(&[0.125, 0.375, 0.375, 0.125])));
        m.push(label(t), list);
    }
    m.push_last()
}

/// Writes the method for any equation.
pub(super) fn integrate(m: &mut impl Equation, steps: usize) -> Result<(), Error> {
    let x = m.state();
    let (y, k, sum) = (m.like("y"), m.like("k"), m.like("sum"));
    let (start, end) = m.interval();
    let times_of: Vec<f64> = linspace(start, end, steps + 1).collect();
    for pair in times_of.windows(2) {
        let (t, h) = (pair[0], pair[1] - pair[0]);
        let mut list = m.slope(At::Time(t), &x, &k);
        list.extend(m.preview(t));
        list.extend(combine(&sum, &[(times(1.0), &x), (times(h / 6.0), &k)]));
        for (at, weight) in [(0.5, 2.0), (0.5, 2.0), (1.0, 1.0)] {
            list.extend(combine(&y, &[(times(1.0), &x), (times(at * h), &k)]));
            let at = if at == 1.0 { pair[1] } else { t + at * h };
            list.extend(m.slope(At::Time(at), &y, &k));
            list.extend(combine(&sum, &[(times(1.0), &sum), (times(weight * h / 6.0), &k)]));
        }
        list.extend(combine(&x, &[(times(1.0), &sum)]));
        m.push(label(t), list);
    }
    m.push_last()
}
