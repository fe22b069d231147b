//! How far a job is, and what it did.

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
    /// Network evaluations per image.
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
    /// What a user may want to know, as a batch that had to be smaller. Nothing here is an error.
    pub notes: Vec<String>,
}
