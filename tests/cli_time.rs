//! `forward` and `compare`, as a user types them.

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, good, names, run};
use image::{Rgb, RgbImage};
use model_folder::Model;
use serde_json::Value;
use std::path::Path;

fn picture(path: &Path, size: (u32, u32)) {
    let at = |x: u32, y: u32| Rgb([(x * 9) as u8, (y * 11) as u8, 60]);
    RgbImage::from_fn(size.0, size.1, at).save(path).unwrap();
}

#[test]
fn forward_draws_a_path_to_noise() {
    let dir = tempfile::tempdir().unwrap();
    let (image, out) = (dir.path().join("in.png"), dir.path().join("out.png"));
    picture(&image, (24, 12));
    for process in ["vp", "cosine", "sub_vp", "ve", "edm", "chain"] {
        let args =
            ["forward", arg(&image), "--steps", "4", "--process", process, "--zoom", "1", "--out", arg(&out)];
        let ran = good(&[&args[..], &["--json"]].concat());
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        let rows = json["times"].as_array().unwrap();
        assert_eq!(rows.len(), 5);
        let of =
            |key: &str| rows.iter().map(|r| r[key].as_f64().unwrap_or(f64::INFINITY)).collect::<Vec<_>>();
        assert!(of("std").windows(2).all(|p| p[0] < p[1]), "{process}: {json}");
        assert!(of("log_snr").windows(2).all(|p| p[0] > p[1]), "{process}: {json}");
        assert!(of("mean").windows(2).all(|p| p[0] >= p[1]), "{process}: {json}");
        let sheet = image::open(&out).unwrap().to_rgb8();
        // The first picture is the image (nearly, for processes that begin with some noise).
        let (x, y) = (6 + 20, 6 + 10);
        let near = |a: u8, b: u8| a.abs_diff(b) <= 12;
        let first = sheet.get_pixel(x, y).0;
        assert!(near(first[0], 180) && near(first[1], 110), "{process}: {first:?}");
    }
    // The same seed is the same path; another is another.
    let draw = |seed: &str| {
        good(&["forward", arg(&image), "--steps", "2", "--seed", seed, "--out", arg(&out)]);
        std::fs::read(&out).unwrap()
    };
    assert!(draw("1") == draw("1") && draw("1") != draw("2"));
}

#[test]
fn forward_refuses_what_is_no_picture() {
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.jpg");
    std::fs::write(&bad, b"no picture").unwrap();
    let out = dir.path().join("o.png");
    run(&["forward", arg(&bad), "--out", arg(&out)]).refused(&["bad.jpg", "no picture"]);
    run(&["forward", arg(&dir.path().join("gone.png")), "--out", arg(&out)])
        .refused(&["cannot read", "gone.png"]);
    picture(&dir.path().join("a.png"), (4, 4));
    run(&["forward", arg(&dir.path().join("a.png")), "--out", "x.gif"]).refused(&["--out x.gif", ".png"]);
    assert_eq!(run(&["forward", "a.png", "--process", "vpp"]).code, Some(2));
    assert_eq!(names(dir.path()), ["a.png", "bad.jpg"]);
}

#[test]
fn compare_draws_a_sheet_and_distances() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("c.png");
    let args =
        ["compare", "--model", arg(&model), "--samplers", "ddim,dpmpp_2m,ddpm,pndm", "--steps", "4,16"];
    let ran =
        good(&[&args[..], &["--count", "2", "--converged", "200", "--json", "--out", arg(&out)]].concat());
    assert_eq!(names(dir.path()), ["c-distance.png", "c-distance.svg", "c.png", "model"]);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let points = json["points"].as_array().unwrap();
    assert_eq!(points.len(), 8);
    assert_eq!(json["kernel_set"], undiffuse::kernels::set_hash());
    assert_eq!(json["batch_invariant"], true);
    let distance = |name: &str, steps: u64| {
        points.iter().find(|p| p["sampler"] == name && p["steps"] == steps).unwrap()["distance"].as_f64()
    };
    for name in ["ddim", "dpmpp_2m"] {
        assert!(distance(name, 16) < distance(name, 4), "{name}: {json}");
    }
    assert_eq!(distance("ddpm", 4), None, "noise has no ODE to be near");
    let svg = std::fs::read_to_string(dir.path().join("c-distance.svg")).unwrap();
    assert!(svg.contains("dpmpp_2m") && svg.contains("NFE"));
    let sheet = image::open(&out).unwrap();
    assert!(sheet.width() > 100 && sheet.height() > 100);
}

/// A system's own samplers, against its own flow.
#[test]
fn compare_knows_the_systems() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("compare.png");
    let args =
        ["compare", "--model", "models/fashion-cld", "--steps", "3", "--count", "1", "--converged", "6"];
    let ran = good(&[&args[..], &["--json", "--out", arg(&out)]].concat());
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let points = json["points"].as_array().unwrap();
    let names: Vec<&str> = points.iter().filter_map(|p| p["sampler"].as_str()).collect();
    assert!(names.contains(&"sscs") && names.contains(&"cld_ode"), "{names:?}");
    let flow = points.iter().find(|p| p["sampler"] == "cld_ode").unwrap();
    assert!(flow["distance"].as_f64().is_some_and(|d| d > 0.0), "{flow}");
    run(&["compare", "--recipe", "ddgan/cifar10", "--weights", "gone.pth", "--out", arg(&out)])
        .refused(&["gone.pth"]);
}

#[test]
fn compare_leaves_out_what_cannot_be_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("c.png");
    let args = ["compare", "--model", arg(&model), "--count", "1", "--converged", "0", "--out", arg(&out)];
    let ran = good(&[&args[..], &["--samplers", "ddim", "--steps", "2,2000"]].concat());
    assert!(ran.stderr.contains("note: ddim 2000"), "{}", ran.stderr);
    run(&[&args[..], &["--samplers", "ddim", "--steps", "2000"]].concat()).refused(&["no sampler"]);
    run(&[&args[..], &["--from", "1000"]].concat()).refused(&["--from 1000", "999"]);
    assert_eq!(run(&[&args[..], &["--samplers", "ddimm"]].concat()).code, Some(2));
}
