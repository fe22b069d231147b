//! Published checkpoints by name: what architecture a file holds and how its authors sample it,
//! so that it can be opened without their code. The recipes are the TOML files in `recipes/`, in the
//! references' own field names; they are embedded in the program.

use super::{Model, PipelineError, Sample};
use crate::diffusion::sampler::{Corrector, Predictor, Sampler};
use crate::graph::Graph;
use crate::models::{self, Part};
use crate::weights::json::CONFIG_LIMIT;
use crate::weights::{Deterministic, DiffusersFolder, Json, Recorder, Safetensors, TorchFile, Weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Every recipe: its name and its text.
#[rustfmt::skip]
const ALL: &[(&str, &str)] = &[
    ("score_sde/cifar10_ddpmpp_continuous", include_str!("../../recipes/score_sde/cifar10_ddpmpp_continuous.toml")),
    ("score_sde/cifar10_ddpmpp_deep_continuous", include_str!("../../recipes/score_sde/cifar10_ddpmpp_deep_continuous.toml")),
    ("score_sde/subvp_cifar10_ddpmpp_continuous", include_str!("../../recipes/score_sde/subvp_cifar10_ddpmpp_continuous.toml")),
    ("score_sde/subvp_cifar10_ddpmpp_deep_continuous", include_str!("../../recipes/score_sde/subvp_cifar10_ddpmpp_deep_continuous.toml")),
    ("score_sde/cifar10_ddpmpp", include_str!("../../recipes/score_sde/cifar10_ddpmpp.toml")),
    ("score_sde/cifar10_ncsnpp_continuous", include_str!("../../recipes/score_sde/cifar10_ncsnpp_continuous.toml")),
    ("score_sde/cifar10_ddpm", include_str!("../../recipes/score_sde/cifar10_ddpm.toml")),
    ("score_sde/ve_cifar10_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_cifar10_ncsnpp_continuous.toml")),
    ("score_sde/ve_cifar10_ncsnpp_deep_continuous", include_str!("../../recipes/score_sde/ve_cifar10_ncsnpp_deep_continuous.toml")),
    ("score_sde/ve_celebahq_256_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_celebahq_256_ncsnpp_continuous.toml")),
    ("score_sde/ve_church_256_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_church_256_ncsnpp_continuous.toml")),
    ("score_sde/ve_bedroom_256_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_bedroom_256_ncsnpp_continuous.toml")),
    ("score_sde/ve_ffhq_256_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_ffhq_256_ncsnpp_continuous.toml")),
    ("score_sde/ve_ffhq_1024_ncsnpp_continuous", include_str!("../../recipes/score_sde/ve_ffhq_1024_ncsnpp_continuous.toml")),
    ("score_sde/ve_cifar10_ncsnpp", include_str!("../../recipes/score_sde/ve_cifar10_ncsnpp.toml")),
    ("score_sde/cifar10_ncsnpp", include_str!("../../recipes/score_sde/cifar10_ncsnpp.toml")),
    ("score_sde/subvp_cifar10_ddpm_continuous", include_str!("../../recipes/score_sde/subvp_cifar10_ddpm_continuous.toml")),
    ("ddgan/cifar10", include_str!("../../recipes/ddgan/cifar10.toml")),
    ("ddgan/celebahq_256", include_str!("../../recipes/ddgan/celebahq_256.toml")),
    ("ddgan/lsun_church_256", include_str!("../../recipes/ddgan/lsun_church_256.toml")),
    ("ddgan/stackedmnist", include_str!("../../recipes/ddgan/stackedmnist.toml")),
    ("cld_sgm/cifar10", include_str!("../../recipes/cld_sgm/cifar10.toml")),
    ("cld_sgm/celebahq_256", include_str!("../../recipes/cld_sgm/celebahq_256.toml")),
    ("cld_sgm/celebahq_256_later", include_str!("../../recipes/cld_sgm/celebahq_256_later.toml")),
    ("lsgm/cifar10_balanced", include_str!("../../recipes/lsgm/cifar10_balanced.toml")),
    ("lsgm/cifar10_fid", include_str!("../../recipes/lsgm/cifar10_fid.toml")),
    ("lsgm/cifar10_nll", include_str!("../../recipes/lsgm/cifar10_nll.toml")),
    ("lsgm/mnist", include_str!("../../recipes/lsgm/mnist.toml")),
    ("lsgm/omniglot", include_str!("../../recipes/lsgm/omniglot.toml")),
    ("lsgm/celebahq_256", include_str!("../../recipes/lsgm/celebahq_256.toml")),
    ("lsgm/celebahq_256_qualitative", include_str!("../../recipes/lsgm/celebahq_256_qualitative.toml")),
];

