//! The host's executor: a program in f64, one image at a time, with any closure
//! as the network. Slow and obvious; the GPU is compared with it.

use super::{Coef, Instruction, Place, Pointwise, Program, ProgramError, Reduce, Reg, Slot, SlotInit};
use crate::shape::Shape;

/// An error of a network closure.
pub type NetError = Box<dyn std::error::Error + Send + Sync>;

/// What the caller gives for one image.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    /// The arrays of registers declared as inputs.
    pub registers: Vec<(Reg, Vec<f64>)>,
    /// The numbers of slots declared as inputs.
    pub slots: Vec<(Slot, f64)>,
}

/// One evaluation of a network.
#[derive(Debug)]
pub struct NetCall<'a> {
    /// Which network.
    pub net: usize,
    /// Its image inputs, flat `[h, w, c]`.
    pub inputs: &'a [&'a [f64]],
    /// Its time input.
    pub time: f64,
    /// Its class input.
    pub label: Option<f64>,
}

/// The state after a step.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The step's index.
    pub step: usize,
    /// The step's label.
    pub label: &'a str,
    /// Every register's array; empty where nothing was written yet.
    pub registers: &'a [Vec<f64>],
    /// Every slot's number; NaN where nothing was written yet.
    pub slots: &'a [f64],
}

/// Why a program could not be interpreted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// It breaks a rule.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// An input is missing or of the wrong size.
    #[error("program {program}: input {name} {fault}")]
    Input {
        /// The program's name.
        program: String,
        /// The register's or slot's name.
        name: String,
        /// What is wrong with it.
        fault: String,
    },
    /// The network closure failed.
    #[error("{place}: the network failed: {source}")]
    Net {
        /// Where.
        place: Box<Place>,
        /// Why.
        source: NetError,
    },
    /// A closure gave an array of the wrong length.
    #[error("{place}: {what} gave {has} numbers, but {needs} are needed")]
    Length {
        /// Where.
        place: Box<Place>,
        /// Network or noise.
        what: &'static str,
        /// What it gave.
        has: usize,
        /// What is needed.
        needs: usize,
    },
}

