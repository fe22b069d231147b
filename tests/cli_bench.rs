//! `bench`, `doctor` and `tune`, as a user types them. No test looks at a time.

#[path = "support/command.rs"]
mod command;

use command::{arg, command as undiffuse, finish, good, names, run};
use serde_json::{json, Value};
use std::io::Read;
use std::path::Path;

const MODEL: &str = "models/fashion-ddpm";

fn object(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn write(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).expect("a file");
}

#[test]
fn help_names_every_option() {
    let common = [
        "model",
        "recipe",
        "synthetic-weights",
        "batch",
        "repeats",
        "adapter",
        "backend",
        "json",
        "exact",
        "fastest",
    ];
    for (verb, options) in [
        (&["bench", "network"][..], &["markdown", "compare"][..]),
        (&["bench", "ops"], &[]),
        (&["bench", "loop"], &["steps"]),
        (&["bench", "start"], &[]),
    ] {
        let help = good(&[verb, &["--help"]].concat()).stdout;
        for option in common.iter().chain(options) {
            assert!(help.contains(&format!("--{option}")), "{verb:?} {option}: {help}");
        }
    }
    for (verb, options) in
        [("doctor", &["adapter", "cases", "all", "json"][..]), ("tune", &["batch", "adapter", "json"])]
    {
        let help = good(&[verb, "--help"]).stdout;
        options.iter().for_each(|o| assert!(help.contains(&format!("--{o}")), "{o}: {help}"));
    }
}

#[test]
fn a_network_in_numbers() {
    let told = object(
        &good(&["bench", "network", "--model", MODEL, "--batch", "2", "--repeats", "2", "--json", "-"])
            .stdout,
    );
    for key in [
        "gmacs",
        "dispatches",
        "median_seconds",
        "min_seconds",
        "weights_bytes",
        "activation_bytes",
        "live_set_bytes",
        "empty_seconds",
    ] {
        assert!(told[key].as_f64().is_some_and(|v| v > 0.0), "{key}: {told}");
    }
    assert_eq!(
        (&told["bench"], &told["batch"], &told["model"]),
        (&json!("network"), &json!(2), &json!(MODEL))
    );
    assert_eq!(told["batch_invariant"], true);
    assert!(told["adapter"].is_string() && told["kernel_set"].as_str().is_some_and(|k| k.len() == 64));
    assert_eq!(told["seconds"].as_array().map(Vec::len), Some(2));
    // As `inspect` counts: multiply-adds of an image, dispatches, and the bytes that they move.
    let plan = object(&good(&["inspect", MODEL, "--batch", "2", "--json"]).stdout);
    let rows = told["rows"].as_array().expect("rows");
    assert_eq!(rows.len() as u64, told["dispatches"].as_u64().unwrap_or(0));
    assert_eq!(told["dispatches"], plan["network"]["dispatches"]);
    let sum = |key: &str| rows.iter().map(|r| r[key].as_u64().expect("a number")).sum::<u64>();
    assert_eq!(sum("macs"), 2 * plan["network"]["macs"].as_u64().unwrap_or(0));
    assert_eq!(sum("bytes"), plan["network"]["bytes"].as_u64().unwrap_or(0));
    assert!((told["gmacs"].as_f64().unwrap_or(0.0) - 1e-9 * sum("macs") as f64).abs() < 1e-12);
    assert_eq!(told["live_set_bytes"], plan["network"]["memory"]["live"]["bytes"]);
}

