//! Changing an image's size without weights.

use super::{arity, first, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::resample as kernel;
use crate::shape::Shape;

/// How.
#[derive(Clone, Copy, Debug)]
pub enum Resample {
    /// Nearest neighbour, to this size.
    Nearest {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
    },
    /// Linear between neighbours, corner upon corner, to this size.
    Linear {
        /// Rows.
        h: usize,
        /// Columns.
        w: usize,
    },
    /// The mean of `k x k` pixels, stride `k`.
    AvgPool {
        /// Rows and columns of the window.
        k: usize,
    },
}

impl Op for Resample {
    fn name(&self) -> &'static str {
        match self {
            Resample::Nearest { .. } => "nearest",
            Resample::Linear { .. } => "linear_resample",
            Resample::AvgPool { .. } => "avg_pool",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        match *self {
            Resample::Nearest { h, w } | Resample::Linear { h, w } => Ok(Shape::new(h, w, x.c)),
            Resample::AvgPool { k } if k > 0 && x.h >= k && x.w >= k => Ok(Shape::new(x.h / k, x.w / k, x.c)),
            Resample::AvgPool { k } => Err(format!("a window of {k} x {k} does not fit")),
        }
    }

    fn tangent(
        &self,
        g: &mut Graph,
        _: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let dx = first(self, g, dx)?;
        g.push(*self, &[dx])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let call = match *self {
            Resample::Nearest { h, w } => kernel::Resample::Nearest { h, w },
            Resample::Linear { h, w } => kernel::Resample::Linear { h, w },
            Resample::AvgPool { k } => kernel::Resample::Pool { k },
        };
        cx.calls(call.calls(cx.caps(), cx.n(), cx.shape(0), cx.input(0), cx.output()));
        Ok(())
    }
}
