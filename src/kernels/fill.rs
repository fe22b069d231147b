//! One number per image: a slot or a `vector(1)` tensor.

use super::check::{bits, data, same, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Variant};

/// `fill.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "fill",
    check,
    source: include_str!("../../shaders/fill.wgsl"),
    variants: &[
        Variant { name: "number", defines: &[("SLOT", 0)], needs: Needs::NONE },
        Variant { name: "slot", defines: &[("SLOT", 1)], needs: Needs::NONE },
    ],
};

/// `dst[at .. at + n]` = a number of the step, or a slot's values.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fill {
    /// Images.
    pub n: usize,
    /// Where in `dst`: `slot * n`, or 0 for a tensor.
    pub at: usize,
}

impl Fill {
    /// The first number of the instruction, for every image.
    pub fn calls<B: Clone>(&self, caps: &Caps, dst: B, numbers: &Numbers<B>) -> Vec<Call<B>> {
        let mut bindings = vec![("dst", dst)];
        let mut params = vec![("n", self.n.into()), ("at", self.at.into())];
        numbers.bind(&mut bindings, &mut params);
        let variant = KERNEL.pick(caps, |v| v.get("SLOT") == 0);
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n, 64))
    }

    /// The values of a slot (`slots` is `[slot, n]`) as a tensor.
    pub fn calls_slot<B: Clone>(&self, caps: &Caps, dst: B, slots: B, slot: u32) -> Vec<Call<B>> {
        let bindings = vec![("dst", dst), ("slots", slots)];
        let params = vec![("n", self.n.into()), ("at", self.at.into()), ("slot", slot.into())];
        let variant = KERNEL.pick(caps, |v| v.get("SLOT") == 1);
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n, 64))
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, at, slot, seed) = (case.of(1..200), case.of(0..9), case.of(0..3), case.word());
    let op = Fill { n, at };
    let (table, slots) = (data(seed, 12), data(seed ^ 1, 3 * n));
    let mut arrays = vec![vec![0; n + 9], vec![3], bits(&table), bits(&slots)];
    let mut want = arrays[0].clone();
    let numbers = Numbers { counter: 1, table: 2, stride: 3, offset: 2 };
    case.run(&op.calls(&case.caps(), 0, &numbers), &mut arrays)?;
    want[at..at + n].fill(table[11].to_bits());
    same(&arrays[0], &want)?;
    case.run(&op.calls_slot(&case.caps(), 0, 3, slot as u32), &mut arrays)?;
    want[at..at + n].copy_from_slice(&bits(&slots[slot * n..][..n]));
    same(&arrays[0], &want)
}
