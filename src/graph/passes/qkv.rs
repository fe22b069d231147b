//! Queries, keys and values in one product: three linear maps of one tensor that only
//! an attention reads become one.

use super::{Apply, Fusion, Pass};
use crate::graph::ops::attention::Attention;
use crate::graph::ops::conv::Conv2d;
use crate::graph::ops::downcast;
use crate::graph::passes::siblings::{stacked, whole};
use crate::graph::{Graph, Node};
use std::sync::Arc;

pub(super) static PASS: Pass = Pass { name: "qkv", apply: Apply::Graph(change) };

fn change(graph: &mut Graph) -> Option<Vec<Fusion>> {
    let uses = graph.uses();
    let (at, makers, conv) = graph.nodes.iter().enumerate().find_map(|(i, node)| {
        downcast::<Attention>(&*node.op).filter(|a| !a.joined)?;
        let maker = |k: usize| {
            let t = node.inputs[k];
            let made = graph.nodes.iter().position(|n| n.output == t && uses[t.0 as usize] == 1)?;
            downcast::<Conv2d>(&*graph.nodes[made].op).filter(|c| c.plain() && c.pointwise())?;
            Some(made)
        };
        let makers = [maker(0)?, maker(1)?, maker(2)?];
        let nodes = makers.map(|m| &graph.nodes[m]);
        let one = nodes.iter().all(|n| n.inputs == nodes[0].inputs);
        let even = nodes.iter().all(|n| graph.shape(n.output) == graph.shape(nodes[0].output));
        let conv = stacked(&nodes).filter(|_| one && even)?;
        Some((i, makers, conv))
    })?;
    let attention = downcast::<Attention>(&*graph.nodes[at].op).copied()?;
    let nodes = makers.map(|m| graph.nodes[m].clone());
    let output = whole(graph, &nodes);
    let fusions = nodes[1..].iter().map(|n| Fusion { node: nodes[0].label(), took: n.label() }).collect();
    graph.nodes[at].op = Arc::new(Attention { joined: true, ..attention });
    graph.nodes[at].inputs = vec![output];
    let scope = nodes[0].scope.clone();
    let first = makers.into_iter().min()?;
    graph.nodes[first] = Node { op: Arc::new(conv), inputs: nodes[0].inputs.clone(), output, scope };
    let mut gone: Vec<usize> = makers.into_iter().filter(|m| *m != first).collect();
    gone.sort_unstable();
    for m in gone.into_iter().rev() {
        graph.nodes.remove(m);
    }
    Some(fusions)
}
