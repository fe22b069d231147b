//! The largest or the mean of windows, of what lies within the image.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};
use crate::shape::Shape;

/// `pool.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "pool",
    check,
    source: include_str!("../../shaders/pool.wgsl"),
    variants: &[
        Variant { name: "vec4_max", defines: &[("VEC4", 1), ("MAX", 1)], needs: Needs::NONE },
        Variant { name: "vec4_mean", defines: &[("VEC4", 1), ("MAX", 0)], needs: Needs::NONE },
        Variant { name: "scalar_max", defines: &[("VEC4", 0), ("MAX", 1)], needs: Needs::NONE },
        Variant { name: "scalar_mean", defines: &[("VEC4", 0), ("MAX", 0)], needs: Needs::NONE },
    ],
};

/// What is taken of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// The largest.
    Max,
    /// The mean of what lies within the image: what is around it counts for nothing.
    Mean,
}

/// A window that moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// What is taken.
    pub take: Take,
    /// Its side.
    pub k: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Rows and columns around the image that windows reach into: less than `k`.
    pub padding: usize,
}

impl Pool {
    /// The shape that a shape becomes; `None` where no window fits, or one lies beside the image.
    pub fn out(&self, from: Shape) -> Option<Shape> {
        let side = |size: usize| {
            let all = size.checked_add(self.padding.checked_mul(2)?)?;
            let count = all.checked_sub(self.k)?.checked_div(self.stride)? + 1;
            // The last window sees a pixel.
            ((count - 1) * self.stride < size.checked_add(self.padding)?).then_some(count)
        };
        let fits = self.k > 0 && self.padding < self.k;
        fits.then(|| Some(Shape::new(side(from.h)?, side(from.w)?, from.c)))?
    }

    /// From `[n, from]` to `[n, out(from)]`; nothing where no window fits.
    pub fn calls<B: Clone>(&self, caps: &Caps, n: usize, from: Shape, src: B, dst: B) -> Vec<Call<B>> {
        let Some(out) = self.out(from) else { return Vec::new() };
        let (vec4, width) = if KERNEL.vectors(caps, from.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let max = u32::from(self.take == Take::Max);
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == vec4 && v.get("MAX") == max);
        let total = n * out.len() / width;
        let params = vec![
            ("total", total.into()),
            ("h", from.h.into()),
            ("w", from.w.into()),
            ("dst_h", out.h.into()),
            ("dst_w", out.w.into()),
            ("c", (from.c / width).into()),
            ("k", self.k.into()),
            ("step", self.stride.into()),
            ("pad", self.padding.into()),
        ];
        Call::new(&KERNEL, variant, vec![("src", src), ("dst", dst)], params, div_up(total, 64))
    }

    /// The exact values.
    pub fn reference(&self, n: usize, from: Shape, x: &[f32]) -> Reference {
        let Some(to) = self.out(from) else { return Reference::default() };
        let mut out = Reference::default();
        for i in 0..n * to.len() {
            let (ch, col, row, image) = (i % to.c, i / to.c % to.w, i / to.c / to.w % to.h, i / to.len());
            let window = |at: usize, size: usize| {
                let first = (at * self.stride).saturating_sub(self.padding);
                first..(at * self.stride + self.k - self.padding).min(size)
            };
            let values: Vec<f64> = window(row, from.h)
                .flat_map(|y| window(col, from.w).map(move |x| (y, x)))
                .map(|(y, at)| f64::from(x[((image * from.h + y) * from.w + at) * from.c + ch]))
                .collect();
            let count = values.len() as f64;
            match self.take {
                Take::Max => {
                    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    out.push(largest, largest.abs());
                }
                Take::Mean => {
                    let size = values.iter().map(|v| v.abs()).sum::<f64>() / count;
                    out.push(values.iter().sum::<f64>() / count, size);
                }
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, seed) = (case.of(1..4), case.word());
    let from = Shape::new(case.of(3..12), case.of(3..12), case.of(1..6) * if case.coin() { 4 } else { 1 });
    let take = if case.coin() { Take::Max } else { Take::Mean };
    let k = case.of(1..4);
    let op = Pool { take, k, stride: case.of(1..4), padding: case.of(0..k) };
    let Some(to) = op.out(from) else { return Ok(()) };
    let x = data(seed, n * from.len());
    let mut arrays = vec![bits(&x), vec![0; n * to.len()]];
    case.run(&op.calls(&case.caps(), n, from, 0, 1), &mut arrays)?;
    compare(&arrays[1], &op.reference(n, from, &x), TOLERANCE)
}
