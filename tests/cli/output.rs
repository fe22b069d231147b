//! What `sample` writes: files, one JSON object, progress.

use crate::command::{arg, good, names, run};
use crate::model_folder::{config, Model};
use serde_json::{json, Value};

fn pixels(path: &std::path::Path) -> image::RgbImage {
    image::open(path).expect("a whole picture").to_rgb8()
}

fn size(path: &std::path::Path) -> (u32, u32) {
    image::open(path).expect("a whole picture").to_rgb8().dimensions()
}

#[test]
fn json_is_one_object_and_nothing_else_is_on_stdout() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("out");
    let args = ["sample", "--model", arg(&model), "--count", "3", "--batch", "2", "--steps", "3", "--json"];
    let ran = good(&[&args[..], &["--out", arg(&out)]].concat());
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let json: Value = serde_json::from_str(&ran.stdout).expect("an object");
    for key in ["adapter", "backend"] {
        assert!(json[key].as_str().is_some_and(|s| !s.is_empty()), "{key}: {json}");
    }
    for (key, value) in
        [("images", 3), ("batches", 2), ("steps", 3), ("nfe", 3), ("maps", 2), ("status_maps", 0)]
    {
        assert_eq!(json[key], value, "{key}: {json}");
    }
    // Pixels (rows of 256 bytes), and a count of bad values, of two batches of two.
    assert_eq!(json["bytes_down"], 2 * 2 * (8 * 64 + 1) * 4);
    // Numbers and parameters; the weights were sent before the job.
    assert!(json["bytes_up"].as_u64().is_some_and(|b| b > 1000 && b < 100_000), "{json}");
    assert!(json["submissions"].as_u64().is_some_and(|s| s >= 2), "{json}");
    assert!(json["seconds"].as_f64().is_some_and(|s| s > 0.0), "{json}");
    let hash = json["noise_hash"].as_str().expect("a hash");
    assert!(hash.len() == 16 && hash.chars().all(|c| c.is_ascii_hexdigit()), "{hash}");
    let files: Vec<&str> =
        json["files"].as_array().expect("files").iter().filter_map(Value::as_str).collect();
    let want: Vec<String> = (0..3).map(|i| out.join(format!("{i:06}.png")).display().to_string()).collect();
    assert_eq!(files, want);
}

#[test]
fn a_folder_gets_a_file_per_image_named_by_its_index() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("deep/er");
    let args = ["sample", "--model", arg(&model), "--count", "3", "--first-index", "7", "--steps", "2"];
    good(&[&args[..], &["--zoom", "3", "--out", arg(&out)]].concat());
    assert_eq!(names(&out), ["000007.png", "000008.png", "000009.png"]);
    assert_eq!(size(&out.join("000008.png")), (24, 24));
}

#[test]
fn a_file_is_a_grid_and_one_image_is_itself() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let draw = |count: &str, zoom: &str| {
        let out = dir.path().join(format!("{count}_{zoom}.png"));
        let args = ["sample", "--model", arg(&model), "--count", count, "--steps", "2", "--zoom", zoom];
        good(&[&args[..], &["--out", arg(&out)]].concat());
        size(&out)
    };
    assert_eq!(draw("1", "1"), (8, 8));
    assert_eq!(draw("1", "4"), (32, 32));
    // Three columns, two rows, gaps of one pixel around each; zoomed, gaps of 2.
    assert_eq!(draw("5", "1"), (3 * 9 + 1, 2 * 9 + 1));
    assert_eq!(draw("5", "4"), (3 * 34 + 2, 2 * 34 + 2));
    let mut files = names(dir.path());
    files.retain(|f| f != "model");
    assert_eq!(files, ["1_1.png", "1_4.png", "5_1.png", "5_4.png"]);
}

#[test]
fn models_of_other_channels_and_sizes_are_drawn() {
    let dir = tempfile::tempdir().unwrap();
    for (channels, gray) in [(1, true), (2, true), (4, false)] {
        let mut config = config();
        config["in_channels"] = json!(channels);
        config["out_channels"] = json!(channels);
        config["sample_size"] = json!([4, 10]);
        let folder = dir.path().join(channels.to_string());
        let model = Model::of(config).write(&folder);
        let out = folder.join("a.png");
        good(&["sample", "--model", arg(&model), "--steps", "2", "--out", arg(&out)]);
        let image = image::open(&out).unwrap().to_rgb8();
        assert_eq!(image.dimensions(), (10, 4));
        assert_eq!(image.pixels().all(|p| p[0] == p[1] && p[1] == p[2]), gray, "{channels}");
    }
}

