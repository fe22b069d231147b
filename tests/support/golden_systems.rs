//! Cases of the layout `<system>/<case>`: `config.json`, `model.safetensors`, `io.safetensors` and
//! `sampler*.safetensors` with `sampler.json`, for the systems that come from score_sde.

use super::diffusers::{array, difference, Array, Result, NETWORK};
use super::{entries, name, Outcome};
use std::path::Path;
use undiffuse::engine::evaluate;
use undiffuse::gpu::Gpu;
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Model, Part};
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
        ("lsgm", "network") => lsgm(gpu, case),
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

/// LSGM's prior at each time, its decoder, and its encoder.
fn lsgm(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let (model, weights) = open(case)?;
    let names = io.names();
    let has = |key: &str| names.iter().any(|n| n == key);
    let mut worst = 0f64;
    let mut check = |key: &str, got: &[f32], want: &[f32]| -> Result<()> {
        let error = difference(got, want).map_err(|e| format!("{key}: {e}"))?;
        worst = worst.max(error);
        match error > NETWORK {
            true => Err(format!("{key} is off by {error:.2e} of its scale").into()),
            false => Ok(()),
        }
    };

    let mut prior = Graph::new();
    model.build(&weights, &mut prior)?;
    let x = array(&io, "x")?;
    let last = prior.taps().last().ok_or("no taps")?.0.clone();
    let acts = |of: &str| -> Vec<(String, String)> {
        let mine = names.iter().filter_map(|n| n.strip_prefix("act."));
        mine.filter(|n| n.starts_with(of)).map(|n| (n.to_string(), format!("act.{n}"))).collect()
    };
    for j in (0..).take_while(|j| has(&format!("t_{j}"))) {
        let (t, var) = (array(&io, &format!("t_{j}"))?.values, array(&io, &format!("var_{j}"))?.values);
        let times = vec![t[0]; x.n];
        let mut wanted = vec![("output".to_string(), String::new()), (last.clone(), format!("dae_out_{j}"))];
        if j == 0 {
            wanted.extend(acts("dae."));
        }
        let keys: Vec<&str> = wanted.iter().map(|(k, _)| k.as_str()).collect();
        let inputs = [("sample", &x.values[..]), ("timestep", &times[..])];
        let got = evaluate(gpu, &passes::run(&prior), x.n, &inputs, &keys)?;
        for ((_, key), got) in wanted.iter().zip(&got).skip(1) {
            let want = array(&io, key)?;
            check(key, &got[..got.len() * want.n / x.n], &want.values)?;
        }
        let c = x.shape.c;
        let both = got[0].chunks(2 * c);
        let eps: Vec<f32> =
            both.flat_map(|p| (0..c).map(|i| p[i] + var[0].sqrt() * p[c + i]).collect::<Vec<_>>()).collect();
        check("eps_pred", &eps, &array(&io, &format!("eps_pred_{j}"))?.values)?;
    }

    let mut decoder = Graph::new();
    model.part(Part::Decoder, &weights, &mut decoder)?;
    let mut keys = vec!["logits".to_string(), "image".to_string()];
    keys.extend(acts("vae.").into_iter().map(|(k, _)| k));
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let got = evaluate(gpu, &passes::run(&decoder), x.n, &[("latent", &x.values)], &keys)?;
    let want = array(&io, "decode.logits")?;
    check("decode.logits", &got[0][..want.values.len()], &want.values)?;
    let image: Vec<f32> = got[1].iter().map(|v| (v + 1.0) / 2.0).collect();
    check("decode.image", &image, &array(&io, "decode.image")?.values)?;
    for (key, got) in keys.iter().zip(&got).skip(2) {
        check(key, got, &array(&io, &format!("act.{key}"))?.values)?;
    }

    if has("enc.image") {
        let mut encoder = Graph::new();
        model.part(Part::Encoder, &weights, &mut encoder)?;
        let image = array(&io, "enc.image")?;
        let noises: Vec<(String, Array)> = (0..)
            .map(|i| format!("noise_{i}"))
            .take_while(|k| has(&format!("enc.{k}")))
            .map(|k| Ok((k.clone(), array(&io, &format!("enc.{k}"))?)))
            .collect::<Result<_>>()?;
        let mut inputs = vec![("image", &image.values[..])];
        inputs.extend(noises.iter().map(|(k, a)| (k.as_str(), &a.values[..])));
        let parts: Vec<[String; 3]> = (0..noises.len())
            .map(|i| [format!("mu_{i}"), format!("log_sigma_{i}"), format!("eps_{i}")])
            .collect();
        let mut keys: Vec<&str> = parts.iter().flatten().map(String::as_str).collect();
        keys.push("logits");
        let got = evaluate(gpu, &passes::run(&encoder), image.n, &inputs, &keys)?;
        for (key, got) in keys.iter().zip(&got) {
            let (key, got): (String, Vec<f32>) = match key.strip_prefix("log_") {
                Some(sigma) => (format!("enc.{sigma}"), got.iter().map(|v| v.exp()).collect()),
                None => (format!("enc.{key}"), got.clone()),
            };
            let want = array(&io, &key)?.values;
            check(&key, &got[..want.len()], &want)?;
        }
    }
    Ok(Outcome::Passed(worst))
}
