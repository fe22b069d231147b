//! `undiffuse edit`: a picture noised to a strength and drawn anew.

use crate::output::{grid, png};
use crate::restore::{picture_model, pictured, sized, work, writable, Common};
use crate::{input, Failure};
use serde_json::json;
use undiffuse::diffusion::sdedit::Start;
use undiffuse::diffusion::Sampler;
use undiffuse::pipeline::{Outputs, Sample};

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
}

pub fn run(args: &Args) -> Result<(), Failure> {
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
    png::write_plain(&common.out, &grid::grid(&images, common.zoom)?, &what)?;
    let report = job.report();
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
                "nfe": report.nfe, "seconds": report.seconds, "adapter": report.adapter, "seed": common.seed,
                "file": common.out.display().to_string() })
        );
    }
    Ok(())
}
