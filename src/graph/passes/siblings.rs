//! Linear maps of one vector in one product: every residual block maps the time
//! embedding, and reads its channels of what one product makes of it.

use super::{Apply, Fusion, Pass};
use crate::graph::ops::conv::Conv2d;
use crate::graph::ops::downcast;
use crate::graph::ops::group_norm::GroupNorm;
use crate::graph::{Graph, Node, Op, Tensor};
use crate::weights::{derived, Param};
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "siblings", apply: Apply::Graph(change) };

/// Vector loads want ranges that begin at a multiple of this.
const WHOLE: usize = 8;

fn change(graph: &mut Graph) -> Option<Vec<Fusion>> {
    let fits = |n: &Node| fits(graph, n);
    let (first, of) = graph.nodes.iter().enumerate().find_map(|(i, n)| {
        let more = graph.nodes[i + 1..].iter().any(|m| m.inputs == n.inputs && fits(m));
        (fits(n) && more).then(|| (i, n.inputs.clone()))
    })?;
    let ids: Vec<usize> = (first..graph.nodes.len())
        .filter(|&i| graph.nodes[i].inputs == of && fits(&graph.nodes[i]))
        .collect();
    let nodes: Vec<Node> = ids.iter().map(|&i| graph.nodes[i].clone()).collect();
    let conv = stacked(&nodes.iter().collect::<Vec<_>>())?;
    let output = whole(graph, &nodes);
    let fusions = nodes[1..].iter().map(|n| Fusion { node: nodes[0].label(), took: n.label() }).collect();
    let mut at = 0;
    for n in &nodes {
        for reader in &mut graph.nodes {
            if let Some(op) = reads(reader, n.output).and_then(|_| moved(reader, at)) {
                reader.op = op;
                reader.inputs.iter_mut().filter(|t| **t == n.output).for_each(|t| *t = output);
            }
        }
        at += graph.shape(n.output).c;
    }
    let scope = nodes[0].scope.clone();
    graph.nodes[first] = Node { op: Arc::new(conv), inputs: of, output, scope };
    for i in ids.into_iter().skip(1).rev() {
        graph.nodes.remove(i);
    }
    Some(fusions)
}

/// Whether a node maps a vector, and all that read it can read a range.
fn fits(graph: &Graph, node: &Node) -> bool {
    let vector = graph.shape(node.output);
    let linear = downcast::<Conv2d>(&*node.op).is_some_and(|c| c.plain() && c.pointwise());
    let named = graph.outputs.iter().chain(&graph.taps).any(|(_, t)| *t == node.output);
    linear
        && vector.pixels() == 1
        && vector.c.is_multiple_of(WHOLE)
        && !named
        && graph
            .nodes
            .iter()
            .filter(|n| n.inputs.contains(&node.output))
            .all(|n| reads(n, node.output).is_some())
}

/// Whether `reader` takes `t` as a vector of which it reads a range that begins at 0.
fn reads(reader: &Node, t: Tensor) -> Option<()> {
    let once = reader.inputs.iter().filter(|i| **i == t).count() == 1;
    let conv = downcast::<Conv2d>(&*reader.op).is_some_and(|c| c.temb == Some(0) && reader.inputs[1] == t);
    let norm = downcast::<GroupNorm>(&*reader.op)
        .is_some_and(|g| g.scale_shift == Some(0) && reader.inputs.get(g.parts) == Some(&t));
    (once && (conv || norm)).then_some(())
}

/// The reader with a range that begins at `at`.
fn moved(reader: &Node, at: usize) -> Option<Arc<dyn Op>> {
    if let Some(c) = downcast::<Conv2d>(&*reader.op) {
        return Some(Arc::new(Conv2d { temb: Some(at), ..c.clone() }));
    }
    let norm = downcast::<GroupNorm>(&*reader.op)?;
    Some(Arc::new(GroupNorm { scale_shift: Some(at), ..norm.clone() }))
}

/// Plain linear maps of one tensor as one, outputs after outputs.
pub(super) fn stacked(nodes: &[&Node]) -> Option<Conv2d> {
    let convs: Option<Vec<&Conv2d>> = nodes.iter().map(|n| downcast::<Conv2d>(&*n.op)).collect();
    let convs = convs?;
    let weights: Vec<Param> = convs.iter().map(|c| c.weight.clone()).collect();
    let bias = |c: &&Conv2d| match &c.bias {
        Some(b) => b.clone(),
        None => derived::zeros(c.weight.shape().first().copied().unwrap_or(0)),
    };
    let biases: Vec<Param> = convs.iter().map(bias).collect();
    let bias = match convs.iter().any(|c| c.bias.is_some()) {
        true => Some(derived::stack(&biases)?),
        false => None,
    };
    let first = convs.first()?;
    Some(Conv2d::new(derived::stack(&weights)?, bias, first.stride, first.padding))
}

/// A new tensor as wide as the outputs of `nodes` together.
pub(super) fn whole(graph: &mut Graph, nodes: &[Node]) -> Tensor {
    let c = nodes.iter().map(|n| graph.shape(n.output).c).sum();
    let shape = graph.shape(nodes[0].output).with_c(c);
    graph.shapes.push(shape);
    Tensor(graph.shapes.len() as u32 - 1)
}
