//! Evaluating the network: conditions and classifier-free guidance.
//!
//! Guidance (Ho & Salimans 2022, arXiv:2207.12598, eq. 6) acts on the network's
//! own output, whatever it predicts: `out = uncond + s (cond - uncond)`. A scale
//! of 1 is the conditional network alone, 0 the unconditional one, each one
//! evaluation; any other scale costs two.

use super::program::{Instruction, Output, Program, Reg, Slot, SlotInit, Term, Time};
use super::Error;

/// What the network is conditioned on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Conditioning {
    /// Nothing.
    #[default]
    None,
    /// A class label per image, in the slot `class`, that the caller fills.
    Class {
        /// The label that stands for "no class", if the network was trained with one.
        null: Option<f64>,
    },
}

/// The evaluations of one step, with guidance.
#[derive(Clone, Debug)]
pub struct Guided {
    scale: f64,
    channels: usize,
    class: Option<Slot>,
    null: Option<Slot>,
    out: Reg,
    uncond: Option<Reg>,
    variance: Option<Reg>,
    along: Option<Along>,
}

/// The derivative of the network's output along a direction in its image.
#[derive(Clone, Debug)]
struct Along {
    direction: Reg,
    derivative: Output,
}

impl Guided {
    /// Declares the registers and slots that network 0 of `program` needs: `out`
    /// of as many channels as the register `x`, `uncond` where guidance needs it,
    /// `variance` (the channels after those of `out`) if `with_variance`.
    pub fn new(
        program: &mut Program,
        conditioning: Conditioning,
        scale: f64,
        with_variance: bool,
    ) -> Result<Self, Error> {
        let shape = program.registers[program.output.0 as usize].shape;
        let refused = |need: &str| Err(Error::option("guidance_scale", scale, need));
        if !scale.is_finite() {
            return refused("it must be finite");
        }
        let (class, null) = match conditioning {
            Conditioning::None if scale == 1.0 => (None, None),
            Conditioning::None => return refused("this model has no classes to guide to; leave it at 1"),
            Conditioning::Class { null: None } if scale != 1.0 => {
                return refused("this model has no label for \"no class\"; leave it at 1");
            }
            Conditioning::Class { null } => {
                let class = (scale != 0.0).then(|| program.slot("class", SlotInit::Input));
                let null = null.filter(|_| scale != 1.0);
                (class, null.map(|null| program.slot("null_class", SlotInit::Const(null))))
            }
        };
        let out = program.register("out", shape);
        let uncond = (class.is_some() && null.is_some()).then(|| program.register("uncond", shape));
        let variance = with_variance.then(|| program.register("variance", shape));
        Ok(Self { scale, channels: shape.c, class, null, out, uncond, variance, along: None })
    }

    /// Network 0 becomes the one that takes a direction beside its image and gives its
    /// output's derivative along it behind the output
    /// ([`Graph::with_tangent`](crate::graph::Graph::with_tangent)); the derivative goes to
    /// `derivative`.
    ///
    /// # Errors
    /// A guidance scale that takes two evaluations.
    pub fn along(&mut self, program: &mut Program, direction: Reg, derivative: Reg) -> Result<(), Error> {
        if self.uncond.is_some() {
            let need = "the derivative is that of one network: leave it at 1, or 0 for no class";
            return Err(Error::option("guidance_scale", self.scale, need));
        }
        let net = &mut program.nets[0];
        let (own, shape) = (net.output.c, net.inputs[0]);
        net.inputs.push(shape);
        net.output = net.output.with_c(2 * own);
        let derivative = Output { dst: derivative, channels: own..own + self.channels };
        self.along = Some(Along { direction, derivative });
        Ok(())
    }

    /// The register of the guided output, in the network's own parametrisation.
    pub fn out(&self) -> Reg {
        self.out
    }

    /// The register of the predicted variance: that of the condition, unguided.
    pub fn variance(&self) -> Option<Reg> {
        self.variance
    }

    /// The evaluations at the state `x` and the time `t`, one or two and a Mix.
    pub fn instructions(&self, x: Reg, t: impl Into<Time>) -> Vec<Instruction> {
        let (c, time) = (self.channels, t.into());
        let inputs: Vec<Reg> = [x].into_iter().chain(self.along.iter().map(|a| a.direction)).collect();
        let eval = |label, outs| Instruction::Eval { net: 0, inputs: inputs.clone(), time, label, outs };
        let mut outs = vec![Output { dst: self.out, channels: 0..c }];
        outs.extend(self.variance.map(|dst| Output { dst, channels: c..2 * c }));
        outs.extend(self.along.iter().map(|a| a.derivative.clone()));
        let mut list = vec![eval(self.class.or(self.null), outs)];
        if let Some(uncond) = self.uncond {
            list.push(eval(self.null, vec![Output { dst: uncond, channels: 0..c }]));
            let terms = vec![Term::new(self.scale, self.out), Term::new(1.0 - self.scale, uncond)];
            list.push(Instruction::Mix { dst: self.out, terms, clamp: None });
        }
        list
    }
}
