//! The largest or the mean of a window that moves over an image.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::pool::{self as kernel, Take};
use crate::shape::Shape;

/// A window that moves over an image.
#[derive(Clone, Copy, Debug)]
pub struct Pool(pub kernel::Pool);

impl Op for Pool {
    fn name(&self) -> &'static str {
        match self.0.take {
            Take::Max => "max_pool",
            Take::Mean => "mean_pool",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        let kernel::Pool { k, stride, padding, .. } = self.0;
        let why = || format!("a window of {k} x {k}, stride {stride}, padding {padding}, does not fit");
        self.0.out(x).ok_or_else(why)
    }

    fn detail(&self) -> String {
        format!("{0}x{0}, stride {1}", self.0.k, self.0.stride)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        cx.calls(self.0.calls(cx.caps(), cx.n(), cx.shape(0), cx.input(0), cx.output()));
        Ok(())
    }
}
