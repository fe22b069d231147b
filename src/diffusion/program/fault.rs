//! What a program can break, and where: the words of [`Program::validate`](super::Program::validate).

use std::fmt;

use super::MAX_TERMS;
use crate::shape::Shape;

/// Where in a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The program's name.
    pub program: String,
    /// The step's index.
    pub step: usize,
    /// The step's label.
    pub label: String,
    /// The instruction's index in the step.
    pub index: usize,
    /// The instruction, as `explain` prints it.
    pub instruction: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, step, label, index, instruction } = self;
        write!(f, "program {program}, step {step} ({label}), instruction {index} `{instruction}`")
    }
}

/// A broken rule and where it is broken.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ProgramError {
    /// By an instruction.
    #[error("{place}: {fault}")]
    Instruction {
        /// Which.
        place: Box<Place>,
        /// How.
        fault: Fault,
    },
    /// By the program as a whole.
    #[error("program {program}: {fault}")]
    Program {
        /// The program's name.
        program: String,
        /// How.
        fault: Fault,
    },
}

/// A broken rule.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)] // of fields: the messages say it
pub enum Fault {
    /// A register that the program does not declare.
    #[error("there is no register {0}")]
    NoRegister(u32),
    /// A slot that the program does not declare.
    #[error("there is no slot {0}")]
    NoSlot(u32),
    /// A network that the program does not declare.
    #[error("there is no network {0}")]
    NoNet(usize),
    /// A table that the program does not declare.
    #[error("there is no table {0}")]
    NoTable(usize),
    /// An operator that the program does not declare.
    #[error("there is no operator {0}")]
    NoOperator(usize),
    /// An operator whose parts do not fit, or whose numbers are not finite.
    #[error("the parts of operator {0} do not fit its shape, or are not finite")]
    BadOperator(usize),
    /// A register without a value.
    #[error("register {0} is read before anything is written to it")]
    UnwrittenRegister(String),
    /// A slot without a value.
    #[error("slot {0} is read before anything is written to it")]
    UnwrittenSlot(String),
    /// Shapes that disagree.
    #[error("register {name} has shape {has}, but {needs} is needed")]
    Shape { name: String, has: Shape, needs: Shape },
    /// A declared shape that holds nothing, or too much to count.
    #[error("register {name} has the empty or oversized shape {shape}")]
    BadShape { name: String, shape: Shape },
    /// A number that is NaN or infinite.
    #[error("{what} is {value}, which is not finite")]
    NotFinite { what: String, value: f64 },
    /// A range of channels that the network's output does not have.
    #[error("channels {start}..{end} are empty or beyond the network's {channels}")]
    Channels { start: usize, end: usize, channels: usize },
    /// A lower bound above the upper one.
    #[error("the clamp's bounds {low} and {high} are out of order")]
    Clamp { low: f64, high: f64 },
    /// A parameter out of its range.
    #[error("{what} = {value} is out of range: {need}")]
    Range { what: &'static str, value: f64, need: &'static str },
    /// Too many or too few sources.
    #[error("{has} sources are given, but {needs} are needed")]
    Arity { has: usize, needs: usize },
    /// Too many terms, or none.
    #[error("a Mix needs 1 to {max} terms besides its destination, but this one has {0}", max = MAX_TERMS)]
    Terms(usize),
    /// A result of a network or an operator that is also its argument, or written twice.
    #[error("register {0} is a result of this instruction and also its argument or another result")]
    Alias(String),
    /// A table that has no values.
    #[error("table {0} is empty, or has numbers that are not finite, or knots that do not rise")]
    BadTable(String),
    /// A loop in a loop, or a second one.
    #[error("a program has one loop at most, and none in another")]
    Loops,
    /// Nothing to do.
    #[error("the program has no steps")]
    NoSteps,
}
