//! `undiffuse doctor`: is this driver right?

use crate::text::{table, Side};
use crate::Failure;
use std::process::exit;
use undiffuse::engine::doctor::{examine, Finding};
use undiffuse::gpu::{self, cache_folder, Gpu, Options, Tuning};
use undiffuse::kernels::ALL;

#[derive(clap::Args)]
pub struct Args {
    /// The adapter, by number or a part of its name (see `undiffuse info`), or `all` of them
    #[arg(long, value_name = "NAME|NUMBER|all")]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Random cases of each kernel at least
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    cases: u32,
    /// A line for every variant
    #[arg(long)]
    all: bool,
    /// Print one JSON list, an object for each adapter
    #[arg(long, conflicts_with = "all")]
    json: bool,
}

/// What was found on an adapter.
struct Visit {
    gpu: Gpu,
    findings: Vec<Finding>,
    /// Where it is remembered.
    kept: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let one = |adapter| Options { adapter, backend: args.backend.clone(), ..Options::default() };
    let wanted: Vec<Options> = match args.adapter.as_deref() {
        Some("all") => {
            let count = pollster::block_on(gpu::list(args.backend.as_deref()))?.len();
            (0..count).map(|i| one(Some(i.to_string()))).collect()
        }
        _ => vec![one(args.adapter.clone())],
    };
    let (mut visits, mut failed) = (Vec::new(), 0);
    for options in &wanted {
        match visit(args, options) {
            Ok(visit) => visits.push(visit),
            // Of all adapters, one that gives no device is a finding; a named one is an error.
            Err(Failure::Error(e)) if wanted.len() > 1 => {
                failed += 1;
                say!("adapter {}: {e}", options.adapter.as_deref().unwrap_or_default());
            }
            Err(e) => return Err(e),
        }
    }
    if visits.is_empty() {
        return Err("no adapter answers".into());
    }
    if args.json {
        let objects: Vec<_> = visits.iter().map(Visit::json).collect();
        say!(stdout, "{}", serde_json::to_string(&objects)?);
    } else {
        let text: Vec<String> = visits.iter().map(|v| v.text(args.all)).collect();
        say!(stdout, "{}", text.join("\n").trim_end());
    }
    if failed > 0 || visits.iter().any(|v| !v.bad().is_empty()) {
        exit(1);
    }
    Ok(())
}

fn visit(args: &Args, options: &Options) -> Result<Visit, Failure> {
    // As the driver is, not as it is known to be: what was wrong may be right by now.
    let gpu = Gpu::open(options)?;
    let mut progress = crate::progress::Progress::new();
    let mut done = 0;
    let findings = examine(&gpu, ALL, args.cases.into(), |kernel| {
        progress.show(done as f64 / ALL.len() as f64, kernel);
        done += 1;
        true
    });
    progress.done();
    let findings = findings?;
    let Some(folder) = cache_folder() else { return Ok(Visit { gpu, findings, kept: None }) };
    let (mut tuning, warning) = Tuning::load(&folder, &gpu);
    if let Some(w) = &warning {
        say!("warning: {w}; it is written anew");
    }
    let seen: Vec<_> = findings.iter().map(|f| (f.name.clone(), f.wrong.clone())).collect();
    let before = tuning.clone();
    tuning.note(&seen);
    let mut kept = None;
    // A driver that was and is right needs no file.
    if tuning != before || warning.is_some() {
        match tuning.save(&folder, &gpu) {
            Ok(path) => kept = Some(path.display().to_string()),
            Err(e) => {
                say!("warning: nothing is remembered: {}: {e}", folder.display());
            }
        }
    }
    Ok(Visit { gpu, findings, kept })
}

impl Visit {
    fn bad(&self) -> Vec<&Finding> {
        self.findings.iter().filter(|f| f.wrong.is_some()).collect()
    }

    fn json(&self) -> serde_json::Value {
        let info = self.gpu.info();
        serde_json::json!({
            "adapter": info.name,
            "backend": format!("{:?}", info.backend).to_lowercase(),
            "driver": format!("{} {}", info.driver, info.driver_info).trim(),
            "undiffuse": env!("CARGO_PKG_VERSION"),
            "kernel_set": undiffuse::kernels::set_hash(),
            "wrong": self.bad().len(),
            "kept": self.kept,
            "findings": self.findings,
        })
    }

    fn text(&self, all: bool) -> String {
        let info = self.gpu.info();
        let mut text =
            format!("{} ({:?}), driver {} {}\n", info.name, info.backend, info.driver, info.driver_info);
        text += &if all { self.variants() } else { self.families() };
        let bad = self.bad();
        let (ran, cases) = self
            .findings
            .iter()
            .fold((0, 0), |(ran, cases), f| (ran + usize::from(f.cases > 0), cases + f.cases));
        if bad.is_empty() {
            text += &format!("\nAll {ran} variants that can run here are right, in {cases} cases.\n");
            return text;
        }
        text += &format!("\n{} of {ran} variants are WRONG on this driver:\n", bad.len());
        for f in &bad {
            text += &format!("  {}: {}\n", f.name, f.wrong.as_deref().unwrap_or_default());
        }
        text += &match &self.kept {
            Some(path) => format!(
                "They are banned from now on ({path}): plans pass them over wherever another variant takes \
                 the shape.\n"
            ),
            None => "They are not remembered as wrong: no cache folder is known (UNDIFFUSE_CACHE).\n".into(),
        };
        text += &format!(
            "Please report it, with the lines above and these: undiffuse {}, kernels {}, {}.\n\
             A newer driver may mend it; run `undiffuse doctor` again after an update.\n",
            env!("CARGO_PKG_VERSION"),
            &undiffuse::kernels::set_hash()[..16],
            std::env::consts::OS
        );
        text
    }

    fn families(&self) -> String {
        use Side::{Left, Right};
        let mut rows: Vec<Vec<String>> = Vec::new();
        for kernel in ALL {
            let own = |f: &&Finding| f.name.split('/').next() == Some(kernel.name);
            let own: Vec<&Finding> = self.findings.iter().filter(own).collect();
            let count = |verdict: &str| match own.iter().filter(|f| f.verdict() == verdict).count() {
                0 => "-".to_string(),
                n => n.to_string(),
            };
            let cases: u64 = own.iter().map(|f| f.cases).sum();
            rows.push(vec![
                kernel.name.into(),
                cases.to_string(),
                count("right"),
                count("WRONG"),
                count("not here"),
            ]);
        }
        let head =
            [("kernel", Left), ("cases", Right), ("right", Right), ("WRONG", Right), ("not here", Right)];
        table(&head, &rows)
    }

    fn variants(&self) -> String {
        let cells = |f: &Finding| {
            let why = f.wrong.clone().or(f.lacks.as_ref().map(|l| format!("needs {l}"))).unwrap_or_default();
            vec![f.name.clone(), f.cases.to_string(), f.verdict().to_string(), why]
        };
        let head = [("variant", Side::Left), ("cases", Side::Right), ("", Side::Left), ("", Side::Left)];
        table(&head, &self.findings.iter().map(cells).collect::<Vec<_>>())
    }
}
