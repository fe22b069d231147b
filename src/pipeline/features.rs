//! A feature network on a device, and what it says of pictures.

use super::{find, PipelineError};
use crate::engine::Evaluator;
use crate::gpu::Gpu;
use crate::graph::{passes, Graph};
use crate::metrics::Features;
use crate::models::features::{self, FeatureDescription, FeatureNet, FEATURES, LOGITS, PICTURE};
use crate::models::{inception, ModelError};
use crate::shape::Shape;
use crate::weights::{DiffusersFolder, Fingerprint, Safetensors, TorchFile, Weights};
use std::path::Path;
use std::sync::Arc;

/// Multiply-adds of a batch, about.
const WORK: u64 = 1 << 31;

/// A feature network's files, read and checked. No device is needed.
#[derive(Debug)]
pub struct FeatureModel {
    net: Box<dyn FeatureNet>,
    about: FeatureDescription,
    graph: Graph,
    fingerprint: Fingerprint,
}

/// Pictures of one size.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Levels from 0 to 255, `[count, h, w, c]`.
    pub levels: &'a [u8],
    /// The shape of one.
    pub shape: Shape,
}

impl Pictures<'_> {
    /// How many.
    pub fn len(&self) -> usize {
        self.levels.len() / self.shape.len().max(1)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a feature network says of pictures.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The last activations before the classes, a row for each picture.
    pub features: Features,
    /// A number for each class and picture, `[count, classes]`.
    pub logits: Vec<f32>,
}

impl FeatureModel {
    /// Opens a feature network by any name that [`find::find`] knows: `zoo/fashion-classifier`, a folder; or
    /// from a file of weights (`.pth`, `.pt`, `.safetensors`), which are Inception's ([`inception`]).
    ///
    /// # Errors
    /// A name that is not there, a model that is no feature network, or files that are wrong.
    pub fn find(name: &str) -> Result<FeatureModel, PipelineError> {
        let path = Path::new(name);
        match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => return Self::inception(Arc::new(Safetensors::open(path)?)),
            Some("pth" | "pt") => return Self::inception(Arc::new(TorchFile::open(path, false)?)),
            _ => {}
        }
        match find::find(name)? {
            find::Found::Folder(path) => Self::from_folder(&DiffusersFolder::open(path)?),
            _ => Err(PipelineError::Option {
                option: "features",
                what: format!("{name} is no feature network: name one, as zoo/fashion-classifier"),
            }),
        }
    }

    /// A feature network's folder that is open already.
    ///
    /// # Errors
    /// As [`FeatureModel::find`].
    pub fn from_folder(folder: &DiffusersFolder) -> Result<FeatureModel, PipelineError> {
        let Some(net) = features::open(&folder.config)? else {
            let known = features::ALL.iter().map(|a| a.class).collect::<Vec<_>>().join(", ");
            let found = folder.config.parse::<serde_json::Value>()?["_class_name"].to_string();
            return Err(ModelError::Class { path: folder.config.path.clone(), found, known }.into());
        };
        let fingerprint = folder.fingerprint();
        Self::new(net, folder.weights(), fingerprint)
    }

    /// Inception-v3 in its FID variant, with these weights.
    ///
    /// # Errors
    /// Weights that are missing or of another network.
    pub fn inception(weights: Arc<dyn Weights>) -> Result<FeatureModel, PipelineError> {
        let nothing = serde_json::Value::Null;
        let fingerprint = Fingerprint::new("\"inception-v3 fid\"", None, &nothing, weights.clone());
        Self::new(Box::new(inception::Inception), &*weights, fingerprint)
    }

    fn new(
        net: Box<dyn FeatureNet>,
        weights: &dyn Weights,
        fingerprint: Fingerprint,
    ) -> Result<FeatureModel, PipelineError> {
        let mut built = Graph::new();
        net.build(weights, &mut built)?;
        let graph = passes::run(&built.without_taps());
        Ok(FeatureModel { about: net.describe(), net, graph, fingerprint })
    }

    /// What goes in and what comes out.
    pub fn describe(&self) -> &FeatureDescription {
        &self.about
    }

    /// What tells this network from every other. Reads all weights.
    pub fn hash(&self) -> &str {
        self.fingerprint.hash()
    }
}

/// A feature network on a device.
#[derive(Debug)]
pub struct Extractor {
    model: FeatureModel,
    evaluator: Evaluator,
    batch: usize,
}

impl Extractor {
    /// Puts a feature network on a device.
    ///
    /// # Errors
    /// Unreadable weights, or an adapter without the means.
    pub fn new(gpu: &Gpu, model: FeatureModel) -> Result<Extractor, PipelineError> {
        let batch = usize::try_from(WORK / model.graph.macs().max(1)).unwrap_or(1).clamp(1, 100);
        let evaluator = Evaluator::new(gpu, &model.graph, batch, &[FEATURES, LOGITS])?;
        Ok(Extractor { model, evaluator, batch })
    }

    /// The network.
    pub fn model(&self) -> &FeatureModel {
        &self.model
    }

    /// Looks at pictures; `set` names them in errors, `progress` is told how many of them are done. What is
    /// said of a picture does not depend on those beside it.
    ///
    /// # Errors
    /// Pictures that the network does not take, features that are no numbers, or a lost device.
    pub fn look(
        &self,
        set: &str,
        pictures: Pictures<'_>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Seen, PipelineError> {
        let about = &self.model.about;
        let refuse = |what: String| PipelineError::Option {
            option: "features",
            what: format!("{} on {set}: {what}", about.called),
        };
        let (mut values, mut logits) = (Vec::new(), Vec::new());
        let len = pictures.shape.len();
        if len == 0 || !pictures.levels.len().is_multiple_of(len) {
            return Err(refuse(format!("{} levels are no pictures", pictures.levels.len())));
        }
        for chunk in pictures.levels.chunks(self.batch * len) {
            let count = chunk.len() / len;
            progress(values.len() / about.width.max(1), pictures.len());
            let mut numbers = Vec::with_capacity(self.batch * about.picture.len());
            for picture in chunk.chunks_exact(len) {
                numbers.extend(self.model.net.prepare(picture, pictures.shape).map_err(refuse)?);
            }
            numbers.resize(self.batch * about.picture.len(), 0.0);
            let found = self.evaluator.run(&[(PICTURE, &numbers)])?;
            values.extend_from_slice(&found[0][..count * about.width]);
            logits.extend_from_slice(&found[1][..count * about.logits]);
        }
        Ok(Seen { features: Features::new(set, about.width, values)?, logits })
    }
}

impl Seen {
    /// The class that the network takes each picture for: the first of the largest numbers.
    pub fn classes(&self) -> Vec<usize> {
        let each = self.logits.len() / self.features.len().max(1);
        let best = |row: &[f32]| {
            let first = (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b]));
            first.unwrap_or_default()
        };
        self.logits.chunks_exact(each.max(1)).map(best).collect()
    }

    /// How sure it is of each: the largest of the softmax.
    pub fn confidence(&self) -> Vec<f64> {
        let each = self.logits.len() / self.features.len().max(1);
        let sure = |row: &[f32]| {
            let most = row.iter().fold(f32::NEG_INFINITY, |m, v| m.max(*v));
            1.0 / row.iter().map(|v| f64::from(v - most).exp()).sum::<f64>()
        };
        self.logits.chunks_exact(each.max(1)).map(sure).collect()
    }
}
