//! From the parameters of a mixture of logistics to its mean.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::mixture_mean as kernel;
use crate::shape::Shape;

/// `[n, h, w, 10 k] -> [n, h, w, 3]` in `[-1, 1]`; see [`kernel::MixtureMean`].
#[derive(Clone, Copy, Debug)]
pub struct MixtureMean;

impl Op for MixtureMean {
    fn name(&self) -> &'static str {
        "mixture_mean"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [x] = arity(inputs)?;
        match x.c % 10 {
            0 => Ok(x.with_c(3)),
            _ => Err("a mixture has ten numbers for each of its logistics".into()),
        }
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.shape(0);
        let call = kernel::MixtureMean { pixels: cx.n() * x.pixels(), k: x.c / 10 };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.output()));
        Ok(())
    }
}
