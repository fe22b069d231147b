//! An instruction without its numbers, and its numbers.
//!
//! Steps of a sampler repeat the same instructions with other coefficients. An
//! executor prepares each [`Structure`] once and reads the numbers from a table.

use super::{Coef, Expr, Instruction, Pointwise, Reduce, Reg, Time};

/// All of an instruction but its numbers: kind, registers, slots, channel
/// ranges, functions, which coefficients are slots, whether there is a clamp.
/// Equal structures have equally many numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Structure(Vec<u32>);

impl Instruction {
    /// What stays when the numbers change.
    pub fn structure(&self) -> Structure {
        Structure(self.split().0)
    }

    /// The numbers, in a fixed order:
    ///
    /// | kind | numbers |
    /// | --- | --- |
    /// | `Eval` | time, where it is no slot |
    /// | `Mix` | per term: the constant of `Const` and `SlotTimes`, nothing for `Slot`; then lower and upper bound if it clamps |
    /// | `Pointwise` | scale and bias of `Exp` |
    /// | `Fill` | as a term of `Mix` |
    /// | `Noise` | draw |
    /// | `Reduce` | atol and rtol of errors, q of `QuantileAbs` |
    /// | `Scalar` | constants as [`Expr::walk`] meets them |
    /// | `Apply`, `Select`, `Mean` | none |
    /// | `Loop` | those of its body |
    pub fn numbers(&self) -> Vec<f64> {
        self.split().1
    }

    fn split(&self) -> (Vec<u32>, Vec<f64>) {
        let mut t = vec![self.tag()];
        let mut n = Vec::new();
        match self {
            Self::Eval { net, inputs, time, label, outs } => {
                t.push(*net as u32);
                list(&mut t, inputs);
                t.extend(label.map_or([0, 0], |slot| [1, slot.0]));
                t.push(outs.len() as u32);
                for out in outs {
                    t.extend([out.dst.0, out.channels.start as u32, out.channels.end as u32]);
                }
                match time {
                    Time::Const(time) => n.push(*time),
                    Time::Slot(slot) => t.push(slot.0),
                }
            }
            Self::Mix { dst, terms, clamp } => {
                t.extend([dst.0, terms.len() as u32, u32::from(clamp.is_some())]);
                for term in terms {
                    let (kind, slot, number) = coefficient(term.coef);
                    t.extend([term.src.0, kind, slot]);
                    n.extend(number);
                }
                n.extend(clamp.iter().flat_map(|(low, high)| [*low, *high]));
            }
            Self::Pointwise { dst, f, srcs } => {
                let (kind, slot) = match f {
                    Pointwise::Mul => (0, 0),
                    Pointwise::Exp { .. } => (1, 0),
                    Pointwise::Tanh => (2, 0),
                    Pointwise::Sqrt => (3, 0),
                    Pointwise::Clamp(slot) => (4, slot.0),
                };
                t.extend([dst.0, kind, slot]);
                list(&mut t, srcs);
                if let Pointwise::Exp { scale, bias } = f {
                    n.extend([*scale, *bias]);
                }
            }
            Self::Fill { dst, value } => {
                let (kind, slot, number) = coefficient(*value);
                t.extend([dst.0, kind, slot]);
                n.extend(number);
            }
            Self::Noise { dst, draw } => {
                t.push(dst.0);
                n.push(f64::from(*draw));
            }
            Self::Reduce { slot, kind, srcs } => {
                let (tag, numbers) = match *kind {
                    Reduce::SumSquares => (0, vec![]),
                    Reduce::Dot => (1, vec![]),
                    Reduce::WeightedError { atol, rtol } => (2, vec![atol, rtol]),
                    Reduce::QuantileAbs(q) => (3, vec![q]),
                    Reduce::GreaterError { atol, rtol } => (4, vec![atol, rtol]),
                };
                t.extend([slot.0, tag]);
                list(&mut t, srcs);
                n.extend(numbers);
            }
            Self::Scalar { slot, expr } => {
                t.push(slot.0);
                // Every node states its arity by its tag, so the walk can be undone.
                expr.walk(&mut |e| match e {
                    Expr::Const(c) => {
                        t.extend([0, 0]);
                        n.push(*c);
                    }
                    Expr::Slot(slot) => t.extend([1, slot.0]),
                    Expr::Unary(f, _) => t.extend([2, *f as u32]),
                    Expr::Binary(f, _, _) => t.extend([3, *f as u32]),
                    Expr::Table { table, .. } => t.extend([4, *table as u32]),
                    Expr::Select(_) => t.extend([5, 0]),
                });
            }
            Self::Apply { dst, operator, src } => t.extend([dst.0, *operator as u32, src.0]),
            Self::Select { dst, cond, a, b } => t.extend([dst.0, cond.0, a.0, b.0]),
            Self::Mean { slot, src } => t.extend([slot.0, src.0]),
            Self::Loop { body, until, at_most } => {
                t.extend([until.0, *at_most, body.len() as u32]);
                for (tokens, numbers) in body.iter().map(Self::split) {
                    t.push(tokens.len() as u32);
                    t.extend(tokens);
                    n.extend(numbers);
                }
            }
        }
        (t, n)
    }

    const fn tag(&self) -> u32 {
        match self {
            Self::Eval { .. } => 0,
            Self::Mix { .. } => 1,
            Self::Pointwise { .. } => 2,
            Self::Noise { .. } => 3,
            Self::Reduce { .. } => 4,
            Self::Scalar { .. } => 5,
            Self::Select { .. } => 6,
            Self::Mean { .. } => 7,
            Self::Loop { .. } => 8,
            Self::Fill { .. } => 9,
            Self::Apply { .. } => 10,
        }
    }
}

/// Its kind, its slot and its number.
fn coefficient(coef: Coef) -> (u32, u32, Option<f64>) {
    match coef {
        Coef::Const(c) => (0, 0, Some(c)),
        Coef::Slot(slot) => (1, slot.0, None),
        Coef::SlotTimes(slot, c) => (2, slot.0, Some(c)),
    }
}

fn list(tokens: &mut Vec<u32>, regs: &[Reg]) {
    tokens.push(regs.len() as u32);
    tokens.extend(regs.iter().map(|r| r.0));
}
