//! One number per image, everywhere in its array: a slot, a number, a `vector(1)` tensor.

use super::check::{bits, data, same, Case};
use super::{div_up, Call, Caps, Kernel, Needs, Numbers, Variant};

/// `fill.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "fill",
    check,
    source: include_str!("../../shaders/fill.wgsl"),
    variants: &[
        Variant { name: "number", defines: &[("SLOT", 0), ("NUMBER", 1)], needs: Needs::NONE },
        Variant { name: "slot", defines: &[("SLOT", 1), ("NUMBER", 0)], needs: Needs::NONE },
        Variant { name: "slot_times", defines: &[("SLOT", 1), ("NUMBER", 1)], needs: Needs::NONE },
    ],
};

/// `dst[at .. at + n len]` = a number of the step, a slot's values, or their product.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Images.
    pub n: usize,
    /// Numbers of an image.
    pub len: usize,
    /// Where in `dst`: `slot * n`, or 0 for a tensor.
    pub at: usize,
}

impl Fill {
    /// The first number of the instruction, for every image.
    pub fn calls<B: Clone>(&self, caps: &Caps, dst: B, numbers: &Numbers<B>) -> Vec<Call<B>> {
        self.emit(caps, dst, None, Some(numbers))
    }

    /// The values of a slot (`slots` is `[slot, n]`).
    pub fn calls_slot<B: Clone>(&self, caps: &Caps, dst: B, slots: B, slot: u32) -> Vec<Call<B>> {
        self.emit(caps, dst, Some((slots, slot)), None)
    }

    /// The values of a slot times the first number of the instruction.
    pub fn calls_slot_times<B: Clone>(
        &self,
        caps: &Caps,
        dst: B,
        slots: B,
        slot: u32,
        numbers: &Numbers<B>,
    ) -> Vec<Call<B>> {
        self.emit(caps, dst, Some((slots, slot)), Some(numbers))
    }

    fn emit<B: Clone>(
        &self,
        caps: &Caps,
        dst: B,
        slot: Option<(B, u32)>,
        numbers: Option<&Numbers<B>>,
    ) -> Vec<Call<B>> {
        let wanted = (u32::from(slot.is_some()), u32::from(numbers.is_some()));
        let variant = KERNEL.pick(caps, |v| (v.get("SLOT"), v.get("NUMBER")) == wanted);
        let mut bindings = vec![("dst", dst)];
        let mut params = vec![("n", self.n.into()), ("len", self.len.into()), ("at", self.at.into())];
        if let Some((slots, slot)) = slot {
            bindings.push(("slots", slots));
            params.push(("slot", slot.into()));
        }
        if let Some(numbers) = numbers {
            numbers.bind(&mut bindings, &mut params);
        }
        Call::new(&KERNEL, variant, bindings, params, div_up(self.n * self.len, 64))
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, len, at, slot, seed) =
        (case.of(1..200), case.of(1..6), case.of(0..9), case.of(0..3), case.word());
    let op = Fill { n, len, at };
    let (table, slots) = (data(seed, 12), data(seed ^ 1, 3 * n));
    let mut arrays = vec![vec![0; n * len + 9], vec![3], bits(&table), bits(&slots)];
    let mut want = arrays[0].clone();
    let numbers = Numbers { counter: 1, table: 2, stride: 3, offset: 2 };
    let spread = |factor: f32| -> Vec<u32> {
        let row = slots[slot * n..][..n].iter();
        row.flat_map(|v| std::iter::repeat_n((v * factor).to_bits(), len)).collect()
    };
    case.run(&op.calls(&case.caps(), 0, &numbers), &mut arrays)?;
    want[at..at + n * len].fill(table[11].to_bits());
    same(&arrays[0], &want)?;
    case.run(&op.calls_slot(&case.caps(), 0, 3, slot as u32), &mut arrays)?;
    want[at..at + n * len].copy_from_slice(&spread(1.0));
    same(&arrays[0], &want)?;
    case.run(&op.calls_slot_times(&case.caps(), 0, 3, slot as u32, &numbers), &mut arrays)?;
    want[at..at + n * len].copy_from_slice(&spread(table[11]));
    same(&arrays[0], &want)
}
