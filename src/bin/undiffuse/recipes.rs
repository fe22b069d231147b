//! `undiffuse recipes` and `undiffuse import`: published checkpoints.

use crate::text::{count, table, Side};
use crate::Failure;
use std::borrow::Cow;
use std::path::PathBuf;
use undiffuse::graph::Graph;
use undiffuse::models::{self, Part};
use undiffuse::pipeline::Recipe;
use undiffuse::weights::{Param, Recorder, Weights, WeightsError};

#[derive(clap::Args)]
pub struct Args {
    /// Print one JSON list with everything
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let recipes = Recipe::all()?;
    if args.json {
        say!(stdout, "{}", serde_json::to_string(&recipes)?);
        return Ok(());
    }
    let head =
        [("recipe", Side::Left), ("parameters", Side::Right), ("paper", Side::Left), ("what", Side::Left)];
    let row = |r: &Recipe| {
        vec![r.name.clone(), r.parameters.map_or("-".into(), count), r.paper.clone(), r.about.clone()]
    };
    say!(stdout, "{}", table(&head, &recipes.iter().map(row).collect::<Vec<_>>()).trim_end());
    Ok(())
}

#[derive(clap::Args)]
pub struct Import {
    /// What PyTorch saved. Nothing in it is run
    #[arg(value_name = "CKPT")]
    checkpoint: PathBuf,
    /// Its recipe (see `undiffuse recipes`)
    #[arg(long, value_name = "NAME")]
    recipe: String,
    /// The folder to make: config.json and model.safetensors
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// A tensor of the network, read when it is written.
struct Lazy(Param, Vec<u8>);

impl safetensors::View for Lazy {
    fn dtype(&self) -> safetensors::Dtype {
        safetensors::Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.1)
    }

    fn data_len(&self) -> usize {
        4 * self.0.count()
    }
}

pub fn import(args: &Import) -> Result<(), Failure> {
    let recipe = Recipe::find(&args.recipe)?;
    let (recipe, file) = recipe.torch(&args.checkpoint)?;
    let model = models::open(&recipe.json(), None)?;
    // The networks say which tensors they need, and check each one's shape.
    let recorder = Recorder::new(&file);
    model.build(&recorder, &mut Graph::new())?;
    for part in [Part::Decoder, Part::Encoder] {
        // An encoder that is not supported is not needed to draw.
        let _ = model.part(part, &recorder, &mut Graph::new());
    }
    let mut asked = recorder.asked();
    asked.sort();
    asked.dedup();
    let tensors = asked.iter().map(|(name, shape)| {
        let param = file.get(name, shape)?;
        let bytes = param.to_f32()?.iter().flat_map(|v| v.to_le_bytes()).collect();
        Ok((name.clone(), Lazy(param, bytes)))
    });
    let tensors = tensors.collect::<Result<Vec<_>, WeightsError>>()?;
    let numbers: usize = tensors.iter().map(|(_, t)| t.0.count()).sum();
    // Whole or not at all: a folder beside the place, then its name.
    let parent = args.out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    if args.out.exists() {
        return Err(format!("{} is there already", args.out.display()).into());
    }
    let unfinished = tempfile::Builder::new().prefix(".undiffuse-import").tempdir_in(parent)?;
    let folder = unfinished.path().join("model");
    std::fs::create_dir(&folder)?;
    safetensors::serialize_to_file(tensors, None, &folder.join("model.safetensors"))?;
    std::fs::write(folder.join("config.json"), serde_json::to_string_pretty(&recipe.config)? + "\n")?;
    std::fs::rename(&folder, &args.out)?;
    say!("wrote {}: {} tensors, {numbers} numbers", args.out.display(), asked.len());
    Ok(())
}
