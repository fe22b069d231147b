//! Arithmetic over slots.

use super::{Slot, Table};

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
    /// The second where the first is not 0, else the third: what is not taken may be
    /// infinite or NaN.
    Select(Box<[Expr; 3]>),
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
    /// The greatest whole number that is not greater.
    Floor,
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

    /// `a` where `self` is not 0, else `b`.
    pub fn select(self, a: Expr, b: Expr) -> Self {
        Self::Select(Box::new([self, a, b]))
    }

    /// A table's value at `self`.
    pub fn table(self, table: usize) -> Self {
        Self::Table { table, at: Box::new(self) }
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
            Self::Select(parts) => parts.iter().for_each(|e| e.walk(visit)),
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
            Self::Select(parts) => {
                let [cond, a, b] = &**parts;
                let taken = if cond.value(slots, tables) != 0.0 { a } else { b };
                taken.value(slots, tables)
            }
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
            Self::Floor => a.floor(),
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

macro_rules! operator {
    ($($name:ident, $method:ident, $binary:ident;)*) => {$(
        impl<T: Into<Expr>> std::ops::$name<T> for Expr {
            type Output = Expr;

            fn $method(self, other: T) -> Expr {
                self.binary(Binary::$binary, other.into())
            }
        }
    )*};
}

operator! { Add, add, Add; Sub, sub, Sub; Mul, mul, Mul; Div, div, Div; }

impl From<f64> for Expr {
    fn from(c: f64) -> Self {
        Self::Const(c)
    }
}

impl From<Slot> for Expr {
    fn from(slot: Slot) -> Self {
        Self::Slot(slot)
    }
}