/// A published checkpoint.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Recipe {
    /// `system/name`.
    #[serde(skip_deserializing)]
    pub name: String,
    /// What it is.
    pub about: String,
    /// The paper that published it.
    pub paper: String,
    /// Whether samples are drawn with the checkpoint's moving average.
    pub ema: bool,
    /// Parameters, as counted with the authors' code; none where nobody counted.
    pub parameters: Option<u64>,
    /// Whether the checkpoint's own flags say what the configuration leaves to them: of those whose
    /// configuration nobody published.
    #[serde(default, skip_serializing_if = "is_false")]
    pub flags: bool,
    /// The configuration, in the reference's own field names.
    pub config: serde_json::Value,
}

fn is_false(b: &bool) -> bool {
    !b
}

impl Recipe {
    /// Every recipe, in order.
    ///
    /// # Errors
    /// None: a test reads them all.
    pub fn all() -> Result<Vec<Recipe>, PipelineError> {
        ALL.iter().map(|(name, text)| parse(name, text)).collect()
    }

    /// A recipe by its name, or a file of one's own (`.toml`).
    ///
    /// # Errors
    /// A name that is not there, with those that are; a file that is missing or no recipe.
    pub fn find(name: &str) -> Result<Recipe, PipelineError> {
        if name.ends_with(".toml") {
            return parse(name, &Json::read(Path::new(name), CONFIG_LIMIT)?.text);
        }
        match ALL.iter().find(|(n, _)| *n == name) {
            Some((name, text)) => parse(name, text),
            None => {
                let names: Vec<&str> = ALL.iter().map(|(n, _)| *n).collect();
                let what = format!("no recipe `{name}`; there are {}", names.join(", "));
                Err(PipelineError::Option { option: "recipe", what })
            }
        }
    }

    /// The configuration as a file would hold it.
    pub fn json(&self) -> Json {
        Json::new(format!("recipe {}", self.name), self.config.to_string())
    }

    /// Opens a checkpoint (`.safetensors`, or what `torch.save` wrote) by this recipe.
    ///
    /// # Errors
    /// A file that is missing, damaged or of another model.
    pub fn open(&self, weights: &Path) -> Result<Model, PipelineError> {
        let safetensors = weights.extension().is_some_and(|e| e == "safetensors");
        let (recipe, weights): (_, Arc<dyn Weights>) = match safetensors {
            true => (self.clone(), Arc::new(Safetensors::open(weights)?)),
            false => {
                let (recipe, file) = self.torch(weights)?;
                (recipe, Arc::new(file))
            }
        };
        Model::from_folder(&self.name, &DiffusersFolder::with_weights(recipe.json(), weights))
    }

