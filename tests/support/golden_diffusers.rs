//! Cases of the layout `diffusers/<case>`: `unet/config.json` (with weights, or
//! the deterministic ones), `io.safetensors`, `samplers/<name>.{json,safetensors}`.

use super::{entries, name, Outcome};
use std::error::Error;
use std::path::Path;
use undiffuse::diffusion::guidance::Conditioning;
use undiffuse::diffusion::program::{Coef, Instruction, Reg};
use undiffuse::diffusion::sampler::{Churn, Context, ErrorControl, Sampler, SolverOptions};
use undiffuse::diffusion::timesteps::Steps;
use undiffuse::diffusion::SchedulerConfig;
use undiffuse::engine::{evaluate, Batch, Executable, NetGraph, Outputs};
use undiffuse::gpu::Gpu;
use undiffuse::graph::bind::WeightStore;
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Description, Labels};
use undiffuse::shape::Shape;
use undiffuse::weights::{Deterministic, DiffusersFolder, Json, Safetensors, Weights};

/// Largest error of a network's tensors, as a part of their scale.
pub const NETWORK: f64 = 1e-4;
/// Largest error of a sampler's states, as a part of their scale.
pub const STATE: f64 = 2e-4;

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn units(case: &Path) -> Vec<String> {
    let mut units = Vec::new();
    if case.join("io.safetensors").is_file() {
        units.push("network".to_string());
    }
    if case.join("tangent.safetensors").is_file() {
        units.push("tangent".to_string());
    }
    units.extend(
        entries(&case.join("samplers"), Some("json")).iter().map(|p| format!("samplers/{}", name(p))),
    );
    units
}

pub fn run(gpu: &Gpu, case: &Path, unit: &str) -> Outcome {
    let result = match unit.strip_prefix("samplers/") {
        None if unit == "tangent" => super::tangent::run(gpu, case),
        None => network(gpu, case),
        Some(file) => sampler(gpu, case, file),
    };
    result.unwrap_or_else(|e| Outcome::Failed(e.to_string()))
}

/// A tensor in the engine's order.
pub struct Array {
    pub n: usize,
    pub shape: Shape,
    pub values: Vec<f32>,
}

/// `[n, c, h, w]`, `[n, c]` or `[n]` as NHWC.
pub fn array(file: &Safetensors, key: &str) -> Result<Array> {
    let (dims, raw) = file.read(key)?;
    let (n, shape) = match dims[..] {
        [] => (1, Shape::vector(1)),
        [n] => (n, Shape::vector(1)),
        [n, c] => (n, Shape::vector(c)),
        [n, c, h, w] => (n, Shape::new(h, w, c)),
        _ => return Err(format!("{key} has shape {dims:?}").into()),
    };
    let mut values = vec![0.0; raw.len()];
    for i in 0..n {
        for c in 0..shape.c {
            for p in 0..shape.pixels() {
                values[(i * shape.pixels() + p) * shape.c + c] =
                    raw[(i * shape.c + c) * shape.pixels() + p] as f32;
            }
        }
    }
    Ok(Array { n, shape, values })
}

/// Largest difference, over the largest wanted value or 1.
pub fn difference(got: &[f32], want: &[f32]) -> Result<f64> {
    if got.len() != want.len() {
        return Err(format!("{} numbers, wanted {}", got.len(), want.len()).into());
    }
    if got.iter().any(|v| !v.is_finite()) {
        return Err("not finite".into());
    }
    let scale = want.iter().fold(1.0f64, |m, v| m.max(f64::from(v.abs())));
    let worst = got.iter().zip(want).map(|(g, w)| f64::from((g - w).abs())).fold(0.0, f64::max);
    Ok(worst / scale)
}

/// The network with its taps, of images of the given size.
pub fn build(case: &Path, size: (usize, usize)) -> Result<(Graph, Description)> {
    let config = Json::read(&case.join("unet/config.json"), 1 << 20)?;
    let model = models::open(&config, Some(size))?;
    let mut graph = Graph::new();
    let stored = entries(&case.join("unet"), Some("safetensors"));
    if stored.is_empty() {
        model.build(&Deterministic, &mut graph)?;
    } else {
        let folder = DiffusersFolder::open(case)?;
        model.build(folder.weights(), &mut graph)?;
    }
    Ok((graph, model.describe()))
}

