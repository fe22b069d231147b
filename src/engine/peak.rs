//! What an adapter can do at the most, measured by two micro-kernels.

use super::EngineError;
use crate::gpu::{Cut, Gpu, Trial};
use crate::kernels::peak::{Arithmetic, Copy};

/// An adapter's ceilings.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Peak {
    /// Operations on f32 per second; a multiply-add is two.
    pub flops: f64,
    /// Bytes read and written per second, by a copy that no cache holds.
    pub bandwidth: f64,
}

/// Bytes of each array of the copy.
const COPIED: u64 = 64 << 20;
/// Invocations of the arithmetic: enough for the largest GPUs.
const LANES: usize = 1 << 17;
/// Seconds that a measurement should take.
const LEAST: f64 = 0.04;
/// Measurements, of which the best counts.
const TRIES: usize = 5;

/// Measures the ceilings of a device: half a second.
///
/// # Errors
/// An adapter without the means, a timeout, a lost device.
pub fn peak(gpu: &Gpu) -> Result<Peak, EngineError> {
    let caps = gpu.caps();
    let lanes = if caps.stream { LANES / 16 } else { LANES };
    let mut op = Arithmetic { n: lanes, rounds: 16 };
    let mut best = 0f64;
    for i in 0..TRIES + 1 {
        let trial = Trial::new(gpu, &op.calls(&caps, 0), &[vec![0; op.n]], Cut::Whole)?;
        let _warm = trial.seconds(1)?;
        let t = trial.seconds(1)?.max(1e-9);
        match i {
            0 => op.rounds = ((op.rounds as f64 * LEAST / t) as usize).clamp(16, 50_000),
            _ => best = best.max(2.0 * op.macs() as f64 / t),
        }
    }
    let bytes = COPIED.min(gpu.limits().max_storage_buffer_binding_size / 2) / 4096 * 4096;
    let words = bytes as usize / 4;
    let arrays = [vec![0x3f80_0000; words], vec![0; words]];
    let mut bandwidth = 0f64;
    for wide in [true, false] {
        let trial = Trial::new(gpu, &Copy { len: words, wide }.calls(&caps, 0, 1), &arrays, Cut::Whole)?;
        trial.run()?;
        for _ in 0..TRIES {
            bandwidth = bandwidth.max(2.0 * bytes as f64 / trial.seconds(1)?.max(1e-9));
        }
    }
    Ok(Peak { flops: best, bandwidth })
}
