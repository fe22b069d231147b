//! The end of a loop's pass: are all images done? Then the loop's dispatches are shut.
//!
//! Every kernel returns at once from workgroups at or past the `groups` of its
//! parameters. So the GPU itself stops what the host has submitted too much of by
//! writing 0 there: the parameters are bound as a storage buffer here, and nowhere
//! else. No kernel pays for it with a binding or a test, and no dispatch is indirect
//! (wgpu checks indirect arguments with a dispatch of its own for each).

use super::check::{bits, same, Case};
use super::{Call, Caps, Kernel, Needs, Variant};

/// `gate.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "gate",
    check,
    source: include_str!("../../shaders/gate.wgsl"),
    variants: &[Variant { name: "only", defines: &[], needs: Needs::NONE }],
};

/// Words of the status: whether all images are done, passes that ran.
pub const STATUS_WORDS: usize = 2;

/// What the gate does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// At the end of a pass: counts it, and shuts if every image's slot is not 0.
    Pass,
    /// At the start of a submission: shuts again if it was shut, as the host has
    /// written parameters of parts meanwhile.
    Again,
    /// Before the first pass: opens, and counts from 0.
    Enter,
    /// After the last pass: opens, for dispatches that are used elsewhere too.
    Leave,
}

/// A loop's gate.
#[derive(Clone, Copy, Debug)]
pub struct Gate {
    /// Images.
    pub n: usize,
    /// The slot that says whether an image is done.
    pub slot: u32,
    /// How many places there are.
    pub places: usize,
    /// What to do.
    pub mode: Mode,
}

impl Gate {
    /// `slots` is `[slot, n]`; `status` holds [`STATUS_WORDS`]; `places` holds, for each
    /// dispatch, the word of its `groups` in `parameters` and their number when open (0 for a
    /// place that is never opened: the host writes it for each submission).
    pub fn calls<B: Clone>(
        &self,
        caps: &Caps,
        slots: B,
        status: B,
        places: B,
        parameters: B,
    ) -> Vec<Call<B>> {
        let params = vec![
            ("n", self.n.into()),
            ("first", (self.slot as usize * self.n).into()),
            ("count", self.places.into()),
            ("mode", (self.mode as u32).into()),
        ];
        let bindings =
            vec![("slots", slots), ("status", status), ("places", places), ("parameters", parameters)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, 1)
    }

    /// The same on the host.
    pub fn reference(&self, slots: &[f32], status: &mut [u32], places: &[u32], parameters: &mut [u32]) {
        let row = &slots[self.slot as usize * self.n..][..self.n];
        match self.mode {
            Mode::Pass if status[0] == 0 => {
                status[0] = u32::from(row.iter().all(|v| *v != 0.0));
                status[1] += 1;
            }
            Mode::Pass | Mode::Again => {}
            Mode::Enter => status[..2].fill(0),
            Mode::Leave => status[0] = 0,
        }
        let shut = status[0] != 0;
        if shut || matches!(self.mode, Mode::Enter | Mode::Leave) {
            for place in places[..2 * self.places].chunks_exact(2) {
                if shut || place[1] != 0 {
                    parameters[place[0] as usize] = if shut { 0 } else { place[1] };
                }
            }
        }
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, left, shut) = (case.of(1..200), case.of(0..3), case.of(0..2) as u32);
    let (count, seed) = (case.of(0..130), case.word());
    let mode = [Mode::Pass, Mode::Again, Mode::Enter, Mode::Leave][case.of(0..4)];
    let op = Gate { n, slot: 1, places: count, mode };
    let mut slots = vec![1.0f32; 3 * n];
    for i in 0..left {
        slots[n + (seed as usize % n + 7 * i) % n] = if i == 0 { 0.0 } else { -0.0 };
    }
    let mut status = vec![shut, (seed % 900) as u32];
    let places: Vec<u32> = (0..count as u32).flat_map(|i| [3 * i + 1, i % 7]).collect();
    let mut parameters: Vec<u32> = (0..3 * count as u32 + 2).map(|i| 1000 + i).collect();
    let mut arrays =
        vec![bits(&slots), status.clone(), [places.clone(), vec![9, 9]].concat(), parameters.clone()];
    case.run(&op.calls(&case.caps(), 0, 1, 2, 3), &mut arrays)?;
    op.reference(&slots, &mut status, &places, &mut parameters);
    same(&arrays[1], &status)?;
    same(&arrays[3], &parameters)?;
    same(&arrays[0], &bits(&slots))
}
