//! `undiffuse bench loop`: N steps of sampling against N times one evaluation.

use super::machine::{thread_seconds, Energy, Times};
use super::{head, model, row, Common, Found, Table};
use crate::text::{percent, seconds, Side};
use crate::Failure;
use serde_json::{json, Value};
use std::time::Duration;
use undiffuse::engine::evaluate_again;
use undiffuse::gpu::Gpu;
use undiffuse::pipeline::{Outputs, Pipeline, Report, Sample};

/// Steps where nobody says and the model was not made for a number of its own.
const STEPS: usize = 20;
/// What a turn of the job may submit.
const CHUNK: Duration = Duration::from_millis(100);

pub fn run(c: &Common, gpu: &Gpu, steps: Option<u32>) -> Result<Found, Failure> {
    let model = model::open(c)?;
    let about = model::describe(&model);
    let graph = model.network().graph.clone();
    let n = c.batch as usize;
    let mut again = evaluate_again(gpu, &graph, n)?;
    let sampler = model.default_sampler();
    let own = model.scheduler().system.is_some() || sampler.is_adaptive();
    let steps = steps.map(|s| s as usize).or((!own).then_some(STEPS));
    let options = Sample {
        count: n,
        batch: Some(n),
        steps,
        sampler,
        outputs: Outputs { images: true, ..Outputs::none() },
        ..Sample::default()
    };
    let pipeline = Pipeline::new(gpu, model, |_, _| {})?;
    draw(&pipeline, &options)?;
    again()?;
    let (mut loops, mut evals, mut hosts) = (Vec::new(), Vec::new(), Vec::new());
    let mut last = None;
    let energy = Energy::start();
    let mut joules = None;
    for _ in 0..c.repeats {
        let (report, host) = draw(&pipeline, &options)?;
        loops.push(report.seconds);
        hosts.extend(host);
        // As many evaluations as the loop has, one at a time: both see the same machine.
        let mut sum = 0.0;
        for _ in 0..report.nfe {
            sum += again()?;
        }
        evals.push(sum);
        last = Some(report);
    }
    if let Some(all) = energy.and_then(|e| e.joules()) {
        // Of all that was measured, the loops' part.
        let part = loops.iter().sum::<f64>() / (loops.iter().sum::<f64>() + evals.iter().sum::<f64>());
        joules = Some(all * part / (f64::from(c.repeats) * n as f64));
    }
    let Some(report) = last else { return Err("nothing was measured".into()) };
    let ratios: Vec<f64> = loops.iter().zip(&evals).map(|(l, e)| l / e).collect();
    let (ratio, times, alone) = (Times::new(&ratios), Times::new(&loops), Times::new(&evals));
    times.warn("the loops");
    let host = (!hosts.is_empty()).then(|| Times::new(&hosts).median());
    let mut json = head("loop", c, gpu);
    for part in [about, times.json()] {
        if let Value::Object(part) = part {
            json.extend(part);
        }
    }
    let rows = [("the loop", times.median()), ("its evaluations one by one", alone.median())];
    let numbers = json!({
        "sampler": report.sampler,
        "steps": report.steps,
        "nfe": report.nfe,
        "ratio": ratio.median(),
        "evaluations_seconds": alone.median(),
        "submissions": report.submissions,
        "maps": report.maps,
        "bytes_up": report.bytes_up,
        "bytes_down": report.bytes_down,
        "host_seconds": host,
        "images_per_second": n as f64 / times.median(),
        "rows": rows.iter().map(|(name, s)| row(name, *s, Value::Null)).collect::<Vec<_>>(),
    });
    if let Value::Object(numbers) = numbers {
        json.extend(numbers);
    }
    if let Some(joules) = joules {
        json.insert("joules_per_image".into(), joules.into());
    }
    let mut summary = format!(
        "{} on {}, batch {n}: {} steps of {} take {:.3} times {} evaluations (median of {})",
        pipeline.name(),
        gpu.info().name,
        report.steps,
        report.sampler,
        ratio.median(),
        report.nfe,
        c.repeats,
    );
    if let Some(joules) = joules {
        summary += &format!("; {joules:.3} J an image");
    }
    Ok(Found { json, summary, tables: vec![table(&report, &times, &alone, host, n)] })
}

/// Draws; the report, and what the host's thread did.
fn draw(pipeline: &Pipeline, options: &Sample) -> Result<(Report, Option<f64>), Failure> {
    let mut job = pipeline.sample(options)?;
    let before = thread_seconds();
    while job.advance(CHUNK)?.is_some() {}
    let host = thread_seconds().zip(before).map(|(now, then)| now - then);
    Ok((job.report(), host))
}

fn table(r: &Report, times: &Times, alone: &Times, host: Option<f64>, n: usize) -> Table {
    let cells = |name: &str, value: String| vec![name.to_string(), value];
    let mut rows = vec![
        cells("the loop", seconds(times.median())),
        cells("its evaluations one by one", seconds(alone.median())),
        cells("an evaluation", seconds(alone.median() / r.nfe.max(1) as f64)),
        cells("images a second", format!("{:.2}", n as f64 / times.median())),
        cells("submissions", r.submissions.to_string()),
        cells("maps", r.maps.to_string()),
        cells("bytes up", r.bytes_up.to_string()),
        cells("bytes down", r.bytes_down.to_string()),
    ];
    if let Some(host) = host {
        let part = percent(host, times.median());
        rows.push(cells("the host's thread", format!("{} ({part})", seconds(host))));
    }
    Table { title: "Medians".into(), head: vec![("", Side::Left), ("", Side::Right)], rows }
}
