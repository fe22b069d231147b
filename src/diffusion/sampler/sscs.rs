//! SSCS: the symmetric splitting sampler of critically damped Langevin diffusion (Dockhorn,
//! Vahdat & Kreis 2022, arXiv:2112.07068, section 3.4 and appendix D).
//!
//! The reverse process is cut into a part that is solved exactly, A (the Hamiltonian and an
//! Ornstein-Uhlenbeck process), and a kick by what the score is more than its equilibrium, S:
//!
//! ```text
//! A(dt/2), S(dt), A(dt/2),    S: v += 2 Gamma beta (s + v / M) dt
//! ```
//!
//! As in the reference, both halves of a step take beta over its first half. One network
//! evaluation and two draws of noise a step.

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::Error;
use super::langevin::{mix, Langevin};
use super::{Context, Sampler};

/// The program of SSCS.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut p = Langevin::new(context, sampler)?;
    let (x, v) = (p.x, p.v);
    // Each half goes from one pair of registers to the other.
    let (y, w) = (p.register("x half"), p.register("v half"));
    let noise = (p.register("noise x"), p.register("noise v"));
    let (process, friction) = (p.process(), p.process().friction());
    for k in 0..p.steps {
        let (tau, dt) = (p.tau(k), p.tau(k + 1) - p.tau(k));
        let t = 1.0 - tau;
        let mut list = half(&mut p, (t, dt), (x, v), (y, w), noise);
        list.push(p.eval(y, w, t));
        let kick = 2.0 * friction * process.beta(t) * dt;
        let (of_v, of_out) = process.score(t);
        let terms = vec![Term::new(1.0 + kick * (of_v + process.m_inv), w), Term::new(kick * of_out, p.out)];
        list.push(mix(w, terms));
        list.extend(half(&mut p, (t, dt), (y, w), (x, v), noise));
        p.push(format!("t = {t:.5}"), list);
    }
    Ok(p.finish())
}

/// A(dt/2) from one pair of registers to another.
fn half(
    p: &mut Langevin,
    (t, dt): (f64, f64),
    from: (Reg, Reg),
    to: (Reg, Reg),
    noise: (Reg, Reg),
) -> Vec<Instruction> {
    let (mean, covariance) = p.process().analytic(t, 0.5 * dt, p.of.stabilise);
    let l = covariance.cholesky();
    let sum = |row: [f64; 2]| vec![Term::new(row[0], from.0), Term::new(row[1], from.1)];
    let (mut x, mut v) = (sum(mean[0]), sum(mean[1]));
    x.push(Term::new(l.xx, noise.0));
    v.extend([Term::new(l.vx, noise.0), Term::new(l.vv, noise.1)]);
    vec![p.noise(noise.0), p.noise(noise.1), mix(to.0, x), mix(to.1, v)]
}
