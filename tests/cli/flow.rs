//! `encode`, `decode` and `likelihood`.

use crate::command::{arg, good, names, run};
use crate::model_folder::Model;
use image::{Rgb, RgbImage};
use serde_json::Value;

#[test]
fn pictures_are_encoded_decoded_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    // An untrained network's flow is stiff where little is left of the image: not so far here.
    let mut model = Model::tiny();
    model.scheduler = Some(serde_json::json!({ "_class_name": "DDPMScheduler", "beta_end": 0.0003 }));
    let folder = model.write(&path("model"));
    let picture = RgbImage::from_fn(8, 8, |x, y| Rgb([(x * 20) as u8, 128, (y * 30) as u8]));
    picture.save(path("a.png")).unwrap();
    RgbImage::from_pixel(30, 20, Rgb([200, 100, 50])).save(path("b.png")).unwrap();
    let (a, b) = (path("a.png"), path("b.png"));
    let (latents, again) = (path("latents.npz"), path("again.png"));
    let model = ["--model", arg(&folder), "--steps", "24", "--json"];
    let json = |args: &[&str]| -> (Value, String) {
        let ran = good(&[args, &model].concat());
        (serde_json::from_str(&ran.stdout).unwrap(), ran.stderr)
    };
    let (encoded, said) = json(&["encode", arg(&a), arg(&b), "--out", arg(&latents)]);
    assert!(said.contains("b.png is 30 x 20, resized to 8 x 8"), "{said}");
    assert_eq!(encoded["count"], 2);
    assert_eq!(encoded["report"]["kernel_set"], undiffuse::kernels::set_hash());
    assert_eq!(encoded["report"]["batch_invariant"], true);
    assert!(encoded["root_mean_square"].as_f64().is_some_and(|v| v > 0.0), "{encoded}");
    let (decoded, _) = json(&["decode", arg(&latents), "--out", arg(&again)]);
    assert_eq!(decoded["report"]["nfe"], 96);
    let sheet = image::open(&again).unwrap().to_rgb8();
    for (x, y, p) in picture.enumerate_pixels() {
        let q = sheet.get_pixel(1 + x, 1 + y);
        assert!((0..3).all(|c| p[c].abs_diff(q[c]) <= 3), "{x} {y}: {p:?} {q:?}");
    }
    // From one to the other: the ends are the pictures, and the film goes there and back.
    let (film, strip) = (path("film.png"), path("strip.png"));
    let between = ["interpolate", arg(&a), arg(&b), "--frames", "3", "--zoom", "1"];
    let (json_of, _) = json(&[&between[..], &["--out", arg(&film), "--strip", arg(&strip)]].concat());
    assert_eq!(json_of["frames"], 3);
    let sheet = image::open(&strip).unwrap().to_rgb8();
    let far = |left: u32| -> u32 {
        let all = picture.enumerate_pixels();
        all.map(|(x, y, p)| u32::from(p[0].abs_diff(sheet.get_pixel(left + x, 1 + y)[0]))).sum()
    };
    assert!(far(1) < 64 * 3 && far(10) > 64 * 3, "{} {}", far(1), far(10));
    let decoder =
        image::codecs::png::PngDecoder::new(std::io::BufReader::new(std::fs::File::open(&film).unwrap()));
    let frames = image::AnimationDecoder::into_frames(decoder.unwrap().apng().unwrap()).count();
    assert_eq!(frames, 5);
    // Through the latents and back as what it was: the picture.
    let inverted = path("inverted.png");
    json(&["edit", arg(&a), "--invert", "--zoom", "1", "--out", arg(&inverted)]);
    let sheet = image::open(&inverted).unwrap().to_rgb8();
    for (x, y, p) in picture.enumerate_pixels() {
        let q = sheet.get_pixel(10 + x, 1 + y);
        assert!((0..3).all(|c| p[c].abs_diff(q[c]) <= 3), "{x} {y}: {p:?} {q:?}");
    }
    // What is decoded is not drawn from noise: it cannot be made again as if it were.
    run(&["sample", "--like", arg(&again), "--out", arg(&path("c.png"))]).refused(&["again.png"]);
    // Pixels, and the same as numbers: the middles of the levels.
    let measure = |more: &[&str]| json(&[&["likelihood", arg(&a), "--probes", "2"], more].concat());
    let (levels, said) = measure(&["--no-dequantise"]);
    assert!(said.contains("bits/dim"), "{said}");
    let bits = levels["mean_bits_per_dimension"].as_f64().unwrap();
    let nats = levels["images"][0]["nats"].as_f64().unwrap();
    assert!((bits - (7.0 - nats / (192.0 * 2f64.ln()))).abs() < 1e-9);
    assert!(levels["images"][0]["bits_error"].as_f64().unwrap() > 0.0);
    assert!(measure(&[]).0["mean_nats"] != levels["mean_nats"], "dequantised");
    assert!(measure(&["--seed", "1"]).0["mean_nats"] != measure(&[]).0["mean_nats"]);
    let (one, _) = json(&["likelihood", arg(&latents), "--probes", "1"]);
    assert_eq!(one["images"].as_array().unwrap().len(), 2);
    assert!(one["images"][0]["nats_error"].is_null() && one["mean_bits_per_dimension"].is_null(), "{one}");
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let folder = Model::tiny().write(&path("model"));
    let model = ["--model", arg(&folder)];
    let with = |args: &[&str]| run(&[args, &model].concat());
    std::fs::write(path("bad.npz"), b"no archive").unwrap();
    std::fs::write(path("bad.npy"), b"\x93NUMPY\x01\x00\xff\xff").unwrap();
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    npy.extend(
        format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 8, 8, 3), }")
            .bytes(),
    );
    std::fs::write(path("huge.npy"), &npy).unwrap();
    RgbImage::new(8, 8).save(path("a.png")).unwrap();
    let (bad, huge, a) = (path("bad.npz"), path("huge.npy"), path("a.png"));
    with(&["decode", arg(&bad)]).refused(&["bad.npz", "not an archive"]);
    with(&["decode", arg(&path("bad.npy"))]).refused(&["bad.npy"]);
    with(&["decode", arg(&huge)]).refused(&["huge.npy", "more than it holds"]);
    with(&["decode", arg(&path("gone.npz"))]).refused(&["cannot read", "gone.npz"]);
    let out = path("o.png");
    with(&["encode", arg(&a), "--out", arg(&out)]).refused(&["o.png", ".npz"]);
    with(&["encode", arg(&a), arg(&bad), "--out", arg(&path("l.npz"))]).refused(&["stand alone"]);
    with(&["encode", arg(&a), "--class", "2", "--out", arg(&path("l.npz"))]).refused(&["no classes"]);
    with(&["likelihood", arg(&a), "--rtol", "1e-3", "--steps", "4"]).refused(&["rk4 has no rtol"]);
    with(&["likelihood", arg(&a), "--rtol", "0"]).refused(&["rtol"]);
    assert!(!names(dir.path()).iter().any(|n| n == "o.png" || n == "l.npz"));
}