impl Program {
    /// Runs the program for one image and returns its output register.
    ///
    /// `noise(draw, shape)` gives standard normal numbers; `after` sees the state
    /// after each step. All arrays are flat `[h, w, c]`.
    pub fn interpret(
        &self,
        inputs: &Inputs,
        mut net: impl FnMut(NetCall<'_>) -> Result<Vec<f64>, NetError>,
        mut noise: impl FnMut(u32, Shape) -> Vec<f64>,
        mut after: impl FnMut(&Snapshot<'_>),
    ) -> Result<Vec<f64>, RunError> {
        self.validate()?;
        let mut m = self.start(inputs)?;
        for (step, s) in self.steps.iter().enumerate() {
            for (index, instruction) in s.instructions.iter().enumerate() {
                let length = |what, has, needs| RunError::Length {
                    place: Box::new(self.place(step, index, instruction)),
                    what,
                    has,
                    needs,
                };
                match instruction {
                    Instruction::Eval { net: which, inputs, time, label, outs } => {
                        let arrays: Vec<&[f64]> = inputs.iter().map(|r| m.reg(*r)).collect();
                        let label = label.map(|slot| m.slots[slot.0 as usize]);
                        let call = NetCall { net: *which, inputs: &arrays, time: *time, label };
                        let out = net(call).map_err(|source| RunError::Net {
                            place: Box::new(self.place(step, index, instruction)),
                            source,
                        })?;
                        let shape = self.nets[*which].output;
                        if out.len() != shape.len() {
                            return Err(length("the network", out.len(), shape.len()));
                        }
                        for o in outs {
                            let pixels = out.chunks_exact(shape.c);
                            let part = pixels.flat_map(|p| &p[o.channels.clone()]).copied().collect();
                            m.registers[o.dst.0 as usize] = part;
                        }
                    }
                    Instruction::Noise { dst, draw } => {
                        let shape = self.registers[dst.0 as usize].shape;
                        let numbers = noise(*draw, shape);
                        if numbers.len() != shape.len() {
                            return Err(length("the noise", numbers.len(), shape.len()));
                        }
                        m.registers[dst.0 as usize] = numbers;
                    }
                    other => m.run(self, other),
                }
            }
            after(&Snapshot { step, label: &s.label, registers: &m.registers, slots: &m.slots });
        }
        Ok(m.registers.swap_remove(self.output.0 as usize))
    }

    fn start(&self, inputs: &Inputs) -> Result<Machine, RunError> {
        let wrong = |name: &str, fault: String| RunError::Input {
            program: self.name.clone(),
            name: name.into(),
            fault,
        };
        let mut registers = vec![Vec::new(); self.registers.len()];
        for (i, register) in self.registers.iter().enumerate().filter(|(_, r)| r.input) {
            let given = inputs.registers.iter().find(|(reg, _)| reg.0 as usize == i);
            let (_, array) = given.ok_or_else(|| wrong(&register.name, "is missing".into()))?;
            if array.len() != register.shape.len() {
                let fault = format!("has {} numbers, but {} are needed", array.len(), register.shape.len());
                return Err(wrong(&register.name, fault));
            }
            registers[i].clone_from(array);
        }
        let mut slots = vec![f64::NAN; self.slots.len()];
        for (i, slot) in self.slots.iter().enumerate() {
            match slot.init {
                SlotInit::Unset => {}
                SlotInit::Const(value) => slots[i] = value,
                SlotInit::Input => {
                    let given = inputs.slots.iter().find(|(s, _)| s.0 as usize == i);
                    slots[i] = given.ok_or_else(|| wrong(&slot.name, "is missing".into()))?.1;
                }
            }
        }
        Ok(Machine { registers, slots })
    }
}

/// The state of one image.
struct Machine {
    registers: Vec<Vec<f64>>,
    slots: Vec<f64>,
}

impl Machine {
    fn reg(&self, reg: Reg) -> &[f64] {
        &self.registers[reg.0 as usize]
    }

    fn slot(&self, slot: Slot) -> f64 {
        self.slots[slot.0 as usize]
    }

    /// Every kind that needs nothing from outside.
    fn run(&mut self, program: &Program, instruction: &Instruction) {
        match instruction {
            Instruction::Eval { .. } | Instruction::Noise { .. } => {}
            Instruction::Mix { dst, terms, clamp } => {
                let mut sum = vec![0.0; program.registers[dst.0 as usize].shape.len()];
                for term in terms {
                    let coef = match term.coef {
                        Coef::Const(c) => c,
                        Coef::Slot(slot) => self.slot(slot),
                        Coef::SlotTimes(slot, c) => c * self.slot(slot),
                    };
                    sum.iter_mut().zip(self.reg(term.src)).for_each(|(s, v)| *s += coef * v);
                }
                if let Some((low, high)) = *clamp {
                    sum.iter_mut().for_each(|v| *v = v.clamp(low, high));
                }
                self.registers[dst.0 as usize] = sum;
            }
            Instruction::Pointwise { dst, f, srcs } => {
                let a = self.reg(srcs[0]).iter().copied();
                let result = match *f {
                    Pointwise::Mul => a.zip(self.reg(srcs[1])).map(|(a, b)| a * b).collect(),
                    Pointwise::Exp { scale, bias } => a.map(|a| (scale * a + bias).exp()).collect(),
                    Pointwise::Tanh => a.map(f64::tanh).collect(),
                    Pointwise::Sqrt => a.map(|a| a.max(0.0).sqrt()).collect(),
                    Pointwise::Clamp(slot) => {
                        let s = self.slot(slot);
                        a.map(|a| a.max(-s).min(s)).collect()
                    }
                };
                self.registers[dst.0 as usize] = result;
            }
            Instruction::Reduce { slot, kind, srcs } => {
                let arrays: Vec<&[f64]> = srcs.iter().map(|r| self.reg(*r)).collect();
                self.slots[slot.0 as usize] = kind.value(&arrays);
            }
            Instruction::Scalar { slot, expr } => {
                self.slots[slot.0 as usize] = expr.value(&self.slots, &program.tables);
            }
            Instruction::Select { dst, cond, a, b } => {
                let taken = if self.slot(*cond) != 0.0 { a } else { b };
                self.registers[dst.0 as usize] = self.reg(*taken).to_vec();
            }
        }
    }
}

impl Reduce {
    /// The number, of arrays of one image, as many as [`Reduce::arity`].
    pub(crate) fn value(self, srcs: &[&[f64]]) -> f64 {
        let a = srcs[0];
        match self {
            Self::SumSquares => a.iter().map(|a| a * a).sum(),
            Self::Dot => a.iter().zip(srcs[1]).map(|(a, b)| a * b).sum(),
            Self::WeightedError { atol, rtol } => {
                let square =
                    |((e, a), b): ((&f64, &f64), &f64)| (e / (atol + rtol * a.abs().max(b.abs()))).powi(2);
                let sum: f64 = a.iter().zip(srcs[1]).zip(srcs[2]).map(square).sum();
                (sum / a.len() as f64).sqrt()
            }
            Self::QuantileAbs(q) => {
                let mut sorted: Vec<f64> = a.iter().map(|a| a.abs()).collect();
                sorted.sort_by(f64::total_cmp);
                let rank = q * (sorted.len() - 1) as f64;
                let (low, high) = (rank.floor() as usize, rank.ceil() as usize);
                sorted[low] + (rank - rank.floor()) * (sorted[high] - sorted[low])
            }
        }
    }
}
