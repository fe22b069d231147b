//! The probability flow of a latent score-based model (Vahdat, Kreis & Kautz 2021,
//! arXiv:2106.05931, section 3.2) by Kutta's fourth-order method, the 3/8 rule (1901), and the
//! decoder.
//!
//! ```text
//! dx/dt = f(t) x + g(t)^2 eps / (2 sqrt(var_t))
//! ```
//!
//! from t = 1 down to `ode_eps`, in steps `1 / steps` long, the last one shorter. Four network
//! evaluations a step.

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::Error;
use super::latent::Latent;
use super::{Context, Sampler};

/// The program of the flow.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut p = Latent::new(context, sampler)?;
    let x = p.x;
    let stage = p.program.register("stage", context.shape);
    let slopes: Vec<Reg> = (1..=4).map(|i| p.program.register(&format!("k{i}"), context.shape)).collect();
    let (n, end) = (p.steps as f64, p.of.ode_eps);
    for k in 0..p.steps {
        let t = 1.0 - k as f64 / n;
        let dt = (1.0 - (k + 1) as f64 / n).max(end) - t;
        if dt >= 0.0 {
            break;
        }
        let stages: [(f64, &[f64]); 4] = [
            (0.0, &[]),
            (1.0 / 3.0, &[1.0 / 3.0]),
            (2.0 / 3.0, &[-1.0 / 3.0, 1.0]),
            (1.0, &[1.0, -1.0, 1.0]),
        ];
        let mut list = Vec::new();
        for (i, (at, weights)) in stages.into_iter().enumerate() {
            let before = weights.iter().zip(&slopes).map(|(w, k)| Term::new(w * dt, *k));
            let terms = std::iter::once(Term::new(1.0, x)).chain(before).collect();
            list.push(Instruction::Mix { dst: stage, terms, clamp: None });
            let at = t + at * dt;
            list.push(p.eval(stage, at));
            let factor = 0.5 * p.of.sde.diffusion2(at) / p.variance(at).sqrt();
            let mixing = p.of.sde.mixing(at) * (p.variance(at) / p.of.sde.variance(at)).sqrt();
            let mut terms = vec![Term::new(p.of.sde.drift(at), stage)];
            terms.extend(p.eps(factor, mixing));
            list.push(Instruction::Mix { dst: slopes[i], terms, clamp: None });
        }
        let weights = [1.0, 3.0, 3.0, 1.0].iter().zip(&slopes);
        let terms = weights.map(|(w, k)| Term::new(w * dt / 8.0, *k));
        let terms = std::iter::once(Term::new(1.0, x)).chain(terms).collect();
        list.push(Instruction::Mix { dst: x, terms, clamp: None });
        p.push(format!("t = {t:.5}"), list);
    }
    Ok(p.finish())
}
