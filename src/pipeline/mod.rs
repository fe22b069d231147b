//! Floor 8: what an application uses. [`Pipeline`] holds a model on a device,
//! [`Job`] draws images with it.

mod classes;
mod embedded;
mod error;
mod job;

pub use classes::Class;
pub use embedded::{Embedded, EMBEDDED};
pub use error::PipelineError;
pub use job::{Job, Progress, Report};

use crate::diffusion::guidance::Conditioning;
use crate::diffusion::sampler::{Context, Sampler};
use crate::diffusion::timesteps::Steps;
use crate::diffusion::SchedulerConfig;
use crate::engine::NetGraph;
use crate::gpu::Gpu;
use crate::graph::bind::WeightStore;
use crate::graph::{passes, Graph};
use crate::models::{self, Description, Labels};
use crate::weights::DiffusersFolder;
use std::path::Path;
use std::sync::Arc;

/// A model on a device. Cheap to clone; weights are shared by all jobs and threads.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

struct Inner {
    gpu: Gpu,
    name: String,
    about: Description,
    net: NetGraph,
    scheduler: SchedulerConfig,
    classes: classes::Classes,
    weights: WeightStore,
    notes: Vec<String>,
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
        let path = path.as_ref();
        Self::from_folder(gpu, &path.display().to_string(), &DiffusersFolder::open(path)?)
    }

    /// Opens a model that is built into the library; [`EMBEDDED`] lists them.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn embedded(gpu: &Gpu, name: &str) -> Result<Pipeline, PipelineError> {
        let found = EMBEDDED.iter().find(|m| m.name == name);
        let model = found.ok_or_else(|| PipelineError::UnknownModel { name: name.to_string() })?;
        Self::from_folder(gpu, name, &model.folder()?)
    }

    /// A model folder that is open already.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn from_folder(gpu: &Gpu, name: &str, folder: &DiffusersFolder) -> Result<Pipeline, PipelineError> {
        let model = models::open(&folder.config, None)?;
        let about = model.describe();
        let mut graph = Graph::new();
        model.build(folder.weights(), &mut graph)?;
        let mut notes = folder.notes.clone();
        notes.extend(model.notes());
        let scheduler = match &folder.scheduler {
            Some(json) => SchedulerConfig::from_json(&json.text)
                .map_err(|e| PipelineError::Scheduler { path: json.path.clone(), error: Box::new(e) })?,
            None => {
                notes.push("the noise schedule is DDPM's default: linear, 1000 steps".into());
                SchedulerConfig::default()
            }
        };
        let net = NetGraph {
            graph: passes::run(&graph.without_taps()),
            images: vec!["sample".into()],
            time: Some("timestep".into()),
            label: (about.labels != Labels::None).then(|| "class_labels".into()),
            output: "output".into(),
        };
        let classes = classes::Classes::new(about.labels, &folder.index);
        Ok(Pipeline(Arc::new(Inner {
            gpu: gpu.clone(),
            name: name.to_string(),
            about,
            net,
            scheduler,
            classes,
            weights: WeightStore::default(),
            notes,
        })))
    }

    /// The model's name, as it was asked for.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What goes into the network and what comes out.
    pub fn describe(&self) -> &Description {
        &self.0.about
    }

    /// What a user may want to know of the model's files. Nothing here is an error.
    pub fn notes(&self) -> &[String] {
        &self.0.notes
    }

    /// The names of the classes, by label; numbers where the model gives no names.
    pub fn classes(&self) -> Vec<String> {
        self.0.classes.names()
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
        let inner = &self.0;
        let train = inner.scheduler.num_train_timesteps;
        let steps = options.steps.unwrap_or_else(|| options.sampler.default_steps(train));
        let conditioning = match inner.about.labels {
            Labels::None => Conditioning::None,
            _ => Conditioning::Class { null: inner.classes.null().map(f64::from) },
        };
        let context = Context {
            out_channels: inner.about.out_channels,
            conditioning,
            guidance_scale: options.guidance_scale,
            eta: options.eta,
            single: true,
            ..Context::new(&inner.scheduler, inner.about.sample, Steps::Count(steps))
        };
        Ok(options.sampler.program(&context)?)
    }
}
