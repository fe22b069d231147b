//! Runs kernels on the adapter of this machine over host arrays, between guard bands,
//! as `undiffuse doctor` does.

use std::sync::OnceLock;
use undiffuse::engine::doctor::caps_list;
use undiffuse::gpu::{Cut, Gpu, Options, Trial};
pub use undiffuse::kernels::check::{bits, compare, data, floats, TOLERANCE};
use undiffuse::kernels::{Call, Caps};

/// The adapter under test.
pub struct Rig {
    pub gpu: Gpu,
    pub caps: Caps,
}

pub fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let gpu = Gpu::open(&Options::default()).expect("a device");
        Rig { caps: gpu.caps(), gpu }
    })
}

impl Rig {
    /// What the adapter has, as GPU and as stream, and nothing at all.
    pub fn caps_list(&self) -> [Caps; 4] {
        caps_list(self.caps)
    }

    /// Runs the calls over `arrays` (a call's resource is an index into it) and
    /// writes the results back. Dispatches are cut and folded.
    pub fn run(&self, calls: &[Call<usize>], arrays: &mut [Vec<u32>]) -> Result<(), String> {
        self.run_spoilt(calls, arrays, None)
    }

    /// As `run`; `spoil` names (array, word) to overwrite after the run, counted
    /// from the front guard: the self test's way to plant an error.
    pub fn run_spoilt(
        &self,
        calls: &[Call<usize>],
        arrays: &mut [Vec<u32>],
        spoil: Option<(usize, usize)>,
    ) -> Result<(), String> {
        let trial = Trial::new(&self.gpu, calls, arrays, Cut::Folded).map_err(|e| e.to_string())?;
        trial.run().map_err(|e| e.to_string())?;
        spoil.into_iter().for_each(|(array, word)| trial.spoil(array, word));
        let read = trial.read().map_err(|e| e.to_string())?;
        arrays.iter_mut().zip(read.arrays).for_each(|(a, b)| *a = b);
        read.outside.map_or(Ok(()), Err)
    }
}
