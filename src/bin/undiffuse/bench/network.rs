//! `undiffuse bench network`: one evaluation.

use super::machine::{Energy, Times};
use super::{head, model, row, Common, Found, Table};
use crate::text::{bytes, percent, seconds, Side};
use crate::Failure;
use serde_json::{json, Value};
use std::collections::BTreeMap;
use undiffuse::engine::{evaluate_again, profile, Clock, DispatchTime, Profile};
use undiffuse::gpu::Gpu;

pub fn run(c: &Common, gpu: &Gpu) -> Result<Found, Failure> {
    let model = model::open(c)?;
    let graph = &model.network().graph;
    let n = c.batch as usize;
    let p = profile(gpu, graph, n, c.repeats as usize)?;
    let times = Times::new(&p.seconds);
    times.warn("the evaluations");
    let energy = energy(c, gpu, graph, n)?;
    let mut json = head("network", c, gpu);
    if let (Value::Object(about), Value::Object(spread)) = (model::describe(&model), times.json()) {
        json.extend(about);
        json.extend(spread);
    }
    let gmacs = 1e-9 * p.macs as f64;
    let rate = 2.0 * gmacs / times.median();
    let numbers = json!({
        "gmacs": gmacs,
        "gflops": rate,
        "dispatches": p.dispatches.len(),
        "seconds": p.seconds,
        "empty_seconds": p.empty_seconds,
        "clock": p.clock,
        "weights_bytes": p.weights_bytes,
        "activation_bytes": p.activation_bytes,
        "live_set_bytes": p.live_set_bytes,
        "rows": p.dispatches.iter().map(dispatch).collect::<Vec<_>>(),
    });
    if let Value::Object(numbers) = numbers {
        json.extend(numbers);
    }
    if let Some(joules) = energy {
        json.insert("joules_per_image".into(), joules.into());
    }
    let mut summary = format!(
        "{} on {}, batch {n}: {} an evaluation (median of {}, least {}), {gmacs:.3} GMAC, {rate:.1} GFLOP/s; {} \
         dispatches, as many empty ones {} ({}); weights {}, activations {}, largest live set {}",
        model.name(),
        gpu.info().name,
        seconds(times.median()),
        p.seconds.len(),
        seconds(times.min()),
        p.dispatches.len(),
        seconds(p.empty_seconds),
        percent(p.empty_seconds, times.median()),
        bytes(p.weights_bytes),
        bytes(p.activation_bytes),
        bytes(p.live_set_bytes),
    );
    if let Some(joules) = energy {
        summary += &format!("; {joules:.3} J an image");
    }
    Ok(Found { json, summary, tables: vec![families(&p), dispatches(&p)] })
}

/// Joules of an image, over as many evaluations as are measured; `None` where nobody tells.
fn energy(c: &Common, gpu: &Gpu, graph: &undiffuse::graph::Graph, n: usize) -> Result<Option<f64>, Failure> {
    if Energy::start().is_none() {
        return Ok(None);
    }
    let mut again = evaluate_again(gpu, graph, n)?;
    again()?;
    let Some(energy) = Energy::start() else { return Ok(None) };
    for _ in 0..c.repeats {
        again()?;
    }
    Ok(energy.joules().map(|j| j / (f64::from(c.repeats) * n as f64)))
}

fn dispatch(d: &DispatchTime) -> Value {
    let more = json!({
        "kernel": format!("{}/{}", d.kernel, d.variant),
        "groups": d.groups,
        "macs": d.macs,
        "bytes": d.bytes,
    });
    row(&d.label, d.seconds, more)
}

/// Billions a second.
fn rate(count: f64, seconds: f64) -> String {
    match seconds > 0.0 && count > 0.0 {
        true => format!("{:.1}", 1e-9 * count / seconds),
        false => "-".into(),
    }
}

fn families(p: &Profile) -> Table {
    let sum: f64 = p.dispatches.iter().map(|d| d.seconds).sum();
    let mut families = BTreeMap::<&str, (f64, usize)>::new();
    for d in &p.dispatches {
        let f = families.entry(d.kernel).or_default();
        *f = (f.0 + d.seconds, f.1 + 1);
    }
    let mut list: Vec<_> = families.into_iter().collect();
    list.sort_by(|a, b| b.1 .0.total_cmp(&a.1 .0));
    let cells = |(kernel, (s, count)): (&str, (f64, usize))| {
        vec![kernel.to_string(), count.to_string(), seconds(s), percent(s, sum)]
    };
    Table {
        title: "Kernels".into(),
        head: vec![
            ("kernel", Side::Left),
            ("dispatches", Side::Right),
            ("time", Side::Right),
            ("", Side::Right),
        ],
        rows: list.into_iter().map(cells).collect(),
    }
}

fn dispatches(p: &Profile) -> Table {
    use Side::{Left, Right};
    let sum: f64 = p.dispatches.iter().map(|d| d.seconds).sum();
    let mut order: Vec<&DispatchTime> = p.dispatches.iter().collect();
    order.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let cells = |d: &&DispatchTime| {
        vec![
            seconds(d.seconds),
            percent(d.seconds, sum),
            rate(2.0 * d.macs as f64, d.seconds),
            rate(d.bytes as f64, d.seconds),
            format!("{}/{}", d.kernel, d.variant),
            d.label.clone(),
        ]
    };
    let clock = match p.clock {
        Clock::Device => "by the device's clock",
        Clock::Host => "by the host's clock, each submitted alone",
    };
    Table {
        title: format!("Dispatches, {clock}; the dearest first"),
        head: vec![
            ("time", Right),
            ("", Right),
            ("GFLOP/s", Right),
            ("GB/s", Right),
            ("kernel", Left),
            ("op", Left),
        ],
        rows: order.iter().map(cells).collect(),
    }
}
