//! Is this driver right? Every variant of every kernel against its twin, on a device.

use super::EngineError;
use crate::gpu::{Cut, Gpu, GpuError, Trial};
use crate::kernels::check::Case;
use crate::kernels::choices::full_name;
use crate::kernels::{Call, Caps, Kernel};
use std::collections::BTreeMap;

/// Cases of a kernel, as a multiple of those asked for, in which a variant may not turn up.
const PATIENCE: u64 = 60;

/// What was found of a variant.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// `family/variant`.
    pub name: String,
    /// Cases in which it ran.
    pub cases: u64,
    /// What was wrong in the first case that was.
    pub wrong: Option<String>,
    /// Features that it needs and the device lacks, so that it never runs here.
    pub lacks: Option<String>,
}

impl Finding {
    /// One word.
    pub fn verdict(&self) -> &'static str {
        match (&self.wrong, &self.lacks, self.cases) {
            (Some(_), ..) => "WRONG",
            (None, Some(_), _) => "not here",
            (None, None, 0) => "not met",
            _ => "right",
        }
    }
}

/// How a variant fared.
#[derive(Default)]
struct Record {
    cases: u64,
    passed: u64,
    wrong: Option<String>,
}

/// Everything that a device has, as a GPU and as a processor, and nothing at all: between
/// them these choose every variant.
pub fn caps_list(here: Caps) -> [Caps; 4] {
    let gpu = Caps { stream: false, choices: None, ..here };
    [Caps::CORE, gpu, Caps { stream: true, ..gpu }, Caps { stream: true, ..Caps::CORE }]
}

/// Compares every variant of the kernels with its twin in `cases` random cases or more:
/// a finding for each, in order. `progress` is told each kernel's name and returns
/// whether to go on.
///
/// # Errors
/// A device that is lost; what else goes wrong is a finding.
pub fn examine(
    gpu: &Gpu,
    kernels: &[&'static Kernel],
    cases: u64,
    mut progress: impl FnMut(&str) -> bool,
) -> Result<Vec<Finding>, EngineError> {
    let mut findings = Vec::new();
    for kernel in kernels {
        if !progress(kernel.name) {
            break;
        }
        findings.extend(examine_one(gpu, kernel, cases.max(1))?);
    }
    Ok(findings)
}

fn examine_one(gpu: &Gpu, kernel: &'static Kernel, cases: u64) -> Result<Vec<Finding>, EngineError> {
    let here = Caps { choices: None, ..gpu.caps() };
    let mut records: BTreeMap<String, Record> = BTreeMap::new();
    let mut failures: Vec<(Vec<String>, String)> = Vec::new();
    let met = || kernel.variants.iter().filter(|v| here.meets(v.needs));
    let salt = kernel.name.bytes().fold(0u64, |h, b| h.wrapping_mul(31).wrapping_add(b.into()));
    for i in 0..cases * PATIENCE {
        let enough = |name: String| records.get(&name).is_some_and(|r| r.cases >= cases.div_ceil(4));
        if i >= cases && met().all(|v| enough(full_name(kernel, v))) {
            break;
        }
        for caps in caps_list(here) {
            let (mut ran, mut lost) = (Vec::new(), None);
            let mut run = |calls: &[Call<usize>], arrays: &mut [Vec<u32>]| {
                ran.extend(calls.iter().map(Call::full_name));
                run_once(gpu, calls, arrays).map_err(|e| match e {
                    Fault::Device(e @ GpuError::Lost(_)) => {
                        let text = e.to_string();
                        lost = Some(e);
                        text
                    }
                    Fault::Device(e) => e.to_string(),
                    Fault::Outside(what) => what,
                })
            };
            let seed = salt.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let result = (kernel.check)(&mut Case::new(caps, here, seed, &mut run));
            if let Some(e) = lost {
                return Err(e.into());
            }
            ran.sort();
            ran.dedup();
            for name in &ran {
                let record = records.entry(name.clone()).or_default();
                record.cases += 1;
                record.passed += u64::from(result.is_ok());
            }
            if let Err(what) = result {
                failures.push((ran, format!("case {i}: {what}")));
            }
        }
    }
    blame(kernel, &mut records, failures);
    let finding = |v: &crate::kernels::Variant| {
        let name = full_name(kernel, v);
        let record = records.remove(&name).unwrap_or_default();
        let lacks = (!here.meets(v.needs)).then(|| {
            let lanes = v.needs.subgroup.map(|n| format!("subgroups of {n}"));
            let ints = v.needs.int64.then(|| "64-bit integers".to_string());
            lanes.into_iter().chain(ints).collect::<Vec<_>>().join(", ")
        });
        Finding { name, cases: record.cases, wrong: record.wrong, lacks }
    };
    Ok(kernel.variants.iter().map(finding).collect())
}

/// Several variants may have run in a case that went wrong. To blame are those that never
/// were in one that went right; where there is none, the kernel's own that were in it.
fn blame(kernel: &Kernel, records: &mut BTreeMap<String, Record>, failures: Vec<(Vec<String>, String)>) {
    for (ran, what) in failures {
        let never = |name: &&String| records.get(*name).is_some_and(|r| r.passed == 0);
        let mut guilty: Vec<String> = ran.iter().filter(never).cloned().collect();
        if guilty.is_empty() {
            let own = |name: &&String| name.split('/').next() == Some(kernel.name);
            guilty = ran.iter().filter(own).cloned().collect();
        }
        for name in guilty {
            if let Some(record) = records.get_mut(&name) {
                record.wrong.get_or_insert_with(|| what.clone());
            }
        }
    }
}

enum Fault {
    Device(GpuError),
    Outside(String),
}

impl From<GpuError> for Fault {
    fn from(e: GpuError) -> Self {
        Fault::Device(e)
    }
}

fn run_once(gpu: &Gpu, calls: &[Call<usize>], arrays: &mut [Vec<u32>]) -> Result<(), Fault> {
    let trial = Trial::new(gpu, calls, arrays, Cut::Folded)?;
    trial.run()?;
    let mut read = trial.read()?;
    if let Some(what) = read.outside {
        return Err(Fault::Outside(what));
    }
    arrays.iter_mut().zip(&mut read.arrays).for_each(|(a, b)| std::mem::swap(a, b));
    Ok(())
}
