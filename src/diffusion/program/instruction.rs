//! The kinds of instruction and what each reads and writes.

use std::ops::Range;

use super::{Expr, Reg, Slot};

/// A [`Instruction::Mix`] has at most so many terms that are not its `dst`.
pub const MAX_TERMS: usize = 4;

/// One instruction. Elementwise ones may work in place (`dst` among the sources).
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Instruction {
    /// Evaluates a network and takes ranges of its output's channels.
    Eval {
        /// Which of the program's networks.
        net: usize,
        /// Its image inputs.
        inputs: Vec<Reg>,
        /// What its time input gets.
        time: Time,
        /// What its class input gets.
        label: Option<Slot>,
        /// Where parts of its output go; none may be an input.
        outs: Vec<Output>,
    },
    /// `dst = clamp(sum of coef * src)`.
    Mix {
        /// The result.
        dst: Reg,
        /// What is summed, in this order.
        terms: Vec<Term>,
        /// Lower and upper bound of the result.
        clamp: Option<(f64, f64)>,
    },
    /// `dst = f(srcs)`, elementwise.
    Pointwise {
        /// The result.
        dst: Reg,
        /// The function.
        f: Pointwise,
        /// Its arguments, as many as [`Pointwise::arity`].
        srcs: Vec<Reg>,
    },
    /// `dst = value`, everywhere.
    Fill {
        /// The result.
        dst: Reg,
        /// The number.
        value: Coef,
    },
    /// `dst` = independent standard normal numbers.
    Noise {
        /// The result.
        dst: Reg,
        /// Which numbers: equal draws of one image are equal arrays.
        draw: u32,
    },
    /// `dst = A src`, of one of the program's operators.
    Apply {
        /// The result; not `src`.
        dst: Reg,
        /// Which of [`Program::operators`](super::Program::operators).
        operator: usize,
        /// The argument.
        src: Reg,
    },
    /// `slot` = one number made of whole registers.
    Reduce {
        /// The result.
        slot: Slot,
        /// How it is made.
        kind: Reduce,
        /// Of what, as many as [`Reduce::arity`].
        srcs: Vec<Reg>,
    },
    /// `slot = expr`.
    Scalar {
        /// The result.
        slot: Slot,
        /// Arithmetic over slots.
        expr: Expr,
    },
    /// `dst = if cond != 0 { a } else { b }`: the other one may be infinite or NaN.
    Select {
        /// The result.
        dst: Reg,
        /// The condition.
        cond: Slot,
        /// Taken where `cond` is not 0.
        a: Reg,
        /// Taken where `cond` is 0.
        b: Reg,
    },
    /// `slot` = the mean of `src` over the images of the batch, the same for each.
    Mean {
        /// The result.
        slot: Slot,
        /// What is averaged.
        src: Slot,
    },
    /// Runs `body` again and again until `until` is not 0 for any image. An image
    /// that is done takes part in further passes: its body must leave it as it is.
    ///
    /// At most one in a program, and none within another.
    Loop {
        /// What a pass does.
        body: Vec<Instruction>,
        /// Whether an image is done, written by the body.
        until: Slot,
        /// The most passes: a program that is not done then has failed.
        at_most: u32,
    },
}

/// What a network's time input gets.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Time {
    /// Known when the program is made.
    Const(f64),
    /// The slot's number, each image's own.
    Slot(Slot),
}

impl From<f64> for Time {
    fn from(t: f64) -> Self {
        Self::Const(t)
    }
}

impl From<Slot> for Time {
    fn from(slot: Slot) -> Self {
        Self::Slot(slot)
    }
}

/// Where a range of a network's output channels goes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Output {
    /// The register, of as many channels as the range.
    pub dst: Reg,
    /// Channels of the network's output.
    pub channels: Range<usize>,
}

/// A coefficient of a [`Term`].
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Coef {
    /// Known when the program is made.
    Const(f64),
    /// The slot's number.
    Slot(Slot),
    /// The slot's number times a constant.
    SlotTimes(Slot, f64),
}

impl Coef {
    /// The slot that is read.
    pub const fn slot(self) -> Option<Slot> {
        match self {
            Self::Const(_) => None,
            Self::Slot(slot) | Self::SlotTimes(slot, _) => Some(slot),
        }
    }

    /// The constant part.
    pub const fn factor(self) -> f64 {
        match self {
            Self::Const(c) | Self::SlotTimes(_, c) => c,
            Self::Slot(_) => 1.0,
        }
    }
}

/// `coef * src`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Term {
    /// The factor.
    pub coef: Coef,
    /// The array.
    pub src: Reg,
}

impl Term {
    /// A term with a constant coefficient.
    pub const fn new(coef: f64, src: Reg) -> Self {
        Self { coef: Coef::Const(coef), src }
    }

    /// Whether it adds nothing, whatever the array holds.
    pub fn is_zero(&self) -> bool {
        self.coef == Coef::Const(0.0)
    }
}

/// Elementwise functions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pointwise {
    /// `a * b`.
    Mul,
    /// `exp(scale * a + bias)`.
    Exp {
        /// Times the argument.
        scale: f64,
        /// Added to the exponent.
        bias: f64,
    },
    /// `tanh(a)`.
    Tanh,
    /// `sqrt(max(a, 0))`.
    Sqrt,
    /// `min(max(a, -s), s)`, s the slot's number (not negative).
    Clamp(Slot),
}

