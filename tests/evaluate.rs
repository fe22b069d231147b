//! Feature networks against PyTorch, and `evaluate`, `features`, `merge` as a user types them: that parts of a
//! job give what one process gives, that a run goes on where it stopped, and what is refused.

#[path = "evaluate/browser.rs"]
mod browser;
#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;
#[path = "evaluate/networks.rs"]
mod networks;

use command::{arg, good, names, run};
use model_folder::{put, weights, Model};
use npyz::NpyFile;
use serde_json::{json, Value};
use std::io::Read;
use std::path::{Path, PathBuf};
use undiffuse::diffusion::sampler::{flow::Flow, Sampler};
use undiffuse::graph::Graph;
use undiffuse::models::features;
use undiffuse::pipeline::{Model as UndiffuseModel, Sample};
use undiffuse::weights::{Deterministic, Json, Recorder, Weights};

/// A small classifier of 8 x 8 pictures of three colours.
fn classifier(folder: &Path) -> PathBuf {
    classifier_of(folder, 3)
}

fn classifier_of(folder: &Path, channels: usize) -> PathBuf {
    let config = json!({ "_class_name": "ResNetClassifier", "image_size": 8, "image_channels": channels,
        "widths": [4, 6], "act_fn": "silu", "id2label": { "0": "cat", "1": "dog", "2": "duck" } });
    let recorder = Recorder::new(&Deterministic);
    let net = features::open(&Json::new("config.json", config.to_string())).unwrap().unwrap();
    net.build(&recorder, &mut Graph::new()).unwrap();
    let tensor = |(name, shape): (String, Vec<usize>)| {
        // Far enough apart that no class has all pictures.
        let factor = if name == "head.weight" { 200.0 } else { 1.0 };
        let numbers = Deterministic.get(&name, &shape).unwrap().to_f32().unwrap();
        (name, shape, numbers.iter().map(|v| v * factor).collect())
    };
    let tensors: Vec<_> = recorder.asked().into_iter().map(tensor).collect();
    put(folder, "config.json", config.to_string().as_bytes());
    put(folder, "model.safetensors", &weights(&tensors));
    folder.to_path_buf()
}

/// An array of a file, as bytes; its shape.
fn bytes(path: &Path, name: &str) -> (Vec<u64>, Vec<u8>) {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut all = Vec::new();
    zip.by_name(&format!("{name}.npy")).unwrap().read_to_end(&mut all).unwrap();
    let file = NpyFile::new(&all[..]).unwrap();
    let (shape, size) = (file.shape().to_vec(), file.dtype().num_bytes().unwrap());
    let len = shape.iter().product::<u64>() as usize * size;
    let at = all.len() - len;
    (shape, all.split_off(at))
}

fn doubles(path: &Path, name: &str) -> Vec<f64> {
    bytes(path, name).1.chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

fn parsed(args: &[&str]) -> Value {
    serde_json::from_str(&good(args).stdout).unwrap()
}

fn near(a: &Value, b: &Value) {
    let (x, y) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    assert!((x - y).abs() <= 1e-9 * y.abs().max(1.0), "{a} is not {b}");
}

/// Every number of both objects, the same to 1e-9.
fn same(a: &Value, b: &Value) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
            a.iter().for_each(|(key, value)| same(value, &b[key]));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| same(a, b));
        }
        (Value::Number(_), Value::Number(_)) => near(a, b),
        _ => assert_eq!(a, b),
    }
}

