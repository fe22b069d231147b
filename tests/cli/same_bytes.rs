//! An image is a function of model, options, seed and index, and of nothing else.

use crate::command::{arg, good, names};
use crate::model_folder::Model;
use std::path::Path;

/// Draws into a new folder and returns its files with their bytes.
fn draw(dir: &Path, model: &Path, out: &str, more: &[&str]) -> Vec<(String, Vec<u8>)> {
    let out = dir.join(out);
    let args = ["sample", "--model", arg(model), "--sampler", "ddpm", "--steps", "3", "--out", arg(&out)];
    good(&[&args[..], more].concat());
    names(&out).into_iter().map(|n| (n.clone(), std::fs::read(out.join(n)).unwrap())).collect()
}

#[test]
fn batches_and_processes_do_not_matter() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let model = Model::with_classes().write(&dir.join("model"));
    let five = draw(dir, &model, "five", &["--count", "5", "--batch", "5"]);
    assert_eq!(five.len(), 5);
    let pixels = draw_pixels(dir, &model, "five", &["--count", "5", "--batch", "5"]);
    assert!(pixels.windows(2).all(|w| w[0].1 != w[1].1), "five different images");
    assert!(draw(dir, &model, "twos", &["--count", "5", "--batch", "2"]) == five);
    assert!(draw(dir, &model, "auto", &["--count", "5"]) == five);
    let mut parts = draw(dir, &model, "first", &["--count", "2"]);
    parts.extend(draw(dir, &model, "rest", &["--count", "3", "--first-index", "2"]));
    assert!(parts == five);
}

/// [`draw`], as pixels: files of different options differ by what they record.
fn draw_pixels(dir: &Path, model: &Path, out: &str, more: &[&str]) -> Vec<(String, image::RgbImage)> {
    let files = draw(dir, model, out, more).into_iter();
    files.map(|(name, bytes)| (name, image::load_from_memory(&bytes).expect("a picture").to_rgb8())).collect()
}

#[test]
fn the_seed_alone_decides() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    let model = Model::tiny().write(&dir.join("model"));
    let one = draw_pixels(dir, &model, "a", &["--seed", "1"]);
    assert!(draw_pixels(dir, &model, "b", &["--seed", "1"]) == one);
    assert!(draw_pixels(dir, &model, "c", &["--seed", "2"]) != one);
    // The upper half of the seed and of the index count too.
    assert!(draw_pixels(dir, &model, "d", &["--seed", "4294967297"]) != one);
    let far = draw_pixels(dir, &model, "e", &["--seed", "1", "--first-index", "4294967296"]);
    assert!(far[0].1 != one[0].1 && far[0].0 == "4294967296.png");
}
