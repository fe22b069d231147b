//! A choice of register per image.

use super::check::{bits, data, same, Case};
use super::{div_up, Call, Caps, Kernel, WIDTHS};

/// `select.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "select", check, source: include_str!("../../shaders/select.wgsl"), variants: WIDTHS };

/// `dst = a` where the image's slot is not 0, else `b`: bits are copied, so what
/// is not chosen may be infinite or NaN.
#[derive(Clone, Copy, Debug, Default)]
pub struct Select {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// The slot.
    pub slot: u32,
}

impl Select {
    /// `slots` is `[slot, n]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, a: B, b: B, slots: B, dst: B) -> Vec<Call<B>> {
        let vec4 = KERNEL.vectors(caps, self.len.is_multiple_of(4));
        let len = if vec4 { self.len / 4 } else { self.len };
        let variant = KERNEL.pick(caps, |v| v.get("VEC4") == u32::from(vec4));
        let bindings = vec![("a", a), ("b", b), ("slots", slots), ("dst", dst)];
        let params = vec![
            ("total", (self.n * len).into()),
            ("len", len.into()),
            ("first", (self.slot as usize * self.n).into()),
        ];
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n * len, 64))
    }

    /// The exact result.
    pub fn reference(&self, a: &[f32], b: &[f32], slots: &[f32]) -> Vec<f32> {
        let on = |i: usize| slots[self.slot as usize * self.n + i / self.len] != 0.0;
        (0..a.len()).map(|i| if on(i) { a[i] } else { b[i] }).collect()
    }
}

/// Bits are copied, those of NaN and infinity too.
fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, slot, seed) = (case.of(1..5), case.of(0..3) as u32, case.word());
    let op = Select { n, len: case.of(1..200) * if case.coin() { 4 } else { 1 }, slot };
    let (mut a, mut b) = (data(seed, n * op.len), data(seed ^ 1, n * op.len));
    a[0] = f32::INFINITY;
    b[n * op.len - 1] = f32::NAN;
    let slots: Vec<f32> = data(seed ^ 2, 3 * n).iter().map(|v| v.max(0.0)).collect();
    let mut arrays = vec![bits(&a), bits(&b), bits(&slots), vec![0; n * op.len]];
    case.run(&op.calls(&case.caps(), 0, 1, 2, 3), &mut arrays)?;
    same(&arrays[3], &bits(&op.reference(&a, &b, &slots)))
}
