//! A matrix along one axis of a tensor.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `axis.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "axis",
    check,
    source: include_str!("../../shaders/axis.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `[outer, from, inner]` to `[outer, to, inner]` by a matrix `[to, from]`, the same for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// What comes before the axis, all images among it.
    pub outer: usize,
    /// The length of the axis.
    pub from: usize,
    /// Its length in the result.
    pub to: usize,
    /// What comes behind it.
    pub inner: usize,
}

impl Axis {
    /// `dst = matrix src` along the axis.
    pub fn calls<B: Clone>(&self, caps: &Caps, src: B, matrix: B, dst: B) -> Vec<Call<B>> {
        let total = self.outer * self.to * self.inner;
        let params = vec![
            ("total", total.into()),
            ("rows", self.to.into()),
            ("columns", self.from.into()),
            ("inner", self.inner.into()),
        ];
        let bindings = vec![("src", src), ("matrix", matrix), ("dst", dst)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, div_up(total, 64))
    }

    /// The exact values.
    pub fn reference(&self, src: &[f32], matrix: &[f32]) -> Reference {
        let mut out = Reference::default();
        for block in src.chunks_exact(self.from * self.inner) {
            for row in matrix.chunks_exact(self.from) {
                for i in 0..self.inner {
                    let terms = row.iter().enumerate();
                    let terms = terms.map(|(c, m)| f64::from(*m) * f64::from(block[c * self.inner + i]));
                    out.push(terms.clone().sum(), terms.map(f64::abs).sum());
                }
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (outer, from, to, inner) = (case.of(1..6), case.of(1..40), case.of(1..40), case.of(1..20));
    let (op, seed) = (Axis { outer, from, to, inner }, case.word());
    let (x, matrix) = (data(seed, outer * from * inner), data(seed ^ 1, to * from));
    let mut arrays = vec![bits(&x), bits(&matrix), vec![0; outer * to * inner]];
    case.run(&op.calls(&case.caps(), 0, 1, 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(&x, &matrix), TOLERANCE)
}