#[test]
fn tables_files_and_synthetic_weights() {
    let folder = tempfile::tempdir().expect("a folder");
    // A configuration and nothing else.
    let bare = folder.path().join("bare");
    std::fs::create_dir_all(bare.join("unet")).expect("a folder");
    std::fs::copy(format!("{MODEL}/unet/config.json"), bare.join("unet/config.json")).expect("a copy");
    let out = folder.path().join("out.json");
    let args = ["bench", "network", "--model", arg(&bare), "--repeats", "1", "--json", arg(&out)];
    run(&args).refused(&["no weights"]);
    let ran = good(&[&args[..], &["--synthetic-weights", "--markdown"]].concat());
    assert!(ran.stdout.starts_with("**"), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("| time |  | GFLOP/s | GB/s | kernel | op |\n| ---: | ---: |"),
        "{}",
        ran.stdout
    );
    let bare_numbers = object(&std::fs::read_to_string(&out).expect("the file"));
    // The network is that of the model, whose weights are others.
    let other = folder.path().join("model.json");
    let text = good(&["bench", "network", "--model", MODEL, "--repeats", "1", "--json", arg(&other)]).stdout;
    assert!(text.contains("Dispatches, ") && text.contains("Kernels"), "{text}");
    let numbers = object(&std::fs::read_to_string(&other).expect("the file"));
    assert_eq!(numbers["network"], bare_numbers["network"]);
    let text = good(&["bench", "--compare", arg(&out), arg(&other)]).stdout;
    assert!(text.contains("B to A over ") && text.contains("the whole"), "{text}");
    run(&["bench", "network", "--synthetic-weights"]).refused(&["emoji32", "synthetic-weights"]);
    run(&["bench", "network", "--model", arg(folder.path()), "--synthetic-weights"])
        .refused(&["config.json"]);
    run(&["bench", "network", "--recipe", "score_sde/none"]).refused(&["score_sde/none", "lsgm/mnist"]);
    run(&["bench"]).refused(&["ops, network, loop or start"]);
    run(&["bench", "network", "--adapter", "none of this name"]).refused(&["none of this name"]);
    // Whatever adapters there are, the default one is among them.
    let all = ["bench", "network", "--model", MODEL, "--adapter", "all", "--repeats", "1", "--json", "-"];
    let all = object(&good(&all).stdout);
    let list = all.as_array().cloned().unwrap_or_else(|| vec![all]);
    assert!(list.iter().any(|o| o["adapter"] == numbers["adapter"]));
}

/// What a benchmark could have written.
fn numbers(network: &str, rows: &[(&str, f64)]) -> Value {
    let rows: Vec<_> =
        rows.iter().map(|(n, s)| json!({ "name": n, "seconds": s, "kernel": "k/v" })).collect();
    json!({ "bench": "network", "model": network, "network": network, "adapter": "one", "backend": "vulkan",
            "batch": 1, "noisy": false, "median_seconds": 1.0, "rows": rows })
}

