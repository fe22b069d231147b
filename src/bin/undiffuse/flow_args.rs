//! What the verbs along the probability flow share: their flags, the model on its device,
//! the pictures, the run.

use crate::solver::Solver;
use crate::sums::Sums;
use crate::{input, numbers, progress, Failure};
use std::path::{Path, PathBuf};
use undiffuse::diffusion::Sampler;
use undiffuse::gpu::Options;
use undiffuse::pipeline::{Class, Job, Model, Pipeline, Sample};
use undiffuse::shape::Shape;

#[derive(clap::Args)]
pub struct FlowArgs {
    /// The model, named as for `sample`
    #[arg(long, default_value = "emoji32", value_name = "NAME|FOLDER|OWNER/NAME")]
    pub model: String,
    /// Solve in so many steps of order 4 (four network evaluations each), in place of rk45, which
    /// chooses its steps by --rtol and --atol
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    #[command(flatten)]
    solver: Solver,
    /// A class by name or number, or `none` [default: the empty class, where there are classes]
    #[arg(long, value_name = "NAME|INDEX", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Pictures at once [default: what fits]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// The adapter, by number or a part of its name (see `undiffuse info`)
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    #[command(flatten)]
    sums: Sums,
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

impl FlowArgs {
    /// The model on its device.
    pub fn open(&self) -> Result<Pipeline, Failure> {
        let options = Options {
            adapter: self.adapter.clone(),
            backend: self.backend.clone(),
            summation: self.sums.order(),
            ..Options::default()
        };
        let gpu = crate::device::open(&options)?;
        let pipeline = Pipeline::new(&gpu, Model::find(&self.model)?, |_, _| {})?;
        for note in pipeline.notes() {
            say!("note: {note}");
        }
        say!("{} on {} ({:?})", pipeline.name(), gpu.info().name, gpu.info().backend);
        Ok(pipeline)
    }

    /// What the flags say.
    pub fn options(&self) -> Sample {
        let given = Sample::default();
        Sample {
            sampler: if self.steps.is_some() { Sampler::Rk4 } else { Sampler::Rk45 },
            steps: self.steps,
            solver: self.solver.over(given.solver),
            class: self.class.clone().unwrap_or_default(),
            batch: self.batch,
            ..given
        }
    }
}

/// What a user gives as pictures.
pub enum Given {
    /// Levels from 0 to 255, `[count, h, w, c]`.
    Levels(Vec<u8>),
    /// Numbers of an `.npz` or `.npy` file, `[count, h, w, c]`.
    Numbers(Vec<f32>),
}

/// Reads pictures of the model's size, or one file of numbers.
pub fn read(paths: &[PathBuf], shape: Shape) -> Result<Given, Failure> {
    let is_numbers = |p: &Path| p.extension().is_some_and(|e| e == "npz" || e == "npy");
    if let [path] = paths {
        if is_numbers(path) {
            return Ok(Given::Numbers(numbers::read(path, shape)?));
        }
    }
    let mut levels = Vec::new();
    for path in paths {
        if is_numbers(path) {
            return Err(format!("{}: numbers stand alone, give one such file", path.display()).into());
        }
        let size = (shape.w as u32, shape.h as u32);
        let picture = input::fitted(input::read(path)?, size, &path.display().to_string());
        let own = input::levels(&picture, shape.c);
        let why = || format!("this model's pictures have {} channels: give numbers (.npz)", shape.c);
        levels.extend(own.ok_or_else(why)?);
    }
    Ok(Given::Levels(levels))
}

/// Runs a job to its end, and says what it took.
pub fn finish(job: &mut Job, what: &str) -> Result<(), Failure> {
    for note in job.report().notes {
        say!("note: {note}");
    }
    progress::finish(job, what)?;
    let report = job.report();
    let nfe = report.nfe;
    say!("{nfe} network evaluations at most, {:.2} s on {}", report.seconds, report.adapter);
    Ok(())
}
