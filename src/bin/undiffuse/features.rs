//! `undiffuse features`: what a network sees in pictures, as an `.npz` file.

use crate::draw_args::DeviceArgs;
use crate::evaluate::look;
use crate::merge::{write_features, write_statistics};
use crate::output::try_file;
use crate::progress::Progress;
use crate::sets::{self, Given, Kept, Network, Set};
use crate::shard::ShardArgs;
use crate::Failure;
use serde_json::json;
use std::path::PathBuf;
use undiffuse::gpu::Gpu;
use undiffuse::metrics::{Features, Moments};
use undiffuse::pipeline::{Blocks, Class, Extractor, FeatureModel, Model, Reference, Seen};
use undiffuse::shape::Shape;

#[derive(clap::Args)]
pub struct Args {
    /// A feature network, as zoo/fashion-classifier, or with --tap a diffusion model, named as for `sample`
    #[arg(value_name = "NETWORK|MODEL")]
    network: String,
    /// A folder of pictures, or an .npz of `images`
    #[arg(long, value_name = "FOLDER|FILE.npz", required_unless_present = "list")]
    images: Option<PathBuf>,
    /// The block of a diffusion model whose activations are averaged over its pixels
    #[arg(long, value_name = "BLOCK")]
    tap: Option<String>,
    /// The time to which pictures are noised for --tap: a timestep of a discrete chain, else that of the
    /// model's process, as 0 to 1
    #[arg(long, value_name = "T", requires = "tap")]
    time: Option<f64>,
    /// The class that a diffusion model is told [default: the empty class, where there are classes]
    #[arg(long, value_name = "NAME|INDEX", requires = "tap", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Seed of the noise for --tap
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Print the blocks of a diffusion model, and do nothing
    #[arg(long)]
    list: bool,
    /// Write mean and covariance (`mu`, `sigma`, `count`) in place of the features: a --reference, and what
    /// `merge` joins
    #[arg(long)]
    statistics: bool,
    #[command(flatten)]
    shard: ShardArgs,
    /// The file: float32 `features` [count, width], `logits`, uint64 `index`
    #[arg(long, default_value = "features.npz", value_name = "FILE.npz")]
    out: PathBuf,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.list {
        let model = Model::find(&args.network)?;
        for block in model.blocks() {
            say!(stdout, "{block}");
        }
        return Ok(());
    }
    if args.out.extension().is_none_or(|e| e != "npz") {
        return Err(format!("--out {}: name an .npz file", args.out.display()).into());
    }
    try_file(&args.out)?;
    let path = args.images.clone().unwrap_or_default();
    let name = path.display().to_string();
    let Given::Pictures(set) = sets::read(&path)? else {
        return Err(format!("{name} holds no pictures").into());
    };
    let set = part(set, args)?;
    let index = set.index.clone();
    let gpu = args.device.open()?;
    let kept = match &args.tap {
        None => {
            let extractor = Extractor::new(&gpu, FeatureModel::find(&args.network)?)?;
            let network = Network::of(&extractor);
            let Reference::Seen(seen) = look(Given::Pictures(set), &name, &extractor)? else {
                return Err(format!("{name} holds no pictures").into());
            };
            Kept { seen, index, network }
        }
        Some(tap) => {
            let (features, hash) = block(args, &gpu, tap, &set)?;
            let seen = Seen { features, logits: Vec::new() };
            Kept { seen, index, network: Network { features: format!("{} {tap}", args.network), hash } }
        }
    };
    let (count, width) = (kept.seen.features.len(), kept.seen.features.width());
    match args.statistics {
        true => write_statistics(&args.out, &Moments::of(&kept.seen.features)?)?,
        false => write_features(&args.out, &kept)?,
    };
    let what = if args.statistics { "statistics of " } else { "" };
    say!(
        "wrote {}: {what}{width} features of {count} pictures, by {}",
        args.out.display(),
        kept.network.features
    );
    if args.json {
        let all = json!({ "network": kept.network, "pictures": count, "width": width,
            "statistics": args.statistics, "kernel_set": gpu.kernel_set(),
            "batch_invariant": gpu.summation().is_batch_invariant(), "out": args.out.display().to_string() });
        say!(stdout, "{all}");
    }
    Ok(())
}

/// The part of the pictures that is this process's.
fn part(set: Set, args: &Args) -> Result<Set, Failure> {
    let Some(shard) = args.shard.read()? else { return Ok(set) };
    let range = shard.range(set.index.len() as u64);
    let (first, end) = (range.start as usize, range.end as usize);
    if first == end {
        return Err(
            format!("part {} of {} of {} pictures is empty", shard.part, shard.of, set.index.len()).into()
        );
    }
    let len = set.shape.len();
    Ok(Set {
        levels: set.levels[first * len..end * len].to_vec(),
        shape: set.shape,
        index: set.index[first..end].to_vec(),
        labels: set.labels.map(|l| l[first..end].to_vec()),
    })
}

fn block(args: &Args, gpu: &Gpu, tap: &str, set: &Set) -> Result<(Features, String), Failure> {
    let model = Model::find(&args.network)?;
    let blocks = Blocks::new(gpu, &model, tap)?;
    let (low, high) = blocks.times();
    let time = args
        .time
        .ok_or_else(|| format!("--tap needs the --time that pictures are noised to, {low} to {high}"))?;
    let shape = model.describe().sample;
    if (set.shape.h, set.shape.w) != (shape.h, shape.w) {
        return Err(format!("the pictures are {}, the model takes {shape}", set.shape).into());
    }
    let class = args.class.clone().unwrap_or(match model.label(&Class::None, 0) {
        Ok(_) => Class::None,
        Err(_) => Class::Auto,
    });
    let mut progress = Progress::new();
    let x = numbers(set, shape)?;
    let found = blocks.look(&x, time, &class, args.seed, |done, of| {
        progress.show(done as f64 / of.max(1) as f64, &format!("looking at picture {done}/{of}"));
    });
    progress.done();
    Ok((found?, format!("{} time {time} seed {}", model.hash(), args.seed)))
}

/// Levels as numbers in `[-1, 1]` of as many channels as the model takes.
fn numbers(set: &Set, shape: Shape) -> Result<Vec<f32>, Failure> {
    let number = |v: &u8| f32::from(*v) / 127.5 - 1.0;
    match (set.shape.c, shape.c) {
        (a, b) if a == b => Ok(set.levels.iter().map(number).collect()),
        (1, 3) => Ok(set.levels.iter().flat_map(|v| [number(v); 3]).collect()),
        (3, 1) => Ok(set.levels.chunks_exact(3).map(|p| number(&p[0])).collect()),
        (a, b) => Err(format!("the pictures have {a} channels, the model takes {b}").into()),
    }
}
