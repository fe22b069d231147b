//! Two micro-kernels: what an adapter can do at the most, to compare others with.

use super::check::{bits, compare, data, same, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `peak_arithmetic.wgsl`.
pub static ARITHMETIC: Kernel = Kernel {
    name: "peak_arithmetic",
    check: check_arithmetic,
    source: include_str!("../../shaders/peak_arithmetic.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `peak_copy.wgsl`.
pub static COPY: Kernel = Kernel {
    name: "peak_copy",
    check: check_copy,
    source: include_str!("../../shaders/peak_copy.wgsl"),
    variants: &[
        Variant { name: "wide", defines: &[("WIDE", 1)], needs: Needs { subgroup: None, int64: true } },
        Variant { name: "vec4", defines: &[("WIDE", 0)], needs: Needs::NONE },
    ],
};

/// Multiply-adds of an invocation in a round: twelve chains, eight each.
const ROUND: u64 = 12 * 8;

/// `n` invocations of `rounds` rounds of multiply-adds.
#[derive(Clone, Copy, Debug)]
pub struct Arithmetic {
    /// Invocations, and numbers that are written.
    pub n: usize,
    /// Rounds, at most 60000: some drivers end longer loops.
    pub rounds: usize,
}

impl Arithmetic {
    const A: f32 = 0.75;
    const B: f32 = 0.5;

    /// Multiply-adds.
    pub fn macs(&self) -> u64 {
        self.n as u64 * self.rounds as u64 * ROUND
    }

    /// Into `dst`, of `n` numbers.
    pub fn calls<B: Clone>(&self, caps: &Caps, dst: B) -> Vec<Call<B>> {
        let params = vec![
            ("n", self.n.into()),
            ("rounds", self.rounds.into()),
            ("a", Self::A.into()),
            ("b", Self::B.into()),
        ];
        let variant = ARITHMETIC.pick(caps, |_| true);
        Call::new(&ARITHMETIC, variant, vec![("dst", dst)], params, div_up(self.n, 64))
    }

    /// The exact values.
    pub fn reference(&self) -> Reference {
        let mut out = Reference::default();
        let (a, b) = (f64::from(Self::A), f64::from(Self::B));
        for i in 0..self.n {
            let chain = |c: u32| {
                let start = ((i & 1023) + c as usize) as f64;
                (0..8 * self.rounds).fold(start, |v, _| v * a + b)
            };
            let sum: f64 = (0..12).map(chain).sum();
            out.push(sum, sum.abs() + 24.0);
        }
        out
    }
}

/// One array to another.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// Numbers, a multiple of 8.
    pub len: usize,
    /// Whether in the widest pieces, where the adapter has them.
    pub wide: bool,
}

impl Copy {
    /// From `src` to `dst`.
    pub fn calls<B: Clone>(&self, caps: &Caps, src: B, dst: B) -> Vec<Call<B>> {
        let wide = self.wide && caps.int64;
        let n = self.len / if wide { 8 } else { 4 };
        let variant = COPY.pick(caps, |v| v.get("WIDE") == u32::from(wide));
        Call::new(&COPY, variant, vec![("src", src), ("dst", dst)], vec![("n", n.into())], div_up(n, 1024))
    }
}

fn check_arithmetic(case: &mut Case<'_>) -> Result<(), String> {
    let op = Arithmetic { n: case.of(1..300), rounds: case.of(1..9) };
    let mut arrays = vec![vec![0; op.n]];
    case.run(&op.calls(&case.caps(), 0), &mut arrays)?;
    compare(&arrays[0], &op.reference(), 1e-6)
}

fn check_copy(case: &mut Case<'_>) -> Result<(), String> {
    let op = Copy { len: 8 * case.of(1..2000), wide: case.coin() };
    let src = bits(&data(case.word(), op.len));
    let mut arrays = vec![src.clone(), vec![0; op.len]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    same(&arrays[1], &src)
}