#[test]
fn files_are_compared_the_worst_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("a.json"), &numbers("net", &[("x", 1.0), ("y", 2.0), ("x", 4.0), ("z", 0.0), ("gone", 1.0)]));
    let mut b = numbers("net", &[("x", 1.5), ("y", 1.0), ("x", 8.0), ("z", 1.0)]);
    b["rows"][1]["kernel"] = json!("k/w");
    b["median_seconds"] = json!(1.25);
    write(&at("b.json"), &b);
    let told =
        object(&good(&["bench", "--compare", arg(&at("a.json")), arg(&at("b.json")), "--json", "-"]).stdout);
    let rows: Vec<_> =
        told["rows"].as_array().expect("rows").iter().map(|r| (&r["name"], &r["ratio"])).collect();
    let wanted = [json!("x #2"), json!(2.0), json!("x"), json!(1.5), json!("the whole"), json!(1.25)];
    assert_eq!(
        rows.iter().flat_map(|r| [r.0, r.1]).take(6).collect::<Vec<_>>(),
        wanted.iter().collect::<Vec<_>>()
    );
    assert_eq!((rows.len(), &told["rows"][3]["note"]), (4, &json!("k/v -> k/w")));
    let ran = good(&["bench", "--compare", arg(&at("a.json")), arg(&at("b.json"))]);
    assert!(ran.stdout.contains("median 1.375, worst 2.000, best 0.500"), "{}", ran.stdout);
    assert!(ran.stderr.contains("1 rows are in the first file alone"), "{}", ran.stderr);
    // Another batch is told of, another model or benchmark is refused.
    b["batch"] = json!(4);
    write(&at("b.json"), &b);
    let ran = good(&["bench", "network", "--compare", arg(&at("a.json")), arg(&at("b.json"))]);
    assert!(ran.stderr.contains("warning: batch was 1, is 4"), "{}", ran.stderr);
    write(&at("c.json"), &numbers("other", &[("x", 1.0)]));
    let compare = |x: &str, y: &str| run(&["bench", "--compare", arg(&at(x)), arg(&at(y))]);
    compare("a.json", "c.json").refused(&["a.json", "c.json", "same model", "net", "other"]);
    let mut d = numbers("net", &[("x", 1.0)]);
    d["bench"] = json!("loop");
    write(&at("d.json"), &d);
    compare("a.json", "d.json").refused(&["same benchmark", "network", "loop"]);
    for (text, says) in [
        ("{", "not JSON"),
        ("[]", "bench ... --json FILE"),
        ("{\"rows\": 3}", "bench ... --json FILE"),
        ("{\"bench\": \"network\", \"network\": \"net\", \"rows\": [{\"name\": 1}]}", "without a name"),
    ] {
        std::fs::write(at("bad.json"), text).expect("a file");
        compare("a.json", "bad.json").refused(&["bad.json", says]);
    }
    compare("a.json", "missing.json").refused(&["missing.json"]);
}

#[test]
fn ops_loops_and_starts() {
    let ops = good(&["bench", "ops", "--model", MODEL, "--repeats", "1", "--json", "-"]).stdout;
    let ops = object(&ops);
    assert!(ops["peak_gflops"].as_f64() > Some(0.0) && ops["peak_gbps"].as_f64() > Some(0.0));
    let rows = ops["rows"].as_array().expect("rows");
    for row in rows {
        assert!(row["gbps"].as_f64() > Some(0.0) && row["share_of_peak"].as_f64() > Some(0.0), "{row}");
    }
    // Each shape of a convolution has exactly one variant that plans use.
    let shapes: std::collections::BTreeSet<&str> = rows.iter().filter_map(|r| r["shape"].as_str()).collect();
    for shape in shapes.iter().filter(|s| s.starts_with("conv ")) {
        let chosen = rows.iter().filter(|r| r["shape"] == **shape && r["chosen"] == true).count();
        assert_eq!(chosen, 1, "{shape}");
    }
    assert!(shapes.iter().any(|s| s.starts_with("group_norm")), "{shapes:?}");

    let args =
        ["bench", "loop", "--model", MODEL, "--steps", "2", "--repeats", "1", "--batch", "2", "--json", "-"];
    let told = object(&good(&args).stdout);
    assert_eq!((&told["steps"], &told["nfe"], &told["maps"]), (&json!(2), &json!(2), &json!(1)));
    assert!(told["ratio"].as_f64() > Some(0.0) && told["submissions"].as_u64() > Some(0), "{told}");

    let told = object(&good(&["bench", "start", "--model", MODEL, "--repeats", "1", "--json", "-"]).stdout);
    assert!(told["cold_seconds"].as_f64() > Some(0.0) && told["warm_seconds"].as_f64() > Some(0.0), "{told}");
    assert_eq!(told["rows"].as_array().map(Vec::len), Some(12));
    run(&["bench", "start", "--model", "no/such"]).refused(&["no/such"]);
}

