//! What pictures tell of how they were made, and making them again.

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, good, names, run, Ran};
use image::RgbImage;
use model_folder::Model;
use serde_json::{json, Value};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

struct Place {
    dir: tempfile::TempDir,
    model: PathBuf,
}

impl Place {
    fn new(model: &Model) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let model = model.write(&dir.path().join("model"));
        Place { dir, model }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn draw(&self, out: &str, more: &[&str]) -> Ran {
        let out = self.at(out);
        let args = ["sample", "--model", arg(&self.model), "--steps", "3", "--out", arg(&out)];
        good(&[&args[..], more].concat())
    }

    /// Makes `file` again as `again.png`.
    fn like(&self, file: &str, more: &[&str]) -> (Ran, Value) {
        let (file, out) = (self.at(file), self.at("again.png"));
        let args = ["sample", "--like", arg(&file), "--out", arg(&out), "--json"];
        let ran = good(&[&args[..], more].concat());
        let json: Value = serde_json::from_str(&ran.stdout).expect("an object");
        (ran, json["like"].clone())
    }

    fn refused(&self, file: &str, words: &[&str]) {
        let (file, out) = (self.at(file), self.at("again.png"));
        let _ = std::fs::remove_file(&out);
        run(&["sample", "--like", arg(&file), "--out", arg(&out)]).refused(words);
        assert!(!out.exists());
    }

    /// Writes `file` anew with another text in the chunk `undiffuse`, or none.
    fn rewrite(&self, file: &str, text: Option<&str>) {
        let path = self.at(file);
        let pixels = pixels(&path);
        let mut encoder = png::Encoder::new(File::create(&path).unwrap(), pixels.width(), pixels.height());
        encoder.set_color(png::ColorType::Rgb);
        if let Some(text) = text {
            encoder.add_itxt_chunk("undiffuse".into(), text.into()).unwrap();
        }
        encoder.write_header().unwrap().write_image_data(pixels.as_raw()).unwrap();
    }

    /// Changes fields of the record.
    fn set(&self, file: &str, fields: Value) {
        let mut record = record(&self.at(file));
        record.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        self.rewrite(file, Some(&record.to_string()));
    }
}

fn pixels(path: &Path) -> RgbImage {
    image::open(path).expect("a whole picture").to_rgb8()
}

fn record(path: &Path) -> Value {
    let reader = png::Decoder::new(BufReader::new(File::open(path).unwrap())).read_info().unwrap();
    let chunk = reader.info().utf8_text.iter().find(|c| c.keyword == "undiffuse").expect("a record");
    serde_json::from_str(&chunk.get_text().unwrap()).expect("JSON")
}

#[test]
fn a_picture_tells_how_it_was_made() {
    let place = Place::new(&Model::with_classes());
    let options = ["--count", "3", "--batch", "2", "--class", "dog", "--guidance-scale", "2", "--eta", "0.5"];
    let ran = place.draw(
        "g.png",
        &[&options[..], &["--seed", "18446744073709551615", "--zoom", "2", "--json"]].concat(),
    );
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    let record = record(&place.at("g.png"));
    let wanted = json!({
        "undiffuse": env!("CARGO_PKG_VERSION"), "model": arg(&place.model), "sampler": "ddim", "steps": 3, "eta": 0.5,
        "class": "dog", "guidance_scale": 2.0, "seed": u64::MAX, "first_index": 0, "count": 3, "batch": 2, "zoom": 2,
        "precision": "f32", "batch_invariant": true,
    });
    for (key, value) in wanted.as_object().unwrap() {
        assert_eq!(&record[key], value, "{key}");
        assert_eq!(&json[key], value, "{key} in --json");
    }
    for key in ["model_hash", "kernel_set"] {
        assert!(record[key].as_str().is_some_and(|h| h.len() == 64), "{key}: {record}");
        assert_eq!(record[key], json[key]);
    }
    assert_eq!(record["kernel_set"], undiffuse::kernels::set_hash());
    for key in ["adapter", "backend", "driver", "noise_hash"] {
        assert!(record[key].as_str().is_some_and(|s| !s.is_empty()), "{key}: {record}");
    }
    let reader =
        png::Decoder::new(BufReader::new(File::open(place.at("g.png")).unwrap())).read_info().unwrap();
    let software = &reader.info().uncompressed_latin1_text[0];
    assert_eq!(software.text, format!("undiffuse {}", env!("CARGO_PKG_VERSION")));
    assert!(reader.info().utf8_text.iter().any(|c| c.keyword == "Description"));
}

