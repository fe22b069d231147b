//! Expressions over slots as three-address code for the scalar kernel.

use crate::diffusion::program::{Binary, Expr, Instruction, Program, Slot, Table, Unary};
use crate::kernels::scalar::{cubic_table, Op, Operand, Scalar};

/// Slots beyond the program's own that [`compile`] needs for intermediate values.
pub fn temporaries(program: &Program) -> usize {
    let nodes = |e: &Expr| {
        let mut count = 0;
        e.walk(&mut |_| count += 1);
        count
    };
    let each = program.instructions().map(|i| match i {
        Instruction::Scalar { expr, .. } => nodes(expr),
        _ => 0,
    });
    each.max().unwrap_or(0)
}

/// The code of `slot = expr` and the words of all tables. Constants are the
/// step's numbers, in the order in which [`Expr::walk`] meets them; intermediate
/// values use slots from `first` on.
pub fn compile(slot: Slot, expr: &Expr, tables: &[Table], first: u32) -> (Scalar, Vec<f32>) {
    let mut words = Vec::new();
    let starts = tables
        .iter()
        .map(|t| {
            let start = words.len() as u32;
            words.extend(cubic_table(&t.knots, &t.cubics));
            start
        })
        .collect();
    words.resize(words.len().max(1), 0.0);
    let mut c = Compiler { ops: Vec::new(), starts, number: 0, temporary: first };
    let value = c.operand(expr);
    c.ops.push((slot.0, Op::Move(value)));
    (Scalar { ops: c.ops }, words)
}

struct Compiler {
    ops: Vec<(u32, Op)>,
    starts: Vec<u32>,
    number: u32,
    temporary: u32,
}

impl Compiler {
    fn operand(&mut self, e: &Expr) -> Operand {
        let op = match e {
            Expr::Const(_) => {
                self.number += 1;
                return Operand::Number(self.number - 1);
            }
            Expr::Slot(s) => return Operand::Slot(s.0),
            Expr::Unary(f, a) => {
                let a = self.operand(a);
                match f {
                    Unary::Neg => Op::Sub(Operand::Const(0.0), a),
                    Unary::Abs => Op::Abs(a),
                    Unary::Sqrt => Op::Sqrt(a),
                    Unary::Exp => Op::Exp(a),
                    Unary::Log => Op::Log(a),
                    Unary::Floor => Op::Floor(a),
                }
            }
            Expr::Binary(f, a, b) => {
                let (a, b) = (self.operand(a), self.operand(b));
                match f {
                    Binary::Add => Op::Add(a, b),
                    Binary::Sub => Op::Sub(a, b),
                    Binary::Mul => Op::Mul(a, b),
                    Binary::Div => Op::Div(a, b),
                    Binary::Min => Op::Min(a, b),
                    Binary::Max => Op::Max(a, b),
                    Binary::Less => Op::Less(a, b),
                    Binary::LessEqual => Op::LessEqual(a, b),
                }
            }
            Expr::Select(parts) => {
                let [cond, a, b] = [0, 1, 2].map(|i| self.operand(&parts[i]));
                Op::Select(cond, a, b)
            }
            Expr::Table { table, at } => {
                let at = self.operand(at);
                Op::Table(at, self.starts.get(*table).copied().unwrap_or(0))
            }
        };
        self.store(op)
    }

    fn store(&mut self, op: Op) -> Operand {
        let slot = self.temporary;
        self.temporary += 1;
        self.ops.push((slot, op));
        Operand::Slot(slot)
    }
}
