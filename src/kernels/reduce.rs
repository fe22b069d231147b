//! Sums over an image, into a slot.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// `reduce.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "reduce",
    check,
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
    /// `(a / (atol + rtol max(|b|, |c|)))^2`, or with `max(atol, rtol max(|b|, |c|))`.
    Error {
        /// Absolute tolerance.
        atol: f32,
        /// Relative tolerance.
        rtol: f32,
        /// The greater of both in place of their sum.
        greater: bool,
    },
}

/// `slots[slot, image] = scale * sum`, or the root of it.
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
    /// Whether the slot gets the square root (NaN of a negative dot product).
    pub root: bool,
    /// Which sum.
    pub sum: Sum,
}

impl Reduce {
    /// `srcs` are `[a]`, `[a, b]` or `[a, b, c]`; `slots` is `[slot, n]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, srcs: &[B], slots: B) -> Vec<Call<B>> {
        let (define, count, atol, rtol, greater) = match self.sum {
            Sum::Squares => ("SQUARES", 1, 0.0, 0.0, false),
            Sum::Dot => ("DOT", 2, 0.0, 0.0, false),
            Sum::Error { atol, rtol, greater } => ("ERROR", 3, atol, rtol, greater),
        };
        debug_assert_eq!(srcs.len(), count);
        let mut bindings: Vec<_> = ["a", "b", "c"].into_iter().zip(srcs.iter().cloned()).collect();
        bindings.push(("slots", slots));
        let params = vec![
            ("len", self.len.into()),
            ("first", (self.slot as usize * self.n).into()),
            ("scale", self.scale.into()),
            ("root", u32::from(self.root).into()),
            ("atol", atol.into()),
            ("rtol", rtol.into()),
            ("greater", u32::from(greater).into()),
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
                let term = match self.sum {
                    Sum::Squares => at(0, i) * at(0, i),
                    Sum::Dot => at(0, i) * at(1, i),
                    Sum::Error { atol, rtol, greater } => {
                        let (atol, rtol) = (f64::from(atol), f64::from(rtol));
                        let relative = rtol * at(1, i).abs().max(at(2, i).abs());
                        let w = if greater { atol.max(relative) } else { atol + relative };
                        let e = at(0, i) / w;
                        e * e
                    }
                };
                v += term;
                m += term.abs();
            }
            let (v, m) = (v * f64::from(self.scale), m * f64::from(self.scale).abs());
            let value = if self.root { v.sqrt() } else { v };
            out.push(value, if self.root { value } else { m });
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, len, slot, seed) = (case.of(1..5), case.of(1..2000), case.of(0..3), case.word());
    let error = |greater| Sum::Error { atol: 0.01, rtol: 0.05, greater };
    let (sum, sources) =
        [(Sum::Squares, 1), (Sum::Dot, 2), (error(false), 3), (error(true), 3)][case.of(0..4)];
    let root = case.coin() && !matches!(sum, Sum::Dot);
    let op = Reduce { n, len, slot: slot as u32, scale: 1.0 / len as f32, root, sum };
    let srcs: Vec<Vec<f32>> = (0..sources).map(|i| data(seed ^ i, n * len)).collect();
    let mut arrays: Vec<_> = srcs.iter().map(|s| bits(s)).collect();
    let slots = arrays.len();
    arrays.push(vec![0; 3 * n]);
    let names: Vec<usize> = (0..slots).collect();
    case.run(&op.calls(&case.caps(), &names, slots), &mut arrays)?;
    let refs: Vec<&[f32]> = srcs.iter().map(Vec::as_slice).collect();
    let (before, rest) = arrays[slots].split_at(slot * n);
    let (mine, behind) = rest.split_at(n);
    if before.iter().chain(behind).any(|w| *w != 0) {
        return Err("another slot was written".into());
    }
    compare(mine, &op.reference(&refs), TOLERANCE)
}
