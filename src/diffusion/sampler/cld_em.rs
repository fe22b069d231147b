//! Euler-Maruyama on the reverse process of critically damped Langevin diffusion (Dockhorn et
//! al. 2022, arXiv:2112.07068, appendix B.5).
//!
//! ```text
//! x -= beta v / M dt,    v += (beta x + Gamma beta v / M + 2 Gamma beta s) dt + sqrt(2 Gamma beta dt) e
//! ```

use super::super::program::{Program, Term};
use super::super::Error;
use super::langevin::{mix, Langevin};
use super::{Context, Sampler};

/// The program of Euler and Maruyama.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut p = Langevin::new(context, sampler)?;
    let (x, v, out) = (p.x, p.v, p.out);
    let (next, noise) = (p.register("next v"), p.register("noise"));
    let (process, f) = (p.process(), p.process().friction());
    for k in 0..p.steps {
        let (tau, dt) = (p.tau(k), p.tau(k + 1) - p.tau(k));
        let t = 1.0 - tau;
        let beta = process.beta(t);
        let (of_v, of_out) = process.score(t);
        let list = vec![
            p.eval(x, v, t),
            p.noise(noise),
            mix(
                next,
                vec![
                    Term::new(1.0 + dt * f * beta * (process.m_inv + 2.0 * of_v), v),
                    Term::new(dt * beta, x),
                    Term::new(dt * 2.0 * f * beta * of_out, out),
                    Term::new((2.0 * f * beta * dt).sqrt(), noise),
                ],
            ),
            mix(x, vec![Term::new(1.0, x), Term::new(-dt * process.m_inv * beta, v)]),
            mix(v, vec![Term::new(1.0, next)]),
        ];
        p.push(format!("t = {t:.5}"), list);
    }
    Ok(p.finish())
}
