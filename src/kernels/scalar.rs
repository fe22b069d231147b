//! Arithmetic on slots: what an adaptive solver decides by itself.

use super::check::{bits, compare, data, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Reference, Variant};

/// `scalar.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "scalar",
    check,
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

/// One operation, exactly as computed from the f32 values.
fn check(case: &mut Case<'_>) -> Result<(), String> {
    let mut operand = || match case.of(0..3) {
        0 => Operand::Slot(case.of(0..5) as u32),
        1 => Operand::Number(case.of(0..3) as u32),
        _ => Operand::Const(case.real(-3.0, 3.0) as f32),
    };
    let (a, b, c) = (operand(), operand(), operand());
    let (kind, dst, n, seed) = (case.of(0..17), case.of(0..5) as u32, case.of(1..100), case.word());
    let pieces: [[f64; 4]; 3] = [[0.5, 1.0, -0.25, 2.0], [3.25, -1.0, 0.0, 0.5], [2.75, 0.0, 1.0, 1.0]];
    let table: Vec<f32> = [vec![9.0], cubic_table(&[-1.0, -0.25, 0.5, 1.25], &pieces)].concat();
    // Positive where a logarithm or a quotient looks.
    let fix = |v: f32| if matches!(kind, 4 | 9) { v.abs() + 0.1 } else { v };
    let op = match (kind, a, b) {
        // Not of what may be zero or below.
        (4, _, Operand::Const(_) | Operand::Slot(1)) => Op::Abs(b),
        (9, Operand::Const(_) | Operand::Slot(1), _) => Op::Abs(b),
        (0, ..) => Op::Move(a),
        (1, ..) => Op::Add(a, b),
        (2, ..) => Op::Sub(a, b),
        (3, ..) => Op::Mul(a, b),
        (4, ..) => Op::Div(a, b),
        (5, ..) => Op::Min(a, b),
        (6, ..) => Op::Max(a, b),
        (7, ..) => Op::Sqrt(a),
        (8, ..) => Op::Exp(a),
        (9, ..) => Op::Log(a),
        (10, ..) => Op::Less(a, b),
        (11, ..) => Op::Select(a, b, c),
        (12, ..) => Op::Abs(a),
        (13, ..) => Op::Fma(a, b, c),
        (14, ..) => Op::Table(a, 1),
        (15, ..) => Op::LessEqual(a, b),
        _ => Op::Floor(a),
    };
    let op = Scalar { ops: vec![(1, Op::Move(Operand::Const(0.0))), (dst, op)] };
    let slots: Vec<f32> = data(seed, 5 * n).into_iter().map(fix).collect();
    let numbers: Vec<f32> = data(seed ^ 1, 8).into_iter().map(fix).collect();
    let code = [vec![77, 78], op.encode()].concat();
    let mut arrays = vec![code, bits(&table), vec![1], bits(&numbers), bits(&slots)];
    let place = Numbers { counter: 2, table: 3, stride: 4, offset: 1 };
    case.run(&op.calls(&case.caps(), n, 2, 0, 1, &place, 4), &mut arrays)?;
    let mut want = Reference { value: vec![0.0; 5 * n], magnitude: vec![0.0; 5 * n] };
    for i in 0..n {
        let mut mine: Vec<f64> = (0..5).map(|s| f64::from(slots[s * n + i])).collect();
        op.reference(&numbers[5..], &table, &mut mine);
        for (s, v) in mine.iter().enumerate() {
            want.value[s * n + i] = *v;
            want.magnitude[s * n + i] = if kind == 8 { v.abs() * 50.0 } else { v.abs() + 20.0 };
        }
    }
    compare(&arrays[4], &want, 1e-6)
}
