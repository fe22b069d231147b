//! A choice of register per image.

use super::{div_up, Call, Caps, Kernel, WIDTHS};

/// `select.wgsl`.
pub static KERNEL: Kernel =
    Kernel { name: "select", source: include_str!("../../shaders/select.wgsl"), variants: WIDTHS };

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
        let vec4 = self.len.is_multiple_of(4);
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