fn network(gpu: &Gpu, case: &Path) -> Result<Outcome> {
    let io = Safetensors::open(&case.join("io.safetensors"))?;
    let sample = array(&io, "sample")?;
    let (graph, _) = build(case, (sample.shape.h, sample.shape.w))?;
    let graph = passes::run(&graph);
    let per_image = |key: &str| -> Result<Array> {
        let mut a = array(&io, key)?;
        if a.n == 1 {
            a.values = a.values.repeat(sample.n);
        }
        Ok(a)
    };
    let timestep = per_image("timestep")?;
    let mut inputs = vec![("sample", &sample.values[..]), ("timestep", &timestep.values[..])];
    let labels = io.names().iter().any(|n| n == "class_labels").then(|| per_image("class_labels"));
    let labels = labels.transpose()?;
    if let Some(l) = &labels {
        inputs.push(("class_labels", &l.values));
    }
    let known = |k: &&str| graph.taps().iter().chain(graph.outputs()).any(|(n, _)| n == k);
    let stored = io.names();
    let given = ["sample", "timestep", "class_labels"];
    let wanted: Vec<&str> = stored.iter().map(String::as_str).filter(|n| !given.contains(n)).collect();
    if let Some(k) = wanted.iter().find(|k| !known(k)) {
        return Err(format!("no intermediate `{k}`").into());
    }
    let got = evaluate(gpu, &graph, sample.n, &inputs, &wanted)?;
    let mut worst = 0f64;
    for (key, got) in wanted.iter().zip(&got) {
        let error = difference(got, &array(&io, key)?.values).map_err(|e| format!("{key}: {e}"))?;
        if error > NETWORK {
            return Err(format!("{key} is off by {error:.2e} of its scale").into());
        }
        worst = worst.max(error);
    }
    Ok(Outcome::Passed(worst))
}

