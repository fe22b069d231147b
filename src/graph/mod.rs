//! Floor 3: a network as a graph of ops, and what is planned from it.
//!
//! A model builds a [`Graph`] with the methods below; each runs the op's shape
//! rule at once. [`passes`] fuse; [`plan::Builder`] lowers ops to kernel calls
//! and places every intermediate in memory.

pub mod bind;
mod build;
pub mod dot;
mod error;
pub mod memory;
pub mod ops;
pub mod passes;
pub mod plan;
pub mod report;
pub mod tangent;

pub use crate::kernels::activation::Activation as Act;
pub use error::GraphError;
pub use ops::Op;

use crate::shape::Shape;
use std::sync::Arc;

/// A tensor of a graph: `[n, h, w, c]`, f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tensor(pub(crate) u32);

/// An op with its inputs and its output.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Arc<dyn Op>,
    /// From what.
    pub inputs: Vec<Tensor>,
    /// To what.
    pub output: Tensor,
    /// Where in the model: `down_blocks.0.resnets.1.conv1`.
    pub scope: String,
}

impl Node {
    /// Op and place: `conv2d mid_block.resnets.0.conv1`.
    pub fn label(&self) -> String {
        format!("{} {}", self.op.name(), self.scope).trim_end().to_string()
    }
}

/// A network: nodes in an order in which each reads only what is before it.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<(String, Tensor)>,
    pub(crate) outputs: Vec<(String, Tensor)>,
    pub(crate) taps: Vec<(String, Tensor)>,
    scope: Vec<String>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Graph {
        Graph::default()
    }

    /// Declares an input of `shape` per image. Times and labels are inputs of
    /// [`Shape::vector`]`(1)`; a label is a small integer held exactly in f32.
    ///
    /// # Errors
    /// An empty or overflowing shape.
    pub fn input(&mut self, name: &str, shape: Shape) -> Result<Tensor, GraphError> {
        let t = self.tensor(name, shape)?;
        self.inputs.push((name.to_string(), t));
        Ok(t)
    }

    /// Names a result of the network.
    pub fn output(&mut self, name: &str, x: Tensor) {
        self.outputs.push((name.to_string(), x));
    }

    /// Names an intermediate, to be looked at by tests and feature extraction.
    /// A plan keeps it only when asked to.
    pub fn tap(&mut self, name: &str, x: Tensor) {
        self.taps.push((name.to_string(), x));
    }

    /// Enters a module: the name is a part of labels and errors until [`Graph::leave`].
    pub fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    /// Leaves the module entered last.
    pub fn leave(&mut self) {
        self.scope.pop();
    }

    /// The module that is entered.
    pub fn scope(&self) -> String {
        self.scope.join(".")
    }

    /// A tensor's shape per image.
    pub fn shape(&self, x: Tensor) -> Shape {
        self.shapes[x.0 as usize]
    }

    /// The shapes of all tensors.
    pub fn shapes(&self) -> impl Iterator<Item = Shape> + '_ {
        self.shapes.iter().copied()
    }

    /// The nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The inputs by name.
    pub fn inputs(&self) -> &[(String, Tensor)] {
        &self.inputs
    }

    /// Whether an image's result depends on the others of its batch.
    pub fn mixes_images(&self) -> bool {
        self.nodes.iter().any(|node| node.op.mixes_images())
    }

    /// The outputs by name.
    pub fn outputs(&self) -> &[(String, Tensor)] {
        &self.outputs
    }

    /// The taps by name.
    pub fn taps(&self) -> &[(String, Tensor)] {
        &self.taps
    }

    /// Multiply-adds of one evaluation of one image, of all ops that count any.
    pub fn macs(&self) -> u64 {
        self.nodes.iter().map(|n| self.macs_of(n)).sum()
    }

    /// Multiply-adds of one of its nodes for one image.
    pub fn macs_of(&self, node: &Node) -> u64 {
        let shapes: Vec<Shape> = node.inputs.iter().map(|&t| self.shape(t)).collect();
        node.op.macs(&shapes, self.shape(node.output))
    }

    /// Forgets the taps, so that passes may fuse across them.
    pub fn without_taps(mut self) -> Graph {
        self.taps.clear();
        self
    }

    /// Keeps one tap, so that passes may fuse across all others; `None` where there is none of the name.
    pub fn with_tap(mut self, name: &str) -> Option<Graph> {
        self.taps.retain(|(own, _)| own == name);
        self.taps.truncate(1);
        (!self.taps.is_empty()).then_some(self)
    }

    /// Adds a node after its op's shape rule.
    ///
    /// # Errors
    /// What the rule says, with the op, the place and all shapes.
    pub fn push(&mut self, op: impl Op, inputs: &[Tensor]) -> Result<Tensor, GraphError> {
        let shapes: Vec<Shape> = inputs.iter().map(|&t| self.shape(t)).collect();
        let scope = self.scope.join(".");
        let shape = op.shape(&shapes).map_err(|what| GraphError::Shape {
            op: op.name(),
            scope: scope.clone(),
            what,
            shapes: shapes.iter().map(Shape::to_string).collect::<Vec<_>>().join(", "),
        })?;
        let output = self.tensor(op.name(), shape)?;
        self.nodes.push(Node { op: Arc::new(op), inputs: inputs.to_vec(), output, scope });
        Ok(output)
    }

    fn tensor(&mut self, name: &str, shape: Shape) -> Result<Tensor, GraphError> {
        if shape.checked_len().is_none_or(|len| len > u32::MAX as usize / 4) {
            let scope = if self.scope.is_empty() { "the network".into() } else { self.scope.join(".") };
            return Err(GraphError::Size { scope, op: name.to_string(), shape });
        }
        self.shapes.push(shape);
        Ok(Tensor(self.shapes.len() as u32 - 1))
    }

    /// How often a tensor is read: by nodes, and as an output or tap.
    pub(crate) fn uses(&self) -> Vec<u32> {
        let mut uses = vec![0; self.shapes.len()];
        for t in self.nodes.iter().flat_map(|n| &n.inputs) {
            uses[t.0 as usize] += 1;
        }
        for (_, t) in self.outputs.iter().chain(&self.taps) {
            uses[t.0 as usize] += 1;
        }
        uses
    }
}
