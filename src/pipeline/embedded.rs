//! Models that are built into the library.

use crate::weights::{DiffusersFolder, WeightsError};

/// A model's files in memory.
#[derive(Clone, Copy, Debug)]
pub struct Embedded {
    /// The name, for `--model`.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// `unet/config.json`.
    pub config: &'static str,
    /// `scheduler/scheduler_config.json`.
    pub scheduler: &'static str,
    /// `model_index.json`.
    pub index: &'static str,
    /// The safetensors file.
    pub weights: &'static [u8],
}

/// Every embedded model.
pub static EMBEDDED: &[Embedded] = &[
    #[cfg(feature = "emoji32")]
    Embedded {
        name: "emoji32",
        about: "emoji, 32 x 32, 10 classes, 2.8 M parameters (artwork: Noto Emoji, Twemoji)",
        config: include_str!("../../models/emoji32/unet/config.json"),
        scheduler: include_str!("../../models/emoji32/scheduler/scheduler_config.json"),
        index: include_str!("../../models/emoji32/model_index.json"),
        weights: include_bytes!("../../models/emoji32/unet/diffusion_pytorch_model.safetensors"),
    },
];

impl Embedded {
    /// The files as a model folder.
    ///
    /// # Errors
    /// None for the models shipped, which tests open.
    pub fn folder(&self) -> Result<DiffusersFolder, WeightsError> {
        DiffusersFolder::from_bytes(
            self.name,
            self.config,
            Some(self.scheduler),
            Some(self.index),
            self.weights,
        )
    }
}

/// The names, for messages.
pub(super) fn names() -> String {
    EMBEDDED.iter().map(|m| m.name).collect::<Vec<_>>().join(", ")
}
