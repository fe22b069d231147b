//! Drawing images: a job goes through its batches chunk by chunk.

use super::{Pipeline, PipelineError, Sample};
use crate::clock::Instant;
use crate::diffusion::program::Program;
use crate::engine::{Batch, EngineError, Executable, Run};
use crate::gpu::{Gpu, GpuError};
use crate::graph::GraphError;
use crate::kernels::noise::noise_hash;
use image::RgbImage;
use std::time::Duration;

/// The time that a chunk of submissions should take where the caller gives none.
const CHUNK: Duration = Duration::from_millis(100);
/// What a batch that nobody asked for may take on the device, in bytes.
const BATCH_BYTES: u64 = 2 << 30;
/// And how many images: past these an adapter of the kind gains nothing.
const BATCH_GPU: usize = 64;
const BATCH_CPU: usize = 16;

/// A run of a sampler: some images, drawn batch by batch.
pub struct Job {
    pipeline: Pipeline,
    options: Sample,
    program: Program,
    exe: Executable,
    run: Option<Run>,
    batch: usize,
    batches: usize,
    images: Vec<RgbImage>,
    start: Instant,
    seconds: f64,
    gpu: Gpu,
    drawn: usize,
}

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
    fraction: f64,
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
    /// Bytes sent to the device, weights included.
    pub bytes_up: u64,
    /// Bytes read back.
    pub bytes_down: u64,
    /// The seed.
    pub seed: u64,
    /// FNV-1a of the first 4096 noise numbers of image 0 with this seed: equal on
    /// every machine.
    pub noise_hash: String,
}

