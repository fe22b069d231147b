//! Denoising diffusion GANs (Xiao, Kreis & Vahdat 2022, arXiv:2112.07804, section 4).
//!
//! The generator draws `x0` from `x_i` and a fresh vector `z`; the posterior of the
//! discrete chain (Ho et al. 2020, eq. 7) leads from there to `x_{i-1}`:
//!
//! ```text
//! x_{i-1} = beta_i sqrt(A_{i-1}) / (1 - A_i) x0 + (1 - A_{i-1}) sqrt(1 - beta_i) / (1 - A_i) x_i + sd_i e
//! sd_i^2  = beta_i (1 - A_{i-1}) / (1 - A_i),    A_i = prod (1 - beta)
//! ```
//!
//! with betas of VP's `alpha_bar` at `t_k = eps + (1 - eps) k / T`. Noise of step k (from 0) is
//! draw k + 1, its vector z draw T + k + 1.

use super::super::program::{Instruction, Net, Output, Program, Step, Term, Time};
use super::super::system::{Ddgan, System};
use super::super::Error;
use super::{system_of, Context, Sampler};
use crate::shape::Shape;

/// The time of the chain's beginning.
const EPS: f64 = 1e-3;

/// What a step multiplies with: x0, x and noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Posterior {
    /// Of x0.
    pub x0: f64,
    /// Of the state.
    pub x: f64,
    /// Of the noise; 0 at the last step.
    pub noise: f64,
}

/// The steps' coefficients, by `i` from 0 (the last step).
pub fn posterior(of: &Ddgan) -> Vec<Posterior> {
    let alpha_bar = |k: usize| {
        let t = EPS + (1.0 - EPS) * k as f64 / of.steps as f64;
        match of.geometric {
            true => 1.0 - of.beta_min * (of.beta_max / of.beta_min).powf(t),
            false => (-0.5 * t * t * (of.beta_max - of.beta_min) - t * of.beta_min).exp(),
        }
    };
    let mut before = 1.0;
    let step = |k: usize| {
        // Betas are f32 in the reference, which counts from them.
        let beta = f64::from((1.0 - alpha_bar(k) / alpha_bar(k - 1)) as f32);
        let after = before * (1.0 - beta);
        let rest = 1.0 - after;
        let noise = (beta * (1.0 - before) / rest).max(1e-20).sqrt();
        let posterior = Posterior {
            x0: beta * before.sqrt() / rest,
            x: (1.0 - before) * (1.0 - beta).sqrt() / rest,
            noise: if k > 1 { noise } else { 0.0 },
        };
        before = after;
        posterior
    };
    (1..=of.steps).map(step).collect()
}

/// The program.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let System::Ddgan(of) = system_of(context, sampler)? else { return Err(sampler.not_for_this_model()) };
    let steps = context.steps.count();
    if steps != Some(of.steps) {
        let given = steps.map_or("a list".into(), |s| s.to_string());
        let need = format!("the generator was trained for {} steps and no others", of.steps);
        return Err(Error::option("steps", given, need));
    }
    let shape = context.shape;
    let vector = Shape::vector(of.nz);
    let net = Net { name: "model".into(), inputs: vec![shape, vector], output: shape };
    let mut p = Program::new(sampler.name(), shape, net);
    let x = p.output;
    let (z, x0, e) = (p.register("z", vector), p.register("x0", shape), p.register("noise", shape));
    for (k, (i, c)) in posterior(of).into_iter().enumerate().rev().enumerate() {
        let mut list = Vec::new();
        if k == 0 {
            list.push(Instruction::Noise { dst: x, draw: 0 });
        }
        list.push(Instruction::Noise { dst: z, draw: (of.steps + k + 1) as u32 });
        let outs = vec![Output { dst: x0, channels: 0..shape.c }];
        list.push(Instruction::Eval {
            net: 0,
            inputs: vec![x, z],
            time: Time::Const(i as f64),
            label: None,
            outs,
        });
        let mut terms = vec![Term::new(c.x0, x0), Term::new(c.x, x)];
        if i > 0 {
            list.push(Instruction::Noise { dst: e, draw: k as u32 + 1 });
            terms.push(Term::new(c.noise, e));
        }
        list.push(Instruction::Mix { dst: x, terms, clamp: None });
        p.steps.push(Step { label: format!("i = {i}"), instructions: list });
    }
    Ok(p)
}
