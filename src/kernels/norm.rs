//! Group norm: statistics, a scale and a shift per image and channel, application.
//!
//! The chunks over which the statistics are first taken follow from the pixels of
//! an image and the family alone, so an image's bits do not depend on its batch.

use super::activation::Activation;
use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `norm_stats.wgsl`.
pub static STATS: Kernel = Kernel {
    name: "norm_stats",
    check,
    source: include_str!("../../shaders/norm_stats.wgsl"),
    variants: &[
        variant("vec4", &[("VEC4", 1)]),
        variant("scalar", &[("VEC4", 0)]),
        pairs("pairs", &[("VEC4", 1), ("PAIRS", 1)]),
        pairs("image", &[("VEC4", 1), ("PAIRS", 1), ("FROM", 1)]),
    ],
};

/// `norm_finish.wgsl`.
pub static FINISH: Kernel = Kernel {
    name: "norm_finish",
    check,
    source: include_str!("../../shaders/norm_finish.wgsl"),
    variants: &[
        variant("tree", &[("TREE", 1), ("EMB", 0)]),
        variant("tree_emb", &[("TREE", 1), ("EMB", 1)]),
        variant("lane", &[("TREE", 0), ("EMB", 0)]),
        variant("lane_emb", &[("TREE", 0), ("EMB", 1)]),
    ],
};

