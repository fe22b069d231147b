//! Fusions: one file each, one line in [`ALL`].
//!
//! Most passes are a rule about two nodes, a producer whose result only the consumer
//! reads. Where the rule applies, one node takes the place of the consumer, so
//! that everything it reads is already there. The others look at the whole graph.

mod affine;
mod concat;
mod conv_epilogue;
mod norm_epilogue;
mod qkv;
mod siblings;
mod upsample;

use super::{Graph, Node, Op, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// What a rule makes of two nodes: an op and its inputs.
pub type Fused = (Arc<dyn Op>, Vec<Tensor>);

/// A fusion.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// Its name, that of its file.
    pub name: &'static str,
    /// How it works.
    pub apply: Apply,
}

/// How a pass works.
#[derive(Clone, Copy, Debug)]
pub enum Apply {
    /// Fuses a producer into its only consumer, or declines.
    Pairs(fn(&Graph, producer: &Node, consumer: &Node) -> Option<Fused>),
    /// Changes one place of the graph and says what was taken into what; `None` when
    /// there is nothing left to do.
    Graph(fn(&mut Graph) -> Option<Vec<Fusion>>),
}

/// Every pass, in the order run.
#[rustfmt::skip]
pub static ALL: &[Pass] = &[
    affine::PASS,
    norm_epilogue::PASS,
    concat::PASS,
    upsample::PASS,
    qkv::PASS,
    conv_epilogue::PASS,
    siblings::PASS,
];

/// What a pass did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Done {
    /// The pass, or `unread`: nodes that nothing reads are dropped first.
    pub name: &'static str,
    /// Nodes before it.
    pub before: usize,
    /// Nodes after it.
    pub after: usize,
    /// What was taken into what; empty for `unread`.
    pub fusions: Vec<Fusion>,
}

/// One application of a rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fusion {
    /// The producer, `conv2d mid_block.resnets.0.conv1`.
    pub node: String,
    /// The consumer that it took in.
    pub took: String,
}

/// Runs all passes and drops nodes that nothing reads.
pub fn run(graph: &Graph) -> Graph {
    run_reporting(graph).0
}

/// [`run`], and what each pass did, in order.
pub fn run_reporting(graph: &Graph) -> (Graph, Vec<Done>) {
    let before = graph.nodes.len();
    let mut graph = without_dead(graph.clone());
    let mut done = vec![Done { name: "unread", before, after: graph.nodes.len(), fusions: Vec::new() }];
    for pass in ALL {
        let before = graph.nodes.len();
        let mut fusions = Vec::new();
        match pass.apply {
            Apply::Pairs(rule) => while step(&mut graph, rule, &mut fusions) {},
            Apply::Graph(change) => {
                while let Some(more) = change(&mut graph) {
                    fusions.extend(more);
                }
            }
        }
        done.push(Done { name: pass.name, before, after: graph.nodes.len(), fusions });
    }
    (graph, done)
}

type Rule = fn(&Graph, &Node, &Node) -> Option<Fused>;

/// Applies a pass once over the graph; says whether anything changed.
fn step(graph: &mut Graph, rule: Rule, fusions: &mut Vec<Fusion>) -> bool {
    let mut changed = false;
    let mut uses = graph.uses();
    let mut nodes: Vec<Option<Node>> = graph.nodes.iter().cloned().map(Some).collect();
    let maker: HashMap<Tensor, usize> = graph.nodes.iter().enumerate().map(|(i, n)| (n.output, i)).collect();
    for i in 0..nodes.len() {
        let Some(consumer) = nodes[i].clone() else { continue };
        // The last made first: of two convolutions that are added, the second
        // can take the first as its residual.
        let mut producers: Vec<usize> = consumer
            .inputs
            .iter()
            .filter(|t| uses[t.0 as usize] == 1)
            .filter_map(|t| maker.get(t).copied())
            .collect();
        producers.sort_unstable_by(|a, b| b.cmp(a));
        for j in producers {
            let Some(producer) = nodes[j].clone() else { continue };
            if let Some((op, inputs)) = rule(graph, &producer, &consumer) {
                fusions.push(Fusion { node: producer.label(), took: consumer.label() });
                uses[producer.output.0 as usize] = 0;
                nodes[j] = None;
                nodes[i] = Some(Node { op, inputs, output: consumer.output, scope: producer.scope });
                changed = true;
                break;
            }
        }
    }
    graph.nodes = nodes.into_iter().flatten().collect();
    changed
}

fn without_dead(mut graph: Graph) -> Graph {
    loop {
        let uses = graph.uses();
        let before = graph.nodes.len();
        graph.nodes.retain(|n| uses[n.output.0 as usize] > 0);
        if graph.nodes.len() == before {
            return graph;
        }
    }
}
