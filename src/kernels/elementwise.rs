//! Sums, scalings and activations of tensors of a network.

use super::activation::Activation;
use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `elementwise.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "elementwise",
    check,
    source: include_str!("../../shaders/elementwise.wgsl"),
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
        variant("vec4_same_identity", &[("VEC4", 1), ("IDENTITY", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_relu", &[("VEC4", 1), ("RELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_silu", &[("VEC4", 1), ("SILU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_gelu", &[("VEC4", 1), ("GELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_gelu_tanh", &[("VEC4", 1), ("GELU_TANH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_mish", &[("VEC4", 1), ("MISH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_tanh", &[("VEC4", 1), ("TANH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_elu", &[("VEC4", 1), ("ELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_same_leaky", &[("VEC4", 1), ("LEAKY", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_identity", &[("VEC4", 0), ("IDENTITY", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_relu", &[("VEC4", 0), ("RELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_silu", &[("VEC4", 0), ("SILU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_gelu", &[("VEC4", 0), ("GELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_gelu_tanh", &[("VEC4", 0), ("GELU_TANH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_mish", &[("VEC4", 0), ("MISH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_tanh", &[("VEC4", 0), ("TANH", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_elu", &[("VEC4", 0), ("ELU", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("scalar_same_leaky", &[("VEC4", 0), ("LEAKY", 1), ("TENSOR", 1), ("SAME", 1)]),
        variant("vec4_vector_identity", &[("VEC4", 1), ("IDENTITY", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_relu", &[("VEC4", 1), ("RELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_silu", &[("VEC4", 1), ("SILU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_gelu", &[("VEC4", 1), ("GELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_gelu_tanh", &[("VEC4", 1), ("GELU_TANH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_mish", &[("VEC4", 1), ("MISH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_tanh", &[("VEC4", 1), ("TANH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_elu", &[("VEC4", 1), ("ELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_vector_leaky", &[("VEC4", 1), ("LEAKY", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_identity", &[("VEC4", 0), ("IDENTITY", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_relu", &[("VEC4", 0), ("RELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_silu", &[("VEC4", 0), ("SILU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_gelu", &[("VEC4", 0), ("GELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_gelu_tanh", &[("VEC4", 0), ("GELU_TANH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_mish", &[("VEC4", 0), ("MISH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_tanh", &[("VEC4", 0), ("TANH", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_elu", &[("VEC4", 0), ("ELU", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("scalar_vector_leaky", &[("VEC4", 0), ("LEAKY", 1), ("TENSOR", 1), ("VECTOR", 1)]),
        variant("vec4_image_identity", &[("VEC4", 1), ("IDENTITY", 1), ("IMAGE", 1)]),
        variant(
            "vec4_scale_shift_identity",
            &[("VEC4", 1), ("IDENTITY", 1), ("TENSOR", 1), ("SCALE_SHIFT", 1)],
        ),
        variant("vec4_scale_shift_silu", &[("VEC4", 1), ("SILU", 1), ("TENSOR", 1), ("SCALE_SHIFT", 1)]),
        variant("scalar_image_identity", &[("VEC4", 0), ("IDENTITY", 1), ("IMAGE", 1)]),
        variant(
            "scalar_scale_shift_identity",
            &[("VEC4", 0), ("IDENTITY", 1), ("TENSOR", 1), ("SCALE_SHIFT", 1)],
        ),
        variant("scalar_scale_shift_silu", &[("VEC4", 0), ("SILU", 1), ("TENSOR", 1), ("SCALE_SHIFT", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// What takes part beside `a`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Second {
    /// Nothing: `act(a ca + d)`.
    #[default]
    None,
    /// A tensor of the same shape: `act(a ca + b cb + d)`.
    Same,
    /// Channels `at .. at + c` of a vector per image, `[n, channels]`: the same sum.
    Vector {
        /// Channels of the vector.
        channels: usize,
        /// The first that takes part.
        at: usize,
    },
    /// A number per image, `[n]`: the same sum. Identity only.
    Image,
    /// A number per image that divides: `a ca / b + d`. Identity only.
    Over,
    /// A scale and behind it a shift in a vector per image, `[n, channels]`:
    /// `act(a ca (1 + scale) + shift + d)`. Identity or SiLU only.
    ScaleShift {
        /// Channels of the vector.
        channels: usize,
        /// The first of the scale.
        at: usize,
    },
}

/// `y = act(a ca + b cb + d)` and its relatives, on `[n, pixels, c]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elementwise {
    /// Images.
    pub n: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
    /// Factor of `a`.
    pub ca: f32,
    /// Factor of `b`.
    pub cb: f32,
    /// The constant.
    pub d: f32,
    /// What `b` is.
    pub second: Second,
    /// What is applied last.
    pub activation: Activation,
}

