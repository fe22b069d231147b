//! Attention by online softmax: the matrix of products is never in memory.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `attention.wgsl`: tiles in workgroup memory.
pub static TILE: Kernel = Kernel {
    name: "attention",
    check,
    source: include_str!("../../shaders/attention.wgsl"),
    variants: &[
        variant("vec4_64", &[("VEC4", 1), ("J", 1)], Needs::NONE),
        variant("vec4_256", &[("VEC4", 1), ("J", 4)], Needs::NONE),
        variant("scalar_64", &[("VEC4", 0), ("J", 1)], Needs::NONE),
        variant("scalar_256", &[("VEC4", 0), ("J", 4)], Needs::NONE),
    ],
};

/// `attention_stream.wgsl`: a subgroup of 8, any width of head.
pub static STREAM: Kernel = Kernel {
    name: "attention_stream",
    check,
    source: include_str!("../../shaders/attention_stream.wgsl"),
    variants: &[
        variant("sg8_images", &[("VEC4", 1), ("IMAGE", 1), ("G", 4)], IMAGES),
        variant("sg8", &[("VEC4", 1), ("G", 4)], SUBGROUP),
    ],
};

/// `attention_small.wgsl`: a subgroup of 8, heads of 8 or 16 channels.
pub static SMALL: Kernel = Kernel {
    name: "attention_small",
    check,
    source: include_str!("../../shaders/attention_small.wgsl"),
    variants: &[
        variant("sg8_8_images", &[("VEC4", 1), ("IMAGE", 1), ("D", 2), ("QB", 4)], IMAGES),
        variant("sg8_16_images", &[("VEC4", 1), ("IMAGE", 1), ("D", 4), ("QB", 2)], IMAGES),
        variant("sg8_8_to", &[("VEC4", 1), ("IMAGE", 1), ("TO", 1), ("D", 2), ("QB", 4)], IMAGES),
        variant("sg8_16_to", &[("VEC4", 1), ("IMAGE", 1), ("TO", 1), ("D", 4), ("QB", 2)], IMAGES),
        variant("sg8_8", &[("VEC4", 1), ("D", 2), ("QB", 4)], SUBGROUP),
        variant("sg8_16", &[("VEC4", 1), ("D", 4), ("QB", 2)], SUBGROUP),
    ],
};

const SUBGROUP: Needs = Needs { subgroup: Some(8), int64: false };
const IMAGES: Needs = Needs { subgroup: Some(8), int64: true };

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)], needs: Needs) -> Variant {
    Variant { name, defines, needs }
}

/// `softmax(scale q k^T) v` for each image and head; the result is `[n, tokens_q, heads * d]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attention {
    /// Images.
    pub n: usize,
    /// Tokens that ask.
    pub tokens_q: usize,
    /// Tokens that answer.
    pub tokens_k: usize,
    /// Heads.
    pub heads: usize,
    /// Channels of a head.
    pub d: usize,
    /// Of the products, often `1 / sqrt(d)`.
    pub scale: f32,
    /// Where the queries lie.
    pub q: Place,
    /// Where the keys lie.
    pub k: Place,
    /// Where the values lie.
    pub v: Place,
    /// Whether queries, keys and values lie in images ([`Attention::wants_images`]).
    pub images: bool,
    /// Whether the result lies in one too ([`Attention::writes_image`]).
    pub to_image: bool,
}

/// Where heads lie in the channels of a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Channels of a token.
    pub stride: usize,
    /// The first channel of head 0.
    pub at: usize,
    /// From head to head: `d` where heads are neighbours, `3 d` where q, k, v alternate by head.
    pub head: usize,
}

impl Place {
    /// Heads side by side in a tensor of nothing else.
    pub fn dense(heads: usize, d: usize) -> Self {
        Self { stride: heads * d, at: 0, head: d }
    }

    /// Part `i` of `[q of all heads, k of all heads, v of all heads]`.
    pub fn fused(i: usize, heads: usize, d: usize) -> Self {
        Self { stride: 3 * heads * d, at: i * heads * d, head: d }
    }
}

