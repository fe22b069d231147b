//! Derivatives in forward mode, as a graph made of a graph.
//!
//! Beside each node whose inputs depend on the chosen input, its op's rule
//! ([`Op::tangent`](super::Op::tangent)) puts the nodes of its tangent. The result is a
//! network like any other: passes fuse it, the planner plans it.

use super::{Graph, GraphError, Node, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// The name of the input that takes the direction.
pub const TANGENT: &str = "tangent";
/// The name of the output: the channels of the result, then those of its tangent.
pub const BOTH: &str = "output_and_tangent";

impl Graph {
    /// The network that takes a direction `v` beside the input named `input` and gives
    /// `[y, J v]`, the output (or tap) named `output` and its derivative along `v`, joined by channels
    /// as [`BOTH`]. To be made before any pass has run.
    ///
    /// # Errors
    /// [`GraphError::NoTangent`] for an op without a rule.
    pub fn with_tangent(&self, input: &str, output: &str) -> Result<Graph, GraphError> {
        let missing = |what: &str| GraphError::Internal(format!("the network has no `{what}`"));
        let mut g = Graph::new();
        let mut at: HashMap<Tensor, Tensor> = HashMap::new();
        let mut tangents: HashMap<Tensor, Tensor> = HashMap::new();
        for (name, x) in &self.inputs {
            let shape = self.shape(*x);
            at.insert(*x, g.input(name, shape)?);
            if name == input {
                tangents.insert(*x, g.input(TANGENT, shape)?);
            }
        }
        if tangents.is_empty() {
            return Err(missing(input));
        }
        for node in &self.nodes {
            let x: Option<Vec<Tensor>> = node.inputs.iter().map(|t| at.get(t).copied()).collect();
            let x = x.ok_or_else(|| GraphError::Internal("read before written".into()))?;
            let y = g.copy_node(node, self.shape(node.output), x.clone());
            at.insert(node.output, y);
            let dx: Vec<Option<Tensor>> = node.inputs.iter().map(|t| tangents.get(t).copied()).collect();
            if dx.iter().any(Option::is_some) {
                g.enter(&node.scope);
                g.enter(TANGENT);
                let dy = node.op.tangent(&mut g, &x, y, &dx);
                g.leave();
                g.leave();
                tangents.insert(node.output, dy?);
            }
        }
        let (_, y) = self
            .outputs
            .iter()
            .chain(&self.taps)
            .find(|(n, _)| n == output)
            .ok_or_else(|| missing(output))?;
        let dy = match tangents.get(y) {
            Some(dy) => *dy,
            None => g.zeros_like(at[y])?,
        };
        let both = g.concat(at[y], dy)?;
        g.output(BOTH, both);
        Ok(g)
    }

    /// A tensor of the shape of `x` that is 0 everywhere.
    ///
    /// # Errors
    /// None for a valid tensor.
    pub fn zeros_like(&mut self, x: Tensor) -> Result<Tensor, GraphError> {
        self.affine(x, 0.0, 0.0)
    }

    fn copy_node(&mut self, node: &Node, shape: crate::shape::Shape, inputs: Vec<Tensor>) -> Tensor {
        self.shapes.push(shape);
        let output = Tensor(self.shapes.len() as u32 - 1);
        let (op, scope) = (Arc::clone(&node.op), node.scope.clone());
        self.nodes.push(Node { op, inputs, output, scope });
        output
    }
}
