//! The configuration file, field by field.

use super::{ModelError, CLASS};
use crate::weights::Json;
use serde::Deserialize;
use std::path::PathBuf;

/// The fields of diffusers 0.42.1 and the values that absent ones take there.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub struct Config {
    /// Where the configuration came from, for errors.
    #[serde(skip)]
    pub origin: PathBuf,
    /// Fields that diffusers does not know and ignores, as we do.
    #[serde(skip)]
    pub ignored: Vec<String>,
    /// The class; `UNet2DModel`, or absent.
    #[serde(rename = "_class_name")]
    pub class_name: Option<String>,
    /// Height and width, or one number for both.
    pub sample_size: Option<SampleSize>,
    /// Channels of the noisy image.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Whether the input is first mapped from `[0, 1]` to `[-1, 1]`.
    pub center_input_sample: bool,
    /// `positional`, `fourier` or `learned`.
    pub time_embedding_type: String,
    /// Width of the time embedding; four times the first block's where absent or zero.
    pub time_embedding_dim: Option<usize>,
    /// Shift of the positional embedding's frequencies.
    pub freq_shift: f64,
    /// Cosines before sines in the positional embedding.
    pub flip_sin_to_cos: bool,
    /// A block for each level, from the image down.
    pub down_block_types: Vec<String>,
    /// `UNetMidBlock2D` or null.
    pub mid_block_type: Option<String>,
    /// A block for each level, up to the image.
    pub up_block_types: Vec<String>,
    /// Channels of each level.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of a down block; an up block has one more.
    pub layers_per_block: usize,
    /// What the middle's residual sums are divided by.
    pub mid_block_scale_factor: f64,
    /// Padding of strided convolutions: 1, or 0 for right and bottom only.
    pub downsample_padding: usize,
    /// `conv` or `resnet`, for `AttnDownBlock2D`.
    pub downsample_type: Option<String>,
    /// `conv` or `resnet`, for `AttnUpBlock2D`.
    pub upsample_type: Option<String>,
    /// Dropout; nothing in sampling.
    pub dropout: f64,
    /// `silu`, `swish`, `mish`, `gelu` or `relu`.
    pub act_fn: String,
    /// Channels of a head; null for one head.
    pub attention_head_dim: Option<usize>,
    /// Groups of the norms; null for what each block derives from its channels.
    pub norm_num_groups: Option<usize>,
    /// Groups of the norm in the middle's attention.
    pub attn_norm_num_groups: Option<usize>,
    /// The norms' epsilon.
    pub norm_eps: f64,
    /// `default` or `scale_shift`.
    pub resnet_time_scale_shift: String,
    /// Attention in the middle.
    pub add_attention: bool,
    /// Null, `timestep` or `identity`.
    pub class_embed_type: Option<String>,
    /// Rows of the table of classes, where `class_embed_type` is null.
    pub num_class_embeds: Option<usize>,
    /// Rows of the table of times, where `time_embedding_type` is `learned`.
    pub num_train_timesteps: Option<usize>,
}

/// `sample_size`: one number, or height and width.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged, expecting = "sample_size is neither a positive whole number nor [height, width]")]
pub enum SampleSize {
    /// A square.
    One(usize),
    /// Height and width.
    Both([usize; 2]),
}

impl Default for Config {
    fn default() -> Self {
        let strings = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
        Config {
            origin: PathBuf::from("config"),
            ignored: Vec::new(),
            class_name: None,
            sample_size: None,
            in_channels: 3,
            out_channels: 3,
            center_input_sample: false,
            time_embedding_type: "positional".to_owned(),
            time_embedding_dim: None,
            freq_shift: 0.0,
            flip_sin_to_cos: true,
            down_block_types: strings(&[
                "DownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
                "AttnDownBlock2D",
            ]),
            mid_block_type: Some("UNetMidBlock2D".to_owned()),
            up_block_types: strings(&["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"]),
            block_out_channels: vec![224, 448, 672, 896],
            layers_per_block: 2,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            downsample_type: Some("conv".to_owned()),
            upsample_type: Some("conv".to_owned()),
            dropout: 0.0,
            act_fn: "silu".to_owned(),
            attention_head_dim: Some(8),
            norm_num_groups: Some(32),
            attn_norm_num_groups: None,
            norm_eps: 1e-5,
            resnet_time_scale_shift: "default".to_owned(),
            add_attention: true,
            class_embed_type: None,
            num_class_embeds: None,
            num_train_timesteps: None,
        }
    }
}

/// The fields that [`Config`] reads.
const FIELDS: [&str; 28] = [
    "sample_size",
    "in_channels",
    "out_channels",
    "center_input_sample",
    "time_embedding_type",
    "time_embedding_dim",
    "freq_shift",
    "flip_sin_to_cos",
    "down_block_types",
    "mid_block_type",
    "up_block_types",
    "block_out_channels",
    "layers_per_block",
    "mid_block_scale_factor",
    "downsample_padding",
    "downsample_type",
    "upsample_type",
    "dropout",
    "act_fn",
    "attention_head_dim",
    "norm_num_groups",
    "attn_norm_num_groups",
    "norm_eps",
    "resnet_time_scale_shift",
    "add_attention",
    "class_embed_type",
    "num_class_embeds",
    "num_train_timesteps",
];

impl Config {
    /// Reads a configuration; values are checked by [`super::Layout::new`].
    ///
    /// # Errors
    /// [`ModelError::Weights`] with line and column for what is not JSON or of a wrong type,
    /// [`ModelError::Class`] for another class.
    pub fn parse(json: &Json) -> Result<Config, ModelError> {
        let mut config: Config = json.parse()?;
        config.origin.clone_from(&json.path);
        if let Some(found) = config.class_name.as_ref().filter(|n| *n != CLASS) {
            let (found, known) = (found.clone(), CLASS.to_owned());
            return Err(ModelError::Class { path: json.path.clone(), found, known });
        }
        let all: serde_json::Map<String, serde_json::Value> = json.parse()?;
        let unknown = |k: &&String| !k.starts_with('_') && !FIELDS.contains(&k.as_str());
        config.ignored = all.keys().filter(unknown).cloned().collect();
        Ok(config)
    }

    /// What the user may want to know: ignored fields.
    pub fn notes(&self) -> Vec<String> {
        let of =
            |field| format!("{}: {field} is unknown and ignored, as diffusers does", self.origin.display());
        self.ignored.iter().map(of).collect()
    }

    /// An error of this configuration.
    pub(super) fn error(&self, field: &'static str, what: impl Into<String>) -> ModelError {
        ModelError::Config { path: self.origin.clone(), field, what: what.into() }
    }
}
