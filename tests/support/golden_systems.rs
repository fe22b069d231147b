//! Cases of the layout `<system>/<case>`: `config.json`, `model.safetensors`, `io.safetensors` and
//! `sampler*.safetensors` with `sampler.json`, for the systems that come from score_sde.

use super::diffusers::{array, difference, Array, Result, NETWORK};
use super::{entries, name, Outcome};
use std::path::Path;
use undiffuse::engine::evaluate;
use undiffuse::gpu::Gpu;
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Model};
use undiffuse::weights::{Json, Safetensors, Weights};

/// The network, and what draws with it.
pub fn units(case: &Path) -> Vec<String> {
    let mut units = vec!["network".to_string()];
    let samplers = entries(case, Some("safetensors")).into_iter().map(|p| name(&p));
    units.extend(samplers.filter(|n| n.starts_with("sampler")));
    units
}

pub fn run(gpu: &Gpu, system: &str, case: &Path, unit: &str) -> Outcome {
    let result = match (system, unit) {
        ("lsgm", _) => return Outcome::Skipped("lsgm is not supported yet".into()),
        (_, "network") => network(gpu, case),
        _ => return Outcome::Skipped(format!("the samplers of {system} are not supported yet")),
    };
    result.unwrap_or_else(|e| Outcome::Failed(e.to_string()))
}

fn open(case: &Path) -> Result<(Box<dyn Model>, Safetensors)> {
    let config = Json::read(&case.join("config.json"), 1 << 20)?;
    Ok((models::open(&config, None)?, Safetensors::open(&case.join("model.safetensors"))?))
}

/// The network with every intermediate that the case has.
fn network(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let (model, weights) = open(case)?;
    let mut graph = Graph::new();
    model.build(&weights, &mut graph)?;
    let names = io.names();
    // What the engine calls the inputs, and what the systems do.
    let called = [("sample", vec!["x", "u"]), ("timestep", vec!["labels", "t"]), ("z", vec!["z"])];
    let mut given = Vec::new();
    for (input, _) in graph.inputs() {
        let (_, keys) = called.iter().find(|(n, _)| n == input).ok_or("an input that no case has")?;
        let key = keys.iter().find(|k| names.iter().any(|n| n == *k)).ok_or(format!("no `{input}`"))?;
        given.push((input.clone(), array(&io, key)?));
    }
    let acts = names.iter().filter_map(|n| n.strip_prefix("act."));
    let wanted: Vec<(&str, String)> =
        std::iter::once(("output", "output".to_string())).chain(acts.map(|n| (n, format!("act.{n}")))).collect();
    compare(gpu, &io, &graph, &given, &wanted)
}

/// Evaluates and compares: `wanted` are names in the graph and in the file.
fn compare(
    gpu: &Gpu,
    io: &Safetensors,
    graph: &Graph,
    given: &[(String, Array)],
    wanted: &[(&str, String)],
) -> Result<Outcome> {
    let known = |k: &str| graph.taps().iter().chain(graph.outputs()).any(|(n, _)| n == k);
    if let Some((k, _)) = wanted.iter().find(|(k, _)| !known(k)) {
        return Err(format!("no intermediate `{k}`").into());
    }
    let n = given.iter().map(|(_, a)| a.n).max().unwrap_or(1);
    let inputs: Vec<(&str, Vec<f32>)> = given
        .iter()
        .map(|(name, a)| (name.as_str(), if a.n == 1 { a.values.repeat(n) } else { a.values.clone() }))
        .collect();
    let inputs: Vec<(&str, &[f32])> = inputs.iter().map(|(name, v)| (*name, &v[..])).collect();
    let keys: Vec<&str> = wanted.iter().map(|(k, _)| *k).collect();
    let got = evaluate(gpu, &passes::run(graph), n, &inputs, &keys)?;
    let mut worst = 0f64;
    for ((_, key), got) in wanted.iter().zip(&got) {
        let want = array(io, key)?;
        // What is the same for all images is stored once, and large outputs of the first alone.
        let error = difference(&got[..got.len() * want.n / n], &want.values).map_err(|e| format!("{key}: {e}"))?;
        if error > NETWORK {
            return Err(format!("{key} is off by {error:.2e} of its scale").into());
        }
        worst = worst.max(error);
    }
    Ok(Outcome::Passed(worst))
}
