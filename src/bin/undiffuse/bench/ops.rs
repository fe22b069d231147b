//! `undiffuse bench ops`: kernels over the shapes of networks, against the adapter's peak.

use super::machine::Times;
use super::{head, model, row, Common, Found, Table};
use crate::text::{percent, seconds, Side};
use crate::Failure;
use serde_json::{json, Value};
use undiffuse::engine::{peak, profile, tune, Peak};
use undiffuse::gpu::Gpu;
use undiffuse::kernels::choices::full_name;
use undiffuse::pipeline::Recipe;

/// The networks whose shapes are measured where no model is named: ours, and the one that
/// most papers began with.
const DEFAULT_RECIPE: &str = "score_sde/cifar10_ddpm";

/// A kernel on a shape.
struct Measured {
    shape: String,
    kernel: String,
    /// Whether plans use it for this shape.
    chosen: bool,
    layers: usize,
    seconds: f64,
    macs: u64,
    bytes: u64,
}

impl Measured {
    fn flops(&self) -> f64 {
        2.0 * self.macs as f64 / self.seconds.max(1e-12)
    }

    fn bandwidth(&self) -> f64 {
        self.bytes as f64 / self.seconds.max(1e-12)
    }

    /// The larger of its shares of the two ceilings: the one that it may run into.
    fn share(&self, peak: &Peak) -> f64 {
        (self.flops() / peak.flops).max(self.bandwidth() / peak.bandwidth)
    }
}

pub fn run(c: &Common, gpu: &Gpu) -> Result<Found, Failure> {
    let mut models = vec![model::open(c)?];
    if c.model.is_none() && c.recipe.is_none() {
        models.push(Recipe::find(DEFAULT_RECIPE)?.synthetic()?);
    }
    let peak = peak(gpu)?;
    let mut all: Vec<Measured> = Vec::new();
    for m in &models {
        let graph = &m.network().graph;
        convolutions(c, gpu, graph, &mut all)?;
        others(c, gpu, graph, &mut all)?;
    }
    let mut json = head("ops", c, gpu);
    if let Value::Object(mut about) = model::describe(&models[0]) {
        let names: Vec<Value> = models.iter().map(|m| model::describe(m)["network"].clone()).collect();
        if names.len() > 1 {
            let both: Vec<&str> = models.iter().map(|m| m.name()).collect();
            about.insert("model".into(), both.join(" and ").into());
            about.insert("network".into(), names.iter().filter_map(Value::as_str).collect::<String>().into());
        }
        json.extend(about);
    }
    json.insert("peak_gflops".into(), (1e-9 * peak.flops).into());
    json.insert("peak_gbps".into(), (1e-9 * peak.bandwidth).into());
    json.insert("rows".into(), all.iter().map(|m| json_row(m, &peak)).collect::<Vec<_>>().into());
    let summary = format!(
        "{} on {}, batch {}: peak {:.1} GFLOP/s, {:.1} GB/s (measured)",
        json["model"].as_str().unwrap_or_default(),
        gpu.info().name,
        c.batch,
        1e-9 * peak.flops,
        1e-9 * peak.bandwidth
    );
    Ok(Found { json, summary, tables: vec![table(&all, &peak)] })
}

/// Every variant that could be chosen for each convolution.
fn convolutions(
    c: &Common,
    gpu: &Gpu,
    graph: &undiffuse::graph::Graph,
    all: &mut Vec<Measured>,
) -> Result<(), Failure> {
    let caps = gpu.caps();
    for layer in tune::layers(gpu, graph, c.batch as usize)? {
        let (conv, shape) = (&layer.conv, layer.conv.shape_key());
        if all.iter().any(|m| m.shape == shape) {
            continue;
        }
        let chosen = conv.choose(&caps);
        let tensors = conv.n * (conv.h * conv.w * conv.ci + conv.oh * conv.ow * conv.co);
        let weights = conv.co * conv.ci * conv.kh * conv.kw;
        for candidate in conv.candidates(&caps) {
            let trial = layer.trial(gpu, candidate)?;
            trial.run()?;
            let mut times = Vec::new();
            for _ in 0..c.repeats {
                times.push(trial.seconds(1)?);
            }
            all.push(Measured {
                shape: shape.clone(),
                kernel: full_name(candidate.0, candidate.1),
                chosen: std::ptr::eq(chosen.1, candidate.1),
                layers: layer.layers,
                seconds: Times::new(&times).median(),
                macs: conv.macs(),
                bytes: 4 * (tensors + weights) as u64,
            });
        }
    }
    Ok(())
}

/// Every other kernel as plans use it, each shape once.
fn others(
    c: &Common,
    gpu: &Gpu,
    graph: &undiffuse::graph::Graph,
    all: &mut Vec<Measured>,
) -> Result<(), Failure> {
    let p = profile(gpu, graph, c.batch as usize, c.repeats as usize)?;
    let mut found: Vec<Measured> = Vec::new();
    for d in p.dispatches.iter().filter(|d| !d.kernel.starts_with("conv")) {
        let op = d.label.split(' ').next().unwrap_or_default();
        let shape = format!("{op}: {} groups, {} bytes", d.groups, d.bytes);
        let kernel = format!("{}/{}", d.kernel, d.variant);
        match found.iter_mut().find(|m| (&m.shape, &m.kernel) == (&shape, &kernel)) {
            Some(m) => {
                m.layers += 1;
                m.seconds = m.seconds.min(d.seconds);
            }
            None => found.push(Measured {
                shape,
                kernel,
                chosen: true,
                layers: 1,
                seconds: d.seconds,
                macs: d.macs,
                bytes: d.bytes,
            }),
        }
    }
    let new = |m: &Measured| !all.iter().any(|a| (&a.shape, &a.kernel) == (&m.shape, &m.kernel));
    let fresh: Vec<Measured> = found.into_iter().filter(new).collect();
    all.extend(fresh);
    Ok(())
}

fn json_row(m: &Measured, peak: &Peak) -> Value {
    let more = json!({
        "shape": m.shape,
        "kernel": m.kernel,
        "chosen": m.chosen,
        "layers": m.layers,
        "macs": m.macs,
        "bytes": m.bytes,
        "gflops": 1e-9 * m.flops(),
        "gbps": 1e-9 * m.bandwidth(),
        "share_of_peak": m.share(peak),
    });
    row(&format!("{} {}", m.shape, m.kernel), m.seconds, more)
}

fn table(all: &[Measured], peak: &Peak) -> Table {
    use Side::{Left, Right};
    let cells = |m: &Measured| {
        vec![
            m.shape.clone(),
            m.layers.to_string(),
            format!("{}{}", m.kernel, if m.chosen { " *" } else { "" }),
            seconds(m.seconds),
            if m.macs == 0 { "-".into() } else { format!("{:.1}", 1e-9 * m.flops()) },
            format!("{:.1}", 1e-9 * m.bandwidth()),
            percent(m.share(peak), 1.0),
        ]
    };
    Table {
        title: "Kernels by shape; * is what plans use".into(),
        head: vec![
            ("shape of an image", Left),
            ("layers", Right),
            ("kernel", Left),
            ("time", Right),
            ("GFLOP/s", Right),
            ("GB/s", Right),
            ("of peak", Right),
        ],
        rows: all.iter().map(cells).collect(),
    }
}
