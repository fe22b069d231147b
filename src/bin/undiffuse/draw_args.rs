//! The flags that say which model is drawn with, how, and on what: `sample`, `evaluate`.

use crate::grid_args::GridArgs;
use crate::solver::Solver;
use crate::sums::Sums;
use crate::Failure;
use std::path::PathBuf;
use undiffuse::diffusion::sampler::Sampler;
use undiffuse::diffusion::Rng;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Class, Model, Recipe, Sample};

#[derive(clap::Args)]
pub struct DrawArgs {
    /// An embedded model, `zoo/NAME` or `toy/NAME` (see `undiffuse info`), a model folder as diffusers saves
    /// it, or `OWNER/NAME` as the Hugging Face cache has it
    /// [default: emoji32]
    #[arg(long, value_name = "NAME|FOLDER|OWNER/NAME")]
    pub model: Option<String>,
    /// A published checkpoint's recipe (see `undiffuse recipes`), for the file of --weights
    #[arg(long, value_name = "NAME", requires = "weights", conflicts_with = "model")]
    pub recipe: Option<String>,
    /// The checkpoint of --recipe: what PyTorch saved, or safetensors. Nothing in it is run
    #[arg(long, value_name = "FILE", requires = "recipe")]
    pub weights: Option<PathBuf>,
    /// Images at once [default: what fits]
    #[arg(long, value_name = "N")]
    pub batch: Option<usize>,
    /// ddpm (ancestral), ddim, euler, dpmpp_2m, unipc ... (a wrong name lists all) [default: ddim,
    /// or that of the model's reference where it has its own]
    #[arg(long, value_name = "NAME")]
    pub sampler: Option<Sampler>,
    #[command(flatten)]
    pub grid: GridArgs,
    /// DDIM's stochasticity, from 0 (none) to 1 (as DDPM)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub eta: Option<f64>,
    #[command(flatten)]
    pub solver: Solver,
    /// A class by name or number, `all` for each in turn, `none` for the empty class [default: all]
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    pub class: Option<Class>,
    /// Scale of classifier-free guidance; 1 is none [default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub guidance_scale: Option<f64>,
    /// Seed of all noise [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Whose random numbers: philox (the device's own) or torch (image i is what PyTorch draws with
    /// `torch.Generator("cpu").manual_seed(seed + i)`) [default: philox]
    #[arg(long, value_name = "NAME")]
    pub rng: Option<Rng>,
    #[command(flatten)]
    pub device: DeviceArgs,
}

#[derive(clap::Args)]
pub struct DeviceArgs {
    /// The adapter, by number or a part of its name (see `undiffuse info`)
    #[arg(long, value_name = "NAME|NUMBER")]
    pub adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Memory that the engine may have on the device, in MiB [default: all of a GPU's, most of
    /// what is free where the adapter is a processor]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub memory: Option<u64>,
    #[command(flatten)]
    pub sums: Sums,
}

impl DeviceArgs {
    /// Which adapter.
    pub fn options(&self) -> Options {
        Options {
            adapter: self.adapter.clone(),
            backend: self.backend.clone(),
            summation: self.sums.order(),
            ..Default::default()
        }
    }

    /// The device.
    pub fn open(&self) -> Result<Gpu, Failure> {
        self.open_as(&self.options())
    }

    /// Another adapter, with the memory that these flags give it.
    pub fn open_as(&self, options: &Options) -> Result<Gpu, Failure> {
        let gpu = crate::device::open(options)?;
        if let Some(mib) = self.memory {
            gpu.set_memory_budget(Some(mib << 20));
        }
        Ok(gpu)
    }
}

impl DrawArgs {
    /// The model of --recipe, where one is named.
    pub fn recipe(&self) -> Result<Option<Model>, Failure> {
        match (&self.recipe, &self.weights) {
            (Some(recipe), Some(weights)) => Ok(Some(Recipe::find(recipe)?.open(weights)?)),
            _ => Ok(None),
        }
    }

    /// The model.
    pub fn model(&self) -> Result<Model, Failure> {
        match self.recipe()? {
            Some(model) => Ok(model),
            None => Ok(Model::find(self.model.as_deref().unwrap_or("emoji32"))?),
        }
    }

    /// The options; the sampler is one of all models where none is named.
    pub fn options(&self) -> Sample {
        let given = Sample::default();
        self.grid.apply(Sample {
            batch: self.batch,
            sampler: self.sampler.unwrap_or(given.sampler),
            eta: self.eta,
            solver: self.solver.over(given.solver),
            class: self.class.clone().unwrap_or_default(),
            guidance_scale: self.guidance_scale.unwrap_or(given.guidance_scale),
            seed: self.seed.unwrap_or(given.seed),
            rng: self.rng.unwrap_or_default(),
            ..given
        })
    }
}
