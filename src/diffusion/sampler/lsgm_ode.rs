//! The probability flow of a latent score-based model (Vahdat, Kreis & Kautz 2021,
//! arXiv:2106.05931, section 3.2) by Kutta's fourth-order method, the 3/8 rule (1901), and the
//! decoder.
//!
//! ```text
//! dx/dt = f(t) x + g(t)^2 eps / (2 sqrt(var_t))
//! ```
//!
//! from t = 1 down to `ode_eps`, in steps `1 / steps` long, the last one shorter. Four network
//! evaluations a step. (`rk45`, the paper's, solves the same flow with steps of its own choice.)

use super::super::program::{Instruction, Program, Reg, Term};
use super::super::system::Lsgm;
use super::super::Error;
use super::equation::{At, Equation, Units};
use super::langevin::mix;
use super::latent::Latent;
use super::tabled::{self, Tabled};
use super::{rk4, rk45, Context, Sampler};

/// The program of the flow.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let mut m = Flow { p: Latent::new(context, sampler)?, tabled: None };
    let time = |k: usize| (1.0 - k as f64 / m.p.steps as f64).max(m.p.of.ode_eps);
    let mut times: Vec<f64> = (0..=m.p.steps).map(time).collect();
    times.dedup();
    rk4::three_eighths(&mut m, &times)?;
    Ok(m.p.program)
}

/// The same by [`rk45`].
pub(super) fn adaptive(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    // The reference's f32 variances are no smooth function.
    let context = Context { single: false, ..context.clone() };
    let mut m = Flow { p: Latent::new(&context, sampler)?, tabled: None };
    let (rtol, atol) = (m.p.of.ode_tol, m.p.of.ode_tol);
    let tolerances = context.options.tolerances(rtol, atol)?;
    rk45::integrate(&mut m, tolerances, context.options.error_control)?;
    Ok(m.p.program)
}

/// The flow as an equation in the latents.
struct Flow {
    p: Latent,
    tabled: Option<Tabled<3>>,
}

/// The slope's factors at t: of the latents, of the network's part of the prediction and of the
/// latents' part.
fn factors(of: &Lsgm, single: bool, t: f64) -> [f64; 3] {
    let variance = if single { of.sde.variance_single(t) } else { of.sde.variance(t) };
    let factor = 0.5 * of.sde.diffusion2(t) / variance.sqrt();
    let mixing = of.sde.mixing(t) * (variance / of.sde.variance(t)).sqrt();
    [of.sde.drift(t), factor, factor * mixing]
}

impl Equation for Flow {
    fn interval(&self) -> (f64, f64) {
        (1.0, self.p.of.ode_eps)
    }

    fn state(&self) -> Vec<Reg> {
        vec![self.p.x]
    }

    fn program(&mut self) -> &mut Program {
        &mut self.p.program
    }

    fn tabulate(&mut self, units: Units) -> Result<(), Error> {
        let (of, single, interval) = (self.p.of, self.p.single, self.interval());
        let names = ["of x", "of net", "of mixed x"];
        let f = |t| factors(&of, single, t);
        self.tabled = Some(Tabled::new(&mut self.p.program, units, interval, names, f)?);
        Ok(())
    }

    fn slope(&self, at: At, state: &[Reg], into: &[Reg]) -> Vec<Instruction> {
        let mut list = Vec::new();
        let f = |t| factors(&self.p.of, self.p.single, t);
        // A program without its tables is not valid: the time is never written.
        let Some((time, factors)) = tabled::at(at, self.tabled.as_ref(), f, &mut list) else { return list };
        let srcs = [state[0], self.p.of_net, self.p.of_x];
        let terms = factors.into_iter().zip(srcs).map(|(coef, src)| Term { coef, src });
        list.extend([self.p.eval(state[0], time), mix(into[0], terms.collect())]);
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
