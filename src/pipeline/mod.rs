//! Floor 8: what an application uses. [`Model`] is a model's files, read and checked,
//! [`Pipeline`] holds one on a device, [`Job`] draws images with it.

mod album;
mod batch;
mod classes;
mod effort;
mod embedded;
mod error;
pub mod evaluation;
mod features;
pub mod find;
pub mod flow;
mod grid;
pub mod inspect;
mod job;
mod model;
mod provenance;
pub mod recipes;
mod report;
mod results;
mod taps;
pub mod toy;

pub use crate::engine::Outputs;
pub use album::Tensors;
pub use classes::Class;
pub use effort::{Effort, NetEffort};
pub use embedded::{Embedded, EMBEDDED};
pub use error::{chain, PipelineError};
pub use evaluation::{ClassFound, Compared, Evaluation, EvaluationOptions, ModesFound, Reference};
pub use features::{Extractor, FeatureModel, Pictures, Seen};
pub use flow::{slerp, Density, Likelihood};
use job::Work;
pub use job::{Canceller, Job};
pub use model::Model;
pub use provenance::{Difference, Provenance};
pub use recipes::Recipe;
pub use report::{Adaptive, Progress, Report};
pub use taps::Blocks;
pub use toy::Toy;

use crate::diffusion::linear::Restoration;
use crate::diffusion::sampler::{ErrorControl, Sampler, SolverOptions};
use crate::diffusion::sdedit::Start;
use crate::diffusion::{Rng, Spread};
use crate::gpu::Gpu;
use crate::graph::bind::WeightStore;
use crate::models::Description;
use std::path::Path;
use std::sync::Arc;

/// A model on a device. Cheap to clone; weights are shared by all jobs and threads.
#[derive(Clone, Debug)]
pub struct Pipeline(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    gpu: Gpu,
    model: Model,
    weights: WeightStore,
}

/// What is known of the model is known of the pipeline.
impl std::ops::Deref for Inner {
    type Target = Model;

    fn deref(&self) -> &Model {
        &self.model
    }
}

/// What to draw, and how.
#[derive(Clone, Debug)]
pub struct Sample {
    /// How many images.
    pub count: usize,
    /// The index of the first: image `i` is a function of model, sampler, seed and
    /// `i` alone, whatever the batch.
    pub first_index: u64,
    /// Images at once; `None` takes what fits.
    pub batch: Option<usize>,
    /// The sampler.
    pub sampler: Sampler,
    /// Steps; `None` takes the sampler's default.
    pub steps: Option<usize>,
    /// How steps are spread; `None` is as the model's file says.
    pub grid: Option<Spread>,
    /// The timesteps to visit, strictly descending, in place of a number of steps.
    pub timesteps: Option<Vec<usize>>,
    /// The noise levels `sqrt((1 - alpha_bar) / alpha_bar)` to visit, strictly descending,
    /// of which the last is where the last step leads; in place of a number of steps.
    pub sigmas: Option<Vec<f64>>,
    /// DDIM's stochasticity, 0 to 1.
    pub eta: Option<f64>,
    /// What solvers of differential equations are told.
    pub solver: SolverOptions,
    /// What to draw.
    pub class: Class,
    /// The scale of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// The seed of all noise.
    pub seed: u64,
    /// Whose random numbers.
    pub rng: Rng,
    /// The degraded picture that a sampler such as `ddnm` restores: of each image of the job.
    pub restoration: Option<Restoration>,
    /// The picture that samplers by timesteps begin with, noised, in place of noise alone.
    pub start: Option<Start>,
    /// What to bring out, and where to.
    pub outputs: Outputs,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            count: 1,
            first_index: 0,
            batch: None,
            sampler: Sampler::Ddim,
            steps: None,
            grid: None,
            timesteps: None,
            sigmas: None,
            eta: None,
            solver: SolverOptions::default(),
            class: Class::Auto,
            guidance_scale: 1.0,
            seed: 0,
            rng: Rng::Philox,
            restoration: None,
            start: None,
            outputs: Outputs::default(),
        }
    }
}

