//! A matrix along one axis of a tensor.

use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `axis.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "axis",
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
