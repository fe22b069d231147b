//! Products of tensors.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::product::{self as kernel, Factor};
use crate::shape::Shape;

/// `a b` or `a exp(b)`.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// What the second input is.
    pub factor: Factor,
}

impl Op for Product {
    fn name(&self) -> &'static str {
        "product"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [a, b] = arity(inputs)?;
        let wanted = if self.factor == Factor::Vector { Shape::vector(a.c) } else { a };
        match b == wanted {
            true => Ok(a),
            false => Err(format!("the second input must be {wanted}")),
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let shape = cx.output_shape();
        let call = kernel::Product { n: cx.n(), pixels: shape.pixels(), c: shape.c, factor: self.factor };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.input(1), cx.output()));
        Ok(())
    }
}
