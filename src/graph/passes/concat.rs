//! Concatenation by addressing: a group norm reads several tensors as one, and a
//! convolution becomes a sum of convolutions of the tensors, each with its columns of
//! the weight.

use super::{Apply, Fusion, Pass};
use crate::graph::ops::concat::Concat;
use crate::graph::ops::conv::Conv2d;
use crate::graph::ops::downcast;
use crate::graph::ops::group_norm::GroupNorm;
use crate::graph::{Graph, Node, Tensor};
use crate::weights::derived;
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "concat", apply: Apply::Graph(change) };

fn change(graph: &mut Graph) -> Option<Vec<Fusion>> {
    let at = graph.nodes.iter().position(|n| replaceable(graph, n))?;
    let joined = graph.nodes.remove(at);
    let mut fusions = Vec::new();
    let mut i = at;
    while i < graph.nodes.len() {
        if graph.nodes[i].inputs.contains(&joined.output) {
            let consumer = graph.nodes.remove(i);
            fusions.push(Fusion { node: joined.label(), took: consumer.label() });
            for node in replacement(graph, &joined, consumer) {
                graph.nodes.insert(i, node);
                i += 1;
            }
        } else {
            i += 1;
        }
    }
    Some(fusions)
}

/// Whether everything that reads the concatenation can read its parts.
fn replaceable(graph: &Graph, node: &Node) -> bool {
    let named = graph.outputs.iter().chain(&graph.taps).any(|(_, t)| *t == node.output);
    downcast::<Concat>(&*node.op).is_some()
        && !named
        && graph.nodes.iter().filter(|n| n.inputs.contains(&node.output)).all(|n| {
            let once = n.inputs.iter().filter(|t| **t == node.output).count() == 1;
            let norm =
                downcast::<GroupNorm>(&*n.op).is_some_and(|g| n.inputs[..g.parts].contains(&node.output));
            let conv =
                downcast::<Conv2d>(&*n.op).is_some_and(|c| c.plain() && columns(graph, c, node).is_some());
            once && (norm || conv)
        })
}

/// The weights of each part.
fn columns(graph: &Graph, conv: &Conv2d, joined: &Node) -> Option<[Conv2d; 2]> {
    let [a, b] = [0, 1].map(|i| graph.shape(joined.inputs[i]).c);
    let first = Conv2d { weight: derived::columns(&conv.weight, 0..a)?, bias: None, ..conv.clone() };
    let weight = derived::columns(&conv.weight, a..a + b)?;
    Some([first, Conv2d { weight, residual: true, ..conv.clone() }])
}

/// The nodes that take the place of one that read the concatenation.
fn replacement(graph: &mut Graph, joined: &Node, mut consumer: Node) -> Vec<Node> {
    let [a, b]: [Tensor; 2] = [joined.inputs[0], joined.inputs[1]];
    if let Some(norm) = downcast::<GroupNorm>(&*consumer.op) {
        consumer.op = Arc::new(GroupNorm { parts: norm.parts + 1, ..norm.clone() });
        let of = |t: Tensor| if t == joined.output { vec![a, b] } else { vec![t] };
        consumer.inputs = consumer.inputs.into_iter().flat_map(of).collect();
        return vec![consumer];
    }
    let split = downcast::<Conv2d>(&*consumer.op).and_then(|c| columns(graph, c, joined));
    let Some([first, second]) = split else { return vec![consumer] };
    let part = Tensor(graph.shapes.len() as u32);
    graph.shapes.push(graph.shape(consumer.output));
    let node = Node { op: Arc::new(first), inputs: vec![a], output: part, scope: consumer.scope.clone() };
    vec![node, Node { op: Arc::new(second), inputs: vec![b, part], ..consumer }]
}
