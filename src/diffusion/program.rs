//! A sampler as a program: registers, slots and few kinds of instruction.
//!
//! A *register* holds an array of one [`Shape`] per image (state, noise, network
//! output), a *slot* holds one number per image (class label, threshold, step
//! size). Steps are straight lists of [`Instruction`]s. All coefficients are f64
//! and known when the program is made; what the GPU must find out itself goes
//! through slots.
//!
//! An adaptive solver is a step with an [`Instruction::Loop`]: its times are slots,
//! and functions of time are tables ([`Expr::Table`], made by [`Table::of`]).
//!
//! Linear operators of restoration ([`linear`](super::linear)) are the program's own, applied by
//! [`Instruction::Apply`].

pub mod explain;
pub mod expr;
pub mod fault;
mod given;
pub mod instruction;
pub mod interpret;
pub mod structure;
pub mod table;
pub mod validate;

pub use expr::{Binary, Expr, Unary};
pub use fault::{Fault, Place, ProgramError};
pub use instruction::{Coef, Instruction, Output, Pointwise, Reduce, Term, Time, MAX_TERMS};
pub use interpret::{Inputs, NetCall, RunError, Snapshot};
pub use structure::Structure;
pub use table::{Table, TableError};

use super::linear::Operator;
use crate::shape::Shape;

/// An array per image, by its index in [`Program::registers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Reg(pub u32);

/// A number per image, by its index in [`Program::slots`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
pub struct Slot(pub u32);

/// What a [`Reg`] stands for.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Register {
    /// The paper's name.
    pub name: String,
    /// The shape per image.
    pub shape: Shape,
    /// Whether the caller fills it before the first step.
    pub input: bool,
}

/// What a slot holds before the first step.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotInit {
    /// Nothing: it must be written before it is read.
    Unset,
    /// The same number for all images.
    Const(f64),
    /// A number per image, from the caller.
    Input,
}

/// What a [`Slot`] stands for.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SlotInfo {
    /// The paper's name.
    pub name: String,
    /// What it holds before the first step.
    pub init: SlotInit,
}

/// A network that the program evaluates.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Net {
    /// For messages.
    pub name: String,
    /// The shapes of its image inputs.
    pub inputs: Vec<Shape>,
    /// The shape of its output.
    pub output: Shape,
}

/// A linear operator of a program.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NamedOperator {
    /// For messages.
    pub name: String,
    /// The map itself.
    pub map: Operator,
}

/// A list of instructions after which progress may be reported.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Step {
    /// For progress and messages, as `"t = 981"`.
    pub label: String,
    /// What to do, in order.
    pub instructions: Vec<Instruction>,
}

/// All that an executor must know.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Program {
    /// The sampler's name.
    pub name: String,
    /// The networks, by [`Instruction::Eval`]'s `net`.
    pub nets: Vec<Net>,
    /// The arrays, by [`Reg`].
    pub registers: Vec<Register>,
    /// The numbers, by [`Slot`].
    pub slots: Vec<SlotInfo>,
    /// The tables, by [`Expr::Table`]'s `table`.
    pub tables: Vec<Table>,
    /// The linear operators, by [`Instruction::Apply`]'s `operator`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<NamedOperator>,
    /// What to do.
    pub steps: Vec<Step>,
    /// The register that holds the image in the end.
    pub output: Reg,
    /// Draws of noise that the caller brings, and the input registers they go to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub given_noise: Vec<(u32, Reg)>,
}

impl Program {
    /// An empty program of one network, whose output register is `x`, the first.
    pub fn new(name: &str, x: Shape, net: Net) -> Self {
        Self {
            name: name.into(),
            nets: vec![net],
            registers: vec![Register { name: "x".into(), shape: x, input: false }],
            slots: Vec::new(),
            tables: Vec::new(),
            operators: Vec::new(),
            steps: Vec::new(),
            output: Reg(0),
            given_noise: Vec::new(),
        }
    }

    /// Adds a register.
    pub fn register(&mut self, name: &str, shape: Shape) -> Reg {
        self.registers.push(Register { name: name.into(), shape, input: false });
        Reg(self.registers.len() as u32 - 1)
    }

    /// Adds a register that is given.
    pub fn input(&mut self, name: &str, shape: Shape) -> Reg {
        self.registers.push(Register { name: name.into(), shape, input: true });
        Reg(self.registers.len() as u32 - 1)
    }

    /// Adds a slot.
    pub fn slot(&mut self, name: &str, init: SlotInit) -> Slot {
        self.slots.push(SlotInfo { name: name.into(), init });
        Slot(self.slots.len() as u32 - 1)
    }

    /// Adds an operator; the index that [`Instruction::Apply`] takes.
    pub fn operator(&mut self, name: &str, map: Operator) -> usize {
        self.operators.push(NamedOperator { name: name.into(), map });
        self.operators.len() - 1
    }

    /// The number of network evaluations per image ("NFE"); those of a loop count once.
    pub fn nfe(&self) -> usize {
        self.instructions().filter(|i| matches!(i, Instruction::Eval { .. })).count()
    }

    /// The number of network evaluations in a pass of the program's loop; 0 without one.
    pub fn loop_nfe(&self) -> usize {
        let bodies = self.steps.iter().flat_map(|step| &step.instructions).flat_map(Instruction::body);
        bodies.filter(|i| matches!(i, Instruction::Eval { .. })).count()
    }

    /// Every instruction, in order; a loop is followed by those of its body.
    pub fn instructions(&self) -> impl Iterator<Item = &Instruction> {
        let all = self.steps.iter().flat_map(|step| &step.instructions);
        all.flat_map(|i| std::iter::once(i).chain(i.body()))
    }

    /// Whether an image depends on the others of its batch.
    pub fn mixes_images(&self) -> bool {
        self.instructions().any(|i| matches!(i, Instruction::Mean { .. }))
    }

    /// The first register of this name.
    pub fn find_register(&self, name: &str) -> Option<Reg> {
        self.registers.iter().position(|r| r.name == name).map(|i| Reg(i as u32))
    }

    /// The first slot of this name.
    pub fn find_slot(&self, name: &str) -> Option<Slot> {
        self.slots.iter().position(|s| s.name == name).map(|i| Slot(i as u32))
    }
}
