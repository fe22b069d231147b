//! Nearest neighbours at any size, means of squares, and linear interpolation.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};
use crate::shape::Shape;

/// `resample.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "resample",
    check,
    source: include_str!("../../shaders/resample.wgsl"),
    variants: &[
        Variant { name: "vec4_nearest", defines: &[("VEC4", 1), ("POOL", 0)], needs: Needs::NONE },
        Variant { name: "vec4_pool", defines: &[("VEC4", 1), ("POOL", 1)], needs: Needs::NONE },
        Variant { name: "vec4_linear", defines: &[("VEC4", 1), ("LINEAR", 1)], needs: Needs::NONE },
        Variant { name: "scalar_linear", defines: &[("VEC4", 0), ("LINEAR", 1)], needs: Needs::NONE },
        Variant { name: "scalar_nearest", defines: &[("VEC4", 0), ("POOL", 0)], needs: Needs::NONE },
        Variant { name: "scalar_pool", defines: &[("VEC4", 0), ("POOL", 1)], needs: Needs::NONE },
    ],
};

/// Another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    /// Row `y` is row `floor(y h / to_h)` of the source, columns likewise.
    Nearest {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
    },
    /// The mean of squares of side `k` side by side; what is left over is not seen.
    Pool {
        /// The side.
        k: usize,
    },
    /// Linear between neighbours, corner upon corner: row `y` is at `y (h - 1) / (to_h - 1)` of the
    /// source, columns likewise.
    Linear {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
    },
}

impl Resample {
    /// The shape that a shape becomes.
    pub fn out(&self, from: Shape) -> Shape {
        match *self {
            Resample::Nearest { h, w } | Resample::Linear { h, w } => Shape::new(h, w, from.c),
            Resample::Pool { k } => Shape::new(from.h / k.max(1), from.w / k.max(1), from.c),
        }
    }

    /// From `[n, from]` to `[n, out(from)]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, n: usize, from: Shape, src: B, dst: B) -> Vec<Call<B>> {
        let out = self.out(from);
        let (vec4, width) = if KERNEL.vectors(caps, from.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let (pool, linear, k) = match *self {
            Resample::Nearest { .. } => (0, 0, 1),
            Resample::Linear { .. } => (0, 1, 1),
            Resample::Pool { k } => (1, 0, k),
        };
        let variant = KERNEL
            .pick(caps, |v| v.get("VEC4") == vec4 && v.get("POOL") == pool && v.get("LINEAR") == linear);
        let total = n * out.len() / width;
        let params = vec![
            ("total", total.into()),
            ("h", from.h.into()),
            ("w", from.w.into()),
            ("dst_h", out.h.into()),
            ("dst_w", out.w.into()),
            ("c", (from.c / width).into()),
            ("k", k.into()),
        ];
        Call::new(&KERNEL, variant, vec![("src", src), ("dst", dst)], params, div_up(total, 64))
    }

    /// The exact values.
    pub fn reference(&self, n: usize, from: Shape, x: &[f32]) -> Reference {
        let to = self.out(from);
        let mut out = Reference::default();
        for i in 0..n * to.len() {
            let (ch, col, row, image) = (i % to.c, i / to.c % to.w, i / to.c / to.w % to.h, i / to.len());
            let at = |y: usize, x: usize| ((image * from.h + y) * from.w + x) * from.c + ch;
            match *self {
                Resample::Nearest { .. } => {
                    let v = f64::from(x[at(row * from.h / to.h, col * from.w / to.w)]);
                    out.push(v, v.abs());
                }
                Resample::Linear { h, w } => {
                    let place = |i: usize, from: usize, to: usize| {
                        let at = (i * (from - 1)) as f64 / (to.max(2) - 1) as f64;
                        let low = (i * (from - 1)) / (to.max(2) - 1);
                        (low, (low + 1).min(from - 1), at - low as f64)
                    };
                    let ((y0, y1, fy), (x0, x1, fx)) = (place(row, from.h, h), place(col, from.w, w));
                    let corners = [
                        (y0, x0, (1.0 - fy) * (1.0 - fx)),
                        (y0, x1, (1.0 - fy) * fx),
                        (y1, x0, fy * (1.0 - fx)),
                        (y1, x1, fy * fx),
                    ];
                    let v = |(y, col, weight): (usize, usize, f64)| weight * f64::from(x[at(y, col)]);
                    let size = corners.iter().map(|&(y, col, _)| f64::from(x[at(y, col)].abs())).sum();
                    out.push(corners.into_iter().map(v).sum(), size);
                }
                Resample::Pool { k } => {
                    let all = || {
                        (0..k * k)
                            .map(|j| f64::from(x[at(row * k + j / k, col * k + j % k)]) / (k * k) as f64)
                    };
                    out.push(all().sum(), all().map(f64::abs).sum());
                }
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, seed) = (case.of(1..4), case.word());
    let from = Shape::new(case.of(1..12), case.of(1..12), case.of(1..6) * if case.coin() { 4 } else { 1 });
    let (h, w) = (case.of(1..20), case.of(1..20));
    let op = match case.of(0..3) {
        0 => Resample::Nearest { h, w },
        1 => Resample::Linear { h, w },
        _ => Resample::Pool { k: 1 + h % 3 },
    };
    let x = data(seed, n * from.len());
    let mut arrays = vec![bits(&x), vec![0; n * op.out(from).len()]];
    case.run(&op.calls(&case.caps(), n, from, 0, 1), &mut arrays)?;
    compare(&arrays[1], &op.reference(n, from, &x), TOLERANCE)
}
