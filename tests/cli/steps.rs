//! Where steps lie and whose noise it is: `--grid`, `--timesteps`, `--sigmas`, `--rng`.

use crate::command::{arg, good, run};
use crate::model_folder::Model;
use serde_json::Value;

fn pixels(path: &std::path::Path) -> image::RgbImage {
    image::open(path).expect("a whole picture").to_rgb8()
}

#[test]
fn lists_and_grids_are_followed_recorded_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let draw = |out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let args = ["sample", "--model", arg(&model), "--json", "--out", arg(&out)];
        let ran = good(&[&args[..], more].concat());
        (serde_json::from_str::<Value>(&ran.stdout).expect("an object"), pixels(&out))
    };
    let (by_number, five) = draw("a.png", &["--steps", "4", "--grid", "leading"]);
    assert_eq!((by_number["steps"].clone(), by_number["grid"].clone()), (4.into(), "leading".into()));
    let (listed, same) = draw("b.png", &["--timesteps", "750,500,250,0"]);
    assert_eq!(listed["timesteps"], serde_json::json!([750, 500, 250, 0]));
    assert!(same == five, "the list is what leading spreads");
    let (_, other) = draw("c.png", &["--timesteps", "999,500,250,0"]);
    assert!(other != five);
    let (levels, image) = draw("d.png", &["--sampler", "euler", "--sigmas", "20,5,1.5,0"]);
    assert_eq!((levels["steps"].clone(), levels["nfe"].clone()), (3.into(), 3.into()));
    let again = dir.path().join("again.png");
    let ran = good(&["sample", "--like", arg(&dir.path().join("d.png")), "--out", arg(&again), "--json"]);
    assert!(ran.stderr.contains("the pixels are equal"), "{}", ran.stderr);
    assert!(pixels(&again) == image);
    for grid in ["karras", "exponential", "log_snr", "beta", "quadratic", "trailing", "linspace"] {
        draw("e.png", &["--sampler", "dpmpp_2m", "--steps", "3", "--grid", grid]);
    }
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let refused = |more: &[&str], words: &[&str]| {
        let out = dir.path().join("x.png");
        let args = ["sample", "--model", arg(&model), "--out", arg(&out)];
        run(&[&args[..], more].concat()).refused(words);
    };
    refused(&["--timesteps", "10,20"], &["timesteps", "descending"]);
    refused(&["--timesteps", "2000,20"], &["timesteps", "below 1000"]);
    refused(&["--timesteps", "20", "--steps", "3"], &["steps", "listed already"]);
    refused(&["--timesteps", "20", "--sigmas", "3,0"], &["sigmas", "one of them"]);
    refused(&["--sampler", "euler", "--sigmas", "1,2"], &["sigmas", "descending"]);
    refused(&["--sampler", "euler", "--sigmas", "1,-2"], &["sigmas", "not negative"]);
    refused(&["--sampler", "ddim", "--sigmas", "3,0"], &["sigmas", "euler"]);
    refused(&["--sampler", "ddim", "--grid", "karras"], &["ddim has no grid karras", "trailing"]);
    refused(&["--sampler", "lcm", "--grid", "leading"], &["lcm has no grid"]);
    refused(&["--sampler", "edm_euler", "--grid", "beta"], &["edm_euler has no grid beta", "karras"]);
    refused(
        &["--sampler", "rk45", "--sigmas", "3,0"],
        &["sigmas", "rk45 spreads its times itself", "--rtol"],
    );
    refused(&["--sampler", "rk4", "--timesteps", "20"], &["timesteps", "rk4 spreads its times itself"]);
    refused(&["--sampler", "rk4", "--grid", "karras"], &["rk4 has no grid karras"]);
    assert_eq!(run(&["sample", "--grid", "karas"]).code, Some(2));
    assert_eq!(run(&["sample", "--rng", "numpy"]).code, Some(2));
}

#[test]
fn pytorchs_noise_is_another_and_follows_seed_plus_index() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let draw = |out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let args =
            ["sample", "--model", arg(&model), "--sampler", "ddpm", "--steps", "3", "--out", arg(&out)];
        good(&[&args[..], more].concat());
        let mut files: Vec<_> = std::fs::read_dir(&out).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.iter().map(|f| pixels(f)).collect::<Vec<_>>()
    };
    let torch = draw("torch", &["--rng", "torch", "--seed", "5", "--count", "3"]);
    assert!(draw("own", &["--seed", "5", "--count", "3"]) != torch);
    assert!(draw("ones", &["--rng", "torch", "--seed", "5", "--count", "3", "--batch", "1"]) == torch);
    // Image i is what a generator of seed + i draws.
    assert!(draw("six", &["--rng", "torch", "--seed", "6"])[0] == torch[1]);
}

#[test]
fn explain_follows_the_same_flags() {
    let ran = good(&["explain", "ddim", "--timesteps", "900,100"]);
    assert!(ran.stdout.contains("t = 900") && ran.stdout.contains("t = 100"), "{}", ran.stdout);
    let ran = good(&["explain", "euler", "--steps", "3", "--grid", "karras", "--json"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["nfe"], 3);
}
