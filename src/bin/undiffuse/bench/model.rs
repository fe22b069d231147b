//! The model that is measured, by whatever name.

use super::Common;
use crate::Failure;
use undiffuse::graph::Graph;
use undiffuse::pipeline::{Model, Recipe};

/// Opens the model; with its name for people and whether its weights are synthetic.
pub fn open(c: &Common) -> Result<Model, Failure> {
    if let Some(name) = &c.recipe {
        return Ok(Recipe::find(name)?.synthetic()?);
    }
    let name = c.model.as_deref().unwrap_or("emoji32");
    match c.synthetic_weights {
        true => Ok(Model::synthetic(name)?),
        false => Ok(Model::find(name)?),
    }
}

/// The network, what it is called, and what tells it from others: equal digits, equal work.
pub fn describe(model: &Model) -> serde_json::Value {
    serde_json::json!({
        "model": model.name(),
        "architecture": model.describe().architecture,
        "network": digits(&model.network().graph),
    })
}

/// 16 hexadecimal digits of the ops and shapes of a graph.
fn digits(graph: &Graph) -> String {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for node in graph.nodes() {
        let text =
            format!("{} {} {} {}\n", node.op.name(), node.op.detail(), node.scope, graph.shape(node.output));
        hash = text.bytes().fold(hash, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
    }
    format!("{hash:016x}")
}
