//! Depthwise convolution, with an activation at its end.

use super::activation::Activation;
use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};
use crate::shape::Shape;

/// `depthwise.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "depthwise",
    check,
    source: include_str!("../../shaders/depthwise.wgsl"),
    variants: &[
        variant("vec4_identity", &[("VEC4", 1), ("IDENTITY", 1)]),
        variant("vec4_silu", &[("VEC4", 1), ("SILU", 1)]),
        variant("scalar_identity", &[("VEC4", 0), ("IDENTITY", 1)]),
        variant("scalar_silu", &[("VEC4", 0), ("SILU", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// Each channel with a filter `kh x kw` of its own, zeros around the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depthwise {
    /// Rows of the filter.
    pub kh: usize,
    /// Columns of the filter.
    pub kw: usize,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros at `[top, bottom, left, right]`.
    pub padding: [usize; 4],
    /// What is applied last.
    pub activation: Activation,
}

impl Depthwise {
    /// Whether the family has this activation.
    pub fn supported(&self) -> bool {
        matches!(self.activation, Activation::Identity | Activation::Silu)
    }

    /// The shape that a shape becomes; `None` where the filter does not fit.
    pub fn out(&self, from: Shape) -> Option<Shape> {
        let [top, bottom, left, right] = self.padding;
        let side = |size: usize, pads: usize, k: usize| {
            size.checked_add(pads)?.checked_sub(k)?.checked_div(self.stride).map(|rest| rest + 1)
        };
        Some(Shape::new(side(from.h, top + bottom, self.kh)?, side(from.w, left + right, self.kw)?, from.c))
    }

    /// The kernel's `weight` from a checkpoint's `[c, 1, kh, kw]`.
    pub fn pack(&self, w: &[f32]) -> Vec<f32> {
        let taps = (self.kh * self.kw).max(1);
        let c = w.len() / taps;
        (0..w.len()).map(|i| w[i % c * taps + i / c]).collect()
    }

    /// From `[n, from]` to `[n, out(from)]`; `weight` is packed, `bias` `[c]`.
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        (n, from): (usize, Shape),
        (src, weight, bias): (B, B, B),
        dst: B,
    ) -> Vec<Call<B>> {
        debug_assert!(self.supported());
        let Some(out) = self.out(from) else { return Vec::new() };
        let (vec4, width) = if KERNEL.vectors(caps, from.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == vec4 && v.get(self.activation.define()) == 1);
        let total = n * out.len() / width;
        let params = vec![
            ("total", total.into()),
            ("h", from.h.into()),
            ("w", from.w.into()),
            ("dst_h", out.h.into()),
            ("dst_w", out.w.into()),
            ("c", (from.c / width).into()),
            ("kh", self.kh.into()),
            ("kw", self.kw.into()),
            ("step", self.stride.into()),
            ("pad_top", self.padding[0].into()),
            ("pad_left", self.padding[2].into()),
        ];
        let bindings = vec![("src", src), ("weight", weight), ("bias", bias), ("dst", dst)];
        Call::new(&KERNEL, variant, bindings, params, div_up(total, 64))
    }

    /// The exact values; `weight` `[c, 1, kh, kw]` as checkpoints have it.
    pub fn reference(&self, n: usize, from: Shape, x: &[f32], weight: &[f32], bias: &[f32]) -> Reference {
        let mut result = Reference::default();
        let Some(to) = self.out(from) else { return result };
        for i in 0..n * to.len() {
            let (ch, col, row, image) = (i % to.c, i / to.c % to.w, i / to.c / to.w % to.h, i / to.len());
            let (mut sum, mut magnitude) = (f64::from(bias[ch]), f64::from(bias[ch].abs()));
            for tap in 0..self.kh * self.kw {
                let y = (row * self.stride + tap / self.kw).checked_sub(self.padding[0]);
                let x_at = (col * self.stride + tap % self.kw).checked_sub(self.padding[2]);
                if let (Some(y), Some(x_at)) = (y.filter(|y| *y < from.h), x_at.filter(|x| *x < from.w)) {
                    let v = f64::from(x[((image * from.h + y) * from.w + x_at) * from.c + ch])
                        * f64::from(weight[ch * self.kh * self.kw + tap]);
                    sum += v;
                    magnitude += v.abs();
                }
            }
            result.push(self.activation.apply(sum), magnitude + self.activation.slack());
        }
        result
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, h, w, seed) = (case.of(1..4), case.of(1..12), case.of(1..12), case.word());
    let c = case.of(1..6) * if case.coin() { 4 } else { 1 };
    let (kh, kw, stride) = (case.of(1..6), case.of(1..6), case.of(1..4));
    let padding = std::array::from_fn(|_| case.of(0..4));
    let activation = if case.coin() { Activation::Silu } else { Activation::Identity };
    let (from, op) = (Shape::new(h, w, c), Depthwise { kh, kw, stride, padding, activation });
    let Some(out) = op.out(from) else { return Ok(()) };
    let (x, weight, bias) = (data(seed, n * from.len()), data(seed ^ 1, c * kh * kw), data(seed ^ 2, c));
    let mut arrays = vec![bits(&x), bits(&op.pack(&weight)), bits(&bias), vec![0; n * out.len()]];
    case.run(&op.calls(&case.caps(), (n, from), (0, 1, 2), 3), &mut arrays)?;
    compare(&arrays[3], &op.reference(n, from, &x, &weight, &bias), TOLERANCE)
}
