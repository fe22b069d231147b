//! A model without a device: its files read and checked, its network built.

use super::classes::{Class, Classes};
use super::{PipelineError, Sample, EMBEDDED};
use crate::diffusion::guidance::Conditioning;
use crate::diffusion::program::Program;
use crate::diffusion::sampler::flow::Flow;
use crate::diffusion::sampler::Context;
use crate::diffusion::timesteps::Steps;
use crate::diffusion::{self, score_sde, Process, Rng, Sampler, Schedule, SchedulerConfig, System};
use crate::engine::{EngineError, NetGraph};
use crate::graph::tangent::{BOTH, TANGENT};
use crate::graph::{passes, Graph};
use crate::models::{self, Description, Labels, Part};
use crate::shape::Shape;
use crate::weights::{DiffusersFolder, Fingerprint};
use std::path::Path;

/// A model's files, read and checked: the network as a graph, the noise schedule,
/// the classes. Weights are named and mapped, not yet read. No device is needed.
#[derive(Debug)]
pub struct Model {
    pub(super) name: String,
    pub(super) about: Description,
    /// What is drawn in the end.
    pub(super) image: Shape,
    /// Why no sampler suits it.
    pub(super) unsampled: Option<String>,
    /// The network before the fusions, its blocks by name.
    pub(super) tapped: Graph,
    /// The same, nobody looking at its blocks.
    pub(super) built: Graph,
    /// The network, and a decoder where there is one.
    pub(super) nets: Vec<NetGraph>,
    pub(super) configuration: serde_json::Value,
    /// Null where there is no file.
    pub(super) scheduler_file: serde_json::Value,
    pub(super) scheduler: SchedulerConfig,
    pub(super) classes: Classes,
    pub(super) notes: Vec<String>,
    fingerprint: Fingerprint,
}