/// `norm_apply.wgsl`.
pub static APPLY: Kernel = Kernel {
    name: "norm_apply",
    check,
    source: include_str!("../../shaders/norm_apply.wgsl"),
    variants: &[
        variant("vec4_identity", &[("VEC4", 1), ("IDENTITY", 1)]),
        variant("vec4_relu", &[("VEC4", 1), ("RELU", 1)]),
        variant("vec4_silu", &[("VEC4", 1), ("SILU", 1)]),
        variant("vec4_gelu", &[("VEC4", 1), ("GELU", 1)]),
        variant("vec4_gelu_tanh", &[("VEC4", 1), ("GELU_TANH", 1)]),
        variant("vec4_mish", &[("VEC4", 1), ("MISH", 1)]),
        variant("vec4_tanh", &[("VEC4", 1), ("TANH", 1)]),
        variant("vec4_elu", &[("VEC4", 1), ("ELU", 1)]),
        variant("vec4_leaky", &[("VEC4", 1), ("LEAKY", 1)]),
        variant("scalar_identity", &[("VEC4", 0), ("IDENTITY", 1)]),
        variant("scalar_relu", &[("VEC4", 0), ("RELU", 1)]),
        variant("scalar_silu", &[("VEC4", 0), ("SILU", 1)]),
        variant("scalar_gelu", &[("VEC4", 0), ("GELU", 1)]),
        variant("scalar_gelu_tanh", &[("VEC4", 0), ("GELU_TANH", 1)]),
        variant("scalar_mish", &[("VEC4", 0), ("MISH", 1)]),
        variant("scalar_tanh", &[("VEC4", 0), ("TANH", 1)]),
        variant("scalar_elu", &[("VEC4", 0), ("ELU", 1)]),
        variant("scalar_leaky", &[("VEC4", 0), ("LEAKY", 1)]),
        pairs("pairs_identity", &[("VEC4", 1), ("PAIRS", 1), ("IDENTITY", 1)]),
        pairs("pairs_silu", &[("VEC4", 1), ("PAIRS", 1), ("SILU", 1)]),
        pairs("to_image_identity", &[("VEC4", 1), ("PAIRS", 1), ("IDENTITY", 1), ("TO", 1)]),
        pairs("to_image_silu", &[("VEC4", 1), ("PAIRS", 1), ("SILU", 1), ("TO", 1)]),
        pairs("from_image_identity", &[("VEC4", 1), ("PAIRS", 1), ("IDENTITY", 1), ("FROM", 1)]),
        pairs("from_image_silu", &[("VEC4", 1), ("PAIRS", 1), ("SILU", 1), ("FROM", 1)]),
        pairs("images_identity", &[("VEC4", 1), ("PAIRS", 1), ("IDENTITY", 1), ("FROM", 1), ("TO", 1)]),
        pairs("images_silu", &[("VEC4", 1), ("PAIRS", 1), ("SILU", 1), ("FROM", 1), ("TO", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// Buffers as pairs of 64-bit integers.
const fn pairs(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs { subgroup: None, int64: true } }
}

/// The variant that `want` accepts: of 64-bit integers on a processor that acts as a GPU, where there is one.
fn pick(
    kernel: &'static Kernel,
    caps: &Caps,
    vec4: u32,
    want: impl Fn(&Variant) -> bool,
) -> Option<&'static Variant> {
    let fits = |v: &Variant| v.get("VEC4") == vec4 && want(v);
    // Images are read and written by those alone.
    let image = |v: &Variant| v.get("FROM") + v.get("TO") > 0;
    let pairs = kernel.sound(caps, |v| (caps.stream || image(v)) && v.get("PAIRS") == 1 && fits(v));
    pairs.or_else(|| kernel.pick(caps, |v| v.get("PAIRS") == 0 && fits(v)))
}

/// Group norm of `[n, pixels, c]`, affine, perhaps with an embedding's scale and
/// shift, then an activation.
#[derive(Clone, Copy, Debug, Default)]
pub struct GroupNorm {
    /// Images.
    pub n: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
    /// Groups, a divisor of `c`.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// What is applied last.
    pub activation: Activation,
}

/// A tensor that is normed, or some of the channels of one that is.
#[derive(Clone, Copy, Debug)]
pub struct Part<B> {
    /// The tensor.
    pub tensor: B,
    /// Its channels.
    pub channels: usize,
    /// Whether it lies in an image, `[n, pixels, channels]` in texels of four.
    pub image: bool,
}

/// An embedding that scales and shifts: `y (1 + scale) + shift`, with `scale` at
/// channels `at .. at + c` of `[n, channels]` and `shift` behind it.
#[derive(Clone, Copy, Debug)]
pub struct Embedding<B> {
    /// The tensor.
    pub tensor: B,
    /// Its channels.
    pub channels: usize,
    /// The first of the scale.
    pub at: usize,
}

impl GroupNorm {
    /// Pixels per chunk.
    fn chunk(&self, caps: &Caps) -> usize {
        div_up(self.pixels, if caps.stream { 8 } else { 128 }).max(32)
    }

    /// Numbers in the scratch tensor `part`.
    pub fn part_len(&self, caps: &Caps) -> usize {
        self.n * div_up(self.pixels, self.chunk(caps)) * 2 * self.c
    }

    /// Numbers in the tensor `coef`, `[n, 2, c]`: scales, shifts.
    pub fn coef_len(&self) -> usize {
        self.n * 2 * self.c
    }

    fn width<B>(kernel: &Kernel, caps: &Caps, xs: &[Part<B>]) -> (u32, usize) {
        match kernel.vectors(caps, xs.iter().all(|x| x.channels.is_multiple_of(4))) {
            true => (1, 4),
            false => (0, 1),
        }
    }

    /// From `xs` to `coef`, by way of `part`. `xs` are the tensors that make up the
    /// normed one, channels after channels. `gamma` and
    /// `beta` are `[c]`.
    #[allow(clippy::too_many_arguments)]
    pub fn statistics<B: Clone>(
        &self,
        caps: &Caps,
        xs: &[Part<B>],
        gamma: B,
        beta: B,
        embedding: Option<Embedding<B>>,
        part: B,
        coef: B,
    ) -> Vec<Call<B>> {
        let (vec4, width) = Self::width(&STATS, caps, xs);
        let chunk = self.chunk(caps);
        let chunks = div_up(self.pixels, chunk);
        let mut calls = Vec::new();
        let mut at = 0;
        for Part { tensor: x, channels: c, image } in xs {
            let total = self.n * chunks * c / width;
            let params = vec![
                ("total", total.into()),
                ("pixels", self.pixels.into()),
                ("c", (c / width).into()),
                ("chunks", chunks.into()),
                ("chunk", chunk.into()),
                ("all", (self.c / width).into()),
                ("at", (at / width).into()),
            ];
            let variant = pick(&STATS, caps, vec4, |v| v.get("FROM") == u32::from(*image));
            let bindings = vec![("x", x.clone()), ("part", part.clone())];
            calls.extend(Call::new(&STATS, variant, bindings, params, div_up(total, 64)));
            at += c;
        }

        let mut bindings = vec![("part", part), ("gamma", gamma), ("beta", beta), ("coef", coef)];
        let emb = u32::from(embedding.is_some());
        let (mut emb_stride, mut emb_at) = (0, 0);
        if let Some(e) = embedding {
            (emb_stride, emb_at) = (e.channels, e.at);
            bindings.push(("emb", e.tensor));
        }
        let total = self.n * self.groups;
        let params = vec![
            ("total", total.into()),
            ("pixels", self.pixels.into()),
            ("c", self.c.into()),
            ("size", (self.c / self.groups.max(1)).into()),
            ("chunks", chunks.into()),
            ("chunk", chunk.into()),
            ("eps", self.eps.into()),
            ("emb_stride", emb_stride.into()),
            ("emb_at", emb_at.into()),
        ];
        let tree = u32::from(!caps.stream);
        let variant = FINISH.pick(caps, |v| v.get("TREE") == tree && v.get("EMB") == emb);
        let groups = if tree == 1 { total } else { div_up(total, 64) };
        calls.extend(Call::new(&FINISH, variant, bindings, params, groups));
        calls
    }

    /// Whether the result may be an image, `[n, pixels, c]` in texels of four, made of
    /// tensors of so many `channels`.
    pub fn writes_image(&self, caps: &Caps, channels: impl IntoIterator<Item = usize>) -> bool {
        let whole = self.c.is_multiple_of(8) && channels.into_iter().all(|c| c.is_multiple_of(4));
        whole && self.images(caps)
    }

    /// Whether a tensor of `channels` that is normed may be one.
    pub fn reads_image(&self, caps: &Caps, channels: impl IntoIterator<Item = usize>) -> bool {
        channels.into_iter().all(|c| c.is_multiple_of(8)) && self.images(caps)
    }

    /// Whether all variants that read or write images may run.
    fn images(&self, caps: &Caps) -> bool {
        let define = self.activation.define();
        let image = |v: &&Variant| v.get("FROM") + v.get("TO") > 0;
        let sound = |kernel: &'static Kernel, of: &dyn Fn(&Variant) -> bool| {
            let mut all = kernel.variants.iter().filter(image).filter(|v| of(v)).peekable();
            kernel.vectors(caps, true)
                && all.peek().is_some()
                && all.all(|v| caps.meets(v.needs) && !caps.bans(kernel, v))
        };
        caps.images && sound(&STATS, &|_| true) && sound(&APPLY, &|v| v.get(define) == 1)
    }

    /// From `xs` (as for the statistics) and `coef` to `dst`, an image where `to_image`.
    pub fn apply<B: Clone>(
        &self,
        caps: &Caps,
        xs: &[Part<B>],
        coef: B,
        dst: B,
        to_image: bool,
    ) -> Vec<Call<B>> {
        let (vec4, width) = Self::width(&APPLY, caps, xs);
        let blocks = div_up(self.pixels, 8);
        let mut calls = Vec::new();
        let mut at = 0;
        for Part { tensor: x, channels: c, image } in xs {
            let total = self.n * blocks * c / width;
            let params = vec![
                ("total", total.into()),
                ("pixels", self.pixels.into()),
                ("c", (c / width).into()),
                ("blocks", blocks.into()),
                ("all", (self.c / width).into()),
                ("at", (at / width).into()),
                ("alpha", self.activation.alpha().into()),
            ];
            let define = self.activation.define();
            let places = [("FROM", *image), ("TO", to_image)];
            let kind = |v: &Variant| {
                v.get(define) == 1 && places.iter().all(|(name, is)| v.get(name) == u32::from(*is))
            };
            let variant = pick(&APPLY, caps, vec4, kind);
            let bindings = vec![("x", x.clone()), ("coef", coef.clone()), ("dst", dst.clone())];
            calls.extend(Call::new(&APPLY, variant, bindings, params, div_up(total, 64)));
            at += c;
        }
        calls
    }

    /// (`coef`, `dst`). `embedding` is the tensor, its channels and the first of the scale.
    pub fn reference(
        &self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        embedding: Option<Embedding<&[f32]>>,
    ) -> (Reference, Reference) {
        let (mut coef, mut out) = (Reference::default(), Reference::default());
        let size = self.c / self.groups;
        for image in 0..self.n {
            let x = &x[image * self.pixels * self.c..][..self.pixels * self.c];
            let (mut scale, mut shift, mut middle) = (Vec::new(), Vec::new(), Vec::new());
            for ch in 0..self.c {
                let first = ch / size * size;
                let mine =
                    || (0..self.pixels).flat_map(|p| &x[p * self.c + first..][..size]).map(|v| f64::from(*v));
                let count = (self.pixels * size) as f64;
                let mean = mine().sum::<f64>() / count;
                let size = mine().map(f64::abs).sum::<f64>() / count;
                let variance = mine().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                let s = f64::from(gamma[ch]) / (variance + f64::from(self.eps)).sqrt();
                let (e, f) = embedding.map_or((0.0, 0.0), |e| {
                    let row = &e.tensor[image * e.channels + e.at..];
                    (f64::from(row[ch]), f64::from(row[ch + self.c]))
                });
                let t = f64::from(beta[ch]) - mean * s;
                scale.push(s * (1.0 + e));
                shift.push(t * (1.0 + e) + f);
                middle.push(
                    (size * s).abs() * (1.0 + e.abs())
                        + (f64::from(beta[ch]) * (1.0 + e.abs())).abs()
                        + f.abs(),
                );
            }
            scale.iter().for_each(|s| coef.push(*s, s.abs() + 1e-3));
            shift.iter().zip(&middle).for_each(|(t, m)| coef.push(*t, *m));
            for (i, v) in x.iter().enumerate() {
                let ch = i % self.c;
                let (v, s) = (f64::from(*v), scale[ch]);
                let y = self.activation.apply(v * s + shift[ch]);
                out.push(y, (v * s).abs() + middle[ch] + self.activation.slack());
            }
        }
        (coef, out)
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    // Images are of whole eights, and of two activations only.
    let images = case.coin();
    let unit = if images { 8 } else { [1, 4][case.of(0..2)] };
    let (n, pixels, groups, seed) = (case.of(1..4), 3 * case.of(1..90), case.of(1..7), case.word());
    let size = unit * case.of(1..if images { 3 } else { 7 });
    let activation = match images {
        true => [Activation::Identity, Activation::Silu][case.of(0..2)],
        false => Activation::ALL[case.of(0..9)],
    };
    let c = groups * size;
    let op = GroupNorm { n, pixels, c, groups, eps: 1e-5, activation };
    let mut x = data(seed, n * pixels * c);
    let far = case.of(0..4) == 0;
    if far {
        x.iter_mut().for_each(|v| *v += 300.0); // far from zero
    }
    let (gamma, beta) = (data(seed ^ 1, c), data(seed ^ 2, c));
    let (channels, at) = (2 * c + 3, case.of(0..3));
    let e = data(seed ^ 3, n * channels);
    let caps = case.caps();
    let mut arrays = vec![
        bits(&x),
        bits(&gamma),
        bits(&beta),
        bits(&e),
        vec![0; op.part_len(&caps)],
        vec![0; op.coef_len()],
        vec![0; x.len()],
    ];
    let embedding = (at > 0).then_some(Embedding { tensor: 3, channels, at });
    // Now and then the tensor is two, channels after channels.
    let first = if case.of(0..3) == 0 { c / 2 / unit * unit } else { 0 };
    let mut xs = vec![(0, c)];
    if first > 0 {
        let part = |from: usize, to: usize| -> Vec<f32> {
            x.chunks_exact(c).flat_map(|pixel| &pixel[from..to]).copied().collect()
        };
        arrays.extend([bits(&part(0, first)), bits(&part(first, c))]);
        xs = vec![(7, first), (8, c - first)];
    }
    let images = images && op.reads_image(&Caps { images: true, ..caps }, xs.iter().map(|x| x.1));
    let to_image = images && case.coin();
    let parts = xs.iter().map(|&(tensor, channels)| Part { tensor, channels, image: images && case.coin() });
    let xs: Vec<_> = parts.collect();
    let mut calls = op.statistics(&caps, &xs, 1, 2, embedding, 4, 5);
    calls.extend(op.apply(&caps, &xs, 5, 6, to_image));
    case.run(&calls, &mut arrays)?;
    let embedding = (at > 0).then_some(Embedding { tensor: &e[..], channels, at });
    let (coef, y) = op.reference(&x, &gamma, &beta, embedding);
    // Rounding of x itself bounds the variance where x is far from zero.
    let tolerance = if far || pixels * size < 8 { 1e-3 } else { TOLERANCE };
    compare(&arrays[5], &coef, tolerance)?;
    compare(&arrays[6], &y, tolerance)
}
