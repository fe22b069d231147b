//! Drawing images: a job goes through its batches chunk by chunk.

use super::album::Album;
use super::report::Adaptive;
use super::{batch, Pipeline, PipelineError, Progress, Provenance, Report, Sample};
use crate::clock::Instant;
use crate::diffusion::program::{Program, Reg};
use crate::diffusion::rng::TorchGenerator;
use crate::engine::{Batch, EngineError, Executable, NetGraph, Run, Status, Turn};
use crate::gpu::{Gpu, GpuError, Ticket, DEADLINE};
use crate::kernels::noise::noise_hash;
use crate::kernels::Summation;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The time that a chunk of submissions should take where the caller gives none.
const CHUNK: Duration = Duration::from_millis(100);

/// A run of a sampler: some images, drawn batch by batch.
///
/// A job may be left alone, continued on another thread or dropped at any time; what
/// it submitted ends by itself.
#[derive(Debug)]
pub struct Job {
    pub(super) pipeline: Pipeline,
    pub(super) options: Sample,
    pub(super) program: Program,
    /// As [`Work::given`].
    given: Vec<(Reg, Vec<f32>)>,
    pub(super) exe: Executable,
    pub(super) run: Option<Run>,
    pub(super) batch: usize,
    batches: usize,
    pub(super) album: Album,
    start: Option<Instant>,
    seconds: f64,
    pub(super) gpu: Gpu,
    pub(super) preview: Option<wgpu::Texture>,
    cancelled: Canceller,
    notes: Vec<String>,
    adaptive: Option<Adaptive>,
    looks: u64,
    stop_every: Option<usize>,
}

/// What a job runs.
pub(super) struct Work {
    pub program: Program,
    /// The program's networks, where they are not the model's own.
    pub nets: Option<Vec<NetGraph>>,
    /// Arrays of all images (`[count, h, w, c]`) for the program's input registers, or of one
    /// that serves them all.
    pub given: Vec<(Reg, Vec<f32>)>,
}

impl Work {
    /// A program of the model's own networks, given the picture that the options bring, if they
    /// bring one.
    pub fn of(program: Program, options: &Sample) -> Work {
        let measured = options.restoration.as_ref().map(|r| &r.measured);
        let picture = measured.or(options.start.as_ref().map(|s| &s.picture));
        let given = program.find_register("y").zip(picture.cloned()).into_iter().collect();
        Work { program, nets: None, given }
    }
}

/// Stops a job, from any thread.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// The job submits nothing more: its next call returns [`PipelineError::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a job did when it was its turn.
enum Went {
    /// Nothing is left.
    Done,
    /// Work was submitted, or a batch came to its end.
    On,
    /// There is no room for more work before this.
    Wait(Ticket),
    /// An image of the batch has values that are no numbers.
    Bad { image: usize, count: u32 },
}

impl Job {
    pub(super) async fn new(
        pipeline: &Pipeline,
        options: &Sample,
        Work { program, nets, given }: Work,
        progress: impl FnMut(usize, usize),
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
        for (reg, values) in &given {
            let of = values.len() / program.registers[reg.0 as usize].shape.len().max(1);
            if of != 1 && of != options.count {
                let what =
                    format!("{of} pictures are given for {} images: give one, or one each", options.count);
                return Err(PipelineError::Option { option: "restoration", what });
            }
        }
        let gpu = pipeline.gpu().metered();
        let inner = &pipeline.0;
        inner.classes.label(&options.class, options.first_index)?;
        let nets = nets.as_deref().unwrap_or(&inner.model.nets);
        let plan = batch::plan(&gpu, nets, &inner.weights, &program, options, progress);
        let (exe, note) = plan.await?;
        let mixed = program.mixes_images().then(|| {
            let batch = exe.n();
            format!("step sizes are those of a whole batch ({batch} images): an image depends on its batch")
        });
        let statistics = nets.iter().any(|net| net.graph.mixes_images()).then(|| {
            let batch = exe.n();
            format!(
                "norms take the statistics of a whole batch ({batch} images): an image depends on its batch"
            )
        });
        let fastest = (gpu.summation() == Summation::Fastest).then(|| {
            let batch = exe.n();
            format!(
                "sums are ordered as is fastest for {batch} images at once: an image depends on that number"
            )
        });
        let adaptive = (program.loop_nfe() > 0).then(|| Adaptive::of(&inner.model.scheduler, options));
        Ok(Job {
            pipeline: pipeline.clone(),
            options: options.clone(),
            program,
            given,
            run: None,
            batch: 0,
            batches: options.count.div_ceil(exe.n()),
            album: Album::new(exe.shape()),
            exe,
            start: None,
            seconds: 0.0,
            gpu,
            preview: None,
            cancelled: Canceller::default(),
            notes: note.into_iter().chain(mixed).chain(statistics).chain(fastest).collect(),
            adaptive,
            looks: 0,
            stop_every: None,
        })
    }

