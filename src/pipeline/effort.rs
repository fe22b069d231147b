//! What a run would take: network evaluations, memory, and time on this adapter by a short
//! measurement.

use super::{Job, Model, Pipeline, PipelineError};
use crate::clock::Instant;
use crate::diffusion::program::{Instruction, Output, Program, Reg, SlotInit, Step, Time};
use crate::engine::{Batch, Executable, NetGraph, Outputs};
use std::time::Duration;

/// Evaluations of a network before the one that is timed; where each takes long, none.
const WARM: usize = 1;
/// An evaluation longer than this is not run a second time.
const LONG: Duration = Duration::from_secs(2);

/// What images take, each.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Effort {
    /// The adapter.
    pub adapter: String,
    /// [`crate::gpu::Gpu::kernel_set`].
    pub kernel_set: String,
    /// Steps; 0 of a sampler that chooses them itself.
    pub steps: usize,
    /// The networks in the order in which the sampler names them.
    pub nets: Vec<NetEffort>,
    /// Whether evaluations are those of one pass, of which there are as many as the error asks for.
    pub adaptive: bool,
    /// Seconds of an image; of an adaptive sampler, of one pass.
    pub seconds: f64,
    /// Images at once.
    pub batch: usize,
    /// Bytes on the device: weights and the state of a batch.
    pub bytes: u64,
}

/// What a network takes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct NetEffort {
    /// Its name in the program.
    pub name: String,
    /// Evaluations for an image (NFE).
    pub evaluations: usize,
    /// Multiply-adds of an evaluation for an image.
    pub macs: u64,
    /// Seconds of an evaluation for an image, measured.
    pub seconds: f64,
}

impl Model {
    /// Multiply-adds of each network for one image.
    pub fn macs(&self) -> Vec<u64> {
        self.nets.iter().map(|net| net.graph.macs()).collect()
    }
}

impl Job {
    /// Bytes on the device: all weights of the model, and the state of this job's batch.
    pub fn bytes(&self) -> u64 {
        self.pipeline.0.weights.bytes() + self.exe.bytes()
    }

    /// Measures an evaluation of each network on this adapter (of one image where a processor is
    /// the adapter, else of the job's batch), and says what an image takes by it. Nothing of the
    /// job is drawn.
    ///
    /// # Errors
    /// A lost device, or memory.
    pub fn effort(&self) -> Result<Effort, PipelineError> {
        let n = if self.gpu.caps().stream { 1 } else { self.exe.n() };
        let macs = self.pipeline.model().macs();
        let adaptive = self.program.loop_nfe() > 0;
        let mut nets = Vec::new();
        for (net, of) in self.program.nets.iter().enumerate() {
            let evals = self
                .program
                .instructions()
                .filter(|i| matches!(i, Instruction::Eval { net: which, .. } if *which == net));
            let Some(probe) = probe(&self.program, net) else { continue };
            let graphs = &self.pipeline.0.nets[net..=net];
            nets.push(NetEffort {
                name: of.name.clone(),
                evaluations: evals.count(),
                macs: macs.get(net).copied().unwrap_or_default(),
                seconds: self.pipeline.time(&probe, graphs, n)? / n as f64,
            });
        }
        let seconds = nets.iter().map(|net| net.seconds * net.evaluations as f64).sum();
        Ok(Effort {
            adapter: self.gpu.info().name.clone(),
            kernel_set: self.gpu.kernel_set(),
            steps: if adaptive { 0 } else { self.program.steps.len() },
            nets,
            adaptive,
            seconds,
            batch: self.exe.n(),
            bytes: self.bytes(),
        })
    }
}

impl Pipeline {
    /// Seconds of a run of `program` for `n` images.
    fn time(&self, program: &Program, nets: &[NetGraph], n: usize) -> Result<f64, PipelineError> {
        let (gpu, store) = (self.gpu(), &self.0.weights);
        let made = Executable::new(gpu, program, nets, n, Outputs::none(), store, |_, _| {});
        let exe = pollster::block_on(made)?;
        let mut seconds = f64::INFINITY;
        for _ in 0..=WARM {
            let start = Instant::now();
            exe.draw(&Batch::default())?;
            let took = start.elapsed();
            seconds = seconds.min(took.as_secs_f64());
            if took > LONG {
                break;
            }
        }
        Ok(seconds)
    }
}

/// A program of one evaluation of the network `net`, of noise.
fn probe(program: &Program, net: usize) -> Option<Program> {
    let found = program.instructions().find_map(|i| match i {
        Instruction::Eval { net: which, inputs, label, .. } if *which == net => {
            Some((inputs.len(), label.is_some()))
        }
        _ => None,
    });
    let (inputs, labelled) = found?;
    let of = program.nets[net].clone();
    let mut probe = Program::new("probe", of.output, of.clone());
    let label = labelled.then(|| probe.slot("class", SlotInit::Const(0.0)));
    let mut instructions = Vec::new();
    let mut sources = Vec::new();
    for (draw, shape) in of.inputs.iter().take(inputs).enumerate() {
        let dst = probe.register(&format!("input {draw}"), *shape);
        instructions.push(Instruction::Noise { dst, draw: draw as u32 });
        sources.push(dst);
    }
    let outs = vec![Output { dst: Reg(0), channels: 0..of.output.c }];
    instructions.push(Instruction::Eval { net: 0, inputs: sources, time: Time::Const(0.5), label, outs });
    probe.steps.push(Step { label: "an evaluation".into(), instructions });
    Some(probe)
}
