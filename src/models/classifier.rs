//! The zoo's classifiers: small residual networks with batch norm folded into their convolutions (He et al.
//! 2016, arXiv:1512.03385; `training/classifier.py`). Pictures in `[-1, 1]`.

use super::features::{FeatureDescription, FeatureNet, FEATURES, LOGITS, PICTURE};
use super::options::Checker;
use super::ModelError;
use crate::graph::{Act, Graph, Tensor};
use crate::nn::{Builder, Result};
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The `_class_name`.
pub const CLASS: &str = "ResNetClassifier";
/// The most classes, blocks and channels that are built.
const MOST: usize = 1 << 12;

#[derive(Clone, Debug, Deserialize)]
struct Config {
    image_size: usize,
    image_channels: usize,
    widths: Vec<usize>,
    #[serde(default = "silu")]
    act_fn: String,
    id2label: BTreeMap<usize, String>,
}

fn silu() -> String {
    "silu".into()
}

#[derive(Debug)]
struct Classifier {
    picture: Shape,
    widths: Vec<usize>,
    classes: Vec<String>,
    called: String,
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json) -> std::result::Result<Box<dyn FeatureNet>, ModelError> {
    let config: Config = json.parse()?;
    let check = Checker::new(&json.path);
    let side = check.count("image_size", config.image_size, MOST)?;
    let channels = check.count("image_channels", config.image_channels, 4)?;
    check.word("act_fn", &config.act_fn, &[("silu", ())])?;
    check.count("widths", config.widths.len(), 5)?;
    for width in &config.widths {
        check.count("widths", *width, MOST)?;
    }
    if !side.is_multiple_of(1 << (config.widths.len() - 1)) {
        return Err(check.error("image_size", "each block but the first halves it, without a rest"));
    }
    check.count("id2label", config.id2label.len(), MOST)?;
    if config.id2label.keys().enumerate().any(|(i, id)| i != *id) {
        return Err(check.error("id2label", "the classes are numbered from 0 on, without a gap"));
    }
    let folder = json.path.parent().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    Ok(Box::new(Classifier {
        picture: Shape::new(side, side, channels),
        widths: config.widths,
        classes: config.id2label.into_values().collect(),
        called: folder.unwrap_or_else(|| "classifier".into()),
    }))
}

impl Classifier {
    fn block(&self, b: &mut Builder<'_>, x: Tensor, out: usize, stride: usize) -> Result<Tensor> {
        let h = b.conv2d("conv_0", x, out, 3, stride, [1; 4])?;
        let h = b.graph.act(h, Act::Silu)?;
        let h = b.conv3x3("conv_1", h, out)?;
        let skip = match stride == 1 && b.graph.shape(x).c == out {
            true => x,
            false => b.conv2d("shortcut", x, out, 1, stride, [0; 4])?,
        };
        let sum = b.graph.add(h, skip)?;
        b.graph.act(sum, Act::Silu)
    }
}

impl FeatureNet for Classifier {
    fn describe(&self) -> FeatureDescription {
        FeatureDescription {
            called: self.called.clone(),
            picture: self.picture,
            width: self.widths.last().copied().unwrap_or_default(),
            classes: self.classes.clone(),
            logits: self.classes.len(),
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> std::result::Result<(), ModelError> {
        let mut b = Builder::new(graph, weights);
        let picture = b.graph.input(PICTURE, self.picture)?;
        let stem = b.conv3x3("stem", picture, self.widths[0])?;
        let mut x = b.graph.act(stem, Act::Silu)?;
        for (i, width) in self.widths.iter().enumerate() {
            let stride = if i == 0 { 1 } else { 2 };
            x = b.scope(&format!("blocks.{i}"), |b| self.block(b, x, *width, stride))?;
        }
        let side = b.graph.shape(x).h;
        let features = b.graph.avg_pool(x, side)?;
        let logits = b.linear("head", features, self.classes.len())?;
        b.graph.output(FEATURES, features);
        b.graph.output(LOGITS, logits);
        Ok(())
    }

    fn prepare(&self, levels: &[u8], shape: Shape) -> std::result::Result<Vec<f32>, String> {
        let own = self.picture;
        if (shape.h, shape.w) != (own.h, own.w) || levels.len() != shape.len() {
            return Err(format!(
                "it takes pictures of {} x {}, these are {} x {}",
                own.w, own.h, shape.w, shape.h
            ));
        }
        let number = |level: f64| (level / 127.5 - 1.0) as f32;
        match (shape.c, own.c) {
            (a, b) if a == b => Ok(levels.iter().map(|v| number(f64::from(*v))).collect()),
            // Luma as ITU-R BT.709 has it; grey stays what it is.
            (3, 1) => Ok(levels
                .chunks_exact(3)
                .map(|p| {
                    let [r, g, b] = [p[0], p[1], p[2]].map(f64::from);
                    number((0.2126 * r + 0.7152 * g + 0.0722 * b).round())
                })
                .collect()),
            (1, 3) => Ok(levels.iter().flat_map(|v| [number(f64::from(*v)); 3]).collect()),
            (found, _) => Err(format!("it takes {} channels, these pictures have {found}", own.c)),
        }
    }
}
