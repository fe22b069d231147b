//! Arithmetic over slots, and tables of functions of time.

use super::Slot;

/// An expression of one number per image.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// A constant.
    Const(f64),
    /// A slot's number.
    Slot(Slot),
    /// A function of one argument.
    Unary(Unary, Box<Expr>),
    /// A function of two arguments.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// A table's value at an argument.
    Table {
        /// Which of the program's tables.
        table: usize,
        /// Where.
        at: Box<Expr>,
    },
}

/// Functions of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unary {
    /// `-a`.
    Neg,
    /// `|a|`.
    Abs,
    /// `sqrt(max(a, 0))`.
    Sqrt,
    /// `exp(a)`.
    Exp,
    /// The natural logarithm.
    Log,
}

/// Functions of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Binary {
    /// `a + b`.
    Add,
    /// `a - b`.
    Sub,
    /// `a * b`.
    Mul,
    /// `a / b`.
    Div,
    /// The lesser.
    Min,
    /// The greater.
    Max,
    /// 1 if `a < b`, else 0.
    Less,
    /// 1 if `a <= b`, else 0.
    LessEqual,
}

impl Expr {
    /// `f(self)`.
    pub fn unary(self, f: Unary) -> Self {
        Self::Unary(f, Box::new(self))
    }

    /// `f(self, other)`.
    pub fn binary(self, f: Binary, other: Expr) -> Self {
        Self::Binary(f, Box::new(self), Box::new(other))
    }

    /// Calls `visit` on this expression and all below it, outermost and left first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        match self {
            Self::Const(_) | Self::Slot(_) => {}
            Self::Unary(_, a) | Self::Table { at: a, .. } => a.walk(visit),
            Self::Binary(_, a, b) => {
                a.walk(visit);
                b.walk(visit);
            }
        }
    }

    /// The slots read, in order.
    pub fn slots(&self) -> Vec<Slot> {
        let mut slots = Vec::new();
        self.walk(&mut |e| {
            if let Self::Slot(slot) = e {
                slots.push(*slot);
            }
        });
        slots
    }

    /// The value, given slots and tables. Slots and tables that are not there
    /// give NaN (a validated program names none).
    pub fn value(&self, slots: &[f64], tables: &[Table]) -> f64 {
        match self {
            Self::Const(c) => *c,
            Self::Slot(slot) => slots.get(slot.0 as usize).copied().unwrap_or(f64::NAN),
            Self::Unary(f, a) => f.value(a.value(slots, tables)),
            Self::Binary(f, a, b) => f.value(a.value(slots, tables), b.value(slots, tables)),
            Self::Table { table, at } => {
                let at = at.value(slots, tables);
                tables.get(*table).map_or(f64::NAN, |t| t.value(at))
            }
        }
    }
}

impl Unary {
    /// The function.
    pub fn value(self, a: f64) -> f64 {
        match self {
            Self::Neg => -a,
            Self::Abs => a.abs(),
            Self::Sqrt => a.max(0.0).sqrt(),
            Self::Exp => a.exp(),
            Self::Log => a.ln(),
        }
    }
}

impl Binary {
    /// The function.
    pub fn value(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Add => a + b,
            Self::Sub => a - b,
            Self::Mul => a * b,
            Self::Div => a / b,
            Self::Min => a.min(b),
            Self::Max => a.max(b),
            Self::Less => f64::from(a < b),
            Self::LessEqual => f64::from(a <= b),
        }
    }
}

/// A function of one number as cubics over equal intervals, for times that are
/// found on the GPU: in interval i, with `s = (at - start) / step - i`, the value
/// is `c0 + s (c1 + s (c2 + s c3))`. Beyond its ends it has the ends' values.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Table {
    /// For messages.
    pub name: String,
    /// The left end.
    pub start: f64,
    /// The length of an interval.
    pub step: f64,
    /// `[c0, c1, c2, c3]` of each interval.
    pub cubics: Vec<[f64; 4]>,
}

impl Table {
    /// The value at `at`; NaN for an empty table.
    pub fn value(&self, at: f64) -> f64 {
        let u = ((at - self.start) / self.step).clamp(0.0, self.cubics.len() as f64);
        let i = u.floor().min(self.cubics.len().saturating_sub(1) as f64);
        let s = u - i;
        self.cubics.get(i as usize).map_or(f64::NAN, |c| c[0] + s * (c[1] + s * (c[2] + s * c[3])))
    }
}
