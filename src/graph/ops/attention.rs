//! Scaled dot-product attention.

use super::tangent::AttentionTangent;
use super::{arity, Op, Site};
use crate::graph::plan::{Buf, Lower};
use crate::graph::{Graph, GraphError, Tensor};
use crate::kernels::attention::{self as kernel, Place};
use crate::kernels::texels::Texels;
use crate::shape::Shape;

/// `softmax(scale * q k^T) v` for each head. Inputs q, k, v; or one tensor that holds
/// the three, channels after channels.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Heads; head `i` is channels `i * d .. (i + 1) * d`.
    pub heads: usize,
    /// The factor of the logits.
    pub scale: f64,
    /// Whether q, k and v are one tensor.
    pub joined: bool,
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape, String> {
        let [q, k, v] = match self.joined {
            false => arity(inputs)?,
            true => {
                let [all] = arity(inputs)?;
                if all.c % 3 != 0 {
                    return Err("queries, keys and values share the channels equally".into());
                }
                [all.with_c(all.c / 3); 3]
            }
        };
        if self.heads == 0 || q.c % self.heads != 0 {
            return Err(format!("{} heads do not divide {} channels", self.heads, q.c));
        }
        if k != v || k.c != q.c {
            return Err("keys and values differ from the queries' channels".into());
        }
        Ok(q)
    }

    fn macs(&self, inputs: &[Shape], output: Shape) -> u64 {
        let keys = inputs.get(1).or(inputs.first()).map_or(0, Shape::pixels);
        2 * (output.len() * keys) as u64
    }

    fn detail(&self) -> String {
        let joined = if self.joined { ", q, k, v in one" } else { "" };
        format!("{} head{}{joined}", self.heads, if self.heads == 1 { "" } else { "s" })
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

    fn writes_image(&self, at: &Site<'_>) -> bool {
        let (call, _) = self.kernel(at.n, at.inputs, at.output);
        call.writes_image(at.caps)
    }

    fn reads_image(&self, at: &Site<'_>, i: usize) -> bool {
        let (call, _) = self.kernel(at.n, at.inputs, at.output);
        at.inputs[i].c.is_multiple_of(8) && call.wants_images(at.caps)
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<(), GraphError> {
        let count = if self.joined { 1 } else { 3 };
        let shapes: Vec<Shape> = (0..count).map(|i| cx.shape(i)).collect();
        let (call, inputs) = self.kernel(cx.n(), &shapes, cx.output_shape());
        let mut from = inputs.map(|i| cx.input(i));
        let images = call.wants_images(cx.caps());
        if images {
            let mut staged: Vec<(Buf, Buf)> = Vec::new();
            for (i, from) in inputs.into_iter().zip(&mut from) {
                if cx.is_image(*from) {
                    continue;
                }
                let known = staged.iter().find(|s| s.0 == *from).map(|s| s.1);
                let image = match known {
                    Some(image) => image,
                    None => {
                        let shape = cx.shape(i);
                        let texels = Texels { pixels: cx.n() * shape.pixels(), c: shape.c };
                        let image = cx.scratch_image(texels.len())?;
                        cx.calls(texels.calls(cx.caps(), *from, image));
                        staged.push((*from, image));
                        image
                    }
                };
                *from = image;
            }
        }
        let [q, k, v] = from;
        let call = kernel::Attention { images, to_image: cx.is_image(cx.output()), ..call };
        cx.calls(call.calls(cx.caps(), q, k, v, cx.output()));
        Ok(())
    }
}

impl Attention {
    /// The kernel's shape, and which inputs are queries, keys and values.
    fn kernel(&self, n: usize, inputs: &[Shape], y: Shape) -> (kernel::Attention, [usize; 3]) {
        let d = y.c / self.heads;
        let (places, which) = match self.joined {
            false => ([Place::dense(self.heads, d); 3], [0, 1, 2]),
            true => ([0, 1, 2].map(|i| Place::fused(i, self.heads, d)), [0; 3]),
        };
        let [q, k, v] = places;
        let call = kernel::Attention {
            n,
            tokens_q: y.pixels(),
            tokens_k: inputs[which[1]].pixels(),
            heads: self.heads,
            d,
            scale: self.scale as f32,
            q,
            k,
            v,
            images: false,
            to_image: false,
        };
        (call, which)
    }
}
