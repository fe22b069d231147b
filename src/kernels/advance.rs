//! The step counter on the GPU.

use super::check::{same, Case};
use super::{Call, Caps, Kernel, Needs, Variant};

/// `advance.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "advance",
    check,
    source: include_str!("../../shaders/advance.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// What becomes of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Plus this (modulo 2^32).
    By(u32),
    /// Set to this.
    To(u32),
}

impl Advance {
    /// `counter` is one word.
    pub fn calls<B: Clone>(&self, caps: &Caps, counter: B) -> Vec<Call<B>> {
        let (keep, add) = match *self {
            Advance::By(x) => (1u32, x),
            Advance::To(x) => (0, x),
        };
        let params = vec![("keep", keep.into()), ("add", add.into())];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), vec![("counter", counter)], params, 1)
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (to, by) = (case.of(0..99) as u32, case.of(0..9) as u32);
    let mut arrays = vec![vec![40]];
    let mut calls = Advance::To(to).calls(&case.caps(), 0);
    calls.extend(Advance::By(by).calls(&case.caps(), 0));
    case.run(&calls, &mut arrays)?;
    same(&arrays[0], &[to + by])
}
