//! `undiffuse edit`: a picture noised to a strength and drawn anew, or taken to its latents and brought
//! back as another class.

use crate::output::png::Text;
use crate::output::{grid, png};
use crate::restore::{picture_model, pictured, sized, work, writable, Common};
use crate::{input, progress, Failure};
use serde_json::json;
use undiffuse::diffusion::sdedit::Start;
use undiffuse::diffusion::Sampler;
use undiffuse::pipeline::{Class, Outputs, Sample};

/// Draw a picture anew, near to it
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    common: Common,
    /// How far it is noised first: 0.2 changes details, 0.5 much, 1 everything
    #[arg(long, default_value_t = 0.5, value_name = "X", allow_negative_numbers = true)]
    strength: f64,
    /// ddim or ddpm
    #[arg(long, default_value = "ddim", value_name = "NAME")]
    sampler: Sampler,
    /// Noise nothing: take the picture to its latents by the probability flow as `--from`, and back as
    /// `--class`; of --steps it makes steps of order 4 both ways
    #[arg(long, conflicts_with_all = ["strength", "sampler", "eta", "count", "seed"])]
    invert: bool,
    /// The class that the picture is of [default: the empty class]
    #[arg(long, value_name = "NAME|INDEX", requires = "invert", allow_negative_numbers = true)]
    from: Option<Class>,
}

/// The picture's latents as one class, brought back as another.
fn invert(args: &Args) -> Result<(), Failure> {
    let common = &args.common;
    writable(common)?;
    let (model, shape) = picture_model(common)?;
    let picture = sized(input::read(&common.image)?, shape)?;
    let back = Sample {
        sampler: if common.steps.is_some() { Sampler::Rk4 } else { Sampler::Rk45 },
        count: 1,
        eta: None,
        ..common.options(&model)
    };
    let there = Sample { class: args.from.clone().unwrap_or_default(), ..back.clone() };
    let pipeline = common.pipeline(model)?;
    let mut encoding = pipeline.encode(&picture, &there)?;
    progress::finish(&mut encoding, "picture")?;
    let latents = encoding.tensors()?.values;
    let outputs = Outputs { images: true, tensors: false, textures: false };
    let mut job = pipeline.decode(&latents, &Sample { outputs, ..back })?;
    progress::finish(&mut job, "picture")?;
    let mut images = vec![pictured(&picture, shape)];
    images.extend(job.images()?);
    let name = pipeline.name();
    let what = format!("{} through the latents of {name}", common.image.display());
    let (first, report) = (encoding.report(), job.report());
    png::write(&common.out, &grid::grid(&images, common.zoom)?, &Text::of(&report, what))?;
    let (nfe, seconds) = (first.nfe + report.nfe, first.seconds + report.seconds);
    say!("there and back, {nfe} evaluations: {seconds:.2} s on {}", report.adapter);
    say!("wrote {}", common.out.display());
    if common.json {
        say!(
            stdout,
            "{}",
            json!({ "model": name, "sampler": report.sampler, "count": 1, "nfe": nfe, "seconds": seconds,
                "adapter": report.adapter, "kernel_set": report.kernel_set,
                "batch_invariant": first.batch_invariant && report.batch_invariant, "file": common.out.display().to_string() })
        );
    }
    Ok(())
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.invert {
        return invert(args);
    }
    let common = &args.common;
    writable(common)?;
    let (model, shape) = picture_model(common)?;
    let picture = sized(input::read(&common.image)?, shape)?;
    let options = Sample {
        sampler: args.sampler,
        start: Some(Start { picture: picture.clone(), strength: args.strength }),
        outputs: Outputs { images: true, tensors: false, textures: false },
        ..common.options(&model)
    };
    let (mut job, name) = work(common, model, &options)?;
    let mut images = vec![pictured(&picture, shape)];
    images.extend(job.images()?);
    let what = format!("{} drawn anew by {name}, strength {}", common.image.display(), args.strength);
    let report = job.report();
    png::write(&common.out, &grid::grid(&images, common.zoom)?, &Text::of(&report, what))?;
    say!(
        "{} edits of strength {}, {} evaluations each: {:.2} s on {}",
        report.images,
        args.strength,
        report.nfe,
        report.seconds,
        report.adapter
    );
    say!("wrote {}", common.out.display());
    if common.json {
        say!(
            stdout,
            "{}",
            json!({ "model": name, "strength": args.strength, "sampler": report.sampler, "count": report.images,
                "nfe": report.nfe, "seconds": report.seconds, "adapter": report.adapter, "kernel_set": report.kernel_set,
                "batch_invariant": report.batch_invariant, "seed": common.seed,
                "file": common.out.display().to_string() })
        );
    }
    Ok(())
}
