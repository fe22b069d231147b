//! The interface between a solver of ordinary differential equations and what it solves.
//!
//! A solver (`rk4`, `flow_heun`, `rk45`: their `integrate`) knows an [`Equation`] alone:
//! registers of a state, and instructions that write its slope at a time, which is a
//! number or a slot. A [`Model`](super::view::Model) is one; a process of several
//! registers (a position and a velocity) or with a drift of its own is another, and all
//! these solvers go with it.

use super::super::program::{table, Coef, Instruction, Program, Reg, Slot, Table, TableError, Term};
use super::super::Error;
use super::solve::sum;

/// A time at which a slope is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// Known when the program is made.
    Time(f64),
    /// A slot with the time that is left, in [`Units`].
    Left(Slot),
}

/// An ordinary differential equation `d state / dt = slope(t, state)`.
pub(super) trait Equation {
    /// Where the solution begins and where it ends.
    fn interval(&self) -> (f64, f64);
    /// Whether its functions of time are smooth between whole times alone.
    fn whole(&self) -> bool {
        false
    }
    /// The state.
    fn state(&self) -> Vec<Reg>;
    /// The program under construction.
    fn program(&mut self) -> &mut Program;
    /// Tables and slots for slopes at times that the GPU chooses.
    fn tabulate(&mut self, units: Units) -> Result<(), Error>;
    /// Instructions that write the slope of `state` at a time into `into`.
    fn slope(&self, at: At, state: &[Reg], into: &[Reg]) -> Vec<Instruction>;
    /// Behind a slope of the state at `t`: what previews show, if not the state.
    fn preview(&self, t: f64) -> Vec<Instruction> {
        let _ = t;
        Vec::new()
    }
    /// Appends a step; the first one begins with the initial noise.
    fn push(&mut self, label: String, instructions: Vec<Instruction>);
    /// Appends the last step, from where the solution ends to the image.
    fn push_last(&mut self) -> Result<(), Error>;

    /// Registers as those of the state.
    fn like(&mut self, name: &str) -> Vec<Reg> {
        let state = self.state();
        let p = self.program();
        let shapes: Vec<_> = state.iter().map(|r| p.registers[r.0 as usize].shape).collect();
        shapes.into_iter().map(|shape| p.register(name, shape)).collect()
    }
}

/// `dst` = the sum of the terms, register by register.
pub(super) fn combine(dst: &[Reg], terms: &[(Coef, &[Reg])]) -> Vec<Instruction> {
    let one = |(i, dst): (usize, &Reg)| {
        let terms: Vec<Term> = terms.iter().map(|(coef, srcs)| Term { coef: *coef, src: srcs[i] }).collect();
        sum(*dst, &terms)
    };
    dst.iter().enumerate().flat_map(one).collect()
}

/// A constant coefficient.
pub(super) fn times(c: f64) -> Coef {
    Coef::Const(c)
}

/// Time as a count of exact units that are left: a whole number below 2^24, so that f32
/// adds and subtracts without error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Units {
    /// The time where the solution ends.
    pub(super) end: f64,
    /// The length of a unit; negative where the solution goes up in time.
    pub(super) unit: f64,
    /// Units from the beginning to the end.
    pub(super) all: f64,
}

impl Units {
    /// Of a solution from `start` to `end`; `whole` where times that are whole numbers
    /// shall be whole numbers of units.
    pub(super) fn new(start: f64, end: f64, whole: bool) -> Self {
        let most = f64::from(1u32 << 24);
        let length = start - end;
        let whole_unit = || (length.abs() / most).log2().ceil().exp2().copysign(length);
        let unit = if whole { whole_unit() } else { length / most };
        Self { end, unit, all: (length / unit).round() }
    }

    /// The time when so much is left.
    pub(super) fn time(&self, left: f64) -> f64 {
        self.end + left * self.unit
    }

    /// What is left at a time.
    pub(super) fn left(&self, t: f64) -> f64 {
        ((t - self.end) / self.unit).round()
    }

    /// A table of a function of time, over what is left.
    pub(super) fn table(
        &self,
        name: &str,
        knots: &[f64],
        f: impl Fn(f64) -> f64,
    ) -> Result<Table, TableError> {
        let mut knots: Vec<f64> = knots.iter().map(|t| self.left(*t)).collect();
        knots.sort_by(f64::total_cmp);
        knots.dedup();
        Table::of(name, &knots, table::BOUND, |left| f(self.time(left)))
    }
}

/// A time in a step's label.
pub(super) fn label(t: f64) -> String {
    format!("t = {}", (t * 1e4).round() / 1e4)
}
