//! Draws eight pictures without a window: `cargo run --release --example headless`.

use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Class, Pipeline, Sample};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gpu = Gpu::open(&Options::default())?;
    let pipeline = Pipeline::embedded(&gpu, "emoji32")?;
    let options = Sample {
        count: 8,
        steps: Some(20),
        class: Class::Name("Food & Drink".into()),
        guidance_scale: 1.5,
        seed: 1,
        ..Default::default()
    };
    let mut job = pipeline.sample(&options)?;
    for (i, image) in job.images()?.iter().enumerate() {
        image.save(std::env::temp_dir().join(format!("undiffuse-{i}.png")))?;
    }
    println!("{:.1} s on {}; see {}", job.report().seconds, gpu.info().name, std::env::temp_dir().display());
    Ok(())
}
