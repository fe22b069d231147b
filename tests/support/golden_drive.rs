//! A sampler's program with the networks of a case, run step by step with stored noise.

use super::diffusers::{difference, Result, STATE};
use super::Outcome;
use std::path::Path;
use undiffuse::diffusion::program::{Instruction, Program, Reg};
use undiffuse::diffusion::sampler::{Context, ErrorControl, Sampler, SolverOptions};
use undiffuse::diffusion::timesteps::Steps;
use undiffuse::diffusion::{SchedulerConfig, System};
use undiffuse::engine::{Batch, Executable, NetGraph, Outputs};
use undiffuse::gpu::Gpu;
use undiffuse::graph::bind::WeightStore;
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Model, Part};
use undiffuse::weights::{Json, Safetensors};

/// Largest error of the end of an adaptive solver, as a part of its scale.
const ADAPTIVE: f64 = 5e-3;

/// The model of a case and its weights.
pub fn open(case: &Path) -> Result<(Box<dyn Model>, Safetensors)> {
    let config = Json::read(&case.join("config.json"), 1 << 20)?;
    Ok((models::open(&config, None)?, Safetensors::open(&case.join("model.safetensors"))?))
}

/// A sampler's program, run with the noise of a file: the k-th of `noises` is the k-th draw of the
/// program in order.
pub struct Drive {
    pub program: Program,
    pub exe: Executable,
    pub noises: Vec<Vec<Reg>>,
}

impl Drive {
    pub fn new(gpu: &Gpu, case: &Path, n: usize, sampler: Sampler, steps: usize) -> Result<(Drive, System)> {
        Self::with(gpu, case, n, sampler, steps, SolverOptions::default())
    }

    /// SciPy's RK45, a whole batch one vector.
    pub fn adaptive(gpu: &Gpu, case: &Path, n: usize, tolerance: f64) -> Result<Drive> {
        let tolerance = Some(tolerance);
        let error_control = ErrorControl::Batch;
        let options = SolverOptions { error_control, rtol: tolerance, atol: tolerance, ..Default::default() };
        Ok(Self::with(gpu, case, n, Sampler::Rk45, 1, options)?.0)
    }

    fn with(
        gpu: &Gpu,
        case: &Path,
        n: usize,
        sampler: Sampler,
        steps: usize,
        options: SolverOptions,
    ) -> Result<(Drive, System)> {
        let config = Json::read(&case.join("config.json"), 1 << 20)?;
        let (model, weights) = open(case)?;
        let about = model.describe();
        let mut decoder = Graph::new();
        model.part(Part::Decoder, &weights, &mut decoder)?;
        let image = decoder.outputs().iter().find(|(n, _)| n == "image").map(|(_, t)| decoder.shape(*t));
        let system = System::of(about.architecture, &config.parse()?, image.unwrap_or(about.sample))?;
        let system = system.ok_or("no system")?;
        let config = SchedulerConfig { system: Some(system.clone()), ..Default::default() };
        let context =
            Context { single: true, options, ..Context::new(&config, about.sample, Steps::Count(steps)) };
        let program = sampler.program(&context)?;
        let drive = Self::of(gpu, case, n, program)?;
        Ok((drive, system))
    }

    /// A program with the networks of a case.
    pub fn of(gpu: &Gpu, case: &Path, n: usize, mut program: Program) -> Result<Drive> {
        let (model, weights) = open(case)?;
        let about = model.describe();
        let (mut graph, mut decoder) = (Graph::new(), Graph::new());
        model.build(&weights, &mut graph)?;
        let decoded = model.part(Part::Decoder, &weights, &mut decoder)?;
        // A noise of a step is written before the step, so two of one register are two steps.
        split(&mut program);
        let mut noises = Vec::new();
        for step in &mut program.steps {
            let mut here = Vec::new();
            step.instructions.retain(|i| match i {
                Instruction::Noise { dst, .. } => {
                    here.push(*dst);
                    false
                }
                _ => true,
            });
            noises.push(here);
        }
        for reg in noises.iter().flatten() {
            program.registers[reg.0 as usize].input = true;
        }
        let mut nets = vec![NetGraph {
            graph: passes::run(&graph.without_taps()),
            images: std::iter::once("sample").chain(about.beside.input()).map(String::from).collect(),
            time: Some("timestep".into()),
            label: None,
            output: "output".into(),
        }];
        if decoded {
            let images = decoder.inputs().iter().map(|(name, _)| name.clone()).collect();
            let graph = passes::run(&decoder.without_taps());
            nets.push(NetGraph { graph, images, time: None, label: None, output: "image".into() });
        }
        let store = WeightStore::default();
        let exe = Executable::new(gpu, &program, &nets, n, Outputs::none(), &store, |_, _| {});
        let exe = pollster::block_on(exe)?;
        exe.start(&Batch::default())?;
        Ok(Drive { program, exe, noises })
    }

