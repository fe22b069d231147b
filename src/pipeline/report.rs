//! How far a job is, and what it did.

use super::Sample;
use crate::diffusion::program::Program;
use crate::diffusion::SchedulerConfig;
use crate::engine::Passes;
#[cfg(doc)]
use crate::gpu::Gpu;

/// How far a job is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Images that are finished.
    pub images: usize,
    /// Images in all.
    pub count: usize,
    /// Steps of the current batch that are submitted.
    pub step: usize,
    /// Steps of a batch.
    pub steps: usize,
    pub(super) fraction: f64,
}

impl Progress {
    /// From 0 to 1, over all batches.
    pub fn fraction(&self) -> f64 {
        self.fraction
    }
}

/// What a job did.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The adapter's name.
    pub adapter: String,
    /// Its backend.
    pub backend: String,
    /// The model's name.
    pub model: String,
    /// The sampler's name.
    pub sampler: &'static str,
    /// Images drawn.
    pub images: usize,
    /// Batches that took.
    pub batches: usize,
    /// Images of a batch.
    pub batch: usize,
    /// Steps of the sampler.
    pub steps: usize,
    /// Network evaluations per image; of an adaptive sampler, those of the image that took most.
    pub nfe: usize,
    /// Seconds of sampling, from the first submission to the last image read.
    pub seconds: f64,
    /// Command submissions.
    pub submissions: u64,
    /// Buffers mapped for reading: one per batch.
    pub maps: u64,
    /// Of these, maps that only looked at the state of a running loop.
    pub status_maps: u64,
    /// Bytes sent to the device for this job; weights went there when the pipeline was opened.
    pub bytes_up: u64,
    /// Bytes read back.
    pub bytes_down: u64,
    /// The seed.
    pub seed: u64,
    /// FNV-1a of the first 4096 noise numbers of image 0 with this seed: equal on
    /// every machine.
    pub noise_hash: String,
    /// [`Gpu::kernel_set`].
    pub kernel_set: String,
    /// Whether the batch has no part in the images' bits.
    pub batch_invariant: bool,
    /// What an adaptive sampler did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
    /// What a user may want to know, as a batch that had to be smaller. Nothing here is an error.
    pub notes: Vec<String>,
}

/// What an adaptive sampler did, image by image in the order of their indices.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Adaptive {
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
    /// Whose error decides: `per-image` or `batch`.
    pub error_control: &'static str,
    /// Steps that were accepted.
    pub accepted: Vec<u32>,
    /// Steps that were rejected.
    pub rejected: Vec<u32>,
    /// Network evaluations that an image needed.
    pub nfe: Vec<u64>,
    /// Network evaluations that ran for images that were done, while others of their batch
    /// were not.
    pub nfe_wasted: u64,
}

impl Adaptive {
    pub(super) fn of(config: &SchedulerConfig, options: &Sample) -> Self {
        let (rtol, atol) = options.sampler.tolerances(config, &options.solver);
        Self { rtol, atol, error_control: options.solver.error_control.name(), ..Self::default() }
    }

    /// A batch, of which `wanted` images count.
    pub(super) fn add(&mut self, passes: &Passes, wanted: usize, program: &Program) {
        let (pass, once) = (program.loop_nfe() as u64, (program.nfe() - program.loop_nfe()) as u64);
        let counts = passes.accepted.iter().zip(&passes.rejected);
        for (image, (accepted, rejected)) in counts.enumerate() {
            let own = pass * u64::from(accepted + rejected);
            self.nfe_wasted += (pass * u64::from(passes.passes)).saturating_sub(own);
            if image < wanted {
                self.accepted.push(*accepted);
                self.rejected.push(*rejected);
                self.nfe.push(once + own);
            }
        }
    }
}
