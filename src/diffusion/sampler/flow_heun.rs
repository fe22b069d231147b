//! Heun's method on the probability flow in the model's own time (Song et al. 2021,
//! arXiv:2011.13456, section 4.3), with equal steps, then the last step to the image.
//! (`heun` is the method in sigma, Karras et al. 2022.)
//!
//! ```text
//! k1 = slope(t, x)      k2 = slope(t + h, x + h k1)      x = x + h/2 (k1 + k2)
//! ```

use super::super::program::Program;
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

/// Writes the method for any equation.
pub(super) fn integrate(m: &mut impl Equation, steps: usize) -> Result<(), Error> {
    let x = m.state();
    let (y, k1, k2) = (m.like("y"), m.like("k1"), m.like("k2"));
    let (start, end) = m.interval();
    let times_of: Vec<f64> = linspace(start, end, steps + 1).collect();
    for pair in times_of.windows(2) {
        let h = pair[1] - pair[0];
        let mut list = m.slope(At::Time(pair[0]), &x, &k1);
        list.extend(m.preview(pair[0]));
        list.extend(combine(&y, &[(times(1.0), &x), (times(h), &k1)]));
        list.extend(m.slope(At::Time(pair[1]), &y, &k2));
        list.extend(combine(&x, &[(times(1.0), &x), (times(0.5 * h), &k1), (times(0.5 * h), &k2)]));
        m.push(label(pair[0]), list);
    }
    m.push_last()
}
