//! What the verbs along the probability flow share: their flags, the model on its device,
//! the pictures, the run.

use crate::progress::Progress;
use crate::solver::Solver;
use crate::{input, numbers, Failure};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;
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
    /// Print one JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

impl FlowArgs {
    /// The model on its device.
    pub fn open(&self) -> Result<Pipeline, Failure> {
        let options =
            Options { adapter: self.adapter.clone(), backend: self.backend.clone(), ..Options::default() };
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
        let picture = input::read(path)?;
        let size = (shape.w as u32, shape.h as u32);
        if size != picture.dimensions() {
            let (w, h) = picture.dimensions();
            say!("note: {} is {w} x {h}, resized to {} x {}", path.display(), size.0, size.1);
        }
        let picture = input::fit(picture, size);
        match shape.c {
            3 => levels.extend_from_slice(picture.as_raw()),
            1 => levels.extend_from_slice(image::imageops::grayscale(&picture).as_raw()),
            c => return Err(format!("this model's pictures have {c} channels: give numbers (.npz)").into()),
        }
    }
    Ok(Given::Levels(levels))
}

/// Runs a job to its end, showing how far it is; Ctrl-C stops it.
pub fn finish(job: &mut Job, what: &str) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    for note in job.report().notes {
        say!("note: {note}");
    }
    let mut progress = Progress::new();
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            progress.done();
            return Err(Failure::Cancelled);
        }
        progress.show(p.fraction(), &format!("{what} {}/{}", p.images, p.count));
    }
    progress.done();
    let report = job.report();
    let nfe = report.nfe;
    say!("{nfe} network evaluations at most, {:.2} s on {}", report.seconds, report.adapter);
    Ok(())
}