    /// Solves to the end from these registers in the loop's own way; an outcome where the network
    /// was not evaluated about as often as the reference's.
    pub fn solve(&self, given: &[(&str, &[f32])], calls: f64) -> Result<Option<Outcome>> {
        let register = |(name, values): &(&str, &[f32])| Ok((self.register(name)?, values.to_vec()));
        let registers = given.iter().map(register).collect::<Result<_>>()?;
        let drawn = self.exe.draw(&Batch { registers, ..Batch::default() })?;
        let passes = drawn.passes.ok_or("it does not say how many passes it took")?;
        let once = (self.program.nfe() - self.program.loop_nfe()) as f64;
        // In batch control all images take the same steps.
        let steps = passes.accepted.iter().zip(&passes.rejected).map(|(a, r)| a + r).max().unwrap_or(0);
        let nfe = once + f64::from(self.program.loop_nfe() as u32 * steps);
        // Two steps of six evaluations: an error near 1 falls to either side by rounding.
        let far = (nfe - calls).abs() > (0.05 * calls).max(12.0);
        Ok(far.then(|| Outcome::Failed(format!("{nfe} evaluations, the reference took {calls}"))))
    }

    fn register(&self, name: &str) -> Result<Reg> {
        match name {
            "x" => Ok(Reg(0)),
            name => Ok(self.program.find_register(name).ok_or(format!("no register {name}"))?),
        }
    }

    pub fn name(&self, reg: Reg) -> String {
        self.program.registers[reg.0 as usize].name.clone()
    }

    pub fn read(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        Ok(self.exe.read_register(self.register(name)?.0 as usize, len)?)
    }
}

/// The outcome of an adaptive solution by the error of its end.
pub fn ended(error: f64) -> Outcome {
    match error <= ADAPTIVE {
        true => Outcome::Passed(error),
        false => Outcome::Failed(format!("the end is off by {error:.2e} of its scale")),
    }
}

/// Cuts steps where a register is filled with noise a second time.
fn split(program: &mut Program) {
    let mut steps = Vec::new();
    for step in program.steps.drain(..) {
        let mut list = Vec::new();
        let mut filled = Vec::new();
        for i in step.instructions {
            if let Instruction::Noise { dst, .. } = &i {
                if filled.contains(dst) {
                    let instructions = std::mem::take(&mut list);
                    steps.push(undiffuse::diffusion::program::Step {
                        label: step.label.clone(),
                        instructions,
                    });
                    filled.clear();
                }
                filled.push(*dst);
            }
            list.push(i);
        }
        steps.push(undiffuse::diffusion::program::Step { label: step.label, instructions: list });
    }
    program.steps = steps;
}

/// Remembers the worst of all differences.
pub struct Worst(pub f64);

impl Worst {
    pub fn state(&mut self, key: &str, got: &[f32], want: &[f32]) -> Result<()> {
        let error = difference(got, want).map_err(|e| format!("{key}: {e}"))?;
        self.0 = self.0.max(error);
        match error > STATE {
            true => Err(format!("{key} is off by {error:.2e} of its scale").into()),
            false => Ok(()),
        }
    }

    pub fn number(&mut self, key: &str, got: f64, want: f64, allowed: f64) -> Result<()> {
        let error = (got - want).abs() / want.abs().max(1.0);
        match error <= allowed {
            true => Ok(()),
            false => Err(format!("{key} is {got}, wanted {want}").into()),
        }
    }
}
