//! The tangent of attention, for derivatives in forward mode.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `attention_tangent.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_tangent",
    check,
    source: include_str!("../../shaders/attention_tangent.wgsl"),
    variants: &[Variant { name: "plain", defines: &[], needs: Needs::NONE }],
};

/// Queries `[n, tokens_q, heads d]`, keys and values `[n, tokens_k, heads d]`, and the
/// tangent of each.
#[derive(Clone, Copy, Debug)]
pub struct AttentionTangent {
    /// Images.
    pub n: usize,
    /// Queries of an image.
    pub tokens_q: usize,
    /// Keys of an image.
    pub tokens_k: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub d: usize,
    /// The factor of the logits.
    pub scale: f32,
}

impl AttentionTangent {
    /// `inputs` are q, k, v and their tangents.
    pub fn calls<B: Clone>(&self, caps: &Caps, inputs: [B; 6], dst: B) -> Vec<Call<B>> {
        let parts = div_up(self.d, 512);
        let groups = self.n * self.tokens_q * self.heads * parts;
        let params = vec![
            ("tokens_q", self.tokens_q.into()),
            ("tokens_k", self.tokens_k.into()),
            ("heads", self.heads.into()),
            ("d", self.d.into()),
            ("parts", parts.into()),
            ("scale", self.scale.into()),
        ];
        let mut bindings: Vec<_> = ["q", "k", "v", "dq", "dk", "dv"].into_iter().zip(inputs).collect();
        bindings.push(("dst", dst));
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, groups)
    }

    /// The exact values.
    pub fn reference(&self, inputs: [&[f32]; 6]) -> Reference {
        let [q, k, v, dq, dk, dv] = inputs;
        let (d, c, scale) = (self.d, self.heads * self.d, f64::from(self.scale));
        let mut out = Reference::default();
        for own in (0..self.n * self.tokens_q * self.heads).map(|i| i * d) {
            let (image, head) = (own / (self.tokens_q * c), own % c);
            let row = |j: usize| (image * self.tokens_k + j) * c + head;
            let dot = |a: &[f32], b: &[f32], j: usize| -> f64 {
                (0..d).map(|e| f64::from(a[own + e]) * f64::from(b[row(j) + e])).sum()
            };
            let logits: Vec<f64> = (0..self.tokens_k).map(|j| scale * dot(q, k, j)).collect();
            let slopes: Vec<f64> =
                (0..self.tokens_k).map(|j| scale * (dot(dq, k, j) + dot(q, dk, j))).collect();
            let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = logits.iter().map(|s| (s - most).exp()).sum();
            let weights: Vec<f64> = logits.iter().map(|s| (s - most).exp() / sum).collect();
            let mean: f64 = weights.iter().zip(&slopes).map(|(w, s)| w * s).sum();
            let size = slopes.iter().fold(0.0, |m: f64, s| m.max(s.abs()));
            let logit = logits.iter().fold(1.0, |m: f64, s| m.max(s.abs()));
            for e in 0..d {
                let (mut value, mut magnitude) = (0.0, 0.0);
                for (j, w) in weights.iter().enumerate() {
                    let (v, dv) = (f64::from(v[row(j) + e]), f64::from(dv[row(j) + e]));
                    value += w * (dv + (slopes[j] - mean) * v);
                    // A logit's rounding moves every weight; slopes are sums of d products.
                    magnitude += w * (dv.abs() + 2.0 * size * v.abs()) * (1.0 + logit);
                }
                out.push(value, magnitude);
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, tokens_q, tokens_k) = (case.of(1..4), case.of(1..20), case.of(1..20));
    let (heads, d, seed) = (case.of(1..4), case.of(1..40), case.word());
    let op = AttentionTangent { n, tokens_q, tokens_k, heads, d, scale: 1.0 / (d as f32).sqrt() };
    let (q, k) = (n * tokens_q * heads * d, n * tokens_k * heads * d);
    let x: [Vec<f32>; 6] = std::array::from_fn(|i| data(seed ^ i as u64, if i % 3 == 0 { q } else { k }));
    let mut arrays: Vec<Vec<u32>> = x.iter().map(|v| bits(v)).collect();
    arrays.push(vec![0; q]);
    case.run(&op.calls(&case.caps(), [0, 1, 2, 3, 4, 5], 6), &mut arrays)?;
    compare(&arrays[6], &op.reference(std::array::from_fn(|i| x[i].as_slice())), TOLERANCE)
}
