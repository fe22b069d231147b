//! The end of a loop's pass: are all images done? Then the loop's dispatches are shut.
//!
//! Every kernel returns at once from workgroups at or past the `groups` of its
//! parameters. So the GPU itself stops what the host has submitted too much of by
//! writing 0 there: the parameters are bound as a storage buffer here, and nowhere
//! else. No kernel pays for it with a binding or a test, and no dispatch is indirect
//! (wgpu checks indirect arguments with a dispatch of its own for each).

use super::{Call, Caps, Kernel, Needs, Variant};

/// `gate.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "gate",
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
