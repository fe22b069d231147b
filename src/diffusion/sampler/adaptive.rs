//! What adaptive solvers share: time that is left, steps in whole units, the error norm,
//! acceptance, and what is counted.
//!
//! An image that is done has nothing left: its further steps are of length 0, are not
//! accepted and change nothing.

use super::super::program::{Binary, Expr, Instruction, Program, Reduce, Reg, Slot, SlotInit, Unary};
use super::equation::Units;
use super::options::ErrorControl;

/// Accepted and rejected steps at most: many times what any network took.
pub(super) const MOST: u32 = 1000;

/// The slots of an adaptive solver.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    units: Units,
    tolerances: (f64, f64),
    greater: bool,
    batch: bool,
    /// Units of time that are left.
    pub(super) left: Slot,
    /// The same somewhere within a step.
    pub(super) now: Slot,
    /// What the controller would have for the next step, in units.
    pub(super) size: Slot,
    /// The step in whole units.
    pub(super) step: Slot,
    /// What it adds to time, negative.
    pub(super) h: Slot,
    pub(super) err: Slot,
    pub(super) accept: Slot,
    pub(super) rejected_last: Slot,
    accepted: Slot,
    rejected: Slot,
    pub(super) done: Slot,
    /// Of one register of several.
    part: Slot,
    /// For norms before the first step.
    pub(super) norms: [Slot; 3],
}

fn set(slot: Slot, expr: Expr) -> Instruction {
    Instruction::Scalar { slot, expr }
}

impl Control {
    pub(super) fn new(
        program: &mut Program,
        units: Units,
        tolerances: (f64, f64),
        control: ErrorControl,
    ) -> Self {
        let mut slot = |name: &str| program.slot(name, SlotInit::Unset);
        Self {
            units,
            tolerances,
            greater: false,
            batch: control == ErrorControl::Batch,
            left: slot("left"),
            now: slot("now"),
            size: slot("size"),
            step: slot("step"),
            h: slot("h"),
            err: slot("err"),
            accept: slot("accept"),
            rejected_last: slot("rejected_last"),
            accepted: slot("accepted"),
            rejected: slot("rejected"),
            done: slot("done"),
            part: slot("part"),
            norms: [slot("d0"), slot("d1"), slot("d2")],
        }
    }

    /// The same with the error relative to the greater of both tolerances.
    pub(super) fn greater(self) -> Self {
        Self { greater: true, ..self }
    }

    /// Before the first step.
    pub(super) fn start(&self) -> Vec<Instruction> {
        let zero = [self.rejected_last, self.accepted, self.rejected, self.done];
        let zero = zero.into_iter().map(|slot| set(slot, 0.0.into()));
        zero.chain([set(self.left, self.units.all.into())]).collect()
    }

    /// The next step, of whole units, at least one if any is left and no more than are.
    pub(super) fn step(&self) -> Vec<Instruction> {
        let whole = (Expr::Slot(self.size) + 0.5).unary(Unary::Floor).binary(Binary::Max, 1.0.into());
        vec![
            set(self.step, whole.binary(Binary::Min, self.left.into())),
            set(self.h, Expr::Slot(self.step) * -self.units.unit),
        ]
    }

    /// `now` = the time at a fraction of the step.
    pub(super) fn within_step(&self, fraction: f64) -> Vec<Instruction> {
        vec![set(self.now, Expr::Slot(self.left) - Expr::Slot(self.step) * fraction)]
    }

    /// The norm of `e` relative to the tolerances at `a` and `b`, all registers of a state
    /// being one vector: the image's, or that of all images.
    pub(super) fn error(&self, program: &Program, slot: Slot, [e, a, b]: [&[Reg]; 3]) -> Vec<Instruction> {
        let (rtol, atol) = self.tolerances;
        let kind = match self.greater {
            true => Reduce::GreaterError { atol, rtol },
            false => Reduce::WeightedError { atol, rtol },
        };
        let reduce = |slot, i: usize| Instruction::Reduce { slot, kind, srcs: vec![e[i], a[i], b[i]] };
        if let ([_], false) = (e, self.batch) {
            return vec![reduce(slot, 0)];
        }
        let len = |r: &Reg| program.registers[r.0 as usize].shape.len() as f64;
        let all: f64 = e.iter().map(len).sum();
        let mut list = vec![reduce(slot, 0), set(slot, Expr::Slot(slot) * slot * (len(&e[0]) / all))];
        for (i, r) in e.iter().enumerate().skip(1) {
            list.push(reduce(self.part, i));
            let square = Expr::Slot(self.part) * self.part * (len(r) / all);
            list.push(set(slot, square + slot));
        }
        list.extend(self.batch.then_some(Instruction::Mean { slot, src: slot }));
        list.push(set(slot, Expr::Slot(slot).unary(Unary::Sqrt)));
        list
    }

    /// Accepts where `good` holds and time is left; the next size is the step times `grown`
    /// where it is accepted, times `shrunk` where not.
    pub(super) fn decide(&self, good: Expr, grown: Expr, shrunk: Expr) -> Vec<Instruction> {
        let size = Expr::Slot(self.accept).select(grown, shrunk) * self.step;
        vec![set(self.accept, good * (Expr::Const(1.0) - self.done)), set(self.size, size)]
    }

    /// Behind a step: counts it, and goes on in time where it was accepted.
    pub(super) fn advance(&self) -> Vec<Instruction> {
        let rejects = || (Expr::Const(1.0) - self.accept) * (Expr::Const(1.0) - self.done);
        vec![
            set(self.rejected_last, rejects()),
            set(self.accepted, Expr::Slot(self.accepted) + self.accept),
            set(self.rejected, Expr::Slot(self.rejected) + self.rejected_last),
            set(self.left, Expr::Slot(self.left) - Expr::Slot(self.accept) * self.step),
            set(self.done, Expr::Slot(self.left).binary(Binary::LessEqual, 0.0.into())),
        ]
    }
}