    /// Submits work for about `budget` and returns how far the job is; `None` when
    /// all images are there.
    ///
    /// No more than `budget` is under way beyond what runs, and a dispatch that takes
    /// longer is cut. Where enough is under way already, this waits for it, but no
    /// longer than `budget`: a call may then have submitted nothing. Between the first
    /// dispatch of a batch and its last, nothing is read back.
    ///
    /// # Errors
    /// A lost device, a timeout, a cancelled job, or a result that is not a number.
    pub fn advance(&mut self, budget: Duration) -> Result<Option<Progress>, PipelineError> {
        self.turn_within(budget, budget)
    }

    /// [`Job::advance`] that never waits: for a thread that has other things to do.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub fn try_advance(&mut self, budget: Duration) -> Result<Option<Progress>, PipelineError> {
        self.turn_within(budget, Duration::ZERO)
    }

    /// [`Job::advance`] for an executor: awaits that there is room for `budget`.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub async fn advance_async(&mut self, budget: Duration) -> Result<Option<Progress>, PipelineError> {
        self.gpu.settle().await?;
        loop {
            match self.turn(budget)? {
                Went::Done => return Ok(None),
                Went::On => return Ok(Some(self.progress())),
                Went::Wait(ticket) => ticket.await.map(|_| ())?,
                Went::Bad { image, count } => return Err(self.bad(image, count).await),
            }
        }
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub fn finish(&mut self) -> Result<(), PipelineError> {
        while self.turn_within(CHUNK, DEADLINE)?.is_some() {}
        Ok(())
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub async fn finish_async(&mut self) -> Result<(), PipelineError> {
        while self.advance_async(CHUNK).await?.is_some() {}
        Ok(())
    }

    fn turn_within(&mut self, budget: Duration, wait: Duration) -> Result<Option<Progress>, PipelineError> {
        let mut waited = false;
        loop {
            match self.turn(budget)? {
                Went::Done => return Ok(None),
                Went::On => return Ok(Some(self.progress())),
                Went::Bad { image, count } => return Err(pollster::block_on(self.bad(image, count))),
                Went::Wait(ticket) if !waited => {
                    waited = ticket.wait(wait)?.is_none();
                    if waited && wait >= DEADLINE {
                        let what = "its submitted work";
                        return Err(GpuError::Timeout { what, deadline: wait }.into());
                    }
                }
                Went::Wait(_) => return Ok(Some(self.progress())),
            }
        }
    }

    /// Does what can be done without waiting.
    fn turn(&mut self, budget: Duration) -> Result<Went, PipelineError> {
        if self.cancelled.is_cancelled() {
            self.run = None;
            return Err(PipelineError::Cancelled { images: self.album.drawn(), count: self.options.count });
        }
        if self.batch >= self.batches {
            return Ok(Went::Done);
        }
        if self.run.is_none() {
            self.start.get_or_insert_with(Instant::now);
            let mut run = self.exe.start(&self.inputs()?)?;
            self.stop_every.into_iter().for_each(|n| run.stop_every(n));
            self.run = Some(run);
        }
        let Some(run) = &mut self.run else { return Ok(Went::Done) };
        let drawn = match run.turn(&self.exe, budget)? {
            Turn::Submitted => return Ok(Went::On),
            Turn::Wait(ticket) => return Ok(Went::Wait(ticket)),
            Turn::Drawn(drawn) => drawn,
        };
        self.run = None;
        // The last batch may be drawn for fewer images than it has.
        let wanted = self.exe.n().min(self.options.count - self.batch * self.exe.n());
        if let (Some(passes), Some(adaptive)) = (&drawn.passes, &mut self.adaptive) {
            self.looks += u64::from(passes.looks);
            if let Some(i) = passes.done.iter().take(wanted).position(|done| !done) {
                let image = self.options.first_index + (self.batch * self.exe.n() + i) as u64;
                return Err(EngineError::NotDone { image, passes: passes.passes }.into());
            }
            adaptive.add(passes, wanted, &self.program);
        }
        if let Some(image) = drawn.bad.iter().take(wanted).position(|&b| b > 0) {
            return Ok(Went::Bad { image, count: drawn.bad[image] });
        }
        self.album.add(*drawn, wanted)?;
        self.batch += 1;
        self.seconds = self.start.map_or(0.0, |s| s.elapsed().as_secs_f64());
        Ok(Went::On)
    }

    /// The error for an image with bad values: finds the op that made the first.
    async fn bad(&self, image: usize, count: u32) -> PipelineError {
        let find = async {
            let batch = self.inputs()?;
            let origin = self.exe.find_bad(&batch, image).await?;
            Ok(EngineError::NotFinite { image: batch.first_index + image as u64, count, origin }.into())
        };
        find.await.unwrap_or_else(|e| e)
    }

    /// How far the job is.
    pub fn progress(&self) -> Progress {
        let idle = Status { step: 0, steps: self.program.steps.len(), fraction: 0.0 };
        let status = self.run.as_ref().map_or(idle, |run| run.status(&self.exe));
        Progress {
            images: self.album.drawn(),
            count: self.options.count,
            step: status.step,
            steps: status.steps,
            fraction: (self.batch as f64 + status.fraction) / self.batches as f64,
        }
    }

    /// A handle that stops this job from another thread.
    pub fn canceller(&self) -> Canceller {
        self.cancelled.clone()
    }

    /// What was done so far.
    pub fn report(&self) -> Report {
        let (now, info) = (self.gpu.counters(), self.gpu.info());
        Report {
            adapter: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            model: self.pipeline.name().to_string(),
            sampler: self.options.sampler.name(),
            images: self.album.drawn(),
            batches: self.batch,
            batch: self.exe.n(),
            steps: self.program.steps.len(),
            nfe: match &self.adaptive {
                Some(adaptive) => adaptive.nfe.iter().copied().max().unwrap_or(0) as usize,
                None => self.program.nfe(),
            },
            seconds: self.seconds,
            submissions: now.submissions,
            maps: now.maps,
            status_maps: self.looks,
            bytes_up: now.bytes_up,
            bytes_down: now.bytes_down,
            seed: self.options.seed,
            noise_hash: format!("{:016x}", noise_hash(self.options.seed)),
            kernel_set: self.pipeline.gpu().kernel_set(),
            batch_invariant: self.pipeline.batch_invariant(&self.options),
            adaptive: self.adaptive.clone(),
            notes: self.notes.clone(),
        }
    }

    /// How these images are made, to be kept beside them. Reads all weights once, for the
    /// model's hash.
    pub fn provenance(&self) -> Provenance {
        Provenance::of(&self.pipeline, &self.options, self.exe.n())
    }

    /// Chunks end at every `n`th step, so that a caller of [`Job::advance`] meets each of them
    /// and may look at the estimate there.
    pub fn stop_every(&mut self, n: usize) {
        self.stop_every = Some(n.max(1));
        if let Some(run) = &mut self.run {
            run.stop_every(n);
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
        let seed = self.options.seed;
        let mut registers: Vec<_> =
            self.program.given_noise.iter().map(|(_, reg)| (*reg, Vec::new())).collect();
        let given: Vec<_> = self.given.iter().map(|(reg, values)| (*reg, self.part(*reg, values))).collect();
        if !registers.is_empty() {
            for image in 0..n {
                let mut generator = TorchGenerator::new(seed.wrapping_add(first_index).wrapping_add(image));
                for (reg, values) in &mut registers {
                    values.extend(generator.image(self.program.registers[reg.0 as usize].shape));
                }
            }
        }
        registers.extend(given);
        Ok(Batch { first_index, seed, inputs, registers })
    }

    /// The present batch's part of an array of all images; what is missing (in a last batch that
    /// is not full, or where one serves all) is the last image again.
    fn part(&self, reg: Reg, values: &[f32]) -> Vec<f32> {
        let len = self.program.registers[reg.0 as usize].shape.len();
        let last = (values.len() / len.max(1)).saturating_sub(1);
        let n = self.exe.n();
        let images = (0..n).map(|i| (self.batch * n + i).min(last));
        images.flat_map(|i| values.get(i * len..(i + 1) * len).unwrap_or_default()).copied().collect()
    }
}
