//! Options that do not fit the model, the sampler or the machine.

use crate::command::{arg, names, run};
use crate::model_folder::Model;
use crate::refused_with;

#[track_caller]
fn tiny(options: &[&str], words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    Model::tiny().write(&dir.path().join("model"));
    refused_with(dir.path(), options, words);
}

#[track_caller]
fn classes(options: &[&str], words: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    Model::with_classes().write(&dir.path().join("model"));
    refused_with(dir.path(), options, words);
}

#[test]
fn classes_that_are_not_there_list_those_that_are() {
    classes(&["--class", "cow"], &["class", "`cow`", "0 cat, 1 dog, 2 duck"]);
    classes(&["--class", "d"], &["`d`", "more than one", "1 dog"]);
    classes(&["--class", "4"], &["class 4", "0 cat, 1 dog, 2 duck"]);
    classes(&["--class", "18446744073709551615"], &["0 cat"]);
    classes(&["--class", "-1"], &["`-1`", "0 cat"]);
    for class in ["cat", "0", "all", "none"] {
        tiny(&["--class", class], &["class", "no classes", "leave --class out"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::with_classes();
    model.index = None;
    model.write(&dir.path().join("model"));
    refused_with(dir.path(), &["--class", "none"], &["class", "without an empty class"]);
    refused_with(dir.path(), &["--class", "cat"], &["`cat`", "0, 1, 2, 3"]);
    refused_with(dir.path(), &["--guidance-scale", "2"], &["guidance_scale", "2"]);
}

#[test]
fn numbers_out_of_range() {
    tiny(&["--steps", "0"], &["steps", "0"]);
    tiny(&["--steps", "1001"], &["steps", "1001", "1000"]);
    tiny(&["--steps", "18446744073709551615"], &["steps", "1000"]);
    tiny(&["--count", "0"], &["count", "1 or more"]);
    tiny(&["--batch", "0"], &["batch", "1 or more"]);
    tiny(&["--eta", "2"], &["eta", "2"]);
    tiny(&["--eta", "-0.5"], &["eta", "-0.5"]);
    tiny(&["--eta", "NaN"], &["eta", "NaN"]);
    tiny(&["--eta", "0.5", "--sampler", "ddpm"], &["eta"]);
    tiny(&["--guidance-scale", "2"], &["guidance_scale", "2"]);
    classes(&["--guidance-scale", "inf"], &["guidance_scale", "inf"]);
    classes(&["--guidance-scale", "NaN"], &["guidance_scale", "NaN"]);
    tiny(&["--first-index", "18446744073709551615"], &["first-index", "2^64"]);
}

#[test]
fn memory_that_is_not_there() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("new");
    // Not even one image: what needs how much, how much there is, what to do.
    tiny(&["--memory", "1", "--out", arg(&out)], &["weight `", "KiB", "of the 1 MiB", "memory budget"]);
    assert!(!out.exists());
}

#[test]
fn pictures_that_are_too_large_are_refused_before_they_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("a.png");
    for count in ["100000", "18446744073709551615"] {
        let options = ["--count", count, "--zoom", "64", "--out", arg(&out)];
        refused_with(dir.path(), &options, &["grid", "pixels", "name a folder"]);
    }
}

#[test]
fn an_output_that_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let file = dir.path().join("model/model.txt");
    std::fs::write(&file, b"x").unwrap();
    for name in ["a.png", "folder", "deep/er/folder"] {
        let out = file.join(name);
        refused_with(dir.path(), &["--out", arg(&out)], &["cannot write", name, "--out"]);
    }
    let missing = dir.path().join("no/such/a.png");
    refused_with(dir.path(), &["--out", arg(&missing)], &["cannot write", "no/such"]);
    refused_with(dir.path(), &["--out", arg(&file)], &["cannot write", "model.txt"]);
    if cfg!(target_os = "linux") {
        refused_with(dir.path(), &["--out", "/proc/undiffuse"], &["cannot write", "/proc"]);
        refused_with(dir.path(), &["--out", "/proc/undiffuse.png"], &["cannot write", "/proc"]);
    }
    for name in ["x.jpg", "x.JPEG", "x.webp"] {
        let out = dir.path().join(name);
        refused_with(dir.path(), &["--out", arg(&out)], &["cannot write", name, "only .png"]);
    }
    assert_eq!(names(&model), ["model.txt", "scheduler", "unet"]);
}

#[test]
fn models_and_samplers_that_are_not_there() {
    let ran = run(&["sample", "--model", "emoji64", "--out", "/tmp"]);
    ran.refused(&["no embedded model `emoji64`", "no folder"]);
    let ran = run(&["sample", "--model", "./emoji64", "--out", "/tmp"]);
    ran.refused(&["./emoji64", "no such folder"]);
    let ran = run(&["sample", "--model", "", "--out", "/tmp"]);
    ran.refused(&["no embedded model"]);
}

#[test]
fn solvers_are_told_what_they_have_alone() {
    tiny(&["--sampler", "rk45"], &["steps = 2", "--rtol and --atol"]);
    tiny(&["--rtol", "1e-3"], &["rtol", "ddim has no rtol", "rk45"]);
    tiny(&["--sampler", "pc", "--snr", "-1"], &["snr = -1", "positive"]);
    tiny(&["--sampler", "rk4", "--error-control", "batch"], &["error-control", "rk4 has no", "rk45"]);
    tiny(&["--sampler", "ancestral", "--probability-flow"], &["ancestral has no probability-flow"]);
    tiny(&["--sampler", "pc", "--predictor", "ancestral", "--probability-flow"], &["has no flow"]);
}
