//! The tangent of attention, for derivatives in forward mode.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `attention_tangent.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "attention_tangent",
    check,
    source: include_str!("../../shaders/attention_tangent.wgsl"),
    variants: &[
        Variant { name: "64", defines: &[("I", 1)], needs: Needs::NONE },
        Variant { name: "128", defines: &[("I", 2)], needs: Needs::NONE },
        Variant { name: "256", defines: &[("I", 4)], needs: Needs::NONE },
        Variant { name: "512", defines: &[("I", 8)], needs: Needs::NONE },
    ],
};

/// `attention_tangent_small.wgsl`: a subgroup of 8, heads of 8 or 16 channels.
pub static SMALL: Kernel = Kernel {
    name: "attention_tangent_small",
    check,
    source: include_str!("../../shaders/attention_tangent_small.wgsl"),
    variants: &[
        Variant { name: "sg8_8", defines: &[("D", 2)], needs: SUBGROUP },
        Variant { name: "sg8_16", defines: &[("D", 4)], needs: SUBGROUP },
    ],
};

const SUBGROUP: Needs = Needs { subgroup: Some(8), int64: false };

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
        let rows = self.n * self.heads;
        let mut params = vec![
            ("tokens_q", self.tokens_q.into()),
            ("tokens_k", self.tokens_k.into()),
            ("heads", self.heads.into()),
            ("scale", self.scale.into()),
        ];
        let mut bindings: Vec<_> = ["q", "k", "v", "dq", "dk", "dv"].into_iter().zip(inputs).collect();
        bindings.push(("dst", dst));
        if caps.stream && caps.subgroup == Some(8) && matches!(self.d, 8 | 16) {
            let variant = SMALL.pick(caps, |v| v.get("D") as usize * 4 == self.d);
            let groups = if self.tokens_k == 0 { 0 } else { rows * div_up(self.tokens_q, 8) };
            return Call::new(&SMALL, variant, bindings, params, groups);
        }
        let wide = div_up(self.d, 64).min(8);
        let variant = KERNEL.pick(caps, |v| v.get("I") as usize >= wide);
        let width = 64 * variant.map_or(1, |v| v.get("I") as usize);
        let parts = div_up(self.d, width);
        params.extend([("d", self.d.into()), ("parts", parts.into())]);
        Call::new(&KERNEL, variant, bindings, params, rows * self.tokens_q * parts)
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
    // Heads of each variant's width, and of those that are not theirs.
    let d = match case.of(0..6) {
        0 => 8,
        1 => 16,
        2 => case.of(65..130),
        3 => case.of(200..260),
        4 => case.of(400..600),
        _ => case.of(1..40),
    };
    let (heads, seed) = (case.of(1..4), case.word());
    let op = AttentionTangent { n, tokens_q, tokens_k, heads, d, scale: 1.0 / (d as f32).sqrt() };
    let (q, k) = (n * tokens_q * heads * d, n * tokens_k * heads * d);
    let x: [Vec<f32>; 6] = std::array::from_fn(|i| data(seed ^ i as u64, if i % 3 == 0 { q } else { k }));
    let mut arrays: Vec<Vec<u32>> = x.iter().map(|v| bits(v)).collect();
    arrays.push(vec![0; q]);
    case.run(&op.calls(&case.caps(), [0, 1, 2, 3, 4, 5], 6), &mut arrays)?;
    compare(&arrays[6], &op.reference(std::array::from_fn(|i| x[i].as_slice())), TOLERANCE)
}