impl Pipeline {
    /// Opens a model folder as diffusers saves it: reads and checks its files, sends the
    /// weights to the device, compiles the network's kernels and runs each once. A job
    /// compiles only what its sampler adds, when it is made; drawing compiles nothing.
    ///
    /// # Errors
    /// A folder, configuration or weight that is missing, damaged or not supported, or an
    /// adapter without the means.
    pub fn open(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Pipeline, PipelineError> {
        Self::new(gpu, Model::open(path)?, |_, _| {})
    }

    /// Opens a model that is built into the library; [`EMBEDDED`] lists them.
    ///
    /// # Errors
    /// A name that is not there, or as [`Pipeline::open`].
    pub fn embedded(gpu: &Gpu, name: &str) -> Result<Pipeline, PipelineError> {
        Self::new(gpu, Model::embedded(name)?, |_, _| {})
    }

    /// Puts a model on a device, telling `progress` how many of how many parts are ready.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn new(
        gpu: &Gpu,
        model: Model,
        progress: impl FnMut(usize, usize),
    ) -> Result<Pipeline, PipelineError> {
        pollster::block_on(Self::new_async(gpu, model, progress))
    }

    /// [`Pipeline::new`] for an executor, which gets its turn between two parts.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub async fn new_async(
        gpu: &Gpu,
        model: Model,
        progress: impl FnMut(usize, usize),
    ) -> Result<Pipeline, PipelineError> {
        let weights = WeightStore::default();
        // The smallest job puts all that depends on the network alone on the device.
        // (Where a model was trained for so many steps, no fewer will do.)
        let steps = model.scheduler.system.is_none().then_some(1);
        let sampler = model.default_sampler();
        let smallest = Sample { steps, sampler, outputs: Outputs::none(), ..Sample::default() };
        // Where the default sampler does not suit the model's schedule, another may: its job says.
        if let Ok(program) = model.program(&smallest) {
            batch::plan(gpu, &model.nets, &weights, &program, &smallest, progress).await?;
        }
        Ok(Pipeline(Arc::new(Inner { gpu: gpu.clone(), model, weights })))
    }

    /// The model without its device.
    pub fn model(&self) -> &Model {
        &self.0.model
    }

    /// The model's name, as it was asked for.
    pub fn name(&self) -> &str {
        self.0.model.name()
    }

    /// What goes into the network and what comes out.
    pub fn describe(&self) -> &Description {
        self.0.model.describe()
    }

    /// What a user may want to know of the model's files. Nothing here is an error.
    pub fn notes(&self) -> &[String] {
        self.0.model.notes()
    }

    /// The names of the classes, by label; numbers where the model gives no names.
    pub fn classes(&self) -> Vec<String> {
        self.0.model.classes()
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// Whether images drawn with these options are the same, bit for bit, whatever the batch.
    pub fn batch_invariant(&self, options: &Sample) -> bool {
        options.solver.error_control != ErrorControl::Batch
            && self.gpu().summation().is_batch_invariant()
            && !self.model().nets.iter().any(|net| net.graph.mixes_images())
    }

    /// Plans a job and puts everything it needs on the device.
    ///
    /// # Errors
    /// Options that do not fit the model or each other, unreadable weights, or an
    /// adapter without the means.
    pub fn sample(&self, options: &Sample) -> Result<Job, PipelineError> {
        self.sample_with_progress(options, |_, _| {})
    }

    /// [`Pipeline::sample`], telling `progress` how many of how many parts are ready.
    ///
    /// # Errors
    /// As [`Pipeline::sample`].
    pub fn sample_with_progress(
        &self,
        options: &Sample,
        progress: impl FnMut(usize, usize),
    ) -> Result<Job, PipelineError> {
        pollster::block_on(self.sample_async(options, progress))
    }

    /// [`Pipeline::sample_with_progress`] for an executor, which gets its turn between two parts.
    ///
    /// # Errors
    /// As [`Pipeline::sample`].
    pub async fn sample_async(
        &self,
        options: &Sample,
        progress: impl FnMut(usize, usize),
    ) -> Result<Job, PipelineError> {
        let program = self.program(options)?;
        Job::new(self, options, Work::of(program, options), progress).await
    }

    /// The sampler's program for these options: what the GPU will run.
    ///
    /// # Errors
    /// Options that do not fit the model or each other.
    pub fn program(&self, options: &Sample) -> Result<crate::diffusion::program::Program, PipelineError> {
        self.0.model.program(options)
    }
}
