//! Floor 8: what an application uses. [`Model`] is a model's files, read and checked,
//! [`Pipeline`] holds one on a device, [`Job`] draws images with it.

mod classes;
mod embedded;
mod error;
pub mod find;
pub mod inspect;
mod job;
mod model;

pub use classes::Class;
pub use embedded::{Embedded, EMBEDDED};
pub use error::PipelineError;
pub use job::{Job, Progress, Report};
pub use model::Model;

use crate::diffusion::sampler::Sampler;
use crate::gpu::Gpu;
use crate::graph::bind::WeightStore;
use crate::models::Description;
use crate::weights::DiffusersFolder;
use std::path::Path;
use std::sync::Arc;

/// A model on a device. Cheap to clone; weights are shared by all jobs and threads.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

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
    /// DDIM's stochasticity, 0 to 1.
    pub eta: Option<f64>,
    /// What to draw.
    pub class: Class,
    /// The scale of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// The seed of all noise.
    pub seed: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            count: 1,
            first_index: 0,
            batch: None,
            sampler: Sampler::Ddim,
            steps: None,
            eta: None,
            class: Class::Auto,
            guidance_scale: 1.0,
            seed: 0,
        }
    }
}

impl Pipeline {
    /// Opens a model folder as diffusers saves it. Weights go to the device when
    /// the first job needs them.
    ///
    /// # Errors
    /// A folder, configuration or weight that is missing, damaged or not supported.
    pub fn open(gpu: &Gpu, path: impl AsRef<Path>) -> Result<Pipeline, PipelineError> {
        Ok(Self::new(gpu, Model::open(path)?))
    }

    /// Opens a model that is built into the library; [`EMBEDDED`] lists them.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn embedded(gpu: &Gpu, name: &str) -> Result<Pipeline, PipelineError> {
        Ok(Self::new(gpu, Model::embedded(name)?))
    }

    /// A model folder that is open already.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn from_folder(gpu: &Gpu, name: &str, folder: &DiffusersFolder) -> Result<Pipeline, PipelineError> {
        Ok(Self::new(gpu, Model::from_folder(name, folder)?))
    }

    /// A model that is open already, on a device.
    pub fn new(gpu: &Gpu, model: Model) -> Pipeline {
        Pipeline(Arc::new(Inner { gpu: gpu.clone(), model, weights: WeightStore::default() }))
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

    /// Plans a job and puts everything it needs on the device.
    ///
    /// # Errors
    /// Options that do not fit the model or each other, unreadable weights, or an
    /// adapter without the means.
    pub fn sample(&self, options: &Sample) -> Result<Job, PipelineError> {
        Job::new(self.clone(), options, &mut |_, _| {})
    }

    /// [`Pipeline::sample`], telling `progress` how many of how many parts are ready.
    ///
    /// # Errors
    /// As [`Pipeline::sample`].
    pub fn sample_with_progress(
        &self,
        options: &Sample,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Job, PipelineError> {
        Job::new(self.clone(), options, progress)
    }

    /// The sampler's program for these options: what the GPU will run.
    ///
    /// # Errors
    /// Options that do not fit the model or each other.
    pub fn program(&self, options: &Sample) -> Result<crate::diffusion::program::Program, PipelineError> {
        self.0.model.program(options)
    }
}
