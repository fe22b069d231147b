//! Runs every case of the folder named by `UNDIFFUSE_GOLDENS` (default
//! `tests/goldens`): networks, their intermediates and sampler states, as the
//! reference implementations computed them. A case that is not supported yet is
//! a skip, by name. The last line counts; any failure is a non-zero exit.

#[path = "support/golden_diffusers.rs"]
mod diffusers;
#[path = "support/golden_drive.rs"]
mod drive;
#[path = "support/golden_score_sde.rs"]
mod score_sde;
#[path = "support/golden_systems.rs"]
mod systems;
#[path = "support/golden_tangent.rs"]
mod tangent;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Systems whose folders may be there.
const SYSTEMS: [&str; 5] = ["diffusers", "ddgan", "cld_sgm", "score_sde", "lsgm"];

/// What became of a unit: one network or one sampler file.
pub enum Outcome {
    /// The largest error, as a part of what is allowed is at most 1.
    Passed(f64),
    Failed(String),
    Skipped(String),
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    worst: f64,
}

impl Count {
    fn add(&mut self, name: &str, outcome: Outcome) {
        match outcome {
            Outcome::Passed(error) => {
                self.passed += 1;
                self.worst = self.worst.max(error);
                println!("ok      {name} ({error:.1e})");
            }
            Outcome::Failed(why) => {
                self.failed += 1;
                println!("FAILED  {name}: {why}");
            }
            Outcome::Skipped(why) => {
                self.skipped += 1;
                println!("skipped {name}: {why}");
            }
        }
    }
}

/// The folders below `path`, or files with `extension`, in order.
pub fn entries(path: &Path, extension: Option<&str>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| match extension {
            Some(e) => p.extension().is_some_and(|x| x == e),
            None => p.is_dir(),
        })
        .collect();
    found.sort();
    found
}

pub fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn main() -> ExitCode {
    // `cargo test -- FILTER` names the units to run; libtest's flags mean nothing here.
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let root = std::env::var_os("UNDIFFUSE_GOLDENS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens"), PathBuf::from);
    let options = undiffuse::gpu::Options {
        core_only: std::env::var_os("UNDIFFUSE_CORE").is_some(),
        ..Default::default()
    };
    let gpu = match undiffuse::gpu::Gpu::open(&options) {
        Ok(gpu) => gpu,
        Err(e) => {
            println!("{e}");
            println!("goldens: 0 passed, 1 failed, 0 skipped, worst inf");
            return ExitCode::FAILURE;
        }
    };
    let mut count = Count::default();
    let wanted = |unit: &str| filter.is_empty() || filter.iter().any(|f| unit.contains(f.as_str()));
    for system in SYSTEMS {
        for case in entries(&root.join(system), None) {
            let case_name = format!("{system}/{}", name(&case));
            let units = if system == "diffusers" { diffusers::units(&case) } else { systems::units(&case) };
            for unit in units {
                let full = format!("{case_name}/{unit}");
                if !wanted(&full) {
                    continue;
                }
                let outcome = match system {
                    "diffusers" => diffusers::run(&gpu, &case, &unit),
                    _ => systems::run(&gpu, system, &case, &unit),
                };
                count.add(&full, outcome);
            }
        }
    }
    let Count { passed, failed, skipped, worst } = count;
    println!("goldens: {passed} passed, {failed} failed, {skipped} skipped, worst {worst:.2e}");
    if failed > 0 || passed + skipped == 0 && filter.is_empty() {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