#[test]
fn progress_off_a_terminal_is_plain_lines() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("a.png");
    let args = ["sample", "--model", arg(&model), "--count", "4", "--batch", "1", "--steps", "10"];
    let ran = good(&[&args[..], &["--out", arg(&out)]].concat());
    let lines: Vec<&str> = ran.stderr.lines().filter(|l| l.contains(" %  image ")).collect();
    assert!((4..=11).contains(&lines.len()), "{}", ran.stderr);
    assert!(lines.iter().any(|l| l.contains("image 2/4")), "images are counted: {}", ran.stderr);
    assert!(lines.iter().all(|l| l.contains("step ") && l.contains("s left")), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\u{1b}') && !ran.stderr.contains('\r'), "{:?}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn classes_go_by_name_number_all_and_none() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::with_classes().write(&dir.path().join("model"));
    let draw = |class: &[&str], index: &str| {
        let out = dir.path().join("a.png");
        let args =
            ["sample", "--model", arg(&model), "--first-index", index, "--steps", "2", "--out", arg(&out)];
        good(&[&args[..], class].concat());
        pixels(&out)
    };
    let dog = draw(&["--class", "1"], "0");
    assert_eq!(draw(&["--class", "dog"], "0"), dog);
    assert_eq!(draw(&["--class", "DO"], "0"), dog, "a beginning, in any case");
    assert_ne!(draw(&["--class", "duck"], "0"), dog);
    assert_eq!(draw(&["--class", "none"], "0"), draw(&["--class", "3"], "0"));
    // In turn by the image's index, also where nothing is said.
    assert_eq!(draw(&["--class", "all"], "4"), draw(&["--class", "1"], "4"));
    assert_eq!(draw(&[], "5"), draw(&["--class", "duck"], "5"));
    let guided = draw(&["--class", "1", "--guidance-scale", "3"], "0");
    assert_ne!(guided, dog);
    assert_eq!(draw(&["--class", "1", "--guidance-scale", "1"], "0"), dog);
}

#[test]
fn an_empty_class_may_stand_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::with_classes();
    model.index = Some(json!({ "id2label": { "1": "cat", "2": "dog", "3": "duck" }, "null_class": 0 }));
    let model = model.write(&dir.path().join("model"));
    let draw = |class: &str, index: &str| {
        let out = dir.path().join("a.png");
        let args = ["sample", "--model", arg(&model), "--first-index", index, "--steps", "2"];
        good(&[&args[..], &["--class", class, "--out", arg(&out)]].concat());
        pixels(&out)
    };
    assert_eq!(draw("duck", "2"), draw("3", "2"));
    assert_eq!(draw("all", "2"), draw("duck", "2"));
    assert_eq!(draw("none", "2"), draw("0", "2"));
    let out = dir.path().join("b.png");
    let ran = run(&["sample", "--model", arg(&model), "--class", "cow", "--out", arg(&out)]);
    ran.refused(&["cow", "1 cat, 2 dog, 3 duck"]);
}

#[test]
fn both_samplers_draw_and_a_folder_without_a_schedule_gets_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::tiny();
    model.scheduler = None;
    let model = model.write(&dir.path().join("model"));
    let draw = |sampler: &str, eta: &[&str]| {
        let out = dir.path().join("a.png");
        let args =
            ["sample", "--model", arg(&model), "--steps", "4", "--sampler", sampler, "--out", arg(&out)];
        let ran = good(&[&args[..], eta].concat());
        assert!(ran.stderr.contains("note: ") && ran.stderr.contains("DDPM's default"), "{}", ran.stderr);
        pixels(&out)
    };
    let ddim = draw("ddim", &[]);
    assert_ne!(draw("ddpm", &[]), ddim);
    assert_ne!(draw("ddim", &["--eta", "1"]), ddim);
    assert_eq!(draw("ddim", &["--eta", "0"]), ddim);
}

#[test]
#[cfg(feature = "emoji32")]
fn the_embedded_model_draws_with_guidance() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("a.png");
    let args = ["sample", "--count", "2", "--steps", "2", "--class", "animals", "--guidance-scale", "1.5"];
    let ran = good(&[&args[..], &["--json", "--out", arg(&out)]].concat());
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((json["model"].as_str(), json["nfe"].as_u64()), (Some("emoji32"), Some(4)));
    assert_eq!(size(&out), (2 * 34 + 2, 34 + 2));
}

#[test]
fn an_adaptive_sampler_tells_what_it_did_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("a.png");
    let args = ["sample", "--model", arg(&model), "--count", "3", "--json", "--out", arg(&out)];
    let options = ["--sampler", "rk45", "--rtol", "0.01", "--atol", "0.01", "--error-control", "batch"];
    let ran = good(&[&args[..], &options].concat());
    assert!(ran.stderr.contains("depends on its batch") && ran.stderr.contains("accepted"), "{}", ran.stderr);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let adaptive = &json["adaptive"];
    let all =
        |key: &str| adaptive[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect::<Vec<_>>();
    let (accepted, rejected, nfe) = (all("accepted"), all("rejected"), all("nfe"));
    assert!(nfe.len() == 3 && (0..3).all(|i| nfe[i] == 3 + 6 * (accepted[i] + rejected[i])), "{json}");
    assert_eq!((adaptive["nfe_wasted"].as_u64(), json["nfe"].as_u64()), (Some(0), Some(nfe[0])));
    assert_eq!(
        (adaptive["error_control"].as_str(), json["batch_invariant"].as_bool()),
        (Some("batch"), Some(false))
    );
    assert_eq!(json["solver"]["rtol"].as_f64(), Some(0.01));
    let again = dir.path().join("b.png");
    let ran = good(&["sample", "--like", arg(&out), "--out", arg(&again), "--json"]);
    let like: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(pixels(&again), pixels(&out), "{like}");
    let ran = good(&["explain", "rk45", "--rtol", "1e-3"]);
    for part in ["Dormand", "until all done, at most 1000 times", "of out[now]"] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}
