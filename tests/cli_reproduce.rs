//! `reproduce` as a user types it: what it says first, that it goes on where it stopped, and what it
//! refuses.

#[path = "support/command.rs"]
mod command;

use command::{arg, good, names, run};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A small model of score_sde, as a recipe of one's own.
const SMALL: &str = r#"
about = "a small one"
paper = "none"
ema = false
[config.training]
sde = "vpsde"
continuous = true
[config.sampling]
method = "pc"
predictor = "reverse_diffusion"
corrector = "langevin"
snr = 0.1
[config.data]
image_size = 8
centered = true
[config.model]
name = "ncsnpp"
num_scales = 24
embedding_type = "positional"
scale_by_sigma = false
nonlinearity = "swish"
nf = 16
ch_mult = [1, 2]
num_res_blocks = 1
attn_resolutions = [4]
resamp_with_conv = true
conditional = true
fir = false
fir_kernel = [1, 3, 3, 1]
skip_rescale = true
resblock_type = "biggan"
progressive = "none"
progressive_input = "none"
progressive_combine = "sum"
"#;

fn small(dir: &Path, text: &str) -> PathBuf {
    let path = dir.join("small.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn it_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (recipe, out) = (small(dir.path(), SMALL), dir.path().join("out"));
    let of = |images: &str, out: &Path| {
        let args = ["reproduce", arg(&recipe), "--synthetic-weights", "--json"];
        let ran = good(&[&args[..], &["--images", images, "--out", arg(out)]].concat());
        (serde_json::from_str::<Value>(&ran.stdout).unwrap(), ran.stderr)
    };
    let (json, said) = of("3", &out);
    // A corrector's and a predictor's evaluation at each of 24 levels.
    assert_eq!(
        (json["drawn"].as_u64(), json["takes"]["nets"][0]["evaluations"].as_u64()),
        (Some(3), Some(48))
    );
    assert!(json["takes"]["seconds"].as_f64().unwrap() > 0.0, "{json}");
    assert!(said.contains("48 evaluations an image") && said.contains("synthetic"), "{said}");
    assert_eq!(names(&out), ["000", "run.json"]);
    let shard = out.join("000");
    assert_eq!(names(&shard), ["000000.png", "000001.png", "000002.png"]);
    let image = |folder: &Path, i: u32| image::open(folder.join(format!("{i:06}.png"))).unwrap().to_rgb8();
    let before: Vec<_> = (0..3).map(|i| image(&shard, i)).collect();
    assert_eq!(before[0].dimensions(), (8, 8));
    assert!(before[0] != before[1]);
    // One is lost, a killed run left half of one, and more are wanted.
    std::fs::remove_file(shard.join("000001.png")).unwrap();
    std::fs::write(shard.join(".undiffuse-dead.part"), b"half").unwrap();
    let (json, said) = of("5", &out);
    assert_eq!(json["drawn"], 3, "{said}");
    assert_eq!(names(&shard).len(), 5);
    assert!((0..3).all(|i| image(&shard, i) == before[i as usize]));
    let (json, said) = of("5", &out);
    assert_eq!(json["drawn"], 0);
    assert!(said.contains("5 images, 5 of them from before"), "{said}");
    // All at once are the same images.
    let whole = dir.path().join("whole");
    of("5", &whole);
    assert!((0..5).all(|i| image(&shard, i) == image(&whole.join("000"), i)));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_whole_images_and_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (recipe, out) = (small(dir.path(), SMALL), dir.path().join("out"));
    let all = ["reproduce", arg(&recipe), "--synthetic-weights", "--images", "40", "--batch", "2"];
    let all = [&all[..], &["--out", arg(&out)]].concat();
    command::interrupted(&all, "image 2/40");
    let shard = out.join("000");
    let before = names(&shard);
    assert!((2..40).contains(&before.len()), "{before:?}");
    for name in &before {
        assert_eq!(image::open(shard.join(name)).expect("a whole file").to_rgb8().dimensions(), (8, 8));
    }
    let few = ["--images", "6", "--out", arg(&out)];
    let said = good(&[&["reproduce", arg(&recipe), "--synthetic-weights"][..], &few].concat()).stderr;
    assert!(said.contains("from before"), "{said}");
    assert!(names(&shard).len() >= 6);
}

#[test]
fn a_plan_draws_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let recipe = small(dir.path(), SMALL);
    let args = ["reproduce", arg(&recipe), "--synthetic-weights", "--plan", "--json", "--out", arg(&out)];
    let json: Value = serde_json::from_str(&good(&args).stdout).unwrap();
    assert!(json["parameters"].as_u64().unwrap() > 0 && json["takes"]["bytes"].as_u64().unwrap() > 0);
    assert!(json["takes"]["nets"][0]["macs"].as_u64().unwrap() > 0 && !out.exists());
}

#[test]
fn folders_of_others_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (recipe, out) = (small(dir.path(), SMALL), dir.path().join("out"));
    let all = ["reproduce", arg(&recipe), "--synthetic-weights", "--images", "1", "--out", arg(&out)];
    good(&all);
    run(&[&all[..], &["--seed", "1"]].concat()).refused(&[
        "another run",
        "seed 0 there, 1 asked for",
        "--out",
    ]);
    small(dir.path(), &SMALL.replace("snr = 0.1", "snr = 0.2"));
    run(&all).refused(&["another run", "model"]);
    std::fs::write(out.join("run.json"), b"[").unwrap();
    run(&all).refused(&["run.json", "--out"]);
    std::fs::remove_file(out.join("run.json")).unwrap();
    run(&all).refused(&["not empty", "run.json"]);
    run(&["reproduce", "ddgan/nothing", "--synthetic-weights"]).refused(&["no recipe", "ddgan/cifar10"]);
    small(dir.path(), &SMALL.replace("\"langevin\"", "\"magic\""));
    run(&all).refused(&["sampling.corrector", "magic", "langevin"]);
    small(dir.path(), "about = 3");
    run(&all).refused(&["small.toml", "line 1", "string"]);
    let gone = dir.path().join("gone.pth");
    run(&["reproduce", "ddgan/cifar10", "--weights", arg(&gone), "--out", arg(&out)]).refused(&["gone.pth"]);
}
