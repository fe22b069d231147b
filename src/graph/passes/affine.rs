//! Factors and constants in a row become one.

use super::{Apply, Fused, Pass};
use crate::graph::ops::downcast;
use crate::graph::ops::elementwise::{Elementwise, Kind};
use crate::graph::{Graph, Node};
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "affine", apply: Apply::Pairs(rule) };

fn rule(_: &Graph, producer: &Node, consumer: &Node) -> Option<Fused> {
    let kind = |node: &Node| match downcast::<Elementwise>(&*node.op)?.kind {
        Kind::Affine { mul, add } => Some((mul, add)),
        _ => None,
    };
    let ((a, b), (c, d)) = (kind(producer)?, kind(consumer)?);
    let kind = Kind::Affine { mul: a * c, add: b.mul_add(c, d) };
    Some((Arc::new(Elementwise { kind }), producer.inputs.clone()))
}
