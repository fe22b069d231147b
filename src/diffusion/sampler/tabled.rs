//! The factors of a slope at a time that the GPU chooses, as tables.

use super::super::program::{Coef, Expr, Instruction, Program, Slot, SlotInit};
use super::super::Error;
use super::equation::{At, Units};

/// Tables of `N` functions of time, and the slots that hold their values at a time.
pub(super) struct Tabled<const N: usize> {
    units: Units,
    time: Slot,
    values: [(Slot, usize); N],
}

impl<const N: usize> Tabled<N> {
    /// Tables of `f` from `end` to `start`, named in messages.
    pub(super) fn new(
        program: &mut Program,
        units: Units,
        (start, end): (f64, f64),
        names: [&str; N],
        f: impl Fn(f64) -> [f64; N],
    ) -> Result<Self, Error> {
        let mut values = [(Slot(0), 0); N];
        for (i, name) in names.into_iter().enumerate() {
            program.tables.push(units.table(name, &[end, start], |t| f(t)[i])?);
            values[i] = (program.slot(name, SlotInit::Unset), program.tables.len() - 1);
        }
        Ok(Self { units, time: program.slot("time", SlotInit::Unset), values })
    }

    /// Looks the factors up when `left` units of time are left; the slot of the time.
    fn look(&self, left: Slot, list: &mut Vec<Instruction>) -> Slot {
        let expr = Expr::Slot(left) * self.units.unit + self.units.end;
        list.push(Instruction::Scalar { slot: self.time, expr });
        for (slot, table) in self.values {
            list.push(Instruction::Scalar { slot, expr: Expr::Slot(left).table(table) });
        }
        self.time
    }
}

/// The time and the factors as instructions take them: constants at a time that is known, slots at
/// one that is not. `None` where there are no tables for it.
pub(super) fn at<const N: usize>(
    at: At,
    tabled: Option<&Tabled<N>>,
    f: impl Fn(f64) -> [f64; N],
    list: &mut Vec<Instruction>,
) -> Option<(super::super::program::Time, [Coef; N])> {
    match (at, tabled) {
        (At::Time(t), _) => Some((t.into(), f(t).map(Coef::Const))),
        (At::Left(left), Some(tabled)) => {
            let time = tabled.look(left, list);
            Some((time.into(), tabled.values.map(|(slot, _)| Coef::Slot(slot))))
        }
        (At::Left(_), None) => None,
    }
}
