//! The model that is measured, by whatever name.

use super::Common;
use crate::Failure;
use undiffuse::graph::Graph;
use undiffuse::pipeline::{find, Model, Recipe};
use undiffuse::weights::{DiffusersFolder, Json};

/// A configuration file is not longer.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Opens the model; with its name for people and whether its weights are synthetic.
pub fn open(c: &Common) -> Result<Model, Failure> {
    if let Some(name) = &c.recipe {
        return Ok(Recipe::find(name)?.synthetic()?);
    }
    let name = c.model.as_deref().unwrap_or("emoji32");
    if !c.synthetic_weights {
        return Ok(Model::find(name)?);
    }
    let folder = match find::find(name)? {
        find::Found::Embedded(_) | find::Found::Toy(_) => {
            return Err(
                format!("{name} has weights: --synthetic-weights is for a folder with a config").into()
            )
        }
        find::Found::Folder(path) => path,
    };
    let files = ["unet/config.json", "config.json"].map(|f| folder.join(f));
    let Some(config) = files.iter().find(|p| p.is_file()) else {
        return Err(format!("{}: no config.json or unet/config.json in it", folder.display()).into());
    };
    Ok(Model::from_folder(name, &DiffusersFolder::synthetic(Json::read(config, CONFIG_LIMIT)?))?)
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
