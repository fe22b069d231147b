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
/// Combinations of classes.
const MOST_MODES: usize = 10_000;

/// A feature network's files, read and checked. No device is needed.
#[derive(Debug)]
pub struct FeatureModel {
    net: Box<dyn FeatureNet>,
    about: FeatureDescription,
    graph: Graph,
    fingerprint: Fingerprint,
    /// Grey pictures that are stacked as the channels of one.
    stacked: usize,
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
        Ok(FeatureModel { about: net.describe(), net, graph, fingerprint, stacked: 1 })
    }

    /// The same network for pictures that are `count` grey ones, stacked as channels (Stacked MNIST: Metz et al.
    /// 2017, arXiv:1611.02163). It looks at each channel: the features are all of theirs, and the classes all
    /// combinations of theirs, 1000 of ten classes and three channels.
    ///
    /// # Errors
    /// A network that is not of grey pictures or is no classifier, or more combinations than are counted.
    pub fn stacked(mut self, count: usize) -> Result<FeatureModel, PipelineError> {
        let refuse = |what: String| PipelineError::Option { option: "stacked", what };
        let (called, classes) = (self.about.called.clone(), self.about.classes.clone());
        if self.about.picture.c != 1 || classes.is_empty() || self.about.logits != classes.len() {
            return Err(refuse(format!("{called} is no classifier of grey pictures")));
        }
        let all = u32::try_from(count).ok().and_then(|n| classes.len().checked_pow(n));
        let Some(all) = all.filter(|all| count > 0 && *all <= MOST_MODES) else {
            return Err(refuse(format!("{} classes in {count} channels are too many modes", classes.len())));
        };
        // The first channel's class is the first digit.
        let digit = |mode: usize, channel: usize| {
            mode / classes.len().pow((count - 1 - channel) as u32) % classes.len()
        };
        let name =
            |mode: usize| (0..count).map(|c| &classes[digit(mode, c)][..]).collect::<Vec<_>>().join(" | ");
        self.about.called = format!("{called} on each of {count} channels");
        self.about.width *= count;
        self.about.classes = (0..all).map(name).collect();
        self.about.logits = all;
        self.stacked = count;
        Ok(self)
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
        let len = pictures.shape.len();
        if len == 0 || !pictures.levels.len().is_multiple_of(len) {
            return Err(refuse(format!("{} levels are no pictures", pictures.levels.len())));
        }
        let stacked = self.model.stacked;
        if stacked > 1 && pictures.shape.c != stacked {
            return Err(refuse(format!("{stacked} channels are wanted, these have {}", pictures.shape.c)));
        }
        let (mut values, mut logits) = (Vec::new(), Vec::new());
        let all = pictures.len() * stacked;
        for first in (0..all).step_by(self.batch) {
            let count = self.batch.min(all - first);
            progress(first / stacked, pictures.len());
            let mut numbers = Vec::with_capacity(self.batch * about.picture.len());
            for i in first..first + count {
                let picture = &pictures.levels[i / stacked * len..(i / stacked + 1) * len];
                let prepared = if stacked > 1 {
                    let channel: Vec<u8> =
                        picture.iter().skip(i % stacked).step_by(stacked).copied().collect();
                    self.model.net.prepare(&channel, Shape { c: 1, ..pictures.shape })
                } else {
                    self.model.net.prepare(picture, pictures.shape)
                };
                numbers.extend(prepared.map_err(refuse)?);
            }
            numbers.resize(self.batch * about.picture.len(), 0.0);
            let found = self.evaluator.run(&[(PICTURE, &numbers)])?;
            let each = |of: &[f32]| of.len() / self.batch * count;
            values.extend_from_slice(&found[0][..each(&found[0])]);
            logits.extend_from_slice(&found[1][..each(&found[1])]);
        }
        if stacked > 1 {
            let classes = logits.len() / all;
            logits =
                logits.chunks_exact(classes * stacked).flat_map(|each| combined(each, classes)).collect();
        }
        Ok(Seen { features: Features::new(set, about.width, values)?, logits })
    }
}

/// Numbers of all combinations of classes: the sums of the channels' own, so that their softmax is the product
/// of the channels'.
fn combined(each: &[f32], classes: usize) -> Vec<f32> {
    each.chunks_exact(classes)
        .fold(vec![0.0], |sums, own| sums.iter().flat_map(|sum| own.iter().map(move |v| sum + v)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combinations_are_products_of_channels() {
        let (a, b) = ([0.3f32, -1.0, 2.0], [1.5f32, 0.2, -0.7]);
        let all = combined(&[a, b].concat(), 3);
        assert_eq!(all.len(), 9);
        let features = Features::new("two", 1, vec![0.0]).unwrap();
        let seen = Seen { features: features.clone(), logits: all };
        // The third of the first channel, the first of the second.
        assert_eq!(seen.classes(), [6]);
        let one =
            |logits: [f32; 3]| Seen { features: features.clone(), logits: logits.to_vec() }.confidence()[0];
        assert!((seen.confidence()[0] - one(a) * one(b)).abs() < 1e-6);
    }
}