#[test]
fn the_models_hash_is_of_what_it_says_not_of_how_it_is_written() {
    let place = Place::new(&Model::tiny());
    place.draw("a.png", &[]);
    let hash = record(&place.at("a.png"))["model_hash"].clone();
    let config = place.model.join("unet/config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace('\n', "\r\n  ")).unwrap();
    place.draw("a.png", &[]);
    assert_eq!(record(&place.at("a.png"))["model_hash"], hash);
    let mut other = Model::tiny();
    other.tensors[0].2[0] += 1.0;
    other.write(&place.model);
    place.draw("a.png", &[]);
    assert_ne!(record(&place.at("a.png"))["model_hash"], hash);
}

#[test]
fn a_grid_is_made_again() {
    let place = Place::new(&Model::with_classes());
    place.draw(
        "g.png",
        &["--count", "5", "--seed", "9", "--zoom", "2", "--class", "all", "--guidance-scale", "2"],
    );
    let (ran, like) = place.like("g.png", &[]);
    assert!(ran.stderr.contains("the pixels are equal to those of"), "{}", ran.stderr);
    assert_eq!(
        (&like["equal"], &like["differences"], &like["overridden"]),
        (&json!(true), &json!([]), &json!([]))
    );
    assert_eq!(pixels(&place.at("again.png")), pixels(&place.at("g.png")));
    // Another width of a pixel, a folder, numbers: still the same images.
    assert_eq!(place.like("g.png", &["--zoom", "1"]).1["equal"], true);
    let file = place.at("g.png");
    for out in ["folder", "n.npz"] {
        let ran = good(&["sample", "--like", arg(&file), "--out", arg(&place.at(out))]);
        assert!(ran.stderr.contains("pixels are equal"), "{}", ran.stderr);
    }
    assert_eq!(names(&place.at("folder")).len(), 5);
}

#[test]
fn one_image_of_a_folder_is_made_again_alone() {
    let place = Place::new(&Model::with_classes());
    place.draw("out", &["--count", "5", "--first-index", "7", "--sampler", "ddpm"]);
    let one = record(&place.at("out/000009.png"));
    assert_eq!((&one["first_index"], &one["count"]), (&json!(9), &json!(1)));
    assert_eq!(place.like("out/000009.png", &[]).1["equal"], true);
    assert_eq!(pixels(&place.at("again.png")), pixels(&place.at("out/000009.png")));
    // Also in the company of others: the file is the same, byte by byte.
    let before = std::fs::read(place.at("out/000009.png")).unwrap();
    place.draw("out", &["--count", "3", "--first-index", "8", "--batch", "1", "--sampler", "ddpm"]);
    assert_eq!(std::fs::read(place.at("out/000009.png")).unwrap(), before);
}

#[test]
fn the_order_of_sums_is_recorded_and_made_again() {
    let place = Place::new(&Model::tiny());
    let given = |name: &str, flags: &[&str]| {
        place.draw(name, &[&["--count", "3", "--batch", "2"], flags].concat());
        record(&place.at(name))
    };
    let (plain, exact) = (given("p.png", &[]), given("e.png", &["--exact"]));
    assert_eq!((plain.get("summation"), &exact["summation"]), (None, &json!("exact")));
    assert_eq!((&plain["batch_invariant"], &exact["batch_invariant"]), (&json!(true), &json!(true)));
    assert_ne!(plain["kernel_set"], exact["kernel_set"]);
    let (again, like) = place.like("e.png", &[]);
    assert_eq!((&like["equal"], &like["differences"]), (&json!(true), &json!([])), "{}", again.stderr);
    // A flag comes before what is recorded: the shaders' sums are others.
    let (ran, like) = place.like("p.png", &["--exact"]);
    assert_eq!(like["differences"][0]["what"], "kernel set", "{}", ran.stderr);
    // Where the batch has a part in the images, it is drawn again, also for an image alone.
    let ran = place.draw("f", &["--fastest", "--count", "3", "--batch", "2"]);
    assert!(ran.stderr.contains("for 2 images at once: an image depends on that number"), "{}", ran.stderr);
    let one = record(&place.at("f/000002.png"));
    assert_eq!(
        (&one["batch_invariant"], &one["batch"], &one["count"]),
        (&json!(false), &json!(2), &json!(1))
    );
    let (ran, like) = place.like("f/000002.png", &[]);
    assert_eq!(like["equal"], true, "{}", ran.stderr);
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&json["batch"], &json["summation"]), (&json!(2), &json!("fastest")));
    let both = run(&["sample", "--exact", "--fastest"]);
    assert!(both.code == Some(2) && both.stderr.contains("cannot be used with"), "{}", both.stderr);
}

