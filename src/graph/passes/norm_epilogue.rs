//! A group norm takes the scale and shift of a time embedding, and then the
//! activation, into its apply.

use super::{Apply, Fused, Pass};
use crate::graph::ops::downcast;
use crate::graph::ops::elementwise::{Elementwise, Kind};
use crate::graph::ops::group_norm::GroupNorm;
use crate::graph::{Act, Graph, Node};
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "norm_epilogue", apply: Apply::Pairs(rule) };

fn rule(_: &Graph, producer: &Node, consumer: &Node) -> Option<Fused> {
    let mut norm = downcast::<GroupNorm>(&*producer.op)?.clone();
    let pointwise = downcast::<Elementwise>(&*consumer.op)?;
    if norm.act != Act::Identity {
        return None;
    }
    let mut inputs = producer.inputs.clone();
    match pointwise.kind {
        Kind::Act(act) => norm.act = act,
        Kind::ScaleShift if norm.scale_shift.is_none() && consumer.inputs[0] == producer.output => {
            norm.scale_shift = Some(0);
            inputs.push(consumer.inputs[1]);
        }
        _ => return None,
    }
    Some((Arc::new(norm), inputs))
}
