//! The mean of a slot over the images of a batch.

use super::check::{bits, compare, data, Case};
use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// `mean.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "mean",
    check,
    source: include_str!("../../shaders/mean.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// `slots[to]` of every image = the mean of `slots[from]`.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    /// Images.
    pub n: usize,
    /// The slot that is averaged.
    pub from: u32,
    /// The slot that is written.
    pub to: u32,
}

impl Mean {
    /// `slots` is `[slot, n]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, slots: B) -> Vec<Call<B>> {
        let at = |slot: u32| (slot as usize * self.n).into();
        let params = vec![("n", self.n.into()), ("first", at(self.from)), ("dst", at(self.to))];
        let groups = usize::from(self.n > 0);
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), vec![("slots", slots)], params, groups)
    }

    /// The mean, of `slots` as the kernel reads them.
    pub fn reference(&self, slots: &[f32]) -> f64 {
        let row = &slots[self.from as usize * self.n..][..self.n];
        row.iter().map(|v| f64::from(*v)).sum::<f64>() / self.n as f64
    }
}

/// For one image, and for more than a workgroup has lanes.
fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, from, to, seed) = (case.of(1..300), case.of(0..4) as u32, case.of(0..4) as u32, case.word());
    let op = Mean { n, from, to };
    let slots = data(seed, 4 * n);
    let mut arrays = vec![bits(&slots)];
    case.run(&op.calls(&case.caps(), 0), &mut arrays)?;
    let (mean, mut want) = (op.reference(&slots), Reference::default());
    for (i, v) in slots.iter().enumerate() {
        match i / n == to as usize {
            true => want.push(mean, 4.0),
            false => want.push(f64::from(*v), 0.0),
        }
    }
    compare(&arrays[0], &want, 1e-6)
}