/// Four parts in four processes, joined, and one process that does all.
#[test]
fn parts_give_what_one_process_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (model, net) = (Model::tiny().write(&dir.path().join("m")), classifier(&dir.path().join("c")));
    let path = |name: &str| dir.path().join(name);
    let sample = |out: &Path, more: &[&str]| {
        let args = ["sample", "--model", arg(&model), "--steps", "2", "--count", "22", "--out", arg(out)];
        good(&[&args[..], more].concat())
    };
    let whole = path("whole.npz");
    sample(&whole, &["--levels", "--seed", "3"]);
    assert_eq!(bytes(&whole, "images").0, [22, 8, 8, 3]);
    let parts: Vec<PathBuf> = (1..=4).map(|i| path(&format!("part{i}.npz"))).collect();
    for (i, part) in parts.iter().enumerate() {
        sample(part, &["--levels", "--seed", "3", "--shard", &format!("{}/4", i + 1), "--batch", "4"]);
    }
    // In any order.
    let merged = path("merged.npz");
    let order = [&parts[2], &parts[0], &parts[3], &parts[1]].map(|p| arg(p));
    good(&[&["merge"], &order[..], &["--out", arg(&merged)]].concat());
    for name in ["images", "labels", "index"] {
        assert_eq!(bytes(&merged, name), bytes(&whole, name), "{name}");
    }
    run(&["merge", arg(&parts[0]), arg(&parts[0]), "--out", arg(&merged)]).refused(&["image 0", "two"]);
    // Features and statistics of the parts, and of the whole.
    let features = |images: &Path, out: &Path, more: &[&str]| {
        let args = ["features", arg(&net), "--images", arg(images), "--out", arg(out)];
        good(&[&args[..], more].concat());
    };
    let (seen, told) = (path("seen.npz"), path("told.npz"));
    features(&whole, &seen, &[]);
    features(&whole, &told, &["--statistics"]);
    let mut kept = [Vec::new(), Vec::new()];
    for i in 1..=4 {
        let shard = format!("{i}/4");
        for (list, more) in
            kept.iter_mut().zip([&["--shard", &shard][..], &["--shard", &shard, "--statistics"]])
        {
            let out = path(&format!("f{i}-{}.npz", more.len()));
            features(&whole, &out, more);
            list.push(out);
        }
    }
    let joined = |files: &[PathBuf], out: &Path| {
        let files: Vec<&str> = files.iter().map(|p| arg(p)).collect();
        good(&[&["merge"], &files[..], &["--out", arg(out)]].concat());
    };
    let (all_seen, all_told) = (path("all-seen.npz"), path("all-told.npz"));
    joined(&kept[0], &all_seen);
    joined(&kept[1], &all_told);
    for name in ["features", "logits", "index"] {
        assert_eq!(bytes(&all_seen, name), bytes(&seen, name), "{name}");
    }
    for name in ["mu", "sigma"] {
        let pairs = doubles(&all_told, name).into_iter().zip(doubles(&told, name));
        assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() <= 1e-9 * b.abs().max(1e-3)), "{name}");
    }
    assert_eq!(bytes(&all_told, "count"), bytes(&told, "count"));
    // Against another seed's images: by pictures, by features and by statistics.
    let other = path("other.npz");
    sample(&other, &["--seed", "4"]);
    let evaluate = |subject: &Path, reference: &Path| {
        let args = ["evaluate", arg(subject), "--reference", arg(reference), "--features", arg(&net)];
        let mut told = parsed(
            &[&args[..], &["--k", "3", "--intervals", "4", "--kernel-subsets", "2", "--json"]].concat(),
        );
        assert_eq!(told["kernel_set"], undiffuse::kernels::set_hash());
        told["evaluation"].take()
    };
    let one = evaluate(&whole, &other);
    same(&evaluate(&all_seen, &other), &one);
    assert_eq!((one["pictures"].as_u64(), one["reference"].as_u64()), (Some(22), Some(22)));
    assert_eq!((one["compared"]["k"].as_u64(), one["width"].as_u64()), (Some(3), Some(6)));
    for name in ["precision", "recall", "coverage"] {
        let share = one["compared"][name]["value"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&share), "{name} {share}");
    }
    assert!(one["frechet"]["error"].as_f64().unwrap() > 0.0);
    let shares: f64 = one["modes"]["classes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["share"]["value"].as_f64().unwrap())
        .sum();
    assert!((shares - 1.0).abs() < 1e-9);
    // A set against itself.
    let own = evaluate(&whole, &seen);
    assert!(own["frechet"]["value"].as_f64().unwrap().abs() < 1e-6);
    assert_eq!(own["modes"]["kl"]["value"].as_f64(), Some(0.0));
    assert_eq!(own["compared"]["coverage"]["value"].as_f64(), Some(1.0));
    // Statistics give the Frechet distance alone, which is that of the pictures.
    let alone = evaluate(&other, &all_told);
    near(&alone["frechet"]["value"], &evaluate(&other, &whole)["frechet"]["value"]);
    assert!(alone["compared"].is_null() && alone["modes"]["against"] == "even");
    assert!(alone["notes"].to_string().contains("mean and a covariance alone"));
}

