//! `undiffuse tune`: measure which kernels are fastest here, and remember it.

use crate::text::{seconds, table, Side};
use crate::{progress, Failure};
use std::sync::atomic::Ordering;
use undiffuse::engine::tune::{tune, Tuned};
use undiffuse::gpu::{cache_folder, Options, Tuning};
use undiffuse::pipeline::Model;

#[derive(clap::Args)]
pub struct Args {
    /// An embedded model, a model folder, `zoo/NAME`, or `OWNER/NAME` as the Hugging Face cache has it
    #[arg(value_name = "MODEL")]
    model: String,
    /// Images at once while measuring. What is found holds for every batch
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// The adapter, by number or a part of its name (see `undiffuse info`)
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Print one JSON object with every candidate's time
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let Some(folder) = cache_folder() else {
        return Err("no cache folder is known: set UNDIFFUSE_CACHE to a folder".into());
    };
    let stop = progress::interrupt()?;
    let model = Model::find(&args.model)?;
    let options =
        Options { adapter: args.adapter.clone(), backend: args.backend.clone(), ..Options::default() };
    let gpu = crate::device::open(&options)?;
    let mut progress = crate::progress::Progress::new();
    let measured = tune(&gpu, &model.network().graph, args.batch as usize, |done, of| {
        progress.show(done as f64 / of.max(1) as f64, &format!("shape {done}/{of}"));
        !stop.load(Ordering::SeqCst)
    });
    progress.done();
    let measured = measured?;
    if stop.load(Ordering::SeqCst) {
        return Err(Failure::Cancelled);
    }
    let (mut tuning, _) = Tuning::load(&folder, &gpu);
    for t in &measured {
        tuning.learn(&t.shape, t.timings.clone(), t.fastest());
        // Rightness is doctor's: of one shape, only what is wrong is noted.
        let wrong: Vec<_> = t.wrong.iter().map(|(name, what)| (name.clone(), Some(what.clone()))).collect();
        tuning.note(&wrong);
    }
    let path = tuning
        .save(&folder, &gpu)
        .map_err(|e| format!("what was measured cannot be kept in {}: {e}", folder.display()))?;
    let wrong: usize = measured.iter().map(|t| t.wrong.len()).sum();
    if args.json {
        let own = gpu.with_choices(tuning.choices());
        let json = serde_json::json!({
            "model": model.name(),
            "adapter": gpu.info().name,
            "batch": args.batch,
            "kernel_set": own.kernel_set(),
            "batch_invariant": true,
            "file": path,
            "shapes": measured,
        });
        say!(stdout, "{}", serde_json::to_string(&json)?);
    } else {
        say!(stdout, "{}", text(&measured).trim_end());
        say!(stdout, "\nremembered in {}", path.display());
    }
    if wrong > 0 {
        say!("warning: {wrong} candidates gave other numbers and are banned: `undiffuse doctor` tells more");
    }
    Ok(())
}

fn text(measured: &[Tuned]) -> String {
    use Side::{Left, Right};
    let cells = |t: &Tuned| {
        let time = |name: &str| t.timings.get(name).map_or("-".into(), |s| seconds(*s));
        vec![
            t.shape.clone(),
            t.layers.to_string(),
            t.timings.len().to_string(),
            t.baseline.clone(),
            time(&t.baseline),
            t.fastest().unwrap_or("the same").to_string(),
            time(&t.winner),
            format!("{:.2}x", t.gain()),
        ]
    };
    let head = [
        ("shape of an image", Left),
        ("layers", Right),
        ("candidates", Right),
        ("chosen unmeasured", Left),
        ("time", Right),
        ("fastest", Left),
        ("time", Right),
        ("gain", Right),
    ];
    let all = |name: fn(&Tuned) -> &String| -> f64 {
        let layer = |t: &Tuned| t.layers as f64 * t.timings.get(name(t)).copied().unwrap_or(0.0);
        measured.iter().map(layer).sum()
    };
    let (before, after) = (all(|t| &t.baseline), all(|t| &t.winner));
    let rows: Vec<_> = measured.iter().map(cells).collect();
    let faster = measured.iter().filter(|t| t.fastest().is_some()).count();
    format!(
        "{}\n{faster} of {} shapes have a faster variant; all layers together {} -> {} ({:.2}x)\n",
        table(&head, &rows),
        measured.len(),
        seconds(before),
        seconds(after),
        before / after
    )
}
