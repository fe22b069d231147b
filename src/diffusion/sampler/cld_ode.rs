//! The probability flow of critically damped Langevin diffusion (Dockhorn et al. 2022,
//! arXiv:2112.07068, eq. 9) by Kutta's fourth-order method, the 3/8 rule (1901).
//!
//! ```text
//! dx = beta v / M dt,    dv = -(beta x + Gamma beta v / M + Gamma beta s) dt
//! ```
//!
//! Steps are `1 / steps` long, the last one shorter: it ends at `eps`. Four network
//! evaluations a step. (`rk45` solves the same flow with steps of its own choice.)

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::system::CldSampling;
use super::super::Error;
use super::equation::{At, Equation, Units};
use super::langevin::{mix, Langevin};
use super::tabled::{self, Tabled};
use super::{rk4, rk45, Context, Sampler};

/// The program of the flow.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut m = Flow { p: Langevin::new(context, sampler)?, tabled: None };
    // All steps are the flow's: the denoising one comes on top.
    let steps = m.p.steps + usize::from(m.p.of.denoising);
    let time = |k: usize| (1.0 - k as f64 / steps as f64).max(m.p.of.eps);
    let mut times: Vec<f64> = (0..=steps).map(time).collect();
    times.dedup();
    rk4::three_eighths(&mut m, &times)?;
    Ok(m.p.program)
}

/// The same by [`rk45`].
pub(super) fn adaptive(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut m = Flow { p: Langevin::new(context, sampler)?, tabled: None };
    let (rtol, atol) = m.p.of.tolerances;
    let tolerances = context.options.tolerances(rtol, atol)?;
    rk45::integrate(&mut m, tolerances, context.options.error_control)?;
    Ok(m.p.program)
}

/// The flow as an equation in (x, v).
struct Flow {
    p: Langevin,
    tabled: Option<Tabled<4>>,
}

/// The slope's factors at t: of v in x; of x, v and the network's output in v.
fn factors(of: &CldSampling, t: f64) -> [f64; 4] {
    let (process, f) = (&of.process, of.process.friction());
    let beta = process.beta(t);
    let (of_v, of_out) = process.score(t);
    [process.m_inv * beta, -beta, -f * beta * (process.m_inv + of_v), -f * beta * of_out]
}

impl Equation for Flow {
    fn interval(&self) -> (f64, f64) {
        (1.0, self.p.of.eps)
    }

    fn state(&self) -> Vec<Reg> {
        vec![self.p.x, self.p.v]
    }

    fn program(&mut self) -> &mut Program {
        &mut self.p.program
    }

    fn tabulate(&mut self, units: Units) -> Result<(), Error> {
        let names = ["of v in x", "of x in v", "of v in v", "of out in v"];
        let (of, interval) = (self.p.of, self.interval());
        self.tabled = Some(Tabled::new(&mut self.p.program, units, interval, names, |t| factors(&of, t))?);
        Ok(())
    }

    fn slope(&self, at: At, state: &[Reg], into: &[Reg]) -> Vec<Instruction> {
        let ([x, v], [to_x, to_v]) = ([state[0], state[1]], [into[0], into[1]]);
        let mut list = Vec::new();
        let known = tabled::at(at, self.tabled.as_ref(), |t| factors(&self.p.of, t), &mut list);
        // A program without its tables is not valid: the time is never written.
        let Some((time, factors)) = known else { return list };
        let term = |i: usize, src| Term { coef: factors[i], src };
        list.extend([
            self.p.eval(x, v, time),
            mix(to_x, vec![term(0, v)]),
            mix(to_v, vec![term(1, x), term(2, v), term(3, self.p.out)]),
        ]);
        list
    }

    fn push(&mut self, label: String, instructions: Vec<Instruction>) {
        self.p.push(label, instructions);
    }

    fn push_last(&mut self) -> Result<(), Error> {
        self.p.push_last();
        Ok(())
    }
}
