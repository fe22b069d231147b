//! Sums over an image, into a slot.

use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// `reduce.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "reduce",
    source: include_str!("../../shaders/reduce.wgsl"),
    variants: &[
        Variant { name: "squares", defines: &[("SQUARES", 1)], needs: Needs::NONE },
        Variant { name: "dot", defines: &[("DOT", 1)], needs: Needs::NONE },
        Variant { name: "error", defines: &[("ERROR", 1)], needs: Needs::NONE },
    ],
};

/// What is summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sum {
    /// `a^2`.
    Squares,
    /// `a b`.
    Dot,
    /// `((a - b) / (atol + rtol max(|c|, |d|)))^2`.
    Error {
        /// Absolute tolerance.
        atol: f32,
        /// Relative tolerance.
        rtol: f32,
    },
}

/// `slots[slot, image] = scale * sum`.
#[derive(Clone, Copy, Debug)]
pub struct Reduce {
    /// Images.
    pub n: usize,
    /// Numbers per image.
    pub len: usize,
    /// The slot.
    pub slot: u32,
    /// Times the sum: `1 / len` makes a mean.
    pub scale: f32,
    /// Which sum.
    pub sum: Sum,
}

impl Reduce {
    /// `srcs` are `[a]`, `[a, b]` or `[a, b, c, d]`; `slots` is `[slot, n]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, srcs: &[B], slots: B) -> Vec<Call<B>> {
        let (define, count, atol, rtol) = match self.sum {
            Sum::Squares => ("SQUARES", 1, 0.0, 0.0),
            Sum::Dot => ("DOT", 2, 0.0, 0.0),
            Sum::Error { atol, rtol } => ("ERROR", 4, atol, rtol),
        };
        debug_assert_eq!(srcs.len(), count);
        let mut bindings: Vec<_> = ["a", "b", "c", "d"].into_iter().zip(srcs.iter().cloned()).collect();
        bindings.push(("slots", slots));
        let params = vec![
            ("len", self.len.into()),
            ("first", (self.slot as usize * self.n).into()),
            ("scale", self.scale.into()),
            ("atol", atol.into()),
            ("rtol", rtol.into()),
        ];
        Call::new(&KERNEL, KERNEL.pick(caps, |v| v.get(define) == 1), bindings, params, self.n)
    }

    /// One number per image.
    pub fn reference(&self, srcs: &[&[f32]]) -> Reference {
        let mut out = Reference::default();
        for image in 0..self.n {
            let at = |k: usize, i: usize| f64::from(srcs[k][image * self.len + i]);
            let (mut v, mut m) = (0.0, 0.0);
            for i in 0..self.len {
                let (term, size) = match self.sum {
                    Sum::Squares => (at(0, i) * at(0, i), 0.0),
                    Sum::Dot => (at(0, i) * at(1, i), 0.0),
                    Sum::Error { atol, rtol } => {
                        let w = f64::from(atol) + f64::from(rtol) * at(2, i).abs().max(at(3, i).abs());
                        let e = (at(0, i) - at(1, i)) / w;
                        (e * e, e.abs() * (at(0, i).abs() + at(1, i).abs()) / w)
                    }
                };
                v += term;
                m += term.abs() + size;
            }
            out.push(v * f64::from(self.scale), m * f64::from(self.scale).abs());
        }
        out
    }
}