    /// What `torch.save` wrote, and this recipe for that file: where [`Recipe::flags`] is set, its
    /// `args` stand over the configuration and say (`use_ema`) whether there is a moving average.
    ///
    /// # Errors
    /// A file that is missing or damaged, or without flags where they are needed.
    pub fn torch(&self, path: &Path) -> Result<(Recipe, TorchFile), PipelineError> {
        if !self.flags {
            return Ok((self.clone(), TorchFile::open(path, self.ema)?));
        }
        let file = TorchFile::open(path, false)?;
        let (Some(flags), Some(config)) = (file.flags(), self.config.as_object()) else {
            let what = format!(
                "{}: {} does not hold the flags of its training (`args`): give the state of a training \
                 that does, as DDGAN's content.pth, or write them into a recipe of your own (a .toml, as \
                 in recipes/)",
                self.name,
                path.display()
            );
            return Err(PipelineError::Option { option: "recipe", what });
        };
        let mut recipe = self.clone();
        let mut config = config.clone();
        config.extend(flags.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())));
        recipe.ema &= config.get("use_ema") != Some(&serde_json::Value::Bool(false));
        recipe.config = config.into();
        let file = if recipe.ema { TorchFile::open(path, true)? } else { file };
        Ok((recipe, file))
    }

    /// Opens the recipe's model with weights made from their names ([`Deterministic`]): to measure
    /// speed and memory without a checkpoint. What it draws means nothing.
    ///
    /// # Errors
    /// A configuration that is not supported.
    pub fn synthetic(&self) -> Result<Model, PipelineError> {
        Model::from_folder(&self.name, &DiffusersFolder::synthetic(self.json()))
    }

    /// The numbers in the tensors that training moves, of all networks of the model, the encoder
    /// included: what [`Recipe::parameters`] should be. Nothing is read.
    ///
    /// # Errors
    /// A configuration that is not supported.
    pub fn count_parameters(&self) -> Result<u64, PipelineError> {
        let model = models::open(&self.json(), None)?;
        let recorder = Recorder::new(&Deterministic);
        model.build(&recorder, &mut Graph::new())?;
        model.part(Part::Decoder, &recorder, &mut Graph::new())?;
        model.part(Part::Encoder, &recorder, &mut Graph::new())?;
        let named: BTreeMap<String, Vec<usize>> = recorder.asked().into_iter().collect();
        let trained = named.iter().filter(|(name, _)| !name.contains("running_"));
        Ok(trained.map(|(_, shape)| shape.iter().product::<usize>() as u64).sum())
    }

    /// How the recipe's authors draw: score_sde's `config.sampling` with as many steps as the model
    /// has noise levels, and of the systems what their configuration says.
    ///
    /// # Errors
    /// Fields of `config.sampling` that are not known.
    pub fn published(&self, model: &Model) -> Result<Sample, PipelineError> {
        let mut options = Sample { sampler: model.default_sampler(), ..Sample::default() };
        let sampling = &self.config["sampling"];
        if sampling.is_null() {
            return Ok(options);
        }
        let wrong = |field: &str, can: &str| {
            let what = format!("{}: sampling.{field} {}; known are {can}", self.name, sampling[field]);
            PipelineError::Option { option: "recipe", what }
        };
        let word = |field: &str| sampling[field].as_str().map(str::to_lowercase);
        match word("method").as_deref() {
            Some("ode") => {
                options.sampler = Sampler::Rk45;
                return Ok(options);
            }
            Some("pc") => {}
            _ => return Err(wrong("method", "pc, ode")),
        }
        let predictor = match word("predictor").as_deref() {
            Some("euler_maruyama") => Predictor::EulerMaruyama,
            Some("reverse_diffusion") => Predictor::ReverseDiffusion,
            Some("ancestral_sampling") => Predictor::Ancestral,
            _ => {
                return Err(wrong("predictor", "euler_maruyama, reverse_diffusion, ancestral_sampling"));
            }
        };
        let corrector = match word("corrector").as_deref() {
            None | Some("none") => Corrector::None,
            Some("langevin") => Corrector::Langevin,
            Some("ald") => Corrector::Ald,
            _ => return Err(wrong("corrector", "none, langevin, ald")),
        };
        options.sampler = match (predictor, corrector) {
            (Predictor::EulerMaruyama, Corrector::None) => Sampler::EulerMaruyama,
            (Predictor::ReverseDiffusion, Corrector::None) => Sampler::ReverseDiffusion,
            (Predictor::Ancestral, Corrector::None) => Sampler::Ancestral,
            _ => Sampler::Pc,
        };
        if options.sampler == Sampler::Pc {
            options.solver.predictor = Some(predictor);
            options.solver.corrector = Some(corrector);
        }
        options.steps = model.scheduler().continuous.as_ref().map(|of| of.scales);
        Ok(options)
    }
}

fn parse(name: &str, text: &str) -> Result<Recipe, PipelineError> {
    let recipe: Recipe = toml::from_str(text).map_err(|e| {
        let line = 1 + text[..e.span().map_or(0, |span| span.start)].matches('\n').count();
        PipelineError::Option { option: "recipe", what: format!("{name}: line {line}: {}", e.message()) }
    })?;
    Ok(Recipe { name: name.to_owned(), ..recipe })
}