impl Elementwise {
    /// Whether the family has this combination: else apply the activation on its own.
    pub fn supported(&self) -> bool {
        match self.second {
            Second::Image | Second::Over => self.activation == Activation::Identity,
            Second::ScaleShift { .. } => matches!(self.activation, Activation::Identity | Activation::Silu),
            _ => true,
        }
    }

    /// `b` is needed unless `second` is `None`.
    pub fn calls<B: Clone>(&self, caps: &Caps, a: B, b: Option<B>, dst: B) -> Vec<Call<B>> {
        debug_assert!(self.supported());
        let len = self.pixels * self.c;
        let (define, stride, at) = match self.second {
            Second::None => ("", 0, 0),
            Second::Same => ("SAME", 0, 0),
            Second::Vector { channels, at } => ("VECTOR", channels, at),
            Second::Image | Second::Over => ("IMAGE", 0, 0),
            Second::ScaleShift { channels, at } => ("SCALE_SHIFT", channels, at),
        };
        // Where channels do not matter, the whole image is the row.
        let row = if stride == 0 { len } else { self.c };
        let vec4 = KERNEL.vectors(caps, row % 4 == 0 && stride % 4 == 0 && at % 4 == 0);
        let width = if vec4 { 4 } else { 1 };
        let variant = KERNEL.pick(caps, |v| {
            let same = |d: &str| v.get(d) == u32::from(d == define);
            v.get("VEC4") == u32::from(vec4)
                && v.get(self.activation.define()) == 1
                && ["SAME", "VECTOR", "IMAGE", "SCALE_SHIFT"].into_iter().all(same)
        });
        let mut bindings = vec![("a", a), ("dst", dst)];
        bindings.extend(b.filter(|_| !define.is_empty()).map(|b| ("b", b)));
        let total = self.n * len / width;
        let params = vec![
            ("total", total.into()),
            ("len", (len / width).into()),
            ("c", (self.c / width).into()),
            ("b_stride", (stride / width).into()),
            ("b_at", (at / width).into()),
            ("ca", self.ca.into()),
            ("cb", self.cb.into()),
            ("d", self.d.into()),
            ("alpha", self.activation.alpha().into()),
            ("divide", u32::from(self.second == Second::Over).into()),
        ];
        Call::new(&KERNEL, variant, bindings, params, div_up(total, 256))
    }

    /// The exact values.
    pub fn reference(&self, a: &[f32], b: &[f32]) -> Reference {
        let mut out = Reference::default();
        let (ca, cb, d) = (f64::from(self.ca), f64::from(self.cb), f64::from(self.d));
        for (i, a) in a.iter().enumerate() {
            let (image, ch) = (i / (self.pixels * self.c), i % self.c);
            let x = ca * f64::from(*a);
            let get = |i: usize| f64::from(b[i]);
            let (v, m) = match self.second {
                Second::None => (x, x.abs()),
                Second::Same => (x + cb * get(i), x.abs() + (cb * get(i)).abs()),
                Second::Vector { channels, at } => {
                    let y = cb * get(image * channels + at + ch);
                    (x + y, x.abs() + y.abs())
                }
                Second::Image => (x + cb * get(image), x.abs() + (cb * get(image)).abs()),
                Second::Over => (x / get(image), (x / get(image)).abs()),
                Second::ScaleShift { channels, at } => {
                    let e = image * channels + at + ch;
                    (
                        x * (1.0 + get(e)) + get(e + self.c),
                        x.abs() * (1.0 + get(e).abs()) + get(e + self.c).abs(),
                    )
                }
            };
            out.push(self.activation.apply(v + d), m + d.abs() + self.activation.slack());
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let unit = if case.coin() { 4 } else { 1 };
    let (n, pixels, seed) = (case.of(1..4), case.of(1..20), case.word());
    let (c, at) = (unit * case.of(1..12), unit * case.of(0..3));
    let (act, kind) = (case.of(0..9), case.of(0..10));
    let channels = 2 * c + at + unit * case.of(0..3);
    let (second, b_len) = match kind {
        0..=2 => (Second::None, 1),
        3..=4 => (Second::Same, n * pixels * c),
        5..=6 => (Second::Vector { channels, at }, n * channels),
        7 => (Second::Image, n),
        8 => (Second::Over, n),
        _ => (Second::ScaleShift { channels, at }, n * channels),
    };
    let activation = match kind {
        7 | 8 => Activation::Identity,
        9 if act < 4 => Activation::Identity,
        9 => Activation::Silu,
        _ => Activation::ALL[act],
    };
    let op = Elementwise { n, pixels, c, ca: 0.7, cb: -1.3, d: 0.25, second, activation };
    let (mut a, mut b) = (data(seed, n * pixels * c), data(seed ^ 1, b_len));
    a[0] *= 100.0;
    if kind == 8 {
        b.iter_mut().for_each(|v| *v = v.abs() + 0.1);
    }
    let mut arrays = vec![bits(&a), bits(&b), vec![0; a.len()]];
    case.run(&op.calls(&case.caps(), 0, Some(1), 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(&a, &b), TOLERANCE)
}
