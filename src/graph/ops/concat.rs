//! Channels of one tensor after those of another.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::copy_channels::CopyChannels;
use crate::shape::Shape;

/// `[n, h, w, a] , [n, h, w, b] -> [n, h, w, a + b]`.
#[derive(Clone, Copy, Debug)]
pub struct Concat;

impl Op for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [a, b] = arity(inputs)?;
        if (a.h, a.w) != (b.h, b.w) {
            return Err("images of different sizes are joined".into());
        }
        Ok(a.with_c(a.c + b.c))
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let mut parts = [x[0], x[1]];
        for (i, dx) in dx.iter().enumerate() {
            parts[i] = match dx {
                Some(dx) => *dx,
                None => g.zeros_like(x[i])?,
            };
        }
        g.concat(parts[0], parts[1])
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let y = cx.output_shape();
        let mut dst_at = 0;
        for (i, s) in [cx.shape(0), cx.shape(1)].into_iter().enumerate() {
            let pixels = cx.n() * s.pixels();
            let copy = CopyChannels { pixels, c: s.c, src_c: s.c, src_at: 0, dst_c: y.c, dst_at };
            cx.calls(copy.calls(cx.caps(), cx.input(i), cx.output()));
            dst_at += s.c;
        }
        Ok(())
    }
}
