//! Some channels of a tensor.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::copy_channels::CopyChannels;
use crate::shape::Shape;

/// Channels `at .. at + c`.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// The first.
    pub at: usize,
    /// How many.
    pub c: usize,
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        match self.at.checked_add(self.c).is_some_and(|end| end <= x.c) {
            true => Ok(x.with_c(self.c)),
            false => Err(format!("channels {} to {} are not there", self.at, self.at.saturating_add(self.c))),
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.shape(0);
        let pixels = cx.n() * x.pixels();
        let copy = CopyChannels { pixels, c: self.c, src_c: x.c, src_at: self.at, dst_c: self.c, dst_at: 0 };
        cx.calls(copy.calls(cx.caps(), cx.input(0), cx.output()));
        Ok(())
    }
}
