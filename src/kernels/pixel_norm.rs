//! Vectors scaled to a mean square of one.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `pixel_norm.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "pixel_norm",
    check,
    source: include_str!("../../shaders/pixel_norm.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `x / sqrt(mean(x^2) + eps)` over the channels of each pixel (Karras et al. 2018,
/// arXiv:1710.10196, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PixelNorm {
    /// Pixels of all images.
    pub rows: usize,
    /// Channels.
    pub c: usize,
    /// Added to the mean square.
    pub eps: f32,
}

impl PixelNorm {
    /// From `[rows, c]` to `[rows, c]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, src: B, dst: B) -> Vec<Call<B>> {
        let params = vec![("rows", self.rows.into()), ("c", self.c.into()), ("eps", self.eps.into())];
        let bindings = vec![("src", src), ("dst", dst)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, div_up(self.rows, 64))
    }

    /// The exact values.
    pub fn reference(&self, x: &[f32]) -> Reference {
        let mut out = Reference::default();
        for row in x.chunks_exact(self.c) {
            let square = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / self.c as f64;
            let root = (square + f64::from(self.eps)).sqrt();
            row.iter().for_each(|v| out.push(f64::from(*v) / root, f64::from(v.abs()) / root));
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (rows, c, seed) = (case.of(1..200), case.of(1..130), case.word());
    let op = PixelNorm { rows, c, eps: 1e-8 };
    let x = data(seed, rows * c);
    let mut arrays = vec![bits(&x), vec![0; x.len()]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    compare(&arrays[1], &op.reference(&x), TOLERANCE)
}