impl Pointwise {
    /// The number of arguments.
    pub const fn arity(self) -> usize {
        match self {
            Self::Mul => 2,
            Self::Exp { .. } | Self::Tanh | Self::Sqrt | Self::Clamp(_) => 1,
        }
    }
}

/// Numbers made of whole registers, per image.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// `sum a^2`.
    SumSquares,
    /// `sum a b`.
    Dot,
    /// `sqrt(mean((e / (atol + rtol max(|a|, |b|)))^2))` of `[e, a, b]`: the error
    /// norm of embedded Runge-Kutta pairs (Hairer, Norsett & Wanner I, II.4.11).
    WeightedError {
        /// Absolute tolerance.
        atol: f64,
        /// Relative tolerance.
        rtol: f64,
    },
    /// `sqrt(mean((e / max(atol, rtol max(|a|, |b|)))^2))` of `[e, a, b]`: the error norm of
    /// DPM-Solver (Lu et al. 2022, arXiv:2206.00927, algorithm 3).
    GreaterError {
        /// Absolute tolerance.
        atol: f64,
        /// Relative tolerance.
        rtol: f64,
    },
    /// The quantile q of |a|, linear between neighbours: with n sorted values,
    /// the one at rank `q (n - 1)`.
    QuantileAbs(f64),
}

impl Reduce {
    /// The number of arguments.
    pub const fn arity(self) -> usize {
        match self {
            Self::SumSquares | Self::QuantileAbs(_) => 1,
            Self::Dot => 2,
            Self::WeightedError { .. } | Self::GreaterError { .. } => 3,
        }
    }
}

impl Instruction {
    /// The kind, as messages call it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Eval { .. } => "Eval",
            Self::Mix { .. } => "Mix",
            Self::Pointwise { .. } => "Pointwise",
            Self::Fill { .. } => "Fill",
            Self::Noise { .. } => "Noise",
            Self::Apply { .. } => "Apply",
            Self::Reduce { .. } => "Reduce",
            Self::Scalar { .. } => "Scalar",
            Self::Select { .. } => "Select",
            Self::Mean { .. } => "Mean",
            Self::Loop { .. } => "Loop",
        }
    }

    /// The instructions of a loop; none of any other kind.
    pub fn body(&self) -> &[Instruction] {
        match self {
            Self::Loop { body, .. } => body,
            _ => &[],
        }
    }

    /// The registers read, in order, repeated where they are.
    pub fn reads(&self) -> Vec<Reg> {
        match self {
            Self::Eval { inputs, .. } => inputs.clone(),
            Self::Mix { terms, .. } => terms.iter().map(|t| t.src).collect(),
            Self::Pointwise { srcs, .. } | Self::Reduce { srcs, .. } => srcs.clone(),
            Self::Fill { .. } | Self::Noise { .. } | Self::Scalar { .. } | Self::Mean { .. } => Vec::new(),
            Self::Apply { src, .. } => vec![*src],
            Self::Select { a, b, .. } => vec![*a, *b],
            Self::Loop { body, .. } => body.iter().flat_map(Self::reads).collect(),
        }
    }

    /// The registers written, wholly, in order.
    pub fn writes(&self) -> Vec<Reg> {
        match self {
            Self::Eval { outs, .. } => outs.iter().map(|o| o.dst).collect(),
            Self::Mix { dst, .. }
            | Self::Pointwise { dst, .. }
            | Self::Fill { dst, .. }
            | Self::Noise { dst, .. }
            | Self::Apply { dst, .. }
            | Self::Select { dst, .. } => vec![*dst],
            Self::Reduce { .. } | Self::Scalar { .. } | Self::Mean { .. } => Vec::new(),
            Self::Loop { body, .. } => body.iter().flat_map(Self::writes).collect(),
        }
    }

    /// The slots read, in order.
    pub fn slots_read(&self) -> Vec<Slot> {
        match self {
            Self::Eval { label, time, .. } => {
                let time = match time {
                    Time::Slot(slot) => Some(*slot),
                    Time::Const(_) => None,
                };
                label.iter().copied().chain(time).collect()
            }
            Self::Mix { terms, .. } => terms.iter().filter_map(|t| t.coef.slot()).collect(),
            Self::Fill { value, .. } => value.slot().into_iter().collect(),
            Self::Pointwise { f: Pointwise::Clamp(slot), .. } => vec![*slot],
            Self::Pointwise { .. } | Self::Noise { .. } | Self::Apply { .. } | Self::Reduce { .. } => {
                Vec::new()
            }
            Self::Scalar { expr, .. } => expr.slots(),
            Self::Select { cond, .. } => vec![*cond],
            Self::Mean { src, .. } => vec![*src],
            Self::Loop { body, until, .. } => {
                body.iter().flat_map(Self::slots_read).chain([*until]).collect()
            }
        }
    }

    /// The slot written; a loop's body writes its own.
    pub const fn slot_written(&self) -> Option<Slot> {
        match self {
            Self::Reduce { slot, .. } | Self::Scalar { slot, .. } | Self::Mean { slot, .. } => Some(*slot),
            _ => None,
        }
    }
}
