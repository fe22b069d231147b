//! DDRM, denoising diffusion restoration (Kawar et al. 2022, arXiv:2201.11793, equations 7 and 8).
//!
//! In the basis of the degradation's singular vectors, `x_ = V^T x / sqrt(alpha_bar)` and
//! `y_ = S^+ U^T y`, each coefficient goes its own way. With `s` its singular value, `sigma_y` the
//! noise of the measurement, `x0_` the predicted image and `sigma = sqrt((1 - alpha_bar) / alpha_bar)`
//! where the step leads:
//!
//! ```text
//! s = 0:                  x0_ + sqrt(1 - eta^2) sigma eps_ + eta sigma z
//! sigma < sigma_y / s:    x0_ + sqrt(1 - eta^2) sigma (y_ - x0_) s / sigma_y + eta sigma z
//! otherwise:              (1 - eta_b) x0_ + eta_b y_ + sqrt(sigma^2 - (eta_b sigma_y / s)^2) z
//! ```
//!
//! eta is 0.85 and eta_b 1 by default, as in the paper's experiments. The measurement's own noise is not taken from
//! the first draw, where it is lost in sigma.

use super::super::linear::{Operator, Spectrum};
use super::super::program::{Instruction, Program, Reg, Term};
use super::super::timesteps::Stride;
use super::super::Error;
use super::{Context, Sampler, Setup};
use crate::shape::Shape;

/// The paper's eta.
const ETA: f64 = 0.85;

/// Factors for each coefficient in a step to a noise level.
struct Factors {
    /// Of `y_ - x0_`.
    to_measured: Vec<f64>,
    /// Of the predicted noise.
    predicted: Vec<f64>,
    /// Of fresh noise.
    fresh: Vec<f64>,
}

impl Factors {
    fn new(values: &[f64], [eta, eta_b]: [f64; 2], noise: f64, sigma: f64) -> Factors {
        let (kept, renewed) = ((1.0 - eta * eta).max(0.0).sqrt() * sigma, eta * sigma);
        let one = |s: &f64| match noise / s {
            _ if *s == 0.0 => (0.0, kept, renewed),
            of if sigma < of => (kept / of, 0.0, renewed),
            of => (eta_b, 0.0, (sigma * sigma - (eta_b * of).powi(2)).max(0.0).sqrt()),
        };
        let all: Vec<_> = values.iter().map(one).collect();
        Factors {
            to_measured: all.iter().map(|f| f.0).collect(),
            predicted: all.iter().map(|f| f.1).collect(),
            fresh: all.iter().map(|f| f.2).collect(),
        }
    }
}

/// The program of DDRM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let task = context.task(sampler)?;
    let Some(spectrum) = task.degradation.spectrum() else {
        let need = "ddrm wants its singular values, which are not known; choose ddnm";
        return Err(Error::option("degradation", task.degradation.name(), need));
    };
    let eta = context.eta.unwrap_or(ETA);
    let eta_b = context.options.eta_b.unwrap_or(1.0);
    for (name, value) in [("eta", eta), ("eta-b", eta_b)] {
        if !(0.0..=1.0).contains(&value) {
            return Err(Error::option(name, value, "choose 0 to 1"));
        }
    }
    let mut s = Setup::new(context, sampler, false)?;
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let shape = context.shape;
    let p = &mut s.program;
    let y = p.input("y", task.degradation.operator().to());
    let [measured, of_x0, eps, of_eps, z, part] =
        ["y_", "x0_", "eps", "eps_", "z", "part"].map(|name| p.register(name, shape));
    let inverse = p.operator("A+", task.degradation.pseudo_inverse());
    // Without noise of the measurement the factors are one pattern at every level.
    let seen = (task.noise == 0.0).then(|| p.operator("seen", spectrum.seen()));
    let Spectrum { analysis, synthesis, values } = spectrum;
    let (analysis, synthesis) = (p.operator("V^T", analysis), p.operator("V", synthesis));
    let mix = |dst, terms| Instruction::Mix { dst, terms, clamp: None };
    let apply = |dst, operator, src| Instruction::Apply { dst, operator, src };
    for (k, Stride { t, prev }) in s.strides(context).into_iter().enumerate() {
        let views = s.views(t)?;
        let alpha_bar = s.alpha_bar_prev(t, prev, 1.0)?;
        let sigma = ((1.0 - alpha_bar) / alpha_bar).max(0.0).sqrt();
        let mut list = Vec::new();
        if k == 0 {
            // y_, and what it says of the state at the first level.
            list.extend([apply(part, inverse, y), apply(measured, analysis, part)]);
            list.push(mix(x, vec![Term::new(1.0, x), Term::new(s.alpha_bar(t).sqrt(), part)]));
        }
        list.extend(s.model.instructions(x, t as f64));
        list.extend(s.denoise.instructions(views, x, out));
        list.push(mix(eps, s.denoise.eps_terms(views, 1.0, x, out)));
        list.extend([apply(of_x0, analysis, x0), apply(of_eps, analysis, eps)]);
        list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
        let (kept, renewed) = ((1.0 - eta * eta).max(0.0).sqrt() * sigma, eta * sigma);
        match seen {
            // All of it as if nothing were seen, then the difference where something is.
            Some(seen) => list.extend([
                mix(
                    part,
                    vec![
                        Term::new(eta_b, measured),
                        Term::new(-eta_b, of_x0),
                        Term::new(-kept, of_eps),
                        Term::new(sigma - renewed, z),
                    ],
                ),
                apply(eps, seen, part),
                mix(
                    of_x0,
                    vec![
                        Term::new(1.0, of_x0),
                        Term::new(kept, of_eps),
                        Term::new(renewed, z),
                        Term::new(1.0, eps),
                    ],
                ),
            ]),
            None => {
                let f = Factors::new(&values, [eta, eta_b], task.noise, sigma);
                list.push(mix(part, vec![Term::new(1.0, measured), Term::new(-1.0, of_x0)]));
                let parts: [(&str, Vec<f64>, Reg); 3] =
                    [("of y", f.to_measured, part), ("of eps", f.predicted, of_eps), ("of z", f.fresh, z)];
                for (name, factors, src) in parts {
                    let operator = s.program.operator(name, diagonal(shape, factors));
                    list.push(apply(eps, operator, src));
                    list.push(mix(of_x0, vec![Term::new(1.0, of_x0), Term::new(1.0, eps)]));
                }
            }
        }
        list.push(apply(eps, synthesis, of_x0));
        list.push(mix(x, vec![Term::new(alpha_bar.sqrt(), eps)]));
        s.push(t, list);
    }
    Ok(s.program)
}

fn diagonal(shape: Shape, factors: Vec<f64>) -> Operator {
    Operator::Diagonal { shape, factors }
}
