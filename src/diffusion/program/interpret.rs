//! The host's executor: a program in f64, with any closure as the network. Slow and
//! obvious; the GPU is compared with it.

use super::{Coef, Instruction, Place, Pointwise, Program, ProgramError, Reduce, Reg, Slot, SlotInit, Time};
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
    /// A loop came to its last pass before every image was done.
    #[error("{place}: not all images are done after {at_most} passes")]
    NotDone {
        /// Where.
        place: Box<Place>,
        /// The passes.
        at_most: u32,
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
    /// Runs the program on one image. `net` evaluates a network, `noise` gives the
    /// numbers of a draw for a shape, `after` sees the state after each step.
    /// Returns the output register.
    ///
    /// # Errors
    /// A program that breaks a rule, inputs that do not fit, or a closure that fails.
    pub fn interpret(
        &self,
        inputs: &Inputs,
        mut net: impl FnMut(NetCall<'_>) -> Result<Vec<f64>, NetError>,
        mut noise: impl FnMut(u32, Shape) -> Vec<f64>,
        mut after: impl FnMut(&Snapshot<'_>),
    ) -> Result<Vec<f64>, RunError> {
        let images = self.interpret_batch(
            std::slice::from_ref(inputs),
            |_, call| net(call),
            |_, draw, shape| noise(draw, shape),
            |_, snapshot| after(snapshot),
        )?;
        Ok(images.into_iter().next().unwrap_or_default())
    }

    /// Runs the program on a batch, in step: an image meets the others in
    /// [`Instruction::Mean`] and in the end of a loop. The closures are also told which
    /// image. Returns the output register of each.
    ///
    /// # Errors
    /// As [`Program::interpret`].
    pub fn interpret_batch(
        &self,
        inputs: &[Inputs],
        mut net: impl FnMut(usize, NetCall<'_>) -> Result<Vec<f64>, NetError>,
        mut noise: impl FnMut(usize, u32, Shape) -> Vec<f64>,
        mut after: impl FnMut(usize, &Snapshot<'_>),
    ) -> Result<Vec<Vec<f64>>, RunError> {
        self.validate()?;
        let images = inputs.iter().map(|i| self.start(i)).collect::<Result<Vec<_>, _>>()?;
        let mut batch = Batch { program: self, images, net: &mut net, noise: &mut noise };
        for (step, s) in self.steps.iter().enumerate() {
            for (index, instruction) in s.instructions.iter().enumerate() {
                let place = |i: &Instruction| Box::new(self.place(step, index, i));
                let Instruction::Loop { body, until, at_most } = instruction else {
                    batch.run(instruction, &place)?;
                    continue;
                };
                let mut passes = 0;
                loop {
                    body.iter().try_for_each(|i| batch.run(i, &place))?;
                    passes += 1;
                    if batch.images.iter().all(|m| m.slot(*until) != 0.0) {
                        break;
                    }
                    if passes == *at_most {
                        return Err(RunError::NotDone { place: place(instruction), at_most: *at_most });
                    }
                }
            }
            for (i, m) in batch.images.iter().enumerate() {
                let (registers, slots) = (&m.registers, &m.slots);
                after(i, &Snapshot { step, label: &s.label, registers, slots });
            }
        }
        let output = self.output.0 as usize;
        Ok(batch.images.into_iter().map(|mut m| m.registers.swap_remove(output)).collect())
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

type NetFn<'a> = dyn FnMut(usize, NetCall<'_>) -> Result<Vec<f64>, NetError> + 'a;
type NoiseFn<'a> = dyn FnMut(usize, u32, Shape) -> Vec<f64> + 'a;

/// Images that go through a program in step.
struct Batch<'a> {
    program: &'a Program,
    images: Vec<Machine>,
    net: &'a mut NetFn<'a>,
    noise: &'a mut NoiseFn<'a>,
}

impl Batch<'_> {
    /// One instruction, on each image.
    fn run(
        &mut self,
        instruction: &Instruction,
        place: &dyn Fn(&Instruction) -> Box<Place>,
    ) -> Result<(), RunError> {
        let program = self.program;
        if let Instruction::Mean { slot, src } = instruction {
            let sum: f64 = self.images.iter().map(|m| m.slot(*src)).sum();
            let mean = sum / self.images.len() as f64;
            self.images.iter_mut().for_each(|m| m.slots[slot.0 as usize] = mean);
            return Ok(());
        }
        let length = |what, has, needs| match has == needs {
            true => Ok(()),
            false => Err(RunError::Length { place: place(instruction), what, has, needs }),
        };
        for (i, m) in self.images.iter_mut().enumerate() {
            match instruction {
                Instruction::Eval { net: which, inputs, time, label, outs } => {
                    let arrays: Vec<&[f64]> = inputs.iter().map(|r| m.reg(*r)).collect();
                    let label = label.map(|slot| m.slot(slot));
                    let time = match time {
                        Time::Const(time) => *time,
                        Time::Slot(slot) => m.slot(*slot),
                    };
                    let call = NetCall { net: *which, inputs: &arrays, time, label };
                    let out = (self.net)(i, call)
                        .map_err(|source| RunError::Net { place: place(instruction), source })?;
                    let shape = program.nets[*which].output;
                    length("the network", out.len(), shape.len())?;
                    for o in outs {
                        let pixels = out.chunks_exact(shape.c);
                        let part = pixels.flat_map(|p| &p[o.channels.clone()]).copied().collect();
                        m.registers[o.dst.0 as usize] = part;
                    }
                }
                Instruction::Noise { dst, draw } => {
                    let shape = program.registers[dst.0 as usize].shape;
                    let numbers = (self.noise)(i, *draw, shape);
                    length("the noise", numbers.len(), shape.len())?;
                    m.registers[dst.0 as usize] = numbers;
                }
                other => m.run(program, other),
            }
        }
        Ok(())
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

    fn coef(&self, coef: Coef) -> f64 {
        coef.slot().map_or(1.0, |slot| self.slot(slot)) * coef.factor()
    }

    /// Every kind that needs nothing from outside.
    fn run(&mut self, program: &Program, instruction: &Instruction) {
        match instruction {
            // These are the batch's.
            Instruction::Eval { .. }
            | Instruction::Noise { .. }
            | Instruction::Mean { .. }
            | Instruction::Loop { .. } => {}
            Instruction::Mix { dst, terms, clamp } => {
                let mut sum = vec![0.0; program.registers[dst.0 as usize].shape.len()];
                for term in terms {
                    let coef = self.coef(term.coef);
                    sum.iter_mut().zip(self.reg(term.src)).for_each(|(s, v)| *s += coef * v);
                }
                if let Some((low, high)) = *clamp {
                    sum.iter_mut().for_each(|v| *v = v.clamp(low, high));
                }
                self.registers[dst.0 as usize] = sum;
            }
            Instruction::Fill { dst, value } => {
                let len = program.registers[dst.0 as usize].shape.len();
                self.registers[dst.0 as usize] = vec![self.coef(*value); len];
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
            Instruction::Apply { dst, operator, src } => {
                let result = program.operators[*operator].map.apply(self.reg(*src));
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
            Self::GreaterError { atol, rtol } => {
                let square =
                    |((e, a), b): ((&f64, &f64), &f64)| (e / atol.max(rtol * a.abs().max(b.abs()))).powi(2);
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
