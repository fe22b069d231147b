//! Arithmetic on slots: what an adaptive solver decides by itself.

use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Variant};

/// `scalar.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "scalar",
    source: include_str!("../../shaders/scalar.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// Where an operand comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operand {
    /// The image's value in a slot.
    Slot(u32),
    /// A number of the step: index from the instruction's offset.
    Number(u32),
    /// A constant.
    Const(f32),
}

/// An operation; comparisons give 1 or 0. `min`, `max` and `sqrt` may drop a NaN,
/// `Less` and `LessEqual` of a NaN are 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Op {
    /// `a`.
    Move(Operand),
    /// `a + b`.
    Add(Operand, Operand),
    /// `a - b`.
    Sub(Operand, Operand),
    /// `a b`.
    Mul(Operand, Operand),
    /// `a / b`.
    Div(Operand, Operand),
    /// The lesser.
    Min(Operand, Operand),
    /// The greater.
    Max(Operand, Operand),
    /// `sqrt(max(a, 0))`.
    Sqrt(Operand),
    /// `exp a`.
    Exp(Operand),
    /// The natural logarithm.
    Log(Operand),
    /// Whether `a < b`.
    Less(Operand, Operand),
    /// Whether `a <= b`.
    LessEqual(Operand, Operand),
    /// `b` where `a` is not 0, else `c`.
    Select(Operand, Operand, Operand),
    /// `|a|`.
    Abs(Operand),
    /// The greatest whole number that is not greater.
    Floor(Operand),
    /// `a b + c`.
    Fma(Operand, Operand, Operand),
    /// The piecewise cubic at word `table` of the tables, at `a`; beyond its ends
    /// the ends' values. See [`cubic_table`].
    Table(Operand, u32),
}

/// A list of operations, run in order by each image on its own slots.
#[derive(Clone, Debug, Default)]
pub struct Scalar {
    /// (the slot that is written, the operation).
    pub ops: Vec<(u32, Op)>,
}

/// The words of a piecewise cubic between `knots` (ascending, one more than pieces):
/// piece `j` holds `[a, b, c, d]` of `a + b f + c f^2 + d f^3`, `f` in `[0, 1]`.
pub fn cubic_table(knots: &[f64], pieces: &[[f64; 4]]) -> Vec<f32> {
    let mut out = vec![pieces.len() as f32];
    for (pair, piece) in knots.windows(2).zip(pieces) {
        out.extend([pair[0] as f32, (1.0 / (pair[1] - pair[0])) as f32]);
        out.extend(piece.map(|v| v as f32));
    }
    out
}

impl Scalar {
    /// The words for the kernel's `code`, to be placed anywhere in it.
    pub fn encode(&self) -> Vec<u32> {
        let mut words = Vec::new();
        let mut constants: Vec<u32> = Vec::new();
        let first = 5 * self.ops.len();
        let mut word = |o: Operand| match o {
            Operand::Slot(i) => i,
            Operand::Number(i) => 1 << 30 | i,
            Operand::Const(v) => {
                let at = constants.iter().position(|c| *c == v.to_bits()).unwrap_or_else(|| {
                    constants.push(v.to_bits());
                    constants.len() - 1
                });
                2 << 30 | (first + at) as u32
            }
        };
        for (dst, op) in &self.ops {
            let (code, a, b, c) = match *op {
                Op::Move(a) => (0, a, a, a),
                Op::Add(a, b) => (1, a, b, a),
                Op::Sub(a, b) => (2, a, b, a),
                Op::Mul(a, b) => (3, a, b, a),
                Op::Div(a, b) => (4, a, b, a),
                Op::Min(a, b) => (5, a, b, a),
                Op::Max(a, b) => (6, a, b, a),
                Op::Sqrt(a) => (7, a, a, a),
                Op::Exp(a) => (8, a, a, a),
                Op::Log(a) => (9, a, a, a),
                Op::Less(a, b) => (10, a, b, a),
                Op::LessEqual(a, b) => (15, a, b, a),
                Op::Select(a, b, c) => (11, a, b, c),
                Op::Abs(a) => (12, a, a, a),
                Op::Fma(a, b, c) => (13, a, b, c),
                Op::Floor(a) => (16, a, a, a),
                Op::Table(a, at) => (14, a, Operand::Slot(at), a),
            };
            words.extend([code, *dst, word(a), word(b), word(c)]);
        }
        words.extend(constants);
        words
    }

    /// `code` holds [`Scalar::encode`]'s words from `start` on, `tables` those of
    /// [`cubic_table`]; `slots` is `[slot, n]`.
    #[allow(clippy::too_many_arguments)]
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        n: usize,
        start: usize,
        code: B,
        tables: B,
        numbers: &Numbers<B>,
        slots: B,
    ) -> Vec<Call<B>> {
        let mut bindings = vec![("code", code), ("tables", tables), ("slots", slots)];
        let mut params = vec![("n", n.into()), ("start", start.into()), ("count", self.ops.len().into())];
        numbers.bind(&mut bindings, &mut params);
        let groups = if self.ops.is_empty() { 0 } else { div_up(n, 64) };
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, groups)
    }

    /// One image's slots after the operations, in f64.
    pub fn reference(&self, row: &[f32], tables: &[f32], slots: &mut [f64]) {
        for (dst, op) in &self.ops {
            let get = |o: Operand| match o {
                Operand::Slot(i) => slots[i as usize],
                Operand::Number(i) => row[i as usize].into(),
                Operand::Const(v) => v.into(),
            };
            let v = match *op {
                Op::Move(a) => get(a),
                Op::Add(a, b) => get(a) + get(b),
                Op::Sub(a, b) => get(a) - get(b),
                Op::Mul(a, b) => get(a) * get(b),
                Op::Div(a, b) => get(a) / get(b),
                Op::Min(a, b) => get(a).min(get(b)),
                Op::Max(a, b) => get(a).max(get(b)),
                Op::Sqrt(a) => get(a).max(0.0).sqrt(),
                Op::Exp(a) => get(a).exp(),
                Op::Log(a) => get(a).ln(),
                Op::Less(a, b) => f64::from(u8::from(get(a) < get(b))),
                Op::LessEqual(a, b) => f64::from(u8::from(get(a) <= get(b))),
                Op::Select(a, b, c) => get(if get(a) != 0.0 { b } else { c }),
                Op::Abs(a) => get(a).abs(),
                Op::Fma(a, b, c) => get(a) * get(b) + get(c),
                Op::Floor(a) => get(a).floor(),
                Op::Table(a, at) => {
                    let count = tables[at as usize] as usize;
                    let pieces = tables[at as usize + 1..].chunks_exact(6).take(count);
                    let x = get(a);
                    let found = pieces.take_while(|p| f64::from(p[0]) <= x).last();
                    let p = found.unwrap_or(&tables[at as usize + 1..][..6]);
                    let f = ((x - f64::from(p[0])) * f64::from(p[1])).clamp(0.0, 1.0);
                    p[2..].iter().rev().fold(0.0, |v, c| v * f + f64::from(*c))
                }
            };
            slots[*dst as usize] = v;
        }
    }
}
