//! Batch norm in training: statistics over all images of the batch.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::{Act, GraphError};
use crate::kernels::norm;
use crate::shape::Shape;
use crate::weights::Param;

/// `act((x - mean) / sqrt(var + eps) weight + bias)`, mean and variance of each channel over
/// the pixels of all images: an image depends on its batch.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// `[c]`.
    pub weight: Param,
    /// `[c]`.
    pub bias: Param,
    /// Added to the variance.
    pub eps: f64,
    /// What is applied last.
    pub act: Act,
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        match [&self.weight, &self.bias].into_iter().find(|p| p.shape() != [x.c]) {
            Some(p) => Err(format!("`{}` has shape {:?}, wanted [{}]", p.name(), p.shape(), x.c)),
            None => Ok(x),
        }
    }

    fn params(&self) -> Vec<&Param> {
        vec![&self.weight, &self.bias]
    }

    fn mixes_images(&self) -> bool {
        true
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.output_shape();
        // The batch is one image of as many pixels, each channel a group.
        let norm = norm::GroupNorm {
            n: 1,
            pixels: cx.n() * x.pixels(),
            c: x.c,
            groups: x.c,
            eps: self.eps as f32,
            activation: self.act,
        };
        let gamma = cx.weight(&self.weight, "plain", false, |w| w)?;
        let beta = cx.weight(&self.bias, "plain", false, |w| w)?;
        let part = cx.scratch(norm.part_len(cx.caps()))?;
        let coef = cx.scratch(norm.coef_len())?;
        let xs = [norm::Part { tensor: cx.input(0), channels: x.c, image: false }];
        cx.calls(norm.statistics(cx.caps(), &xs, gamma, beta, None, part, coef));
        cx.calls(norm.apply(cx.caps(), &xs, coef, cx.output(), false));
        Ok(())
    }
}
