//! How many images at once: what was asked for, or what fits.

use super::{PipelineError, Sample};
use crate::diffusion::program::Program;
use crate::engine::{EngineError, Executable, NetGraph};
use crate::gpu::{Gpu, GpuError};
use crate::graph::bind::WeightStore;
use crate::graph::GraphError;
use crate::kernels::Summation;

/// What a batch that nobody asked for may take on the device, in bytes.
const BYTES: u64 = 2 << 30;
/// And how many images: past these an adapter of the kind gains nothing.
const MOST_GPU: usize = 64;
const MOST_CPU: usize = 16;

/// Plans with the batch asked for, or with the largest that fits; with a note where
/// what was asked for does not fit. (An image does not depend on its batch.)
pub(super) async fn plan(
    gpu: &Gpu,
    nets: &[NetGraph],
    weights: &WeightStore,
    program: &Program,
    options: &Sample,
    mut progress: impl FnMut(usize, usize),
) -> Result<(Executable, Option<String>), PipelineError> {
    let most = if gpu.caps().stream { MOST_CPU } else { MOST_GPU };
    // Where sums may follow the batch, one that was asked for is part of what is drawn.
    let whole = options.batch.filter(|_| gpu.summation() == Summation::Fastest);
    let mut most = whole.unwrap_or_else(|| options.batch.unwrap_or(most).min(options.count));
    let (mut note, mut first) = (None, None);
    loop {
        // Batches of nearly equal size waste least in the last.
        let even = options.count.div_ceil(options.count.div_ceil(most));
        let n = if options.batch.is_some() { most } else { even };
        let made = Executable::new(gpu, program, nets, n, options.outputs, weights, &mut progress).await;
        let why = match made {
            Ok(exe) if options.batch.is_some() || exe.bytes() <= BYTES || n == 1 => return Ok((exe, note)),
            Ok(exe) => format!("a batch of {n} takes {} MiB", exe.bytes() >> 20),
            Err(e) if n > 1 && is_size(&e) => e.to_string(),
            Err(e) => return Err(e.into()),
        };
        tracing::debug!(n, why, "a smaller batch");
        most = n / 2;
        if let Some(asked) = options.batch {
            note = Some(format!(
                "a batch of {asked} does not fit, so {most} images are drawn at once (the same images): {}",
                first.get_or_insert(why)
            ));
        }
    }
}

/// Whether a smaller batch may help.
fn is_size(e: &EngineError) -> bool {
    let gpu = match e {
        EngineError::Gpu(e) | EngineError::Graph(GraphError::Gpu(e)) => e,
        _ => return false,
    };
    matches!(gpu, GpuError::Limit { .. } | GpuError::OutOfMemory { .. } | GpuError::Budget { .. })
}
