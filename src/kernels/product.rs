//! Products of tensors of a network.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `product.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "product",
    check,
    source: include_str!("../../shaders/product.wgsl"),
    variants: &[
        variant("vec4_same", &[("VEC4", 1)]),
        variant("vec4_same_exp", &[("VEC4", 1), ("EXP", 1)]),
        variant("vec4_vector", &[("VEC4", 1), ("VECTOR", 1)]),
        variant("scalar_same", &[("VEC4", 0)]),
        variant("scalar_same_exp", &[("VEC4", 0), ("EXP", 1)]),
        variant("scalar_vector", &[("VEC4", 0), ("VECTOR", 1)]),
    ],
};

const fn variant(name: &'static str, defines: &'static [(&'static str, u32)]) -> Variant {
    Variant { name, defines, needs: Needs::NONE }
}

/// What `a` is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factor {
    /// A tensor of the same shape.
    Same,
    /// The exponential of a tensor of the same shape; of 88 where it is more.
    Exp,
    /// A vector per image, `[n, c]`.
    Vector,
}

/// `a` times a factor, on `[n, pixels, c]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Images.
    pub n: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
    /// What `b` is.
    pub factor: Factor,
}

impl Product {
    /// From `a` and `b` to `dst`.
    pub fn calls<B: Clone>(&self, caps: &Caps, a: B, b: B, dst: B) -> Vec<Call<B>> {
        let (vec4, width) = if KERNEL.vectors(caps, self.c.is_multiple_of(4)) { (1, 4) } else { (0, 1) };
        let variant = KERNEL.pick(caps, |v| {
            v.get("VEC4") == vec4
                && v.get("EXP") == u32::from(self.factor == Factor::Exp)
                && v.get("VECTOR") == u32::from(self.factor == Factor::Vector)
        });
        let len = self.pixels * self.c / width;
        let total = self.n * len;
        let params = vec![("total", total.into()), ("len", len.into()), ("c", (self.c / width).into())];
        Call::new(&KERNEL, variant, vec![("a", a), ("b", b), ("dst", dst)], params, div_up(total, 64))
    }

    /// The exact values.
    pub fn reference(&self, a: &[f32], b: &[f32]) -> Reference {
        let mut out = Reference::default();
        for (i, a) in a.iter().enumerate() {
            let factor = match self.factor {
                Factor::Same => f64::from(b[i]),
                Factor::Exp => f64::from(b[i]).min(88.0).exp(),
                Factor::Vector => f64::from(b[i / (self.pixels * self.c) * self.c + i % self.c]),
            };
            let v = f64::from(*a) * factor;
            // exp is good to some units in the last place of its argument.
            let slack = if self.factor == Factor::Exp { 1.0 + f64::from(b[i].abs()) } else { 1.0 };
            out.push(v, v.abs() * slack);
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, pixels, seed) = (case.of(1..4), case.of(1..40), case.word());
    let factor = [Factor::Same, Factor::Exp, Factor::Vector][case.of(0..3)];
    let op = Product { n, pixels, c: case.of(1..9) * if case.coin() { 4 } else { 1 }, factor };
    let a = data(seed, n * pixels * op.c);
    let b = data(seed ^ 1, if factor == Factor::Vector { n * op.c } else { a.len() });
    let mut arrays = vec![bits(&a), bits(&b), vec![0; a.len()]];
    case.run(&op.calls(&case.caps(), 0, 1, 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(&a, &b), TOLERANCE)
}
