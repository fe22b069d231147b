//! `undiffuse bench start`: from the start of a process to the first image. Each start is a
//! process of its own; for the first, every cache that we know of is an empty folder.

use super::machine::Times;
use super::{head, model, row, Common, Found, Table};
use crate::text::{seconds, Side};
use crate::Failure;
use serde_json::{json, Value};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Outputs, Pipeline, Sample};

/// Steps of the first image.
const STEPS: usize = 10;
/// The parts of a start in their order; what is left is the process itself.
const PARTS: [&str; 4] = ["open", "model", "pipeline", "image"];

/// One start, in this process: JSON on stdout.
pub fn once(c: &Common) -> Result<(), Failure> {
    let mut times = Vec::new();
    let mut start = Instant::now();
    let mut lap = || times.push(std::mem::replace(&mut start, Instant::now()).elapsed().as_secs_f64());
    let options = Options {
        adapter: c.adapter.clone(),
        backend: c.backend.clone(),
        summation: c.sums.order(),
        ..Options::default()
    };
    let gpu = crate::device::open(&options)?;
    lap();
    let model = model::open(c)?;
    let sampler = model.default_sampler();
    let own = model.scheduler().system.is_some() || sampler.is_adaptive();
    lap();
    let pipeline = Pipeline::new(&gpu, model, |_, _| {})?;
    lap();
    let n = c.batch as usize;
    let sample = Sample {
        count: n,
        batch: Some(n),
        steps: (!own).then_some(STEPS),
        sampler,
        outputs: Outputs { images: true, ..Outputs::none() },
        ..Sample::default()
    };
    let mut job = pipeline.sample(&sample)?;
    job.finish()?;
    job.images()?;
    lap();
    crate::device::keep(&gpu);
    say!(stdout, "{}", json!({ "parts": times }));
    Ok(())
}

pub fn run(c: &Common, gpu: &Gpu, options: &Options) -> Result<Found, Failure> {
    let about = model::describe(&model::open(c)?);
    let caches = tempfile::tempdir()?;
    let cold = start(c, options, caches.path())?;
    let mut warm: Vec<Vec<f64>> = vec![Vec::new(); cold.len()];
    for _ in 0..c.repeats {
        let times = start(c, options, caches.path())?;
        warm.iter_mut().zip(times).for_each(|(w, t)| w.push(t));
    }
    let warm: Vec<Times> = warm.iter().map(|w| Times::new(w)).collect();
    if let Some(whole) = warm.last() {
        whole.warn("the starts");
    }
    let names = ["process", "open", "model", "pipeline", "image", "whole"];
    let told = [
        "the process",
        "adapter and device",
        "files, graph, fusions",
        "weights up, pipelines",
        "plan and draw the first batch",
        "whole",
    ];
    let mut json = head("start", c, gpu);
    if let Value::Object(about) = about {
        json.extend(about);
    }
    let mut rows = Vec::new();
    for (i, name) in names.iter().enumerate() {
        rows.push(row(&format!("cold {name}"), cold[i], Value::Null));
        rows.push(row(&format!("warm {name}"), warm[i].median(), Value::Null));
    }
    json.insert("cold_seconds".into(), cold[names.len() - 1].into());
    json.insert("warm_seconds".into(), warm[names.len() - 1].median().into());
    json.insert("rows".into(), rows.into());
    let summary = format!(
        "{} on {}: the first {} in {} with empty caches, {} with full ones (median of {})",
        json["model"].as_str().unwrap_or_default(),
        gpu.info().name,
        if c.batch == 1 { "image".to_string() } else { format!("{} images", c.batch) },
        seconds(cold[names.len() - 1]),
        seconds(warm[names.len() - 1].median()),
        c.repeats
    );
    let cells = |i: usize| vec![told[i].to_string(), seconds(cold[i]), seconds(warm[i].median())];
    let table = Table {
        title: format!("From the start of the process to the first images, {STEPS} steps"),
        head: vec![("part", Side::Left), ("cold", Side::Right), ("warm", Side::Right)],
        rows: (0..names.len()).map(cells).collect(),
    };
    Ok(Found { json, summary, tables: vec![table] })
}

/// Seconds of a start: the process, its parts, the whole.
fn start(c: &Common, options: &Options, caches: &Path) -> Result<Vec<f64>, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "start", "--once", "--batch", &c.batch.to_string()]);
    let given = [
        ("--model", &c.model),
        ("--recipe", &c.recipe),
        ("--adapter", &options.adapter),
        ("--backend", &options.backend),
    ];
    for (flag, value) in given {
        value.iter().for_each(|v| _ = command.args([flag, v]));
    }
    if !options.summation.is_default() {
        command.arg(format!("--{}", options.summation.name()));
    }
    if c.synthetic_weights {
        command.arg("--synthetic-weights");
    }
    // Ours, Mesa's, NVIDIA's, and whatever keeps to the user's cache folder.
    command.env("UNDIFFUSE_CACHE", caches.join("undiffuse"));
    for name in ["XDG_CACHE_HOME", "MESA_SHADER_CACHE_DIR", "__GL_SHADER_DISK_CACHE_PATH"] {
        command.env(name, caches.join("driver"));
    }
    std::fs::create_dir_all(caches.join("driver"))?;
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    let whole = begin.elapsed().as_secs_f64();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.trim().trim_start_matches("undiffuse: ").to_string().into());
    }
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let parts: Vec<f64> = told["parts"].as_array().into_iter().flatten().filter_map(Value::as_f64).collect();
    if parts.len() != PARTS.len() {
        return Err("a start did not tell its parts".into());
    }
    let rest = whole - parts.iter().sum::<f64>();
    Ok(std::iter::once(rest).chain(parts).chain([whole]).collect())
}
