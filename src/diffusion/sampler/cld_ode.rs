//! The probability flow of critically damped Langevin diffusion (Dockhorn et al. 2022,
//! arXiv:2112.07068, eq. 9) by Kutta's fourth-order method, the 3/8 rule (1901).
//!
//! ```text
//! dx = -beta v / M,    dv = beta x + Gamma beta v / M + Gamma beta s
//! ```
//!
//! Steps are `1 / steps` long, the last one shorter: it ends at `1 - eps`. Four network
//! evaluations a step.

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::Error;
use super::langevin::{mix, Langevin};
use super::{Context, Sampler};

/// The program of the flow.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut p = Langevin::new(context, sampler)?;
    // All steps are the flow's: the denoising one comes on top.
    let steps = p.steps + usize::from(p.of.denoising);
    let y = [p.x, p.v];
    let stage = [p.register("x stage"), p.register("v stage")];
    let slopes: Vec<[Reg; 2]> =
        (1..=4).map(|i| [p.register(&format!("k{i} x")), p.register(&format!("k{i} v"))]).collect();
    let end = 1.0 - p.of.eps;
    for k in 0..steps {
        let tau = k as f64 / steps as f64;
        let dt = ((k + 1) as f64 / steps as f64).min(end) - tau;
        if dt <= 0.0 {
            break;
        }
        // Where each stage is, and what the slopes before it count there.
        let stages: [(f64, &[f64]); 4] = [
            (0.0, &[]),
            (1.0 / 3.0, &[1.0 / 3.0]),
            (2.0 / 3.0, &[-1.0 / 3.0, 1.0]),
            (1.0, &[1.0, -1.0, 1.0]),
        ];
        let mut list = Vec::new();
        for (i, (at, weights)) in stages.into_iter().enumerate() {
            for half in 0..2 {
                let slopes = weights.iter().zip(&slopes).map(|(w, k)| Term::new(w * dt, k[half]));
                let terms = std::iter::once(Term::new(1.0, y[half])).chain(slopes).collect();
                list.push(mix(stage[half], terms));
            }
            list.extend(slope(&p, 1.0 - (tau + at * dt), stage, slopes[i]));
        }
        for half in 0..2 {
            let weights = [1.0, 3.0, 3.0, 1.0].iter().zip(&slopes);
            let terms = weights.map(|(w, k)| Term::new(w * dt / 8.0, k[half]));
            list.push(mix(y[half], std::iter::once(Term::new(1.0, y[half])).chain(terms).collect()));
        }
        p.push(format!("t = {:.5}", 1.0 - tau), list);
    }
    Ok(p.finish())
}

/// The flow's slope at t.
fn slope(p: &Langevin, t: f64, [x, v]: [Reg; 2], [to_x, to_v]: [Reg; 2]) -> Vec<Instruction> {
    let (process, f) = (p.process(), p.process().friction());
    let beta = process.beta(t);
    let (of_v, of_out) = process.score(t);
    let terms = vec![
        Term::new(beta, x),
        Term::new(f * beta * (process.m_inv + of_v), v),
        Term::new(f * beta * of_out, p.out),
    ];
    vec![p.eval(x, v, t), mix(to_x, vec![Term::new(-process.m_inv * beta, v)]), mix(to_v, terms)]
}
