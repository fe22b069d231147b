//! A row of a table, by label.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::embed;
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

    fn params(&self) -> Vec<&Param> {
        vec![&self.table]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let [rows, c] = *self.table.shape() else {
            return Err(GraphError::Internal("a table without rows".into()));
        };
        let table = cx.weight(&self.table, "plain", false, |w| w)?;
        let call = embed::Embed { n: cx.n(), rows, c };
        cx.calls(call.calls(cx.caps(), cx.input(0), table, cx.output()));
        Ok(())
    }
}
