//! `undiffuse inpaint`, `superres`, `colorize`, `deblur`: a degraded picture restored by an
//! unconditional model, as many ways as wanted; or each picture of a set.

mod set;

use crate::output::png::{Text, MOST_ZOOM};
use crate::output::{grid, png, try_file};
use crate::solver::Solver;
use crate::sums::Sums;
use crate::{input, progress, Failure};
use image::RgbImage;
use serde_json::json;
use set::SetArgs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use undiffuse::diffusion::linear::{
    plain, Axes, Convolution, Degradation, Mask, Masked, Operator, Restoration,
};
use undiffuse::diffusion::sampler::SolverOptions;
use undiffuse::diffusion::Sampler;
use undiffuse::gpu::Options;
use undiffuse::kernels::noise;
use undiffuse::pipeline::{Class, Job, Model, Outputs, Pipeline, Sample};
use undiffuse::shape::Shape;

/// What every restoration and every edit is told.
#[derive(clap::Args)]
pub struct Common {
    /// The picture: PNG, JPEG, WebP, GIF, BMP or PNM. To restore, also a set: a folder of pictures, or an .npz of
    /// `images`
    pub image: PathBuf,
    /// The model, named as for `sample`
    #[arg(long, default_value = "emoji32", value_name = "NAME|FOLDER|OWNER/NAME")]
    model: String,
    /// How many: each is another one
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub count: usize,
    /// Steps [default: the sampler's own: 100 of ddnm, 20 of ddrm, 50 of ddim ...]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// The share of fresh noise in each step, 0 to 1 [default: 0.85 of ddnm and ddrm, 1 of repaint, 0 of
    /// ddim]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    eta: Option<f64>,
    /// A class by name or number, `all`, or `none` for the empty class [default: none where the model
    /// has one]
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long, default_value_t = 1.0, value_name = "X", allow_negative_numbers = true)]
    guidance_scale: f64,
    /// Seed of all noise
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub seed: u64,
    /// A .png file: the picture, or what is left of it, then what was drawn; an .npz file of a set
    #[arg(long, default_value = "restored.png", value_name = "FILE")]
    pub out: PathBuf,
    /// Width of a pixel in the output
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_ZOOM)))]
    pub zoom: u32,
    /// The adapter, by number or a part of its name
    #[arg(long, value_name = "NAME|NUMBER")]
    adapter: Option<String>,
    #[command(flatten)]
    sums: Sums,
    /// Print one JSON object about the run on stdout
    #[arg(long)]
    pub json: bool,
}

/// How a restoration is made.
#[derive(clap::Args)]
struct How {
    #[command(flatten)]
    common: Common,
    /// ddnm, ddrm (of noisy pictures too), repaint (of masks) or pc (a model in continuous time)
    #[arg(long, default_value = "ddnm", value_name = "NAME")]
    sampler: Sampler,
    /// The deviation of the noise in the picture, of 255 (ddrm)
    #[arg(long, default_value_t = 0.0, value_name = "X", allow_negative_numbers = true)]
    noise: f64,
    #[command(flatten)]
    solver: Solver,
    #[command(flatten, next_help_heading = "Of a set")]
    set: SetArgs,
}

/// Fill the unknown part of a picture
#[derive(clap::Args)]
pub struct Inpaint {
    #[command(flatten)]
    how: How,
    /// White (more than half) is what is to be filled; of the picture's size [default: what is
    /// transparent in the picture]
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// The picture is whole: hide the part first, and tell how near the restorations come
    #[arg(long, requires = "mask")]
    degrade: bool,
}

/// Make a small picture larger
#[derive(clap::Args)]
pub struct Superres {
    #[command(flatten)]
    how: How,
    /// How many times wider and higher; it must divide the model's size
    #[arg(long, default_value_t = 4, value_name = "N")]
    scale: usize,
    /// How the picture was made small: `average` or `bicubic`
    #[arg(long, default_value = "average", value_name = "NAME", value_parser = ["average", "bicubic"])]
    kernel: String,
    /// The picture is grey too
    #[arg(long)]
    grey: bool,
    /// White is unknown in the small picture; of its size
    #[arg(long, value_name = "FILE")]
    mask: Option<PathBuf>,
    /// The picture is whole: make it small first, and tell how near the restorations come
    #[arg(long)]
    degrade: bool,
}

