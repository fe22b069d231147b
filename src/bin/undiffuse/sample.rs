//! `undiffuse sample`: draw pictures.

use crate::output::{self, Kind, Output};
use crate::progress::Progress;
use crate::Failure;
use image::RgbImage;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;
use undiffuse::diffusion::sampler::Sampler;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Class, Job, Model, Outputs, Pipeline, Sample};

#[derive(clap::Args)]
pub struct Args {
    /// An embedded model or `zoo/NAME` (see `undiffuse info`), a model folder as diffusers saves
    /// it, or `OWNER/NAME` as the Hugging Face cache has it
    #[arg(long, default_value = "emoji32", value_name = "NAME|FOLDER|OWNER/NAME")]
    model: String,
    /// How many images
    #[arg(long, default_value_t = 1, value_name = "N")]
    count: usize,
    /// Index of the first image: an image is a function of model, options, seed and index
    #[arg(long, default_value_t = 0, value_name = "I")]
    first_index: u64,
    /// Images at once [default: what fits]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// ddpm (ancestral), ddim, euler, dpmpp_2m, unipc ... (a wrong name lists all)
    #[arg(long, default_value = "ddim", value_name = "NAME")]
    sampler: Sampler,
    /// Steps [default: the sampler's: 50 for ddim, 20 for dpmpp_2m, all for ddpm]
    #[arg(long, value_name = "N")]
    steps: Option<usize>,
    /// DDIM's stochasticity, from 0 (none) to 1 (as DDPM)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    eta: Option<f64>,
    /// A class by name or number, `all` for each in turn, `none` for the empty class [default: all]
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long, default_value_t = 1.0, value_name = "X", allow_negative_numbers = true)]
    guidance_scale: f64,
    /// Seed of all noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// A .png file (a grid of all images) or a folder (a file per image, named by index)
    #[arg(long, default_value = "undiffuse.png", value_name = "FILE|FOLDER")]
    out: PathBuf,
    /// Width of a pixel in the output
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    zoom: u32,
    /// The adapter, by number or a part of its name (see `undiffuse info`)
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    /// vulkan, metal, dx12 or webgpu
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    /// Memory that the engine may have on the device, in MiB [default: all of a GPU's, most of
    /// what is free where the adapter is a processor]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    memory: Option<u64>,
    /// Print one JSON object about the run on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    let output = Output::open(&args.out)?;
    let gpu = Gpu::open(&Options {
        adapter: args.adapter.clone(),
        backend: args.backend.clone(),
        ..Default::default()
    })?;
    if let Some(mib) = args.memory {
        gpu.set_memory_budget(Some(mib << 20));
    }
    let mut progress = Progress::new();
    let mut prepare = |done: usize, of: usize| {
        if stop.load(Ordering::SeqCst) {
            // Nothing is drawn yet, and planning cannot be interrupted from here.
            progress.done();
            say!("undiffuse: stopped before anything was drawn");
            output.abandon();
            std::process::exit(130);
        }
        progress.show(0.0, &format!("preparing {done}/{of}"));
    };
    let pipeline = Pipeline::new(&gpu, Model::find(&args.model)?, &mut prepare)?;
    for note in pipeline.notes() {
        say!("note: {note}");
    }
    let shape = pipeline.describe().sample;
    output.check(args.count, (shape.w, shape.h), args.zoom)?;
    let info = gpu.info();
    say!("{} on {} ({:?})", pipeline.name(), info.name, info.backend);
    if info.device_type == wgpu::DeviceType::Cpu {
        say!("note: this is a software adapter; a GPU would be far faster");
    }
    let options = Sample {
        count: args.count,
        first_index: args.first_index,
        batch: args.batch,
        sampler: args.sampler,
        steps: args.steps,
        eta: args.eta,
        class: args.class.clone().unwrap_or_default(),
        guidance_scale: args.guidance_scale,
        seed: args.seed,
        outputs: Outputs { textures: false, ..Outputs::default() },
    };
    let mut job = pipeline.sample_with_progress(&options, &mut prepare)?;
    for note in job.report().notes {
        say!("note: {note}");
    }
    let mut writer = Writer::new(&output, args.first_index, args.zoom);
    let drawn = draw(&mut job, &stop, &mut progress, &mut writer);
    progress.done();
    drawn?;
    writer.finish()?;
    let report = job.report();
    if args.json {
        let mut json = serde_json::to_value(&report)?;
        json["files"] = writer.files.iter().map(|f| f.display().to_string()).collect();
        say!(stdout, "{json}");
    }
    let rate = report.images as f64 / report.seconds.max(1e-9);
    say!(
        "{} image(s), {} steps of {}, {} network evaluations each: {:.2} s ({rate:.2} images/s) on {}",
        report.images,
        report.steps,
        report.sampler,
        report.nfe,
        report.seconds,
        report.adapter
    );
    say!("wrote {}", writer.said());
    Ok(())
}

/// Runs the job; images go to the writer as their batch is done.
fn draw(
    job: &mut Job,
    stop: &AtomicBool,
    progress: &mut Progress,
    writer: &mut Writer,
) -> Result<(), Failure> {
    while let Some(p) = job.advance(Duration::from_millis(100))? {
        if stop.load(Ordering::SeqCst) {
            return Err(Failure::Cancelled);
        }
        let what = format!("image {}/{}, step {}/{}", p.images, p.count, p.step, p.steps);
        progress.show(p.fraction(), &what);
        writer.add(job.take())?;
    }
    Ok(())
}

/// Writes images as they come (folder) or together (grid).
struct Writer<'a> {
    output: &'a Output,
    first_index: u64,
    zoom: u32,
    images: Vec<RgbImage>,
    files: Vec<PathBuf>,
}

impl<'a> Writer<'a> {
    fn new(output: &'a Output, first_index: u64, zoom: u32) -> Writer<'a> {
        Writer { output, first_index, zoom, images: Vec::new(), files: Vec::new() }
    }

    fn add(&mut self, images: Vec<RgbImage>) -> Result<(), Failure> {
        match &self.output.to {
            Kind::Grid(_) => self.images.extend(images),
            Kind::Folder(folder) => {
                for image in images {
                    let index = self.first_index + self.files.len() as u64;
                    let path = folder.join(format!("{index:06}.png"));
                    output::write_png(&path, &output::zoomed(&image, self.zoom))?;
                    self.files.push(path);
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if let Kind::Grid(path) = &self.output.to {
            let image = match &self.images[..] {
                [one] => output::zoomed(one, self.zoom),
                many => output::grid(many, self.zoom)?,
            };
            output::write_png(path, &image)?;
            self.files.push(path.clone());
        }
        Ok(())
    }

    fn said(&self) -> String {
        match (&self.output.to, &self.files[..]) {
            (Kind::Folder(folder), files) => format!("{} files in {}", files.len(), folder.display()),
            (Kind::Grid(path), _) => path.display().to_string(),
        }
    }
}
