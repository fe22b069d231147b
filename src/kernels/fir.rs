//! `upfirdn2d` with a separable filter, for networks that resample by FIR.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Reference, WIDTHS};
use crate::shape::Shape;

/// `fir.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "fir", check, source: include_str!("../../shaders/fir.wgsl"), variants: WIDTHS };

/// Up by zeros, padding, the filter, down by leaving out; the same in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fir {
    /// Factor up.
    pub up: usize,
    /// Factor down.
    pub down: usize,
    /// Zeros before the first row and column; negative crops.
    pub pad0: isize,
    /// Zeros behind the last.
    pub pad1: isize,
    /// Taps of the filter.
    pub taps: usize,
}

impl Fir {
    /// The kernel's `taps` for a one-dimensional filter, its gain included: flipped,
    /// since `upfirdn2d` convolves.
    pub fn table(filter: &[f32]) -> Vec<f32> {
        filter.iter().rev().copied().collect()
    }

    /// The shape that a shape becomes.
    pub fn out(&self, from: Shape) -> Shape {
        let side = |size: usize| {
            let padded = (size * self.up) as isize + self.pad0 + self.pad1 - self.taps as isize;
            if padded < 0 {
                0
            } else {
                padded as usize / self.down.max(1) + 1
            }
        };
        Shape::new(side(from.h), side(from.w), from.c)
    }

    /// From `[n, from]` to `[n, out(from)]`; `taps` holds [`Fir::table`].
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        n: usize,
        from: Shape,
        src: B,
        taps: B,
        dst: B,
    ) -> Vec<Call<B>> {
        let out = self.out(from);
        let (vec4, width) = if KERNEL.vectors(caps, from.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == vec4);
        let total = n * out.len() / width;
        let params = vec![
            ("total", total.into()),
            ("h", from.h.into()),
            ("w", from.w.into()),
            ("dst_h", out.h.into()),
            ("dst_w", out.w.into()),
            ("c", (from.c / width).into()),
            ("count", self.taps.into()),
            ("up", self.up.into()),
            ("down", self.down.into()),
            ("pad", (self.pad0 as i32 as u32).into()),
        ];
        let bindings = vec![("src", src), ("taps", taps), ("dst", dst)];
        Call::new(&KERNEL, variant, bindings, params, div_up(total, 64))
    }

    /// The exact values; `table` as the kernel has it.
    pub fn reference(&self, n: usize, from: Shape, x: &[f32], table: &[f32]) -> Reference {
        let to = self.out(from);
        let mut out = Reference::default();
        // The source index that tap j of output i meets.
        let meet = |i: usize, j: usize, size: usize| {
            let at = (i * self.down + j) as isize - self.pad0;
            let up = self.up as isize;
            (at >= 0 && at % up == 0 && at / up < size as isize).then_some((at / up) as usize)
        };
        for i in 0..n * to.len() {
            let (ch, col, row, image) = (i % to.c, i / to.c % to.w, i / to.c / to.w % to.h, i / to.len());
            let (mut v, mut m) = (0.0, 0.0);
            for (a, fa) in table.iter().enumerate() {
                for (b, fb) in table.iter().enumerate() {
                    if let (Some(y), Some(z)) = (meet(row, a, from.h), meet(col, b, from.w)) {
                        let pixel = f64::from(x[((image * from.h + y) * from.w + z) * from.c + ch]);
                        let term = f64::from(*fa) * f64::from(*fb) * pixel;
                        v += term;
                        m += term.abs();
                    }
                }
            }
            out.push(v, m);
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, h, w, seed) = (case.of(1..4), case.of(1..12), case.of(1..12), case.word());
    let from = Shape::new(h, w, case.of(1..6) * if case.coin() { 4 } else { 1 });
    let (up, down, taps) = (case.of(1..4), case.of(1..4), case.of(1..17));
    let [pad0, pad1] = std::array::from_fn(|_| case.of(0..7) as isize - 2);
    let op = Fir { up, down, pad0, pad1, taps };
    let (x, table) = (data(seed, n * from.len()), Fir::table(&data(seed ^ 1, taps)));
    let mut arrays = vec![bits(&x), bits(&table), vec![0; n * op.out(from).len()]];
    case.run(&op.calls(&case.caps(), n, from, 0, 1, 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(n, from, &x, &table), TOLERANCE)
}
