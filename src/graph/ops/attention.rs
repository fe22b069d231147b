//! Scaled dot-product attention.

use super::tangent::AttentionTangent;
use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::attention::{self as kernel, Place};
use crate::shape::Shape;

/// `softmax(scale * q k^T) v` for each head. Inputs q, k, v.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Heads; head `i` is channels `i * d .. (i + 1) * d`.
    pub heads: usize,
    /// The factor of the logits.
    pub scale: f64,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [q, k, v] = arity(inputs)?;
        if self.heads == 0 || q.c % self.heads != 0 {
            return Err(format!("{} heads do not divide {} channels", self.heads, q.c));
        }
        if k != v || k.c != q.c {
            return Err("keys and values differ from the queries' channels".into());
        }
        Ok(q)
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        2 * (inputs[0].len() * inputs[1].pixels()) as u64
    }

    fn detail(&self) -> String {
        format!("{} head{}", self.heads, if self.heads == 1 { "" } else { "s" })
    }

    fn tangent(
        &self,
        g: &mut Graph,
        x: &[Tensor],
        _: Tensor,
        dx: &[Option<Tensor>],
    ) -> Result<Tensor, GraphError> {
        let op = AttentionTangent { heads: self.heads, scale: self.scale };
        let mut all = x.to_vec();
        for (x, dx) in x.iter().zip(dx) {
            all.push(match dx {
                Some(dx) => *dx,
                None => g.zeros_like(*x)?,
            });
        }
        g.push(op, &all)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let (q, k) = (cx.shape(0), cx.shape(1));
        let d = q.c / self.heads;
        let dense = Place::dense(self.heads, d);
        let call = kernel::Attention {
            n: cx.n(),
            tokens_q: q.pixels(),
            tokens_k: k.pixels(),
            heads: self.heads,
            d,
            scale: self.scale as f32,
            q: dense,
            k: dense,
            v: dense,
        };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.input(1), cx.input(2), cx.output()));
        Ok(())
    }
}
