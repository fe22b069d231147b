//! Vectors scaled to a mean square of one.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::pixel_norm as kernel;
use crate::shape::Shape;

/// `x / sqrt(mean(x^2) + eps)` over the channels of a pixel.
#[derive(Clone, Copy, Debug)]
pub struct PixelNorm {
    /// Added to the mean square.
    pub eps: f64,
}

impl Op for PixelNorm {
    fn name(&self) -> &'static str {
        "pixel_norm"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        arity(inputs).map(|[x]| x)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let shape = cx.output_shape();
        let call = kernel::PixelNorm { rows: cx.n() * shape.pixels(), c: shape.c, eps: self.eps as f32 };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.output()));
        Ok(())
    }
}
