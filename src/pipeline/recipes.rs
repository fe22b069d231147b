//! Published checkpoints by name: what architecture a file holds and how its authors sample it,
//! so that it can be opened without their code. The recipes are the TOML files in `recipes/`, in the
//! references' own field names; they are embedded in the program.

use super::{Model, PipelineError};
use crate::weights::{DiffusersFolder, Json, Safetensors, TorchFile, Weights};
use serde::{Deserialize, Serialize};
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
    ("ddgan/cifar10", include_str!("../../recipes/ddgan/cifar10.toml")),
    ("ddgan/celebahq_256", include_str!("../../recipes/ddgan/celebahq_256.toml")),
    ("ddgan/lsun_church_256", include_str!("../../recipes/ddgan/lsun_church_256.toml")),
    ("cld_sgm/cifar10", include_str!("../../recipes/cld_sgm/cifar10.toml")),
    ("cld_sgm/celebahq_256", include_str!("../../recipes/cld_sgm/celebahq_256.toml")),
    ("cld_sgm/celebahq_256_later", include_str!("../../recipes/cld_sgm/celebahq_256_later.toml")),
    ("lsgm/cifar10_balanced", include_str!("../../recipes/lsgm/cifar10_balanced.toml")),
    ("lsgm/cifar10_fid", include_str!("../../recipes/lsgm/cifar10_fid.toml")),
    ("lsgm/cifar10_nll", include_str!("../../recipes/lsgm/cifar10_nll.toml")),
    ("lsgm/mnist", include_str!("../../recipes/lsgm/mnist.toml")),
    ("lsgm/omniglot", include_str!("../../recipes/lsgm/omniglot.toml")),
    ("lsgm/celebahq_256", include_str!("../../recipes/lsgm/celebahq_256.toml")),
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
    /// The configuration, in the reference's own field names.
    pub config: serde_json::Value,
}

impl Recipe {
    /// Every recipe, in order.
    ///
    /// # Errors
    /// None: a test reads them all.
    pub fn all() -> Result<Vec<Recipe>, PipelineError> {
        ALL.iter().map(|(name, text)| parse(name, text)).collect()
    }

    /// A recipe by its name.
    ///
    /// # Errors
    /// A name that is not there, with those that are.
    pub fn find(name: &str) -> Result<Recipe, PipelineError> {
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
        let weights: Arc<dyn Weights> = match safetensors {
            true => Arc::new(Safetensors::open(weights)?),
            false => Arc::new(TorchFile::open(weights, self.ema)?),
        };
        Model::from_folder(&self.name, &DiffusersFolder::with_weights(self.json(), weights))
    }
}

fn parse(name: &str, text: &str) -> Result<Recipe, PipelineError> {
    let recipe: Recipe = toml::from_str(text)
        .map_err(|e| PipelineError::Option { option: "recipe", what: format!("{name}: {e}") })?;
    Ok(Recipe { name: name.to_owned(), ..recipe })
}
