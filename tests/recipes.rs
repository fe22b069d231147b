//! Recipes of published checkpoints: each opens, and the networks have as many parameters as
//! the authors' code; and the part of them that no checkpoint of the goldens has.

#[path = "support/command.rs"]
mod command;

use command::{arg, good, run};
use std::path::Path;
use undiffuse::engine::evaluate;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::graph::{passes, Graph};
use undiffuse::models::{self, Part};
use undiffuse::pipeline::Recipe;
use undiffuse::shape::Shape;
use undiffuse::weights::{
    deterministic, Deterministic, Json, Param, Safetensors, Stored, Weights, WeightsError,
};

#[test]
fn parameters_are_as_many_as_published() {
    let (mut counted, mut wrong) = (0, Vec::new());
    for recipe in Recipe::all().unwrap() {
        let found = recipe.count_parameters().unwrap_or_else(|e| panic!("{}: {e}", recipe.name));
        if let Some(published) = recipe.parameters {
            counted += 1;
            if published != found {
                wrong.push(format!("{}: {found}, published {published}", recipe.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(counted >= 18, "{counted}");
}

#[test]
fn a_wrong_name_lists_all() {
    let error = Recipe::find("score_sde/nothing").unwrap_err().to_string();
    assert!(error.contains("ddgan/cifar10") && error.contains("lsgm/mnist"), "{error}");
}

/// Deterministic weights, of weight norms near 0.6.
struct Near;

impl Weights for Near {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        let param = Deterministic.get(name, shape)?;
        match name.ends_with("log_weight_norm") {
            true => Ok(param.map("near", shape, |w| w.iter().map(|w| 0.3 * w - 0.5).collect())),
            false => Ok(param),
        }
    }

    fn contains(&self, name: &str) -> bool {
        Deterministic.contains(name)
    }

    fn names(&self) -> Vec<String> {
        Deterministic.names()
    }

    fn stored(&self, name: &str) -> Option<Stored<'_>> {
        Deterministic.stored(name)
    }
}

/// Numbers of a picture as PyTorch has them, channel by channel, as the engine has them.
fn by_pixel(planes: &[f32], shape: Shape) -> Vec<f32> {
    let pixels = shape.h * shape.w;
    (0..planes.len()).map(|i| planes[i % shape.c * pixels + i / shape.c]).collect()
}

/// `tests/goldens_make/nvae_encoder.py` computed it.
#[test]
fn an_encoder_of_two_scales_with_flows_is_pytorchs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/nvae");
    let model = models::open(&Json::read(&folder.join("config.json"), 1 << 16).unwrap(), None).unwrap();
    let mut graph = Graph::new();
    assert!(model.part(Part::Encoder, &Near, &mut graph).unwrap());
    let shape = |group: usize| Shape::new(8 << (group / 2), 8 << (group / 2), 4);
    let normal = |key: &str, shape: Shape| {
        let stream = |part: &str| deterministic::uniform(&format!("{key}/{part}"), shape.len());
        let pairs = stream("r").zip(stream("a"));
        let z = pairs.map(|(r, a)| (-2.0 * (1.0 - r).ln()).sqrt() * (std::f64::consts::TAU * a).cos());
        by_pixel(&z.map(|z| z as f32).collect::<Vec<_>>(), shape)
    };
    let picture: Vec<f32> = normal("image", Shape::new(32, 32, 3)).iter().map(|v| v / 2.0).collect();
    let noises: Vec<(String, Vec<f32>)> = (0..4)
        .map(|i| format!("noise_{i}"))
        .enumerate()
        .map(|(i, k)| (k.clone(), normal(&k, shape(i))))
        .collect();
    let mut inputs = vec![("image", &picture[..])];
    inputs.extend(noises.iter().map(|(k, v)| (k.as_str(), &v[..])));
    let keys: Vec<String> = (0..4).flat_map(|i| [format!("mu_{i}"), format!("eps_{i}")]).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let gpu = Gpu::open(&Options::default()).unwrap();
    let found = evaluate(&gpu, &passes::run(&graph), 1, &inputs, &keys).unwrap();
    let wanted = Safetensors::open(&folder.join("encoder.safetensors")).unwrap();
    for (i, (key, found)) in keys.iter().zip(&found).enumerate() {
        let shape = shape(i / 2);
        let want = wanted.get(key, &[1, shape.c, shape.h, shape.w]).unwrap().to_f32().unwrap();
        let want = by_pixel(&want, shape);
        let scale = want.iter().fold(0f32, |m, v| m.max(v.abs()));
        let worst = want.iter().zip(found).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / scale;
        println!("{key}: {worst:.1e}");
        assert!(worst < 1e-4, "{key} is off by {worst:e} of its scale");
    }
}

/// A state of DDGAN's training that PyTorch wrote (`tests/data/torch/make.py`): its flags are those of a
/// network of 16 x 16 in two steps, where the recipe's are of 32 x 32 in four.
#[test]
fn a_checkpoints_flags_stand_over_the_recipes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/torch");
    let recipe = Recipe::find("ddgan/stackedmnist").unwrap();
    let (own, file) = recipe.torch(&folder.join("ddgan_content.pth")).unwrap();
    assert_eq!((&own.config["image_size"], &own.config["num_timesteps"]), (&16.into(), &2.into()));
    assert_eq!(own.config["attn_resolutions"], serde_json::json!([8]));
    assert!(own.ema && file.notes() == ["`netG_dict` with its moving average"], "{:?}", file.notes());
    let dir = tempfile::tempdir().unwrap();
    let (content, imported) = (folder.join("ddgan_content.pth"), dir.path().join("imported"));
    let of = ["--recipe", "ddgan/stackedmnist"];
    good(&[&["import", arg(&content), "--out", arg(&imported)], &of[..]].concat());
    let draw = |name: &str, model: &[&str]| {
        let out = dir.path().join(name);
        good(&[&["sample", "--count", "2", "--seed", "3", "--out", arg(&out)], model].concat());
        image::open(out).unwrap().to_rgb8()
    };
    let direct = draw("direct.png", &["--weights", arg(&content), of[0], of[1]]);
    assert_eq!(direct, draw("imported.png", &["--model", arg(&imported)]));
    // What is published holds no flags.
    let flat = folder.join("ddgan_zip.pth");
    let out = dir.path().join("none.png");
    let none = ["sample", "--weights", arg(&flat), of[0], of[1], "--out", arg(&out)];
    run(&none).refused(&["ddgan/stackedmnist", "ddgan_zip.pth", "args", "content.pth", ".toml"]);
}