/// A model's samples in a work folder: parts fill it, what is there is not drawn again, another run is
/// refused.
#[test]
fn a_run_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (model, net) =
        (Model::with_classes().write(&dir.path().join("m")), classifier(&dir.path().join("c")));
    let (work, reference) = (dir.path().join("work"), dir.path().join("reference"));
    let draw = ["--model", arg(&model), "--steps", "2", "--batch", "4"];
    good(&[&["sample", "--count", "9", "--seed", "1", "--out", arg(&reference)], &draw[..]].concat());
    let all = |more: &[&str]| {
        let args = ["evaluate", "--count", "10", "--reference", arg(&reference), "--features", arg(&net)];
        let rest = ["--k", "2", "--intervals", "2", "--kernel-subsets", "2", "--json"];
        [&args[..], &draw[..], &rest[..], more].concat().into_iter().map(String::from).collect::<Vec<_>>()
    };
    let of = |more: &[&str]| {
        let args = all(more);
        let ran = good(&args.iter().map(String::as_str).collect::<Vec<_>>());
        (serde_json::from_str::<Value>(&ran.stdout).unwrap(), ran.stderr)
    };
    let whole = dir.path().join("whole");
    let (one, said) = of(&["--work", arg(&whole)]);
    assert!(said.contains("10 images, 0 of them from before"), "{said}");
    assert_eq!(names(&whole).len(), 5, "{:?}", names(&whole));
    let files = ["samples-000000-000003.npz", "samples-000004-000007.npz", "samples-000008-000009.npz"];
    assert!(files.iter().all(|f| whole.join(f).is_file()));
    let kept: Value = serde_json::from_slice(&std::fs::read(whole.join("evaluation.json")).unwrap()).unwrap();
    same(&kept["evaluation"], &one["evaluation"]);
    assert_eq!((one["speed"]["nfe"].as_u64(), one["speed"]["batches"].as_u64()), (Some(2), Some(3)));
    assert!(one["speed"]["seconds_per_100"]["error"].as_f64().unwrap() >= 0.0);
    // In two parts, the second first; a part is done once.
    for part in ["2/2", "1/2", "2/2"] {
        of(&["--work", arg(&work), "--shard", part]);
    }
    let (two, said) = of(&["--work", arg(&work)]);
    assert!(said.contains("10 images, 10 of them from before"), "{said}");
    same(&two["evaluation"], &one["evaluation"]);
    // A lost file is drawn again, and nothing else is.
    std::fs::remove_file(whole.join(files[1])).unwrap();
    let (again, said) = of(&["--work", arg(&whole)]);
    assert!(said.contains("10 images, 6 of them from before"), "{said}");
    same(&again["evaluation"], &one["evaluation"]);
    let refused = |more: &[&str], words: &[&str]| {
        let args = all(more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused(words);
    };
    refused(&["--work", arg(&whole), "--seed", "5"], &["another run", "seed 0 there, 5 asked for", "--work"]);
    refused(&["--work", arg(&reference)], &["not empty", "run.json"]);
    refused(&["--shard", "5/4"], &["1/16 to 16/16"]);
    // Ctrl-C leaves whole files, and the same folder goes on.
    #[cfg(unix)]
    {
        let slow = dir.path().join("slow");
        let args = ["evaluate", "--model", arg(&model), "--steps", "40", "--batch", "2", "--count", "40"];
        let rest =
            ["--reference", arg(&reference), "--features", arg(&net), "--work", arg(&slow), "--k", "2"];
        let args = [&args[..], &rest[..]].concat();
        let said = command::interrupted(&args, "/40, step");
        assert!(said.contains("the same command goes on"), "{said}");
        let before = names(&slow).len() - 1;
        assert!((1..20).contains(&before), "{:?}", names(&slow));
        let mut few = args.clone();
        few[8] = "6";
        let said = good(&few).stderr;
        assert!(said.contains("6 images, ") && !said.contains(", 0 of them from before"), "{said}");
    }
    // A block of the model, as features.
    let out = dir.path().join("block.npz");
    let blocks = good(&["features", arg(&model), "--list"]).stdout;
    assert!(blocks.lines().any(|l| l == "mid_block"), "{blocks}");
    let tap = |block: &str, time: &str| {
        let args = ["features", arg(&model), "--images", arg(&reference), "--tap", block, "--time", time];
        run(&[&args[..], &["--out", arg(&out)]].concat())
    };
    assert_eq!(tap("mid_block", "100").code, Some(0));
    assert_eq!(bytes(&out, "features").0, [9, 32]);
    tap("nothing", "100").refused(&["no block `nothing`", "mid_block"]);
    tap("mid_block", "5000").refused(&["time", "5000", "999"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (model, net) = (Model::tiny().write(&dir.path().join("m")), classifier(&dir.path().join("c")));
    let path = |name: &str| dir.path().join(name);
    let images = path("a.npz");
    good(&["sample", "--model", arg(&model), "--steps", "1", "--count", "4", "--out", arg(&images)]);
    let evaluate = |subject: &Path, reference: &Path, features: &str| {
        run(&["evaluate", arg(subject), "--reference", arg(reference), "--features", features])
    };
    let c = arg(&net);
    evaluate(&images, &images, c).refused(&["6 pictures or more", "has 4", "smaller k"]);
    evaluate(&images, &images, arg(&model)).refused(&["UNet2DModel", "ResNetClassifier"]);
    evaluate(&images, &images, "zoo/fashion-classifier").refused(&["32 x 32", "8 x 8"]);
    evaluate(&images, &images, "nothing.pth").refused(&["nothing.pth"]);
    evaluate(&images, &path("gone.npz"), c).refused(&["gone.npz"]);
    evaluate(&images, &path("gone"), c).refused(&["folder of pictures"]);
    std::fs::create_dir(path("empty")).unwrap();
    evaluate(&images, &path("empty"), c).refused(&["empty", "no picture"]);
    std::fs::write(path("broken.npz"), b"PK").unwrap();
    evaluate(&images, &path("broken.npz"), c).refused(&["broken.npz", "no .npz file"]);
    for (i, size) in [8, 9].into_iter().enumerate() {
        std::fs::create_dir_all(path("mixed")).unwrap();
        image::RgbImage::new(size, 8).save(path("mixed").join(format!("{i}.png"))).unwrap();
    }
    evaluate(&images, &path("mixed"), c).refused(&["1.png is 9 x 8", "one size"]);
    let (seen, told) = (path("f.npz"), path("t.npz"));
    good(&["features", c, "--images", arg(&images), "--out", arg(&seen)]);
    good(&["features", c, "--images", arg(&images), "--out", arg(&told), "--statistics"]);
    evaluate(&told, &images, c).refused(&["no pictures"]);
    run(&["merge", arg(&seen), arg(&told), "--out", arg(&path("m.npz"))]).refused(&["one kind"]);
    run(&["merge", arg(&seen), "--out", arg(&path("m.png"))]).refused(&["m.png", ".npz"]);
    let other = classifier(&path("other"));
    put(&other, "config.json", &std::fs::read(net.join("config.json")).unwrap());
    std::fs::write(
        other.join("config.json"),
        std::fs::read_to_string(net.join("config.json")).unwrap().replace("duck", "goose"),
    )
    .unwrap();
    evaluate(&seen, &images, arg(&other)).refused(&["features of c", "asked for are those of other"]);
}

/// Three grey pictures in one: 27 modes of three classes, features of each channel.
#[test]
fn stacked_pictures_have_modes_of_all_channels() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let model = Model::tiny().write(&path("m"));
    let (grey, colour, images) = (classifier_of(&path("grey"), 1), classifier(&path("c")), path("a.npz"));
    let sample = ["sample", "--model", arg(&model), "--steps", "1", "--count", "8", "--levels", "--out"];
    good(&[&sample[..], &[arg(&images)]].concat());
    let words = |net: &Path| {
        let args = [
            "evaluate",
            arg(&images),
            "--reference",
            arg(&images),
            "--stacked",
            "--k",
            "2",
            "--intervals",
            "0",
        ];
        let all = [&args[..], &["--kernel-subsets", "1", "--features", arg(net), "--json"]].concat();
        all.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let args = words(&grey);
    let found = parsed(&args.iter().map(String::as_str).collect::<Vec<_>>())["evaluation"].take();
    assert_eq!((&found["width"], &found["features"]), (&18.into(), &"grey on each of 3 channels".into()));
    let classes = found["modes"]["classes"].as_array().unwrap();
    assert_eq!((classes.len(), &classes[5]["name"]), (27, &"cat | dog | duck".into()));
    let shares: f64 = classes.iter().map(|c| c["share"]["value"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9 && found["modes"]["hit"].as_u64() >= Some(1), "{}", found["modes"]);
    assert!(found["frechet"]["value"].as_f64().unwrap().abs() < 1e-6, "{}", found["frechet"]);
    let args = words(&colour);
    run(&args.iter().map(String::as_str).collect::<Vec<_>>()).refused(&["stacked", "grey"]);
}

/// What has no likelihood says so before anything runs.
#[test]
fn systems_say_that_they_have_no_likelihood() {
    let model =
        UndiffuseModel::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("models/fashion-cld")).unwrap();
    let options = Sample { sampler: Sampler::Rk45, ..Sample::default() };
    let error = model.flow_program(Flow::Likelihood, &options).unwrap_err().to_string();
    assert!(error.contains("velocity") && error.contains("not computed"), "{error}");
}

/// The words of a small report into `report.html` of a folder: two models, a sampler that suits them and one that
/// does not, 1 and 2 steps.
fn small_report(dir: &Path) -> Vec<String> {
    let net = classifier(&dir.join("c"));
    let (a, b) = (Model::tiny().write(&dir.join("a")), Model::with_classes().write(&dir.join("b")));
    let (reference, out, work) = (dir.join("r.npz"), dir.join("report.html"), dir.join("work"));
    let draw = ["sample", "--model", arg(&a), "--steps", "2", "--count", "8", "--seed", "9", "--out"];
    good(&[&draw[..], &[arg(&reference)]].concat());
    let models = format!("{},{}", arg(&a), arg(&b));
    let args = [
        &["trilemma", "--models", &models, "--samplers", "ddim,ddgan", "--steps", "1,2", "--count", "8"][..],
        &["--reference", arg(&reference), "--features", arg(&net), "--k", "2", "--intervals", "2"],
        &["--kernel-subsets", "2", "--batch", "4", "--work", arg(&work), "--out", arg(&out), "--json"],
    ];
    args.concat().into_iter().map(String::from).collect()
}

/// Two models and two samplers in one report, twice; the page is whole and alone.
#[test]
fn a_report_of_all_points() {
    let dir = tempfile::tempdir().unwrap();
    let (out, work) = (dir.path().join("report.html"), dir.path().join("work"));
    let args = small_report(dir.path());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let planned = parsed(&[&args[..], &["--plan"]].concat());
    assert_eq!(planned["points"].as_array().unwrap().len(), 4);
    assert!(planned["seconds"].as_f64().unwrap() > 0.0 && !work.exists() && !out.exists());
    let (one, two) = (parsed(&args), parsed(&args));
    let points = one["points"].as_array().unwrap();
    assert_eq!(points.len(), 4);
    assert_eq!(one["left_out"].as_array().unwrap().len(), 4, "{}", one["left_out"]);
    assert!(points.iter().any(|p| p["pareto"] == true));
    // Nothing is drawn twice: not even the times change.
    same(&two, &one);
    let html = std::fs::read_to_string(&out).unwrap();
    assert_eq!(html.matches("<svg").count(), 3);
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert_eq!(html.matches("data:image/png;base64,").count(), 4);
    assert!(!html.contains("http://") && !html.contains("https://"));
    // (Letters of a picture may be any word.)
    let charts = html.split("<svg").skip(1).filter_map(|part| part.split("</svg>").next());
    assert!(charts.into_iter().all(|chart| !chart.contains("NaN") && chart.matches("<circle").count() == 4));
    let at = html.find("id=\"data\">").unwrap() + 10;
    let data: Value = serde_json::from_str(&html[at..at + html[at..].find("</script>").unwrap()]).unwrap();
    same(&data, &one);
    let csv = std::fs::read_to_string(out.with_extension("csv")).unwrap();
    assert_eq!(csv.lines().count(), 5);
    let json: Value = serde_json::from_slice(&std::fs::read(out.with_extension("json")).unwrap()).unwrap();
    same(&json, &one);
    // The command of a point makes that point.
    let command = points[3]["command"].as_str().unwrap();
    let words: Vec<&str> = command.split(' ').skip(1).collect();
    let more = ["--k", "2", "--intervals", "2", "--kernel-subsets", "2", "--json"];
    same(&parsed(&[&words[..], &more].concat())["evaluation"], &points[3]["evaluation"]);
    let args: Vec<&str> = args.iter().map(|a| if *a == arg(&out) { "report.pdf" } else { a }).collect();
    run(&args).refused(&["report.pdf", ".html"]);
}