/// Give a grey picture colours
#[derive(clap::Args)]
pub struct Colorize {
    #[command(flatten)]
    how: How,
    /// Its colours are right: tell how near the restorations come
    #[arg(long)]
    degrade: bool,
}

/// Take a blur away
#[derive(clap::Args)]
pub struct Deblur {
    #[command(flatten)]
    how: How,
    /// The deviation of the Gaussian that it was blurred by, in pixels of the model's size
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    deviation: f64,
    /// Or the kernel that it was blurred by, as a picture: black is nothing, and its sum is made 1
    #[arg(long, value_name = "FILE", conflicts_with = "deviation")]
    kernel: Option<PathBuf>,
    /// The picture is sharp: blur it first, and tell how near the restorations come
    #[arg(long)]
    degrade: bool,
}

/// Pictures and what was done to them.
struct Task {
    degradation: Arc<dyn Degradation>,
    /// `[count, h, w, c]` of what is left, -1 to 1.
    measured: Vec<f32>,
    /// The whole pictures, where they are known.
    whole: Option<Vec<f32>>,
    /// What is done about it without a model: its name, and what it makes of what is left.
    plain: (&'static str, Operator),
}

/// What a user names: a picture, or a set of one size.
struct Given {
    pictures: Vec<RgbImage>,
    /// Where the one picture is transparent.
    clear: Option<RgbImage>,
    /// Whether it is a set, of one picture or more.
    is_set: bool,
}

impl Given {
    fn read(how: &How) -> Result<Given, Failure> {
        let path = &how.common.image;
        if SetArgs::is_set(path) {
            return how.set.read(path);
        }
        how.set.refuse(path)?;
        let (picture, clear) = input::read_with_alpha(path)?;
        Ok(Given { pictures: vec![picture], clear, is_set: false })
    }

    /// Width and height.
    fn size(&self) -> (u32, u32) {
        self.pictures.first().map_or((0, 0), |p| p.dimensions())
    }