impl Attention {
    /// Whether queries, keys and values are better brought into images first
    /// ([`Texels`](super::texels::Texels)): each is loaded many times.
    pub fn wants_images(&self, caps: &Caps) -> bool {
        let there = |k: &'static Kernel, d: Option<usize>| {
            let fits = |v: &Variant| v.get("IMAGE") == 1 && d.is_none_or(|d| v.get("D") as usize * 4 == d);
            k.sound(caps, fits).is_some()
        };
        let vectors = self.d.is_multiple_of(4) && self.places().iter().all(|p| (p.at | p.head) % 4 == 0);
        // An image's pixels are whole eights of channels.
        vectors
            && self.places().iter().all(|p| p.stride.is_multiple_of(8))
            && (caps.stream && caps.images && self.tokens_q >= 16)
            && (there(&STREAM, None) || there(&SMALL, Some(self.d)))
    }

    /// Whether the result may lie in an image, `[n, tokens_q, heads * d]` in texels of four.
    pub fn writes_image(&self, caps: &Caps) -> bool {
        let fits = |v: &Variant| v.get("TO") == 1 && v.get("D") as usize * 4 == self.d;
        let whole = (self.heads * self.d).is_multiple_of(8);
        whole && self.wants_images(caps) && SMALL.sound(caps, fits).is_some()
    }

    fn places(&self) -> [Place; 3] {
        [self.q, self.k, self.v]
    }

    /// `q`, `k` and `v` may be one tensor.
    pub fn calls<B: Clone>(&self, caps: &Caps, q: B, k: B, v: B, dst: B) -> Vec<Call<B>> {
        let places = self.places();
        let whole = self.d.is_multiple_of(4) && places.iter().all(|p| (p.stride | p.at | p.head) % 4 == 0);
        let stream = caps.stream && caps.subgroup == Some(8) && whole;
        let kind = |v: &Variant| {
            let (image, to) = (v.get("IMAGE") == 1, v.get("TO") == 1);
            stream && (image, to) == (self.images, self.to_image)
        };
        let rows = self.n * self.heads;
        let small = SMALL.sound(caps, |v| kind(v) && v.get("D") as usize * 4 == self.d);
        let streamed = STREAM.sound(caps, kind);
        let vec4 = if small.or(streamed).is_some() { whole } else { TILE.vectors(caps, whole) };
        let width = if vec4 { 4 } else { 1 };
        let (kernel, variant, tile, chunks): (&'static Kernel, _, _, _) = if let Some(v) = small {
            (&SMALL, small, 8 * v.get("QB") as usize, 1)
        } else if streamed.is_some() {
            (&STREAM, streamed, 16, 1)
        } else {
            let j = if self.d <= 64 { 1 } else { 4 };
            let pick = TILE.pick(caps, |v| v.get("VEC4") == u32::from(vec4) && v.get("J") == j);
            (&TILE, pick, 16, div_up(self.d, 64 * j as usize))
        };
        let mut params = vec![
            ("tokens_q", self.tokens_q.into()),
            ("tokens_k", self.tokens_k.into()),
            ("heads", self.heads.into()),
            ("d", (self.d / width).into()),
            ("chunks", chunks.into()),
            ("scale", self.scale.into()),
        ];
        let names =
            [["q_stride", "q_at", "q_head"], ["k_stride", "k_at", "k_head"], ["v_stride", "v_at", "v_head"]];
        for (p, [stride, at, head]) in places.into_iter().zip(names) {
            params.push((stride, (p.stride / width).into()));
            params.push((at, (p.at / width).into()));
            params.push((head, (p.head / width).into()));
        }
        let bindings = vec![("q", q), ("k", k), ("v", v), ("dst", dst)];
        let groups = if self.tokens_k == 0 { 0 } else { rows * div_up(self.tokens_q, tile) * chunks };
        Call::new(kernel, variant, bindings, params, groups)
    }

    /// The exact values. The magnitude counts what errors of the products do to the weights.
    pub fn reference(&self, q: &[f32], k: &[f32], v: &[f32]) -> Reference {
        let size = self.n * self.tokens_q * self.heads * self.d;
        let mut out = Reference { value: vec![0.0; size], magnitude: vec![0.0; size] };
        let row = |x: &[f32], p: Place, tokens: usize, image: usize, token: usize, head: usize| {
            let at = (image * tokens + token) * p.stride + p.at + head * p.head;
            x[at..at + self.d].iter().map(|v| f64::from(*v)).collect::<Vec<_>>()
        };
        for image in 0..self.n {
            for head in 0..self.heads {
                let keys: Vec<_> =
                    (0..self.tokens_k).map(|t| row(k, self.k, self.tokens_k, image, t, head)).collect();
                let values: Vec<_> =
                    (0..self.tokens_k).map(|t| row(v, self.v, self.tokens_k, image, t, head)).collect();
                for token in 0..self.tokens_q {
                    let x = row(q, self.q, self.tokens_q, image, token, head);
                    let scale = f64::from(self.scale);
                    let s: Vec<f64> = keys
                        .iter()
                        .map(|k| scale * k.iter().zip(&x).map(|(a, b)| a * b).sum::<f64>())
                        .collect();
                    let terms =
                        |k: &Vec<f64>| scale * k.iter().zip(&x).map(|(a, b)| (a * b).abs()).sum::<f64>();
                    let size = keys.iter().map(terms).fold(1.0, f64::max);
                    let top = s.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let total: f64 = s.iter().map(|s| (s - top).exp()).sum();
                    let at = ((image * self.tokens_q + token) * self.heads + head) * self.d;
                    for (s, v) in s.iter().zip(&values) {
                        let w = (s - top).exp() / total;
                        for (e, v) in v.iter().enumerate() {
                            out.value[at + e] += w * v;
                            out.magnitude[at + e] += w * v.abs() * size;
                        }
                    }
                }
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let d = match case.of(0..8) {
        0 | 1 => 8,
        2 | 3 => 16,
        4 => case.of(1..20),
        5 => 4 * case.of(1..10),
        6 => 68,
        _ => 70,
    };
    let (n, tokens_q, heads, seed) = (case.of(1..4), case.of(1..40), case.of(1..4), case.word());
    let place = case.of(0..3);
    let tokens_k = if place > 0 { tokens_q } else { case.of(1..40) };
    let dense = Place::dense(heads, d);
    let [q, k, v] = match place {
        0 => [dense, dense, Place { stride: heads * d + 4, at: 4, head: d }],
        1 => [0, 1, 2].map(|i| Place::fused(i, heads, d)),
        _ => [0, 1, 2].map(|i| Place { stride: 3 * heads * d, at: i * d, head: 3 * d }),
    };
    let scale = 1.0 / (d as f32).sqrt();
    let mut op =
        Attention { n, tokens_q, tokens_k, heads, d, scale, q, k, v, images: false, to_image: false };
    // Images where any processor that acts as a GPU could want them.
    op.images = case.of(0..3) > 0 && op.wants_images(&Caps { images: true, ..case.caps() });
    op.to_image = op.images && case.coin() && op.writes_image(&Caps { images: true, ..case.caps() });
    let size = |tokens: usize, p: Place, salt: u64| data(seed ^ salt, n * tokens * p.stride);
    let x = [size(tokens_q, q, 1), size(tokens_k, k, 2), size(tokens_k, v, 3)];
    let mut arrays = vec![bits(&x[0]), bits(&x[1]), bits(&x[2]), vec![0; n * tokens_q * heads * d]];
    let [a, b, c] = if place > 0 { [0; 3] } else { [0, 1, 2] };
    case.run(&op.calls(&case.caps(), a, b, c, 3), &mut arrays)?;
    compare(&arrays[3], &op.reference(&x[a], &x[b], &x[c]), TOLERANCE)
}
