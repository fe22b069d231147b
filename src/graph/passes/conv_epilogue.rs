//! A convolution takes the addition of a time embedding or a residual, and a
//! factor, into its store; a linear map of vectors SiLU too.

use super::{Apply, Fused, Pass};
use crate::graph::ops::conv::Conv2d;
use crate::graph::ops::downcast;
use crate::graph::ops::elementwise::{Elementwise, Kind};
use crate::graph::{Act, Graph, Node};
use crate::shape::Shape;
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "conv_epilogue", apply: Apply::Pairs(rule) };

fn rule(graph: &Graph, producer: &Node, consumer: &Node) -> Option<Fused> {
    let mut conv = downcast::<Conv2d>(&*producer.op)?.clone();
    let pointwise = downcast::<Elementwise>(&*consumer.op)?;
    if conv.silu {
        return None;
    }
    let mut inputs = producer.inputs.clone();
    match pointwise.kind {
        Kind::Affine { mul, add: 0.0 } => conv.scale *= mul,
        // Elsewhere a norm comes between; images would pay for it in registers.
        Kind::Act(Act::Silu) if graph.shape(producer.output).pixels() == 1 => conv.silu = true,
        // What is added must come before the factor.
        Kind::Add if conv.scale == 1.0 => {
            let y = producer.output;
            let (a, b) = (consumer.inputs[0], consumer.inputs[1]);
            let other = if a == y { b } else { a };
            if other == y {
                return None;
            }
            let (to, from) = (graph.shape(y), graph.shape(other));
            if from == to && !conv.residual {
                conv.residual = true;
                inputs.push(other);
            } else if from == Shape::vector(to.c) && a == y && conv.temb.is_none() {
                conv.temb = Some(0);
                inputs.insert(1, other);
            } else {
                return None;
            }
        }
        _ => return None,
    }
    Some((Arc::new(conv), inputs))
}
