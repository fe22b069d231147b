//! Networks whose activations are features of pictures: what distances of sets are measured by.
//!
//! To add one: `src/models/x.rs` that implements [`FeatureNet`], one line in [`ALL`].

use super::{classifier, ModelError};
use crate::graph::Graph;
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use std::fmt::Debug;

/// Every feature network, by the `_class_name` of its configuration.
pub const ALL: &[FeatureArchitecture] =
    &[FeatureArchitecture { class: classifier::CLASS, open: classifier::open }];

/// The name of the network's input.
pub const PICTURE: &str = "picture";
/// The output that is the last activation before the classes, a vector.
pub const FEATURES: &str = "features";
/// The output that is a number for each class, a vector.
pub const LOGITS: &str = "logits";

/// An entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct FeatureArchitecture {
    /// The `_class_name`.
    pub class: &'static str,
    /// Reads and checks a configuration.
    pub open: fn(&Json) -> Result<Box<dyn FeatureNet>, ModelError>,
}

/// A checked configuration of a feature network.
pub trait FeatureNet: Debug + Send + Sync {
    /// What goes in and what comes out.
    fn describe(&self) -> FeatureDescription;

    /// Adds the network to `graph`: input [`PICTURE`], outputs [`FEATURES`] and [`LOGITS`]. Weights are
    /// named, checked for shape, not yet read.
    ///
    /// # Errors
    /// [`ModelError::Weights`], [`ModelError::Graph`].
    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> Result<(), ModelError>;

    /// A picture of levels `[h, w, c]` as the network takes it, NHWC; what is wrong with it where it
    /// does not.
    ///
    /// # Errors
    /// Says what the network takes.
    fn prepare(&self, levels: &[u8], shape: Shape) -> Result<Vec<f32>, String>;
}

/// What a caller must know of a feature network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureDescription {
    /// What distances by it are called: never FID but of Inception's own network.
    pub called: String,
    /// What goes in.
    pub picture: Shape,
    /// Features of a picture.
    pub width: usize,
    /// The names of the classes, by number; empty where classes mean nothing.
    pub classes: Vec<String>,
    /// Numbers of [`LOGITS`].
    pub logits: usize,
}

/// Reads and checks a configuration of any network in [`ALL`]; none where it is of no feature network.
///
/// # Errors
/// Those of the architecture.
pub fn open(config: &Json) -> Result<Option<Box<dyn FeatureNet>>, ModelError> {
    let fields = config.parse::<serde_json::Map<String, serde_json::Value>>()?;
    let class = fields.get("_class_name").and_then(serde_json::Value::as_str);
    match ALL.iter().find(|a| Some(a.class) == class) {
        Some(architecture) => (architecture.open)(config).map(Some),
        None => Ok(None),
    }
}