    /// All at the size that is wanted, as numbers from -1 to 1, one after the other.
    fn sized(self, shape: Shape) -> Result<Vec<f32>, Failure> {
        let size = (shape.w as u32, shape.h as u32);
        let mut all = Vec::new();
        for (i, picture) in self.pictures.into_iter().enumerate() {
            // Of a set it is said once.
            let picture = if i == 0 { picture } else { input::fit(picture, size) };
            all.extend(sized(picture, shape)?);
        }
        Ok(all)
    }
}

pub fn inpaint(args: &Inpaint) -> Result<(), Failure> {
    let c = &args.how.common;
    run(&args.how, |mut given, shape| {
        let hidden = match (&args.mask, given.clear.take()) {
            (Some(path), _) => read_mask(path, given.size(), &c.image)?,
            (None, Some(clear)) => clear,
            (None, None) => {
                let what = "the picture has no transparent part: say with --mask what is to be filled";
                return Err(what.into());
            }
        };
        let mask = Mask::new(shape, &known(hidden, shape))?;
        let whole = given.sized(shape)?;
        let measured = apply(&mask, &whole);
        let plain = ("mean fill", plain::mean_fill(&mask));
        // What is hidden may be anything: it is no measure of the restorations, unless the user says so.
        Ok(Task { degradation: Arc::new(mask), measured, whole: args.degrade.then_some(whole), plain })
    })
}

/// A mask, which must be of its picture's size.
fn read_mask(path: &Path, (w, h): (u32, u32), image: &Path) -> Result<RgbImage, Failure> {
    let mask = input::read(path)?;
    if mask.dimensions() == (w, h) {
        return Ok(mask);
    }
    let ((mw, mh), path, image) = (mask.dimensions(), path.display(), image.display());
    Err(format!("--mask {path} is {mw} x {mh}, {image} {w} x {h}: a mask is of the picture's size").into())
}

/// Which pixels a mask leaves, at the size of what is masked.
fn known(hidden: RgbImage, shape: Shape) -> Vec<bool> {
    let hidden = input::fit(hidden, (shape.w as u32, shape.h as u32));
    hidden.pixels().map(|p| p.0[0] < 128).collect()
}

pub fn superres(args: &Superres) -> Result<(), Failure> {
    run(&args.how, |given, shape| {
        let mut axes = match args.kernel.as_str() {
            "bicubic" => Axes::bicubic(shape, args.scale)?,
            _ => Axes::average(shape, args.scale)?,
        };
        if args.grey {
            let small = axes.operator().to();
            axes = axes.then(Axes::grey(small)?)?;
        }
        let small = axes.operator().to();
        let larger = plain::bicubic(small, shape)?;
        let Some(path) = &args.mask else {
            return degraded(&args.how, given, Arc::new(axes), args.degrade, ("bicubic", larger));
        };
        let size = if args.degrade { (small.w as u32, small.h as u32) } else { given.size() };
        let known = known(read_mask(path, size, &args.how.common.image)?, small);
        let (masked, mask) = (Masked::new(Arc::new(axes), &known)?, Mask::new(small, &known)?);
        let plain = ("mean fill, bicubic", Operator::Chain(vec![plain::mean_fill(&mask), larger]));
        let task = degraded(&args.how, given, Arc::new(masked), args.degrade, plain)?;
        // What the picture has where it is unknown was not measured.
        Ok(Task { measured: apply(&mask, &task.measured), ..task })
    })
}

pub fn colorize(args: &Colorize) -> Result<(), Failure> {
    // Whatever colours it has are taken away first.
    run(&args.how, |given, shape| {
        let grey = Axes::grey(shape)?;
        let copy = ("grey copy", plain::bicubic(grey.operator().to(), shape)?);
        let task = degraded(&args.how, given, Arc::new(grey), true, copy)?;
        Ok(Task { whole: task.whole.filter(|_| args.degrade), ..task })
    })
}

pub fn deblur(args: &Deblur) -> Result<(), Failure> {
    run(&args.how, |given, shape| {
        let degradation: Arc<dyn Degradation> = match &args.kernel {
            None => Arc::new(Axes::gaussian_blur(shape, args.deviation)?),
            Some(path) => {
                let picture = input::read(path)?;
                let (w, h) = (picture.width() as usize, picture.height() as usize);
                let levels = input::levels(&picture, 1).ok_or("pictures have one channel or three")?;
                let weights: Vec<f64> = levels.iter().map(|v| f64::from(*v)).collect();
                Arc::new(Convolution::new(shape, (h, w), &weights)?)
            }
        };
        let nothing = ("Wiener", plain::mean_fill(&Mask::new(shape, &vec![true; shape.pixels()])?));
        let task = degraded(&args.how, given, degradation, args.degrade, nothing)?;
        let ratio = noise_ratio(args.how.noise / 127.5, &task.measured, shape);
        Ok(Task { plain: ("Wiener", plain::wiener(&*task.degradation, ratio)?), ..task })
    })
}

/// The variance of the noise, that of 8 bits' rounding with it, by that of the pictures about their means, as far
/// as what is left of them tells it.
fn noise_ratio(deviation: f64, measured: &[f32], shape: Shape) -> f64 {
    let noise = deviation * deviation + (1.0 / 127.5f64).powi(2) / 12.0;
    let variance = |picture: &[f32]| {
        let n = picture.len() as f64;
        let mean = picture.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        picture.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n
    };
    let pictures = measured.chunks_exact(shape.len());
    let count = pictures.len().max(1) as f64;
    let signal = pictures.map(variance).sum::<f64>() / count - noise;
    // Nothing but noise: its mean is all that is known.
    noise / signal.max(1e-6)
}

/// The task of pictures that were degraded already, or are now.
fn degraded(
    how: &How,
    given: Given,
    degradation: Arc<dyn Degradation>,
    degrade: bool,
    plain: (&'static str, Operator),
) -> Result<Task, Failure> {
    let operator = degradation.operator();
    let pictures = given.sized(if degrade { operator.from() } else { operator.to() })?;
    let mut measured = if degrade { apply(&*degradation, &pictures) } else { pictures.clone() };
    if degrade && how.noise > 0.0 {
        let mut noise = vec![0.0; operator.to().len()];
        for (i, picture) in measured.chunks_exact_mut(noise.len()).enumerate() {
            // Of images that no count reaches: the restorations' own noise is another.
            noise::fill(how.common.seed, u64::MAX - i as u64, 0, &mut noise);
            picture.iter_mut().zip(&noise).for_each(|(m, z)| *m += (how.noise / 127.5) as f32 * z);
        }
    }
    Ok(Task { degradation, measured, whole: degrade.then_some(pictures), plain })
}

/// What a degradation leaves of each picture.
fn apply(degradation: &dyn Degradation, pictures: &[f32]) -> Vec<f32> {
    by(&degradation.operator(), pictures)
}

/// What an operator makes of each picture.
fn by(operator: &Operator, pictures: &[f32]) -> Vec<f32> {
    let each = pictures.chunks_exact(operator.from().len().max(1)).flat_map(|picture| {
        let picture: Vec<f64> = picture.iter().map(|v| f64::from(*v)).collect();
        operator.apply(&picture)
    });
    each.map(|v| v as f32).collect()
}

/// A picture at the size that is wanted, as numbers from -1 to 1.
pub fn sized(picture: RgbImage, shape: Shape) -> Result<Vec<f32>, Failure> {
    let picture = input::fitted(picture, (shape.w as u32, shape.h as u32), "the picture");
    let levels = input::levels(&picture, shape.c).ok_or("pictures have one channel or three")?;
    Ok(levels.iter().map(|v| f32::from(*v) / 127.5 - 1.0).collect())
}

/// A picture of numbers from -1 to 1 of one or three colours.
pub fn pictured(numbers: &[f32], shape: Shape) -> RgbImage {
    let byte = |v: f32| ((v * 0.5 + 0.5) * 255.0).round().clamp(0.0, 255.0) as u8;
    RgbImage::from_fn(shape.w as u32, shape.h as u32, |x, y| {
        let at = (y as usize * shape.w + x as usize) * shape.c;
        image::Rgb([0, 1, 2].map(|c| byte(numbers[at + c.min(shape.c - 1)])))
    })
}

/// Refuses an output that cannot be, before any work is done.
pub fn writable(common: &Common) -> Result<(), Failure> {
    if common.out.extension().is_none_or(|e| !e.eq_ignore_ascii_case("png")) {
        return Err(format!("--out {}: a .png file is written", common.out.display()).into());
    }
    Ok(try_file(&common.out)?)
}

/// The model and the shape of its pictures.
pub fn picture_model(common: &Common) -> Result<(Model, Shape), Failure> {
    let model = Model::find(&common.model)?;
    let shape = model.image();
    if model.is_points() || !matches!(shape.c, 1 | 3) {
        return Err(format!("{} does not draw pictures", model.name()).into());
    }
    Ok((model, shape))
}

impl Common {
    /// The model on its device.
    pub fn pipeline(&self, model: Model) -> Result<Pipeline, Failure> {
        let gpu = crate::device::open(&Options {
            adapter: self.adapter.clone(),
            summation: self.sums.order(),
            ..Options::default()
        })?;
        Ok(Pipeline::new(&gpu, model, |_, _| {})?)
    }

    /// What is said of all that is drawn.
    pub fn options(&self, model: &Model) -> Sample {
        Sample {
            count: self.count,
            steps: self.steps,
            eta: self.eta,
            class: self.class.clone().unwrap_or(empty(model)),
            guidance_scale: self.guidance_scale,
            seed: self.seed,
            ..Sample::default()
        }
    }
}

/// Draws; the job, and the model's name.
pub fn work(common: &Common, model: Model, options: &Sample) -> Result<(Job, String), Failure> {
    let pipeline = common.pipeline(model)?;
    let mut job = pipeline.sample(options)?;
    progress::finish(&mut job, "picture")?;
    Ok((job, pipeline.name().to_string()))
}

/// Opens the model, makes the task for its size, restores, and writes.
fn run(how: &How, task: impl FnOnce(Given, Shape) -> Result<Task, Failure>) -> Result<(), Failure> {
    let common = &how.common;
    if !how.sampler.restores() {
        let names: Vec<&str> = Sampler::all().filter(|s| s.restores()).map(Sampler::name).collect();
        let name = how.sampler.name();
        return Err(format!("--sampler {name}: it does not restore; choose {}", names.join(", ")).into());
    }
    if SetArgs::is_set(&common.image) {
        how.set.writable(common)?;
    } else {
        writable(common)?;
    }
    let (model, shape) = picture_model(common)?;
    let given = Given::read(how)?;
    let is_set = given.is_set;
    let task = task(given, shape)?;
    if is_set {
        return set::run(how, model, task);
    }
    let Task { degradation, measured, whole, .. } = task;
    let (name, operator) = (degradation.name(), degradation.operator());
    let shown = by(&degradation.pseudo_inverse(), &measured);
    let options = Sample {
        sampler: how.sampler,
        solver: how.solver.over(SolverOptions::default()),
        restoration: Some(Restoration { degradation, measured: measured.clone(), noise: how.noise / 127.5 }),
        outputs: Outputs { images: true, tensors: true, textures: false },
        ..common.options(&model)
    };
    let (mut job, model) = work(common, model, &options)?;
    let values = job.tensors()?.values;
    // How far from the measurement a result is that is degraded again: nowhere but by rounding.
    let again = values.chunks_exact(shape.len()).map(|x| {
        let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let far = operator.apply(&x).into_iter().zip(&measured).map(|(a, b)| (a - f64::from(*b)).abs());
        far.fold(0.0, f64::max) * 127.5
    });
    let off = again.fold(0.0, f64::max);
    let mut images = vec![pictured(&shown, shape)];
    images.extend(job.images()?);
    let what = format!(
        "{}: {name}, undone by {} with {}, seed {}",
        common.image.display(),
        model,
        how.sampler.name(),
        common.seed
    );
    let report = job.report();
    png::write(&common.out, &grid::grid(&images, common.zoom)?, &Text::of(&report, what))?;
    say!(
        "{name}: {} restorations, {} evaluations each: {:.2} s on {}",
        report.images,
        report.nfe,
        report.seconds,
        report.adapter
    );
    say!("degraded again, they are at most {off:.3} of 255 from the picture");
    let near = whole.map(|whole| nearness(&values, &shown, &whole));
    if let Some([baseline, single, mean]) = near {
        say!("PSNR to the whole picture: {baseline:.2} dB by the pseudo-inverse, {single:.2} dB of a restoration (mean), {mean:.2} dB of the mean of all");
    }
    say!("wrote {}", common.out.display());
    if common.json {
        let psnr = near.map(
            |[baseline, single, mean]| json!({ "pseudo_inverse": baseline, "single": single, "mean": mean }),
        );
        say!(
            stdout,
            "{}",
            json!({
                "model": model, "sampler": report.sampler, "degradation": name, "count": report.images, "nfe": report.nfe,
                "seconds": report.seconds, "adapter": report.adapter, "kernel_set": report.kernel_set,
                "batch_invariant": report.batch_invariant, "seed": common.seed,
                "off_by_255ths": off, "psnr": psnr, "file": common.out.display().to_string(),
            })
        );
    }
    Ok(())
}

/// The class that says nothing of the picture.
fn empty(model: &Model) -> Class {
    match model.label(&Class::None, 0) {
        Ok(Some(_)) => Class::None,
        _ => Class::Auto,
    }
}

/// PSNR of the pseudo-inverse, of single restorations (their mean), and of the mean of all.
fn nearness(values: &[f32], shown: &[f32], whole: &[f32]) -> [f64; 3] {
    let psnr = |x: &[f32]| {
        let square = |(a, b): (&f32, &f32)| (f64::from(a.clamp(-1.0, 1.0)) - f64::from(*b)).powi(2) / 4.0;
        let mean = x.iter().zip(whole).map(square).sum::<f64>() / whole.len() as f64;
        -10.0 * mean.max(1e-10).log10()
    };
    let all: Vec<&[f32]> = values.chunks_exact(whole.len()).collect();
    let count = all.len().max(1) as f32;
    let mean: Vec<f32> = (0..whole.len()).map(|i| all.iter().map(|x| x[i]).sum::<f32>() / count).collect();
    [psnr(shown), all.iter().map(|x| psnr(x)).sum::<f64>() / f64::from(count), psnr(&mean)]
}