fn sampler(gpu: &Gpu, case: &Path, file: &str) -> Result<Outcome> {
    let path = case.join("samplers").join(file);
    let json: serde_json::Value = Json::read(&path, 1 << 20)?.parse()?;
    let class = json["scheduler"].as_str().unwrap_or("");
    let Some(kind) = Sampler::from_class_name(class) else {
        return Ok(Outcome::Skipped(format!("{class} is not supported yet")));
    };
    let (mut eta, mut clipped_output, mut order) = (None, false, None);
    let mut churn: Option<Churn> = None;
    for (key, value) in json["step_kwargs"].as_object().into_iter().flatten() {
        match key.as_str() {
            "eta" => eta = value.as_f64(),
            "use_clipped_model_output" => clipped_output = value.as_bool() == Some(true),
            "order" => order = value.as_u64().map(|o| o as usize),
            "s_churn" | "s_tmin" | "s_tmax" | "s_noise" => {
                let churn = churn.get_or_insert_with(Churn::default);
                let field = match key.as_str() {
                    "s_churn" => &mut churn.s_churn,
                    "s_tmin" => &mut churn.s_tmin,
                    "s_tmax" => &mut churn.s_tmax,
                    _ => &mut churn.s_noise,
                };
                // Infinity is null here.
                *field = value.as_f64().unwrap_or(f64::INFINITY);
            }
            // How the noise is drawn does not matter: it is stored.
            "generator" => {}
            other => return Ok(Outcome::Skipped(format!("step option {other} is not supported yet"))),
        }
    }
    let data = Safetensors::open(&path.with_extension("safetensors"))?;
    let x = array(&data, "x_T")?;
    let (graph, about) = build(case, (x.shape.h, x.shape.w))?;
    let config = SchedulerConfig::from_json(&json["config"].to_string())?;
    let steps = match (json["timesteps"].as_array(), json["sigmas"].as_array()) {
        (Some(list), _) => Steps::At(list.iter().filter_map(|t| Some(t.as_f64()? as usize)).collect()),
        (_, Some(list)) => Steps::Sigmas(list.iter().filter_map(serde_json::Value::as_f64).collect()),
        _ => Steps::Count(json["steps"].as_u64().unwrap_or(0) as usize),
    };
    let conditioned = about.labels != Labels::None;
    let context = Context {
        out_channels: about.out_channels,
        conditioning: if conditioned { Conditioning::Class { null: None } } else { Conditioning::None },
        eta,
        clipped_output,
        churn,
        order,
        // Norms of correctors are those of the whole batch there.
        options: SolverOptions {
            error_control: if kind == Sampler::Pc { ErrorControl::Batch } else { ErrorControl::PerImage },
            ..Default::default()
        },
        single: true,
        ..Context::new(&config, x.shape, steps)
    };
    let mut program = kind.program(&context)?;
    // Stored initial noise has its scale already.
    let first = &mut program.steps[0].instructions;
    let scale = match (&first[0], first.get(1)) {
        (Instruction::Noise { dst: x, draw: 0 }, Some(Instruction::Mix { dst, terms, .. }))
            if x == dst && matches!(&terms[..], [t] if t.src == *x) =>
        {
            match terms[0].coef {
                Coef::Const(scale) => scale,
                _ => return Err("the initial noise is scaled by a slot".into()),
            }
        }
        _ => 1.0,
    };
    let start: Vec<f32> = x.values.iter().map(|v| (f64::from(*v) / scale) as f32).collect();
    let deviation = (start.iter().map(|v| f64::from(v * v)).sum::<f64>() / start.len().max(1) as f64).sqrt();
    if start.len() > 100 && (deviation - 1.0).abs() > 0.25 {
        return Err(format!("the initial noise has the deviation {deviation} of the program's").into());
    }
    // Noise comes from the file: registers that it fills become inputs.
    let mut draws: Vec<Vec<Reg>> = Vec::new();
    for step in &mut program.steps {
        let mut here = Vec::new();
        step.instructions.retain(|i| match i {
            Instruction::Noise { dst, .. } => {
                here.push(*dst);
                false
            }
            _ => true,
        });
        draws.push(here);
    }
    for reg in draws.iter().flatten() {
        program.registers[reg.0 as usize].input = true;
    }
    let net = NetGraph {
        graph: passes::run(&graph.without_taps()),
        images: vec!["sample".into()],
        time: Some("timestep".into()),
        label: conditioned.then(|| "class_labels".into()),
        output: "output".into(),
    };
    let (nets, store) = ([net], WeightStore::default());
    let exe = Executable::new(gpu, &program, &nets, x.n, Outputs::none(), &store, |_, _| {});
    let exe = pollster::block_on(exe)?;
    let mut batch = Batch::default();
    if let Some(slot) = program.find_slot("class") {
        let labels = match array(&data, "class_labels") {
            Ok(labels) => labels.values,
            Err(_) => array(&Safetensors::open(&case.join("io.safetensors"))?, "class_labels")?.values,
        };
        let labels = (0..x.n).map(|i| labels.get(i).or(labels.last()).copied().unwrap_or(0.0)).collect();
        batch.inputs.push((slot, labels));
    }
    exe.start(&batch)?;
    let (mut worst, mut used, mut initial) = (0f64, 0, true);
    for (k, regs) in draws.iter().enumerate() {
        for reg in regs {
            if std::mem::take(&mut initial) {
                exe.write_register(reg.0 as usize, &start);
            } else {
                let noise = array(&data, &format!("noise{used:02}"))?;
                exe.write_register(reg.0 as usize, &noise.values);
                used += 1;
            }
        }
        exe.run_step(k)?;
        let want = array(&data, &format!("state{k:02}"))?;
        let got = exe.read_register(program.output.0 as usize, want.values.len())?;
        let error = difference(&got, &want.values).map_err(|e| format!("step {k}: {e}"))?;
        if error > STATE {
            return Err(format!("state of step {k} is off by {error:.2e} of its scale").into());
        }
        worst = worst.max(error);
    }
    Ok(Outcome::Passed(worst))
}
