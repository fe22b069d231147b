//! A row of a table, by label.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::shape::Shape;
use crate::weights::Param;

/// Row `label` of a table `[rows, d]`.
#[derive(Clone, Debug)]
pub struct Embed {
    /// The table.
    pub table: Param,
}

impl Op for Embed {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [label] = arity(inputs)?;
        match *self.table.shape() {
            [rows, d] if rows > 0 && label == Shape::vector(1) => Ok(Shape::vector(d)),
            ref other => Err(format!("table `{}` has shape {other:?}", self.table.name())),
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        todo!()
    }
}
