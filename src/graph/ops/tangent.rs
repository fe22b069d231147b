//! Tangents of ops that are not linear: activations, group norm, attention.

use super::{arity, Op};
use crate::graph::plan::Lower;
use crate::graph::GraphError;
use crate::kernels::act_tangent::ActTangent as ActKernel;
use crate::kernels::activation::Activation;
use crate::kernels::attention_tangent::AttentionTangent as AttentionKernel;
use crate::kernels::norm_tangent::NormTangent as NormKernel;
use crate::shape::Shape;
use crate::weights::Param;

/// `act'(x) dx`. Inputs x, dx.
#[derive(Clone, Copy, Debug)]
pub struct ActTangent(pub Activation);

impl Op for ActTangent {
    fn name(&self) -> &'static str {
        "activation_tangent"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        same(inputs)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let call = ActKernel { len: cx.n() * cx.output_shape().len(), act: self.0 };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.input(1), cx.output()));
        Ok(())
    }
}

/// The tangent of a group norm. Inputs x, dx.
#[derive(Clone, Debug)]
pub struct NormTangent {
    /// Groups.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f64,
    /// The norm's weight, `[c]`; none is 1.
    pub weight: Option<Param>,
}

impl Op for NormTangent {
    fn name(&self) -> &'static str {
        "group_norm_tangent"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        same(inputs)
    }

    fn params(&self) -> Vec<&Param> {
        self.weight.iter().collect()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let x = cx.shape(0);
        let gamma = match &self.weight {
            Some(p) => cx.weight(p, "plain", false, |w| w)?,
            None => cx.constant(&format!("1.{}", x.c), move || vec![1.0; x.c])?,
        };
        let (n, eps) = (cx.n(), self.eps as f32);
        let call = NormKernel { n, pixels: x.pixels(), c: x.c, groups: self.groups, eps };
        cx.calls(call.calls(cx.caps(), cx.input(0), cx.input(1), gamma, cx.output()));
        Ok(())
    }
}

/// The tangent of attention. Inputs q, k, v and the tangents of each.
#[derive(Clone, Copy, Debug)]
pub struct AttentionTangent {
    /// Heads.
    pub heads: usize,
    /// The factor of the logits.
    pub scale: f64,
}

impl Op for AttentionTangent {
    fn name(&self) -> &'static str {
        "attention_tangent"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [q, k, v, dq, dk, dv] = arity(inputs)?;
        match k == v && [q, k, v] == [dq, dk, dv] && self.heads > 0 && q.c % self.heads == 0 {
            true => Ok(q),
            false => Err("tangents have the shapes of queries, keys and values".into()),
        }
    }

    fn macs(&self, inputs: &[Shape], _: Shape) -> u64 {
        5 * (inputs[0].len() * inputs[1].pixels()) as u64
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let (q, k) = (cx.shape(0), cx.shape(1));
        let call = AttentionKernel {
            n: cx.n(),
            tokens_q: q.pixels(),
            tokens_k: k.pixels(),
            heads: self.heads,
            d: q.c / self.heads,
            scale: self.scale as f32,
        };
        let inputs = [0, 1, 2, 3, 4, 5].map(|i| cx.input(i));
        cx.calls(call.calls(cx.caps(), inputs, cx.output()));
        Ok(())
    }
}

fn same(inputs: &[Shape]) -> Result<Shape, String> {
    let [x, dx] = arity(inputs)?;
    match x == dx {
        true => Ok(x),
        false => Err("a tangent has the shape of what it belongs to".into()),
    }
}
