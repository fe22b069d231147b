//! A weight that is an image, the same for every image of a batch.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::embed;
use crate::shape::Shape;
use crate::weights::Param;

/// The weight `[c, h, w]` as `[n, h, w, c]`.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The weight.
    pub image: Param,
}

impl Op for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [] = arity(inputs)?;
        match *self.image.shape() {
            [c, h, w] => Ok(Shape::new(h, w, c)),
            ref other => Err(format!("image `{}` has shape {other:?}", self.image.name())),
        }
    }

    fn params(&self) -> Vec<&Param> {
        vec![&self.image]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        // A table of one row, and everybody takes it.
        let (shape, n) = (cx.output_shape(), cx.n());
        let (c, pixels) = (shape.c, shape.pixels());
        let pack = move |w: Vec<f32>| (0..w.len()).map(|i| w[i % c * pixels + i / c]).collect();
        let table = cx.weight(&self.image, "nhwc", false, pack)?;
        let first = cx.constant(&format!("zeros.{n}"), move || vec![0.0; n])?;
        let call = embed::Embed { n, rows: 1, c: shape.len() };
        cx.calls(call.calls(cx.caps(), first, table, cx.output()));
        Ok(())
    }
}