#[test]
fn doctor_finds_this_driver_right_and_keeps_no_file() {
    let cache = tempfile::tempdir().expect("a folder");
    let ran = finish(undiffuse(&["doctor", "--cases", "2", "--json"]).env("UNDIFFUSE_CACHE", cache.path()));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = object(&ran.stdout);
    assert_eq!((told[0]["wrong"].as_u64(), &told[0]["kept"]), (Some(0), &Value::Null));
    let findings = told[0]["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), undiffuse::kernels::ALL.iter().map(|k| k.variants.len()).sum::<usize>());
    assert!(findings.iter().all(|f| f["wrong"].is_null()));
    assert!(names(cache.path()).is_empty());
    run(&["doctor", "--adapter", "none of this name"]).refused(&["none of this name"]);
}

/// The floats of an `.npz` file, as bytes.
fn images(path: &Path) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).expect("a file")).expect("an archive");
    let mut bytes = Vec::new();
    archive.by_name("images.npy").expect("images").read_to_end(&mut bytes).expect("bytes");
    bytes
}

#[test]
fn what_tune_finds_is_used_and_a_bad_file_does_no_harm() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("cache");
    let with = |args: &[&str]| finish(undiffuse(args).env("UNDIFFUSE_CACHE", &cache));
    run(&["tune", MODEL]).refused(&["UNDIFFUSE_CACHE"]);
    let ran = with(&["tune", MODEL, "--batch", "1", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = object(&ran.stdout);
    let shapes = told["shapes"].as_array().expect("shapes");
    assert!(shapes.len() > 5 && told["batch_invariant"] == true, "{told}");
    for s in shapes {
        let timings = s["timings"].as_object().expect("timings");
        let (baseline, winner) = (s["baseline"].as_str().unwrap_or(""), s["winner"].as_str().unwrap_or(""));
        assert!(timings.contains_key(baseline) && timings.contains_key(winner), "{s}");
        assert_eq!(s["wrong"], json!({}), "{s}");
    }
    assert_eq!(names(&cache).len(), 1);
    // Make sure of a choice that is not the usual one, so that its use shows.
    let file = cache.join(&names(&cache)[0]);
    let mut kept = object(&std::fs::read_to_string(&file).expect("the file"));
    let other = shapes.iter().find_map(|s| {
        let names = s["timings"].as_object()?.keys();
        Some((s["shape"].as_str()?, names.into_iter().find(|n| **n != s["baseline"])?.clone()))
    });
    let (shape, other) = other.expect("a shape with two candidates");
    kept["choices"]["fastest"] = json!({ shape: other });
    write(&file, &kept);
    let draw = |batch: &str, out: &Path| {
        with(&[
            "sample",
            "--model",
            MODEL,
            "--count",
            "3",
            "--steps",
            "2",
            "--batch",
            batch,
            "--out",
            arg(out),
        ])
    };
    // Images are the same bits in every batch, whatever was measured.
    let (one, three) = (folder.path().join("1.npz"), folder.path().join("3.npz"));
    for (batch, out) in [("1", &one), ("3", &three)] {
        let ran = draw(batch, out);
        assert_eq!((ran.code, ran.stderr.contains("warning: ")), (Some(0), false), "{}", ran.stderr);
    }
    assert!(images(&one) == images(&three), "images depend on their batch");
    let ops = with(&["bench", "ops", "--model", MODEL, "--repeats", "1", "--json", "-"]);
    let ops = object(&ops.stdout);
    let chosen = ops["rows"].as_array().expect("rows").iter();
    let chosen: Vec<_> = chosen.filter(|r| r["shape"] == shape && r["chosen"] == true).collect();
    assert_eq!(chosen.iter().map(|r| &r["kernel"]).collect::<Vec<_>>(), [&json!(other)]);
    assert_ne!(ops["kernel_set"], json!(undiffuse::kernels::set_hash()));
    // A damaged file: one warning, and the picture is drawn.
    write(&file, &json!({ "format": 1 }));
    let ran = draw("1", &folder.path().join("again.npz"));
    assert_eq!((ran.code, ran.stderr.matches("warning: ").count()), (Some(0), 1), "{}", ran.stderr);
    assert!(ran.stderr.contains("damaged") && ran.stderr.contains("tuning-"), "{}", ran.stderr);
}
