//! Floor 5: architectures. One module each: a configuration struct with the official
//! field names, checked before anything is built, and `build`.
//!
//! To add one: `src/models/x.rs` that implements [`Model`], one line in [`ALL`]. Networks that look at
//! pictures, and draw none, are in [`features`].

pub mod classifier;
pub mod cld;
pub mod ddgan;
mod error;
pub mod features;
pub mod inception;
pub mod lsgm;
pub mod mixture;
mod options;
pub mod score_sde;
pub mod unet2d;

pub use error::ModelError;

use crate::graph::{Graph, Tensor};
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use std::fmt::Debug;

/// Every architecture, by the `_class_name` of its configuration or what tells it without one.
pub const ALL: &[Architecture] = &[
    Architecture { class: unet2d::CLASS, fields: unet2d::FIELDS, open: unet2d::open },
    Architecture { class: score_sde::CLASS, fields: score_sde::FIELDS, open: score_sde::open },
    Architecture { class: ddgan::CLASS, fields: ddgan::FIELDS, open: ddgan::open },
    Architecture { class: cld::CLASS, fields: cld::FIELDS, open: cld::open },
    Architecture { class: lsgm::CLASS, fields: lsgm::FIELDS, open: lsgm::open },
    Architecture { class: mixture::CLASS, fields: mixture::FIELDS, open: mixture::open },
];

/// A checked configuration that can be built.
pub trait Model: Debug + Send + Sync {
    /// What goes in and what comes out.
    fn describe(&self) -> Description;

    /// Adds the network to `graph`. Weights are named, checked for shape, not yet read.
    ///
    /// # Errors
    /// [`ModelError::Weights`], [`ModelError::Graph`].
    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> Result<Network, ModelError>;

    /// Adds another network of the model to `graph`; false where the model has none of that kind.
    ///
    /// # Errors
    /// As [`Model::build`].
    fn part(&self, part: Part, weights: &dyn Weights, graph: &mut Graph) -> Result<bool, ModelError> {
        let _ = (part, weights, graph);
        Ok(false)
    }

    /// What the user may want to know about the configuration: fields that are ignored.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A network beside the one that is sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// From latents to an image.
    Decoder,
    /// From an image to latents.
    Encoder,
}

/// Reads and checks a configuration of one architecture; see [`open`].
pub type Open = fn(&Json, Option<(usize, usize)>) -> Result<Box<dyn Model>, ModelError>;

/// An entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Architecture {
    /// The `_class_name`.
    pub class: &'static str,
    /// Of a configuration without `_class_name`: it is of this architecture where it has one of
    /// these fields. No two architectures share one.
    pub fields: &'static [&'static str],
    /// Reads and checks a configuration; the size replaces `sample_size`.
    pub open: Open,
}

/// What a caller must know of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The `_class_name`.
    pub architecture: &'static str,
    /// The noisy image that goes in.
    pub sample: Shape,
    /// Channels that come out; twice the sample's where a variance is learned.
    pub out_channels: usize,
    /// What a label is.
    pub labels: Labels,
    /// The times that the model takes.
    pub times: Times,
    /// What the model takes beside the image.
    pub beside: Beside,
}

/// What a model takes beside an image, a time and a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// Input `z`: a vector of normal noise.
    Noise {
        /// Its length.
        len: usize,
    },
    /// Input `velocity`, of the image's shape.
    Velocity,
}

impl Beside {
    /// The name of the input.
    pub const fn input(self) -> Option<&'static str> {
        match self {
            Beside::Nothing => None,
            Beside::Noise { .. } => Some("z"),
            Beside::Velocity => Some("velocity"),
        }
    }
}

/// What a model takes as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Nothing.
    None,
    /// A class, from 0.
    Class {
        /// How many there are.
        classes: usize,
    },
    /// A number, embedded as times are.
    Number,
    /// A vector, added to the time embedding as it is.
    Vector {
        /// Its length.
        len: usize,
    },
}

/// What a model takes as a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Any number.
    Real,
    /// A positive number, by its logarithm: a noise level.
    Positive,
    /// A whole number below `steps`.
    Whole {
        /// How many there are.
        steps: usize,
    },
}

/// The handles of a built network.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// Input `sample`: `[n, h, w, in_channels]`.
    pub sample: Tensor,
    /// Input `timestep`: a vector of one.
    pub timestep: Tensor,
    /// Input `class_labels`, as [`Labels`] says; none for an unconditional model.
    pub class_labels: Option<Tensor>,
    /// The input that [`Description::beside`] names.
    pub beside: Option<Tensor>,
    /// Output `output`: `[n, h, w, out_channels]`.
    pub output: Tensor,
}

/// Reads and checks a configuration of any architecture in [`ALL`], by its
/// `_class_name` or, where there is none, by its fields. `size` (height, width) replaces the
/// configuration's `sample_size`.
///
/// # Errors
/// [`ModelError::Class`] for another class, else those of the architecture.
pub fn open(config: &Json, size: Option<(usize, usize)>) -> Result<Box<dyn Model>, ModelError> {
    #[derive(serde::Deserialize)]
    struct Class {
        #[serde(rename = "_class_name")]
        name: Option<String>,
    }
    // serde would take a list for a structure.
    let fields = config.parse::<serde_json::Map<String, serde_json::Value>>()?;
    // The files of other systems than diffusers, and old ones of its own, lack the name, but not the fields.
    let told = ALL.iter().find(|a| a.fields.iter().any(|f| fields.contains_key(*f)));
    let default = match told {
        Some(architecture) => architecture.class,
        None if fields.is_empty() => unet2d::CLASS,
        None => "(none)",
    };
    let class = config.parse::<Class>()?.name.unwrap_or_else(|| default.to_owned());
    match ALL.iter().find(|a| a.class == class) {
        Some(architecture) => (architecture.open)(config, size),
        None => Err(ModelError::Class {
            path: config.path.clone(),
            found: class,
            known: ALL.iter().map(|a| a.class).collect::<Vec<_>>().join(", "),
        }),
    }
}
