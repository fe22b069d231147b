//! The step counter on the GPU.

use super::{Call, Caps, Kernel, Needs, Variant};

/// `advance.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "advance",
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