#[test]
fn flags_come_before_what_is_recorded_and_that_is_said() {
    let place = Place::new(&Model::with_classes());
    place.draw("g.png", &["--class", "dog", "--eta", "0.5"]);
    let (ran, like) = place.like("g.png", &["--steps", "2", "--class", "dog"]);
    assert!(ran.stderr.contains("--steps 2 instead of the recorded 3"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("not equal") && ran.stderr.contains("as --steps would have it"),
        "{}",
        ran.stderr
    );
    assert_eq!((&like["overridden"], &like["equal"]), (&json!(["steps"]), &json!(false)));
    let (ran, like) = place.like("g.png", &["--count", "2"]);
    assert!(ran.stderr.contains("not compared"), "{}", ran.stderr);
    assert_eq!(like["equal"], Value::Null);
    // Without --out the file is not written over.
    let mut command = command::command(&["sample", "--like", "g.png"]);
    let ran = command::finish(command.current_dir(place.dir.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(place.at("g-again.png").exists());
}

#[test]
fn what_is_not_as_it_was_is_said() {
    let place = Place::new(&Model::tiny());
    place.draw("g.png", &[]);
    let same = "0123456789abcdef".repeat(4);
    place.set("g.png", json!({
        "undiffuse": "0.0.7", "kernel_set": same, "adapter": "Some GPU", "driver": "its driver", "colour": "red",
    }));
    let (ran, like) = place.like("g.png", &[]);
    for words in [
        "records `colour`, which this version does not know",
        "version was 0.0.7, is ",
        "kernel set was 0123456789ab, is ",
        "adapter was Some GPU, is ",
        "driver was its driver, is ",
        "rounds otherwise",
    ] {
        assert!(ran.stderr.contains(words), "no `{words}`: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("model hash was"), "{}", ran.stderr);
    assert_eq!(like["equal"], true);
    let mut other = Model::tiny();
    other.tensors.iter_mut().for_each(|t| t.2.iter_mut().for_each(|v| *v *= 1.5));
    other.write(&place.model);
    let (ran, like) = place.like("g.png", &[]);
    assert!(
        ran.stderr.contains("model hash was ") && ran.stderr.contains("another picture"),
        "{}",
        ran.stderr
    );
    assert_eq!(like["equal"], false);
    assert!(like["pixels_that_differ"].as_u64().is_some_and(|n| n > 0), "{like}");
}

#[test]
fn pixels_that_were_changed_are_noticed() {
    let place = Place::new(&Model::tiny());
    place.draw("g.png", &[]);
    let text = record(&place.at("g.png")).to_string();
    let mut image = pixels(&place.at("g.png"));
    image.get_pixel_mut(3, 4)[1] ^= 4;
    image.save(place.at("g.png")).unwrap();
    place.rewrite("g.png", Some(&text));
    let (ran, like) = place.like("g.png", &[]);
    assert!(
        ran.stderr.contains("1 of 64 differ, by 4 of 255 at most; though nothing recorded is"),
        "{}",
        ran.stderr
    );
    assert_eq!((&like["pixels_that_differ"], &like["largest_difference"]), (&json!(1), &json!(4)));
    image::imageops::resize(&image, 4, 4, image::imageops::FilterType::Nearest)
        .save(place.at("g.png"))
        .unwrap();
    place.rewrite("g.png", Some(&text));
    let (ran, like) = place.like("g.png", &[]);
    assert!(ran.stderr.contains("4 x 4, not what its record makes"), "{}", ran.stderr);
    assert_eq!(like["equal"], Value::Null);
}

#[test]
fn a_model_that_has_gone_is_named() {
    let place = Place::new(&Model::tiny());
    place.draw("g.png", &[]);
    let moved = place.at("moved");
    std::fs::rename(&place.model, &moved).unwrap();
    place.refused("g.png", &["g.png", arg(&place.model), "cannot be opened here", "--model"]);
    let (ran, like) = place.like("g.png", &["--model", arg(&moved)]);
    assert!(
        ran.stderr.contains("--model ") && ran.stderr.contains("instead of the recorded"),
        "{}",
        ran.stderr
    );
    assert_eq!((&like["equal"], &like["differences"]), (&json!(true), &json!([])));
    place.set("g.png", json!({ "model": "//host/share" }));
    place.refused("g.png", &["another machine", "//host/share", "--model"]);
}

#[test]
fn files_that_tell_nothing_or_nonsense_are_refused() {
    let place = Place::new(&Model::tiny());
    place.draw("g.png", &[]);
    let whole = std::fs::read(place.at("g.png")).unwrap();
    let text = record(&place.at("g.png")).to_string();
    place.refused("none.png", &["cannot read", "none.png", "--like wants"]);
    place.refused("model", &["cannot read", "not a file"]);
    std::fs::write(place.at("t.png"), b"text").unwrap();
    place.refused("t.png", &["t.png", "no whole PNG", "--like wants"]);
    std::fs::write(place.at("t.png"), &whole[..whole.len() - 100]).unwrap();
    place.refused("t.png", &["t.png", "no whole PNG"]);
    place.rewrite("g.png", None);
    place.refused("g.png", &["does not tell how it was made", "Give the options by hand"]);
    for (bad, says) in [
        ("{", "damaged"),
        ("[]", "not a JSON object"),
        ("{}", "missing field"),
        (&text.replace("\"steps\":3", "\"steps\":-3"), "damaged"),
        (&text.replace("\"zoom\":1", "\"zoom\":4000000000"), "zoom 4000000000"),
        (&text.replace("\"count\":1", "\"count\":0"), "count 0"),
        (&text.replace("\"precision\":\"f32\"", "\"precision\":\"\\u001b[2J\""), "control characters"),
        (&format!("{{\"x\":\"{}\"}}", "a".repeat(2 << 20)), "more than"),
    ] {
        place.rewrite("g.png", Some(bad));
        place.refused("g.png", &["g.png", "the record of how it was made is damaged", says, "by hand"]);
    }
    place.rewrite("g.png", Some(&text.replace("\"ddim\"", "\"dpm9\"")));
    place.refused("g.png", &["dpm9"]);
    place.rewrite("g.png", Some(&text.replace("\"count\":1", "\"count\":18446744073709551615")));
    place.refused("g.png", &["grid of 18446744073709551615 images"]);
}

#[test]
fn numbers_are_written_for_numpy() {
    let place = Place::new(&Model::with_classes());
    place.draw(
        "n.npz",
        &["--count", "5", "--batch", "2", "--first-index", "2", "--class", "all", "--seed", "4"],
    );
    let mut zip = zip::ZipArchive::new(File::open(place.at("n.npz")).unwrap()).unwrap();
    let mut read = |name: &str| {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut zip.by_name(name).unwrap(), &mut bytes).unwrap();
        bytes
    };
    let images = read("images.npy");
    let images = npyz::NpyFile::new(&images[..]).unwrap();
    assert_eq!(images.shape(), [5, 8, 8, 3]);
    let images: Vec<f32> = images.into_vec().unwrap();
    let labels = npyz::NpyFile::new(&read("labels.npy")[..]).unwrap().into_vec::<i64>().unwrap();
    assert_eq!(labels, [2, 0, 1, 2, 0]);
    let index = npyz::NpyFile::new(&read("index.npy")[..]).unwrap().into_vec::<u64>().unwrap();
    assert_eq!(index, [2, 3, 4, 5, 6]);
    for (name, value) in [("seed.npy", 4), ("first_index.npy", 2)] {
        let bytes = read(name);
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        assert_eq!(file.shape(), [0u64; 0]);
        assert_eq!(file.into_vec::<u64>().unwrap(), [value]);
    }
    let made: undiffuse::pipeline::Provenance = serde_json::from_slice(&read("provenance.json")).unwrap();
    assert_eq!((made.seed, made.count, made.first_index), (4, 5, 2));
    // The numbers are those that the pictures are rounded from.
    place.draw("out", &["--count", "5", "--first-index", "2", "--class", "all", "--seed", "4"]);
    for (i, image) in images.chunks_exact(8 * 8 * 3).enumerate() {
        let picture = pixels(&place.at(&format!("out/{:06}.png", i + 2)));
        for (&x, &p) in image.iter().zip(picture.as_raw()) {
            assert!(((x.clamp(-1.0, 1.0) + 1.0) * 127.5 - f32::from(p)).abs() <= 0.51, "{x} as {p}");
        }
    }
    place.draw("none.npz", &["--class", "none"]);
    let mut zip = zip::ZipArchive::new(File::open(place.at("none.npz")).unwrap()).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_name("labels.npy").unwrap(), &mut bytes).unwrap();
    assert_eq!(npyz::NpyFile::new(&bytes[..]).unwrap().into_vec::<i64>().unwrap(), [-1]);
}

#[test]
fn the_way_to_the_images_is_shown() {
    let place = Place::new(&Model::tiny());
    let (film, out, folder) = (place.at("film.png"), place.at("g.png"), place.at("folder"));
    let args = ["sample", "--model", arg(&place.model), "--steps", "5", "--count", "3", "--batch", "2"];
    let args = [&args[..], &["--animate", arg(&film), "--preview-every", "2", "--out"]].concat();
    good(&[&args[..], &[arg(&out)]].concat());
    let mut reader = png::Decoder::new(BufReader::new(File::open(&film).unwrap())).read_info().unwrap();
    assert_eq!(reader.info().animation_control.unwrap().num_frames, 5);
    let (mut frame, mut delays, mut frames) =
        (vec![0; reader.output_buffer_size().unwrap()], Vec::new(), Vec::new());
    while reader.next_frame(&mut frame).is_ok() {
        delays.push(reader.info().frame_control.unwrap().delay_num);
        frames.push(frame.clone());
    }
    assert_eq!(frames.len(), 5);
    assert!(delays[4] > delays[3] && delays[..4].iter().all(|d| *d == delays[0]), "{delays:?}");
    assert!(frames.windows(2).all(|w| w[0] != w[1]));
    assert_eq!(frames[4], pixels(&out).into_raw(), "the last frame is the grid");
    let steps = |folder: &Path| names(folder).into_iter().filter(|n| n.contains("-step")).collect::<Vec<_>>();
    let wanted = [
        "g-from000000-step0002.png",
        "g-from000000-step0004.png",
        "g-from000002-step0002.png",
        "g-from000002-step0004.png",
    ];
    assert_eq!(steps(place.dir.path()), wanted);
    // In a folder each image has its own, the same in any batch.
    let draw = |batch: &str| {
        let args = ["sample", "--model", arg(&place.model), "--steps", "5", "--count", "3", "--batch", batch];
        good(&[&args[..], &["--preview-every", "2", "--out", arg(&folder)]].concat());
        steps(&folder).iter().map(|n| pixels(&folder.join(n))).collect::<Vec<_>>()
    };
    let (two, three) = (draw("2"), draw("3"));
    assert_eq!(two.len(), 6);
    assert!(two == three);
    assert!(two[0] != two[1] && two[1] != pixels(&folder.join("000000.png")), "estimates on the way");
    run(&[&args[..], &[arg(&film)]].concat()).refused(&["--out", "--animate", "film.png", "two files"]);
    let gif = place.at("film.gif");
    let args = ["sample", "--model", arg(&place.model), "--animate", arg(&gif), "--out", arg(&out)];
    run(&args).refused(&["film.gif", "APNG", ".png"]);
    run(&[
        "sample",
        "--model",
        arg(&place.model),
        "--count",
        "900",
        "--zoom",
        "64",
        "--animate",
        arg(&film),
        "--out",
        arg(&folder),
    ])
    .refused(&["animation", "frames", "--zoom"]);
}
