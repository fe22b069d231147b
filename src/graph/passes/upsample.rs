//! A convolution upsamples where it loads: nearest neighbours by a power of two are
//! a shift of the address.

use super::{Apply, Fused, Pass};
use crate::graph::ops::conv::Conv2d;
use crate::graph::ops::downcast;
use crate::graph::ops::resample::Resample;
use crate::graph::{Graph, Node};
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "upsample", apply: Apply::Pairs(rule) };

fn rule(graph: &Graph, producer: &Node, consumer: &Node) -> Option<Fused> {
    let Resample::Nearest { h, w } = *downcast::<Resample>(&*producer.op)? else { return None };
    let mut conv = downcast::<Conv2d>(&*consumer.op)?.clone();
    let from = graph.shape(producer.inputs[0]);
    let factor = h.checked_div(from.h)?;
    // Only what is convolved: a residual is added pixel by pixel.
    let only = consumer.inputs.iter().filter(|t| **t == producer.output).count() == 1;
    let same = (factor * from.h, factor * from.w) == (h, w) && factor.is_power_of_two();
    if consumer.inputs[0] != producer.output || !only || !same {
        return None;
    }
    conv.up += factor.trailing_zeros() as usize;
    let mut inputs = consumer.inputs.clone();
    inputs[0] = producer.inputs[0];
    Some((Arc::new(conv), inputs))
}
