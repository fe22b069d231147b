//! From the parameters of a mixture of logistics to its mean.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `mixture_mean.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "mixture_mean",
    check,
    source: include_str!("../../shaders/mixture_mean.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// The mean of a mixture of `k` discretised logistics whose green leans on red and blue on
/// both (Salimans et al. 2017, arXiv:1701.05517, eq. 3), as NVAE takes it: means and
/// coefficients are averaged by the weights first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixtureMean {
    /// Pixels of all images.
    pub pixels: usize,
    /// Logistics.
    pub k: usize,
}

impl MixtureMean {
    /// From `[pixels, 10 k]` to `[pixels, 3]` in `[-1, 1]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, src: B, dst: B) -> Vec<Call<B>> {
        let params = vec![("pixels", self.pixels.into()), ("k", self.k.into())];
        let bindings = vec![("src", src), ("dst", dst)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, div_up(self.pixels, 64))
    }

    /// The exact values.
    pub fn reference(&self, x: &[f32]) -> Reference {
        let (k, mut out) = (self.k, Reference::default());
        for pixel in x.chunks_exact(10 * k) {
            let top = pixel[..k].iter().fold(f64::NEG_INFINITY, |m, v| m.max(f64::from(*v)));
            let weights: Vec<f64> = pixel[..k].iter().map(|v| (f64::from(*v) - top).exp()).collect();
            let whole: f64 = weights.iter().sum();
            let average = |at: usize, f: fn(f64) -> f64| {
                weights.iter().zip(&pixel[at..]).map(|(w, v)| w / whole * f(f64::from(*v))).sum::<f64>()
            };
            let size = |at: usize| {
                weights.iter().zip(&pixel[at..]).map(|(w, v)| w / whole * f64::from(v.abs())).sum::<f64>()
            };
            let mean = |colour: usize| average(k + 3 * k * colour, |v| v);
            let coef = |colour: usize| average(3 * k + 3 * k * colour, f64::tanh);
            let r = mean(0).clamp(-1.0, 1.0);
            let g = (mean(1) + coef(0) * r).clamp(-1.0, 1.0);
            let b = (mean(2) + coef(1) * r + coef(2) * g).clamp(-1.0, 1.0);
            for (colour, v) in [r, g, b].into_iter().enumerate() {
                // exp and tanh are good to an absolute error; green and blue inherit it.
                let sizes: f64 = (0..=colour).map(|c| size(k + 3 * k * c)).sum();
                out.push(v, 4.0 + 4.0 * sizes);
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (pixels, k, seed) = (case.of(1..150), case.of(1..12), case.word());
    let op = MixtureMean { pixels, k };
    let x = data(seed, pixels * 10 * k);
    let mut arrays = vec![bits(&x), vec![0; pixels * 3]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    compare(&arrays[1], &op.reference(&x), TOLERANCE)
}
