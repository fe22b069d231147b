//! What the samplers of latent score-based models share: the prior's prediction, and the decoder
//! at the end.

use super::super::program::{Instruction, Net, Output, Program, Reg, Step, Term, Time};
use super::super::system::{Lsgm, System};
use super::super::timesteps::Steps;
use super::super::Error;
use super::{system_of, Context, Sampler};
use crate::shape::Shape;

/// A program while it is written.
pub(super) struct Latent {
    pub(super) program: Program,
    pub(super) of: Lsgm,
    /// The latents.
    pub(super) x: Reg,
    /// The network's part of the prediction.
    pub(super) of_net: Reg,
    /// The latents' part.
    pub(super) of_x: Reg,
    pub(super) steps: usize,
    /// Parity with the reference's f32 at small times.
    pub(super) single: bool,
    shape: Shape,
}

impl Latent {
    pub(super) fn new(context: &Context<'_>, sampler: Sampler) -> Result<Self, Error> {
        let System::Lsgm(of) = *system_of(context, sampler)? else {
            return Err(sampler.not_for_this_model());
        };
        let steps = match context.steps {
            _ if sampler.is_adaptive() => 1,
            Steps::Count(steps @ 1..=1_000_000) => steps,
            _ => return Err(Error::option("steps", "a list or no count", "choose 1 to 1000000")),
        };
        let shape = context.shape;
        let both = shape.with_c(2 * shape.c);
        let net = Net { name: "prior".into(), inputs: vec![shape], output: both };
        let mut program = Program::new(sampler.name(), shape, net);
        let x = program.output;
        let (of_net, of_x) = (program.register("of net", shape), program.register("of x", shape));
        Ok(Self { program, of, x, of_net, of_x, steps, single: context.single, shape })
    }

    /// The prior's variance at t.
    pub(super) fn variance(&self, t: f64) -> f64 {
        match self.single {
            true => self.of.sde.variance_single(t),
            false => self.of.sde.variance(t),
        }
    }

    /// The network's answer for `x` at t.
    pub(super) fn eval(&self, x: Reg, t: impl Into<Time>) -> Instruction {
        let c = self.shape.c;
        let outs =
            vec![Output { dst: self.of_net, channels: 0..c }, Output { dst: self.of_x, channels: c..2 * c }];
        Instruction::Eval { net: 0, inputs: vec![x], time: t.into(), label: None, outs }
    }

    /// Terms of `factor` times the predicted noise, with `mixing` the factor of the latents.
    pub(super) fn eps(&self, factor: f64, mixing: f64) -> [Term; 2] {
        [Term::new(factor, self.of_net), Term::new(factor * mixing, self.of_x)]
    }

    pub(super) fn push(&mut self, label: String, mut list: Vec<Instruction>) {
        if self.program.steps.is_empty() {
            list.insert(0, Instruction::Noise { dst: self.x, draw: 0 });
            let deviation = self.of.sde.prior();
            if deviation != 1.0 {
                let terms = vec![Term::new(deviation, self.x)];
                list.insert(1, Instruction::Mix { dst: self.x, terms, clamp: None });
            }
        }
        self.program.steps.push(Step { label, instructions: list });
    }

    /// Ends the program.
    pub(super) fn finish(mut self) -> Program {
        self.push_last();
        self.program
    }

    /// The decoder: latents of lower scales are noise.
    pub(super) fn push_last(&mut self) {
        let of = self.of;
        let mut list = Vec::new();
        let mut inputs = vec![self.x];
        for scale in 1..of.scales {
            let shape = Shape::new(self.shape.h << scale, self.shape.w << scale, of.groups * of.z);
            let latent = self.program.register(&format!("latent {scale}"), shape);
            let draw = (self.steps + scale + 1) as u32;
            list.push(Instruction::Noise { dst: latent, draw });
            inputs.push(latent);
        }
        let shapes = inputs.iter().map(|r| self.program.registers[r.0 as usize].shape).collect();
        self.program.nets.push(Net { name: "decoder".into(), inputs: shapes, output: of.image });
        let image = self.program.register("image", of.image);
        let outs = vec![Output { dst: image, channels: 0..of.image.c }];
        list.push(Instruction::Eval { net: 1, inputs, time: Time::Const(0.0), label: None, outs });
        self.push("decoder".into(), list);
        self.program.output = image;
    }
}
