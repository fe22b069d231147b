//! Quantiles of |x| per image, for dynamic thresholding.

use super::check::{bits, compare, data, Case};
use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// `quantile.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "quantile",
    check,
    source: include_str!("../../shaders/quantile.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `slots[slot, image]` = the quantile `q` of |x| as `torch.quantile` has it
/// (linear between order statistics), within `least ..= most`.
#[derive(Clone, Copy, Debug)]
pub struct Quantile {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// The slot.
    pub slot: u32,
    /// From 0 to 1.
    pub q: f64,
    /// Lower bound of the result.
    pub least: f32,
    /// Upper bound of the result.
    pub most: f32,
}

impl Quantile {
    /// (k, the fraction of the way to the order statistic k + 1).
    fn rank(&self) -> (usize, f64) {
        let last = self.len.saturating_sub(1);
        let position = (self.q.clamp(0.0, 1.0) * last as f64).min(last as f64);
        (position as usize, position.fract())
    }

    /// `slots` is `[slot, n]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, x: B, slots: B) -> Vec<Call<B>> {
        let (rank, fraction) = self.rank();
        let params = vec![
            ("len", self.len.into()),
            ("first", (self.slot as usize * self.n).into()),
            ("rank", rank.into()),
            ("fraction", (fraction as f32).into()),
            ("least", self.least.into()),
            ("most", self.most.into()),
        ];
        let bindings = vec![("x", x), ("slots", slots)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, self.n)
    }

    /// One number per image.
    pub fn reference(&self, x: &[f32]) -> Reference {
        let mut out = Reference::default();
        let (rank, fraction) = self.rank();
        for image in x.chunks_exact(self.len) {
            let mut sorted: Vec<f64> = image.iter().map(|v| f64::from(v.abs())).collect();
            sorted.sort_by(f64::total_cmp);
            let (low, high) = (sorted[rank], sorted[(rank + 1).min(self.len - 1)]);
            let v = low + (high - low) * fraction;
            out.push(v.max(self.least.into()).min(self.most.into()), low + high);
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, len, slot, seed) = (case.of(1..5), case.of(1..2000), case.of(0..3) as u32, case.word());
    let q = match case.of(0..4) {
        0 => 0.0,
        1 => 1.0,
        2 => 0.995,
        _ => case.real(0.0, 1.0),
    };
    let op = Quantile { n, len, slot, q, least: if case.coin() { 1.0 } else { 0.0 }, most: 5.0 };
    let mut x = data(seed, n * len);
    if case.coin() {
        x.iter_mut().for_each(|v| *v = (*v * 4.0).round() / 4.0); // many are equal
    }
    let mut arrays = vec![bits(&x), vec![0; 3 * n]];
    case.run(&op.calls(&case.caps(), 0, 1), &mut arrays)?;
    compare(&arrays[1][slot as usize * n..][..n], &op.reference(&x), 2e-7)
}