impl Job {
    pub(super) fn new(
        pipeline: Pipeline,
        options: &Sample,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Job, PipelineError> {
        let refuse = |option, what: &str| PipelineError::Option { option, what: what.into() };
        if options.count == 0 {
            return Err(refuse("count", "0 images were asked for: give 1 or more"));
        }
        if options.batch == Some(0) {
            return Err(refuse("batch", "a batch of 0 images draws nothing: give 1 or more"));
        }
        if options.first_index.checked_add(options.count as u64).is_none() {
            return Err(refuse("first-index", "indices past 2^64 do not exist: begin lower"));
        }
        let gpu = pipeline.gpu().metered();
        let program = pipeline.program(options)?;
        pipeline.0.classes.label(&options.class, options.first_index)?;
        let exe = plan(&pipeline, &gpu, &program, options, progress)?;
        let batches = options.count.div_ceil(exe.n());
        Ok(Job {
            pipeline,
            options: options.clone(),
            program,
            exe,
            run: None,
            batch: 0,
            batches,
            images: Vec::new(),
            start: Instant::now(),
            seconds: 0.0,
            gpu,
            drawn: 0,
        })
    }

    /// Submits work for about `budget` and returns how far the job is; `None` when
    /// all images are there. Between the first dispatch of a batch and its last,
    /// nothing is read back.
    ///
    /// # Errors
    /// A lost device, a timeout, or a result that is not a number.
    pub fn advance(&mut self, budget: Duration) -> Result<Option<Progress>, PipelineError> {
        if self.batch >= self.batches {
            return Ok(None);
        }
        let mut run = match self.run.take() {
            Some(run) => run,
            None => {
                if self.batch == 0 {
                    self.start = Instant::now();
                }
                self.exe.start(&self.inputs()?)?
            }
        };
        let status = run.advance(&self.exe, budget)?;
        if status.done {
            self.collect(run)?;
            self.batch += 1;
            self.seconds = self.start.elapsed().as_secs_f64();
        } else {
            self.run = Some(run);
        }
        let current = if status.done { 0.0 } else { status.fraction };
        Ok(Some(Progress {
            images: self.drawn,
            count: self.options.count,
            step: status.step,
            steps: status.steps,
            fraction: (self.batch as f64 + current) / self.batches as f64,
        }))
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub fn finish(&mut self) -> Result<(), PipelineError> {
        while self.advance(CHUNK)?.is_some() {}
        Ok(())
    }

    /// The images that are finished, in order of their indices.
    ///
    /// # Errors
    /// As [`Job::advance`]: what is left is drawn first.
    pub fn images(&mut self) -> Result<Vec<RgbImage>, PipelineError> {
        self.finish()?;
        Ok(self.images.clone())
    }

    /// Takes the images that are finished and not yet taken.
    pub fn take(&mut self) -> Vec<RgbImage> {
        std::mem::take(&mut self.images)
    }

    /// What was done so far.
    pub fn report(&self) -> Report {
        let (now, info) = (self.gpu.counters(), self.gpu.info());
        Report {
            adapter: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            model: self.pipeline.name().to_string(),
            sampler: self.options.sampler.name(),
            images: self.drawn,
            batches: self.batch,
            batch: self.exe.n(),
            steps: self.program.steps.len(),
            nfe: self.program.nfe(),
            seconds: self.seconds,
            submissions: now.submissions,
            maps: now.maps,
            status_maps: 0,
            bytes_up: now.bytes_up,
            bytes_down: now.bytes_down,
            seed: self.options.seed,
            noise_hash: format!("{:016x}", noise_hash(self.options.seed)),
        }
    }

    /// What the current batch is given.
    fn inputs(&self) -> Result<Batch, PipelineError> {
        let n = self.exe.n() as u64;
        let first_index = self.options.first_index + self.batch as u64 * n;
        let mut inputs = Vec::new();
        if let Some(slot) = self.program.find_slot("class") {
            let labels = (0..n)
                .map(|i| self.pipeline.0.classes.label(&self.options.class, first_index.wrapping_add(i)))
                .collect::<Result<Vec<_>, _>>()?;
            inputs.push((slot, labels));
        }
        Ok(Batch { first_index, seed: self.options.seed, inputs })
    }

    /// The batch's one readback. The last batch may be drawn for fewer images
    /// than it has.
    fn collect(&mut self, run: Run) -> Result<(), PipelineError> {
        let pixels = run.pixels(&self.exe)?;
        let wanted = self.exe.n().min(self.options.count - self.batch * self.exe.n());
        let bad = pixels.bad.iter().take(wanted).position(|&b| b > 0);
        if let Some(i) = bad {
            let batch = self.inputs()?;
            return Err(EngineError::NotFinite {
                image: batch.first_index + i as u64,
                count: pixels.bad[i],
                origin: self.exe.find_bad(&batch, i)?,
            }
            .into());
        }
        let shape = self.pipeline.describe().sample;
        for rgba in pixels.rgba.chunks_exact(shape.pixels() * 4).take(wanted) {
            let rgb = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
            let image = RgbImage::from_raw(shape.w as u32, shape.h as u32, rgb);
            let image = image.ok_or_else(|| EngineError::Internal("pixels do not fit".into()))?;
            self.images.push(image);
            self.drawn += 1;
        }
        Ok(())
    }
}

/// Plans with the batch asked for, or with the largest that fits.
fn plan(
    pipeline: &Pipeline,
    gpu: &Gpu,
    program: &Program,
    options: &Sample,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Executable, PipelineError> {
    let inner = &pipeline.0;
    let nets = std::slice::from_ref(&inner.net);
    let mut make = |n| Executable::new(gpu, program, nets, n, &inner.weights, &mut *progress);
    if let Some(n) = options.batch {
        return Ok(make(n.min(options.count))?);
    }
    let most = if gpu.caps().stream { BATCH_CPU } else { BATCH_GPU };
    let mut most = most.min(options.count);
    loop {
        // Batches of nearly equal size waste least in the last.
        let n = options.count.div_ceil(options.count.div_ceil(most));
        let too_large = match make(n) {
            Ok(exe) if exe.bytes() <= BATCH_BYTES || n == 1 => return Ok(exe),
            Ok(_) => None,
            Err(e) if n > 1 && is_size(&e) => Some(e),
            Err(e) => return Err(e.into()),
        };
        tracing::debug!(n, ?too_large, "a smaller batch");
        most = (n / 2).max(1);
    }
}

/// Whether a smaller batch may help.
fn is_size(e: &EngineError) -> bool {
    let gpu = match e {
        EngineError::Gpu(e) | EngineError::Graph(GraphError::Gpu(e)) => e,
        _ => return false,
    };
    matches!(gpu, GpuError::Limit { .. } | GpuError::OutOfMemory { .. })
}
