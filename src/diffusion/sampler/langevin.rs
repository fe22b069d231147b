//! What the samplers of critically damped Langevin diffusion share: the state, the grid and the
//! last step.
//!
//! Sampling time tau runs from 0 to `1 - eps`, diffusion time is `t = 1 - tau`. The reverse
//! process (arXiv:2112.07068, eq. 8), with the score `s` in v alone:
//!
//! ```text
//! dx = -beta v / M,    dv = beta x + Gamma beta v / M + 2 Gamma beta s,    noise sqrt(2 Gamma beta) in v
//! ```

use super::super::cld::Cld;
use super::super::program::{Instruction, Net, Output, Program, Reg, Step, Term, Time};
use super::super::system::{CldSampling, System};
use super::super::timesteps::Steps;
use super::super::Error;
use super::{system_of, Context, Sampler};

/// A program while it is written.
pub(super) struct Langevin {
    pub(super) program: Program,
    pub(super) of: CldSampling,
    /// Data.
    pub(super) x: Reg,
    /// Velocities.
    pub(super) v: Reg,
    /// The network's output.
    pub(super) out: Reg,
    /// How many steps, without the denoising one.
    pub(super) steps: usize,
    draw: u32,
}

impl Langevin {
    pub(super) fn new(context: &Context<'_>, sampler: Sampler) -> Result<Self, Error> {
        let System::Cld(of) = *system_of(context, sampler)? else { return Err(sampler.not_for_this_model()) };
        let least = 1 + usize::from(of.denoising);
        let count = match context.steps {
            _ if sampler.is_adaptive() => least,
            Steps::Count(count) => count,
            _ => return Err(Error::option("steps", "a list", "this sampler takes a number of steps")),
        };
        if count < least || count > 1_000_000 {
            let need = format!("choose {least} to 1000000; the last one removes the rest of the noise");
            return Err(Error::option("steps", count, need));
        }
        let shape = context.shape;
        let net = Net { name: "model".into(), inputs: vec![shape, shape], output: shape };
        let mut program = Program::new(sampler.name(), shape, net);
        let (x, v, out) = (program.output, program.register("v", shape), program.register("out", shape));
        Ok(Self { program, of, x, v, out, steps: count - usize::from(of.denoising), draw: 0 })
    }

    pub(super) fn process(&self) -> Cld {
        self.of.process
    }

    pub(super) fn register(&mut self, name: &str) -> Reg {
        let shape = self.program.registers[self.x.0 as usize].shape;
        self.program.register(name, shape)
    }

    /// tau of step k, 0 to `steps`.
    pub(super) fn tau(&self, k: usize) -> f64 {
        let (end, n) = (1.0 - self.of.eps, self.steps as f64);
        match self.of.quadratic {
            true => end * (1.0 - ((self.steps - k) as f64 / n).powi(2)),
            false => end * k as f64 / n,
        }
    }

    /// Fresh noise.
    pub(super) fn noise(&mut self, dst: Reg) -> Instruction {
        self.draw += 1;
        Instruction::Noise { dst, draw: self.draw - 1 }
    }

    /// The state at tau = 0: x before v, each of its own noise.
    pub(super) fn start(&mut self) -> Vec<Instruction> {
        let (x, v) = (self.noise(self.x), self.noise(self.v));
        vec![x, v, mix(self.v, vec![Term::new(self.of.process.m_inv.powf(-0.5), self.v)])]
    }

    /// The network's answer for (`x`, `v`) at t, in `out`.
    pub(super) fn eval(&self, x: Reg, v: Reg, t: impl Into<Time>) -> Instruction {
        let c = self.program.registers[x.0 as usize].shape.c;
        let outs = vec![Output { dst: self.out, channels: 0..c }];
        Instruction::Eval { net: 0, inputs: vec![x, v], time: t.into(), label: None, outs }
    }

    pub(super) fn push(&mut self, label: String, mut list: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            let mut first = self.start();
            first.append(&mut list);
            list = first;
        }
        self.program.steps.push(Step { label, instructions: list });
    }

    /// Ends the program.
    pub(super) fn finish(mut self) -> Program {
        self.push_last();
        self.program
    }

    /// The last step: an Euler step of the reverse process down to t = 0, without noise. The
    /// network moves only v in it, which nobody sees: it is not asked.
    pub(super) fn push_last(&mut self) {
        if self.of.denoising {
            let Cld { m_inv, .. } = self.of.process;
            let (x, v, eps) = (self.x, self.v, self.of.eps);
            let factor = -eps * m_inv * self.of.process.beta(eps);
            let list = vec![mix(x, vec![Term::new(1.0, x), Term::new(factor, v)])];
            self.push("denoising".into(), list);
        }
    }
}

/// `dst` = a sum.
pub(super) fn mix(dst: Reg, terms: Vec<Term>) -> Instruction {
    Instruction::Mix { dst, terms, clamp: None }
}
