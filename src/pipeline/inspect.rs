//! Looking inside a model: configuration, fusions, plan, memory and predicted
//! times, for an adapter that is present or only described.

use super::{Model, PipelineError};
use crate::gpu::{self, Described, Found, GpuError, Options, Rates};
use crate::graph::passes::{self, Done};
use crate::graph::plan::Target;
use crate::graph::report::Report;
use crate::graph::{dot, Graph};
use crate::models::{Labels, Times};
use std::collections::{BTreeMap, BTreeSet};

/// What a model is inspected for.
#[derive(Clone, Debug)]
pub struct Machine {
    /// What plans stay within.
    pub target: Target,
    /// How fast it is, where that is known.
    pub rates: Option<Rates>,
    /// What it is, in words.
    pub about: String,
    /// Whether it is a description, no device of this machine.
    pub described: bool,
}

impl Machine {
    /// A described adapter.
    pub fn described(adapter: &Described) -> Machine {
        Machine {
            target: Target::described(adapter),
            rates: adapter.rates,
            about: adapter.about.into(),
            described: true,
        }
    }

    /// An adapter of this machine, with all limits that it has.
    pub fn adapter(found: &Found) -> Machine {
        let info = &found.info;
        Machine {
            target: Target { caps: found.caps(), limits: found.adapter.limits(), name: info.name.clone() },
            rates: Described::of(info).and_then(|d| d.rates),
            about: format!("{:?}, {:?}, an adapter of this machine", info.backend, info.device_type),
            described: false,
        }
    }

    /// A described adapter by its name, else an adapter of this machine by number or a
    /// part of its name. Without a name: the machine's default adapter, or lavapipe's
    /// description where there is none.
    ///
    /// # Errors
    /// A name that is neither.
    pub fn find(name: Option<&str>) -> Result<Machine, PipelineError> {
        if let Some(adapter) = name.and_then(Described::find) {
            return Ok(Machine::described(adapter));
        }
        let options = Options { adapter: name.map(str::to_string), ..Options::default() };
        let present = match (pollster::block_on(gpu::choose(&options)), name) {
            (Ok(found), _) => return Ok(Machine::adapter(&found)),
            (Err(GpuError::NoAdapter { .. }), None) => {
                let lavapipe = Described::find("lavapipe").map(Machine::described);
                return lavapipe.ok_or(PipelineError::Gpu(GpuError::NoAdapter { backends: "any".into() }));
            }
            (Err(GpuError::AdapterNotFound { present, .. }), _) => present,
            (Err(GpuError::NoAdapter { .. }), _) => "none".into(),
            (Err(e), _) => return Err(e.into()),
        };
        Err(PipelineError::Option {
            option: "for",
            what: format!(
                "no adapter `{}`; described are {}; on this machine: {present}",
                name.unwrap_or_default(),
                Described::names()
            ),
        })
    }
}

/// A model seen from inside.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Inspection {
    /// The model's name.
    pub model: String,
    /// The `_class_name`.
    pub architecture: &'static str,
    /// `[h, w, c]` of the noisy image.
    pub sample: [usize; 3],
    /// Channels that come out.
    pub out_channels: usize,
    /// What a label is, in words.
    pub labels: String,
    /// What a time is, in words.
    pub times: String,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// The configuration file.
    pub configuration: serde_json::Value,
    /// The scheduler's configuration file; null where there is none.
    pub scheduler: serde_json::Value,
    /// What a user may want to know of the files.
    pub notes: Vec<String>,
    /// The weights that the network reads.
    pub weights: WeightsReport,
    /// What it is planned for.
    pub adapter: AdapterReport,
    /// What each fusion did.
    pub passes: Vec<Done>,
    /// The plan of one evaluation.
    pub network: Report,
}

/// The weights as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct WeightsReport {
    /// Tensors.
    pub tensors: usize,
    /// Numbers in them.
    pub parameters: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Tensors by the type of their numbers.
    pub types: BTreeMap<String, usize>,
}

/// What a plan is made for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AdapterReport {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Whether it is a description, no device of this machine.
    pub described: bool,
    /// Lanes of a subgroup, where fixed.
    pub subgroup: Option<u32>,
    /// 64-bit integers in shaders.
    pub int64: bool,
    /// `stream` (a processor) or `tile` (a GPU).
    pub family: &'static str,
}

impl Model {
    /// Plans one evaluation of the network for `batch` images on `machine`, and says
    /// everything about it. Only small constants are read of the weights.
    ///
    /// # Errors
    /// A batch of none, or one that the machine cannot hold.
    pub fn inspect(&self, machine: &Machine, batch: usize) -> Result<Inspection, PipelineError> {
        let largest = self.built.shapes().map(|s| s.len()).max().unwrap_or(1);
        if batch == 0 || batch.checked_mul(largest).is_none_or(|len| len > u32::MAX as usize) {
            let what = format!("{batch} images: give 1 to {}", u32::MAX as usize / largest.max(1));
            return Err(PipelineError::Option { option: "batch", what });
        }
        let (graph, passes) = passes::run_reporting(&self.built);
        let network = Report::new(&graph, machine.target.clone(), machine.rates, batch)
            .map_err(crate::engine::EngineError::from)?;
        let (about, caps) = (&self.about, &machine.target.caps);
        Ok(Inspection {
            model: self.name.clone(),
            architecture: about.architecture,
            sample: [about.sample.h, about.sample.w, about.sample.c],
            out_channels: about.out_channels,
            labels: labels(about.labels, self.classes.null()),
            times: times(about.times),
            classes: self.classes(),
            configuration: self.configuration.clone(),
            scheduler: self.scheduler_file.clone(),
            notes: self.notes.clone(),
            // Before the passes: they join and split tensors.
            weights: weights(&self.built),
            adapter: AdapterReport {
                name: machine.target.name.clone(),
                about: machine.about.clone(),
                described: machine.described,
                subgroup: caps.subgroup,
                int64: caps.int64,
                family: if caps.stream { "stream" } else { "tile" },
            },
            passes,
            network,
        })
    }

    /// The network with its fusions done, in Graphviz's language.
    pub fn dot(&self) -> String {
        dot::dot(&self.nets[0].graph, &self.name)
    }
}

fn labels(labels: Labels, null: Option<u32>) -> String {
    let empty = null.map(|n| format!(", {n} for no class")).unwrap_or_default();
    match labels {
        Labels::None => "none".into(),
        Labels::Class { classes } => format!("a class, 0 to {}{empty}", classes.saturating_sub(1)),
        Labels::Number => "a number, embedded as times are".into(),
        Labels::Vector { len } => format!("a vector of {len}"),
    }
}

fn times(times: Times) -> String {
    match times {
        Times::Real => "any number".into(),
        Times::Positive => "a positive noise level".into(),
        Times::Whole { steps } => format!("a whole number below {steps}"),
    }
}

pub(super) fn weights(graph: &Graph) -> WeightsReport {
    let mut report = WeightsReport::default();
    let mut seen = BTreeSet::new();
    for p in graph.nodes().iter().flat_map(|n| n.op.params()) {
        if seen.insert(p.name().to_string()) {
            report.tensors += 1;
            report.parameters += p.count() as u64;
            report.bytes += (p.count() * p.dtype().size()) as u64;
            *report.types.entry(format!("{:?}", p.dtype()).to_lowercase()).or_default() += 1;
        }
    }
    report
}