impl Model {
    /// Opens a model folder as diffusers saves it.
    ///
    /// # Errors
    /// A folder, configuration or weight that is missing, damaged or not supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Model, PipelineError> {
        let path = path.as_ref();
        Self::from_folder(&path.display().to_string(), &DiffusersFolder::open(path)?)
    }

    /// Opens a model that is built into the library; [`EMBEDDED`] lists them.
    ///
    /// # Errors
    /// A name that is not there.
    pub fn embedded(name: &str) -> Result<Model, PipelineError> {
        let found = EMBEDDED.iter().find(|m| m.name == name);
        let model = found.ok_or_else(|| PipelineError::UnknownModel { name: name.to_string() })?;
        Self::from_folder(name, &model.folder()?)
    }

    /// A model folder that is open already.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_folder(name: &str, folder: &DiffusersFolder) -> Result<Model, PipelineError> {
        let model = models::open(&folder.config, None)?;
        let about = model.describe();
        let mut graph = Graph::new();
        model.build(folder.weights(), &mut graph)?;
        let mut notes = folder.notes.clone();
        if about.architecture != models::unet2d::CLASS {
            // These say all of their sampling in the configuration itself.
            notes.retain(|n| !n.contains("scheduler_config.json"));
        }
        notes.extend(model.notes());
        let configuration: serde_json::Value = folder.config.parse()?;
        let mut nets = Vec::new();
        let mut decoder = Graph::new();
        let decoded = model.part(Part::Decoder, folder.weights(), &mut decoder)?;
        let image =
            decoder.outputs().iter().find(|(name, _)| name == "image").map(|(_, t)| decoder.shape(*t));
        let image = image.unwrap_or(about.sample);
        let system = System::of(about.architecture, &configuration, image)
            .map_err(|e| PipelineError::Scheduler { path: folder.config.path.clone(), error: Box::new(e) })?;
        let mut unsampled = None;
        let scheduler = match &folder.scheduler {
            _ if system.is_some() => SchedulerConfig {
                num_train_timesteps: system.as_ref().map_or(1, System::steps),
                system,
                ..SchedulerConfig::default()
            },
            None if [models::score_sde::CLASS, models::mixture::CLASS].contains(&about.architecture) => {
                match score_sde::scheduler(&configuration) {
                    Ok(scheduler) => scheduler,
                    // The network works; who asks for images is told.
                    Err(e) => {
                        unsampled = Some(e.to_string());
                        SchedulerConfig::default()
                    }
                }
            }
            Some(json) => SchedulerConfig::from_json(&json.text)
                .map_err(|e| PipelineError::Scheduler { path: json.path.clone(), error: Box::new(e) })?,
            None => {
                notes.push("the noise schedule is DDPM's default: linear, 1000 steps".into());
                SchedulerConfig::default()
            }
        };
        let scheduler = match about.architecture {
            // Points have no range to be clamped to.
            models::mixture::CLASS => SchedulerConfig { clip_sample: false, ..scheduler },
            _ => scheduler,
        };
        let built = graph.clone().without_taps();
        nets.push(NetGraph {
            graph: passes::run(&built),
            images: std::iter::once("sample").chain(about.beside.input()).map(String::from).collect(),
            time: Some("timestep".into()),
            label: (about.labels != Labels::None).then(|| "class_labels".into()),
            output: "output".into(),
        });
        if decoded {
            let decoder = decoder.without_taps();
            nets.push(NetGraph {
                images: decoder.inputs().iter().map(|(name, _)| name.clone()).collect(),
                graph: passes::run(&decoder),
                time: None,
                label: None,
                output: "image".into(),
            });
        }
        let classes = Classes::new(about.labels, &folder.index);
        Ok(Model {
            name: name.to_string(),
            about,
            tapped: graph,
            built,
            nets,
            image,
            unsampled,
            configuration,
            scheduler_file: folder
                .scheduler
                .as_ref()
                .map(|json| json.parse())
                .transpose()?
                .unwrap_or_default(),
            scheduler,
            classes,
            notes,
            fingerprint: folder.fingerprint(),
        })
    }

    /// The model's name, as it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What goes into the network and what comes out.
    pub fn describe(&self) -> &Description {
        &self.about
    }

    /// What a user may want to know of the model's files. Nothing here is an error.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of the classes, by label; numbers where the model gives no names.
    pub fn classes(&self) -> Vec<String> {
        self.classes.names()
    }

    /// What tells this model from every other ([`Fingerprint`]): 64 hexadecimal digits of its
    /// configurations, labels and tensors. The first call reads all weights.
    pub fn hash(&self) -> &str {
        self.fingerprint.hash()
    }

    /// The steps that these options mean.
    pub(super) fn steps(&self, options: &Sample) -> usize {
        options.step_count(&self.scheduler)
    }

    /// The sampler of a user who names none: the one of the model's reference.
    pub fn default_sampler(&self) -> Sampler {
        let own = self.scheduler.system.as_ref().map(Sampler::of_system);
        let continuous = match &self.scheduler.continuous {
            // A chain that DDIM can follow is fastest.
            Some(of) if self.scheduler.trained_betas.is_none() => Some(match of.process {
                Process::Ve { .. } => Sampler::Pc,
                _ => Sampler::EulerMaruyama,
            }),
            _ if self.scheduler.edm => Some(Sampler::EdmEuler),
            _ => None,
        };
        own.and_then(|own| own.first().copied()).or(continuous).unwrap_or(Sampler::Ddim)
    }

    /// The shape of the images that are drawn: the network's, or that of a decoder.
    pub fn image(&self) -> Shape {
        self.image
    }

    /// The noise schedule and what samplers are told by the model's files.
    pub fn scheduler(&self) -> &SchedulerConfig {
        &self.scheduler
    }

    /// The same without clamps and thresholds of the predicted image: with them a sampler solves
    /// another equation.
    #[must_use]
    pub fn unclamped(mut self) -> Model {
        self.scheduler.clip_sample = false;
        self.scheduler.solver.clip_sample = None;
        self.scheduler.thresholding = false;
        self
    }

    /// The network with its fusions done.
    pub fn network(&self) -> &NetGraph {
        &self.nets[0]
    }

    /// Numbers in the weights that the network reads.
    pub fn parameters(&self) -> u64 {
        super::inspect::weights(&self.built).parameters
    }

    /// The label of an image by its index; `None` for a model without labels.
    ///
    /// # Errors
    /// A class that the model has not.
    pub fn label(&self, class: &Class, index: u64) -> Result<Option<f32>, PipelineError> {
        let label = self.classes.label(class, index)?;
        Ok((self.about.labels != Labels::None).then_some(label))
    }

    /// The sampler's program for these options: what the GPU will run.
    ///
    /// # Errors
    /// Options that do not fit the model or each other.
    pub fn program(&self, options: &Sample) -> Result<Program, PipelineError> {
        let mut program = self.program_by(options, |context| options.sampler.program(context))?;
        if self.is_shifted() {
            if options.restoration.is_some() || options.start.is_some() {
                let what = "this model draws in [0, 1], which the given picture is not".into();
                return Err(PipelineError::Option { option: "model", what });
            }
            program = score_sde::centred(program);
        }
        Ok(match options.rng {
            Rng::Philox => program,
            Rng::Torch => program.with_given_noise(),
        })
    }

    /// Whether the network knows images in `[0, 1]`, not in `[-1, 1]`.
    pub(super) fn is_shifted(&self) -> bool {
        self.about.architecture == models::score_sde::CLASS
            && self.configuration["data"]["centered"] != serde_json::Value::Bool(true)
    }

    /// A program that `write` makes of what these options mean for the model.
    pub(super) fn program_by(
        &self,
        options: &Sample,
        write: impl FnOnce(&Context<'_>) -> Result<Program, diffusion::Error>,
    ) -> Result<Program, PipelineError> {
        if let (true, Some(steps)) = (options.sampler.is_adaptive(), options.steps) {
            let need = "this sampler chooses its steps itself: give --rtol and --atol in place of them";
            return Err(diffusion::Error::option("steps", steps, need).into());
        }
        if let Some(why) = &self.unsampled {
            return Err(PipelineError::Option { option: "sampler", what: why.clone() });
        }
        let (config, mut steps) = options.steps_on(&self.scheduler)?;
        let mut begin = None;
        if let Some(start) = &options.start {
            let Steps::Count(count) = steps else {
                let what = "a picture to begin with spreads its own steps: give a number of them".into();
                return Err(PipelineError::Option { option: "timesteps", what });
            };
            let times = start.timesteps(config.num_train_timesteps, count)?;
            begin = times.first().copied();
            steps = Steps::At(times);
        }
        if !config.edm && matches!(options.sampler, Sampler::EdmEuler | Sampler::EdmDpm) {
            let need =
                "it is for models in EDM's parametrisation, and this is none; choose euler or dpmpp_2m";
            return Err(diffusion::Error::option("sampler", options.sampler.name(), need).into());
        }
        let conditioning = match self.about.labels {
            Labels::None => Conditioning::None,
            _ => Conditioning::Class { null: self.classes.null().map(f64::from) },
        };
        let context = Context {
            out_channels: self.about.out_channels,
            conditioning,
            guidance_scale: options.guidance_scale,
            restoration: options.restoration.as_ref(),
            eta: options.eta,
            options: options.solver,
            // What diffusers rounds is rounded; systems of their own are as exact as can be.
            single: self.scheduler.system.is_none(),
            ..Context::new(&config, self.about.sample, steps)
        };
        let mut program = write(&context)?;
        if let (Some(start), Some(from)) = (&options.start, begin) {
            program = start.begin(program, options.sampler, &Schedule::new(&config)?, from)?;
        }
        Ok(program)
    }

    /// The program of a way along the flow, `options` being those of
    /// [`Pipeline::encode`](super::Pipeline::encode).
    ///
    /// # Errors
    /// Options that do not fit the model or each other.
    pub fn flow_program(&self, flow: Flow, options: &Sample) -> Result<Program, PipelineError> {
        if flow == Flow::Likelihood && self.scheduler.system.is_some() {
            let what = format!(
                "{} draws more than the picture alone (a velocity, latents, noise beside it): the density of a \
                 picture under it is no integral along one flow, and is not computed",
                self.about.architecture
            );
            return Err(PipelineError::Option { option: "model", what });
        }
        let rk4 = options.sampler == Sampler::Rk4;
        self.program_by(options, |context| flow.program(context, rk4.then(|| self.steps(options))))
    }

    /// The network that gives its derivative along a direction too
    /// ([`Graph::with_tangent`]).
    ///
    /// # Errors
    /// An op that has no derivative.
    pub fn with_tangent(&self) -> Result<NetGraph, PipelineError> {
        let net = &self.nets[0];
        let graph = self.built.with_tangent(&net.images[0], &net.output).map_err(EngineError::from)?;
        let images = net.images.iter().cloned().chain([TANGENT.to_string()]).collect();
        Ok(NetGraph { graph: passes::run(&graph), images, output: BOTH.into(), ..net.clone() })
    }
}
