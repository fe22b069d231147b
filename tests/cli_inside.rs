//! `inspect`, `explain` and models by name, as a user types them.

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, command as undiffuse, finish, good, run};
use model_folder::{put, Model};
use serde_json::Value;
use std::process::{Command, Stdio};

fn json(args: &[&str]) -> Value {
    let ran = good(args);
    assert_eq!(ran.stdout.lines().count(), 1);
    serde_json::from_str(&ran.stdout).expect("one object")
}

#[test]
fn help_names_every_option() {
    for (verb, options) in [
        ("inspect", &["for", "batch", "json", "dot", "passes", "all"][..]),
        ("explain", &["steps", "model", "class", "guidance-scale", "eta", "source", "json", "all"]),
    ] {
        let help = good(&[verb, "--help"]).stdout;
        for option in options {
            assert!(help.contains(&format!("--{option}")), "{option}: {help}");
        }
    }
}

#[test]
fn inspect_is_a_page_that_says_what_an_engineer_asks() {
    let text = good(&["inspect", "models/emoji32", "--for", "navi21", "--batch", "4"]).stdout;
    for word in [
        "UNet2DModel",
        "32x32x3 -> 32x32x3",
        "2787811",
        "Food & Drink",
        "block_out_channels [32, 64, 128]",
        "prediction_type v_prediction",
        "batch 4, for navi21",
        "a roofline lower bound",
        "20.74 TFLOP/s",
        "Fusions: 179 nodes -> 98",
        "norm_epilogue",
        "up_blocks.2",
        "The 10 dearest of 98 ops",
        "conv_tile/",
        "Memory on the device",
        "most alive",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.lines().count() < 100, "{} lines", text.lines().count());
    let all = good(&["inspect", "models/emoji32", "--for", "navi21", "--all", "--passes"]).stdout;
    let ops = all.lines().filter(|l| l.contains("group_norm 16 groups")).count();
    assert_eq!(ops, 30, "{all}");
    assert!(all.lines().filter(|l| l.contains(" took ")).count() == 93, "{all}");
    // A configuration without weights.
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy("models/emoji32/unet/config.json", dir.path().join("config.json")).unwrap();
    let bare = good(&["inspect", arg(dir.path()), "--synthetic-weights", "--for", "navi21"]).stdout;
    assert!(bare.contains("2787811") && bare.contains("conv_tile/"), "{bare}");
    run(&["inspect", "emoji32", "--synthetic-weights"]).refused(&["emoji32", "has weights"]);
    let recipe = good(&["inspect", "--recipe", "ddgan/cifar10", "--for", "navi21"]).stdout;
    assert!(recipe.contains("ddgan/cifar10") && recipe.contains("48.4 M"), "{recipe}");
    let core = good(&["inspect", "models/emoji32", "--for", "core-webgpu"]).stdout;
    assert!(core.contains("not predicted"), "{core}");
    let lavapipe = good(&["inspect", "models/emoji32", "--for", "lavapipe"]).stdout;
    assert!(lavapipe.contains("estimate at measured rates") && lavapipe.contains("two shared cores"));
}

#[test]
fn inspect_as_json() {
    let found = json(&["inspect", "models/fashion-ddpm", "--for", "apple7", "--batch", "2", "--json"]);
    assert_eq!(found["architecture"], "UNet2DModel");
    assert_eq!(found["network"]["parameters"], 677_633);
    assert_eq!(found["network"]["batch"], 2);
    assert_eq!(found["adapter"]["name"], "apple7");
    assert_eq!(found["adapter"]["described"], true);
    assert_eq!(found["configuration"]["block_out_channels"][3], 64);
    assert_eq!(found["scheduler"]["prediction_type"], "v_prediction");
    let ops = found["network"]["ops"].as_array().expect("ops");
    let macs: u64 = ops.iter().map(|o| o["macs"].as_u64().expect("a number")).sum();
    assert_eq!(found["network"]["macs"], macs);
    // 0.0475 GMAC, as the model's README says.
    assert!((47_000_000..48_000_000).contains(&macs), "{macs}");
    for key in ["arenas", "blocks", "live", "weights", "ends"] {
        assert!(found["network"]["memory"].get(key).is_some(), "{key}");
    }
}

#[test]
fn inspect_takes_an_adapter_of_this_machine() {
    let info = json(&["info", "--json"]);
    let found = json(&["inspect", "models/fashion-ddpm", "--for", "0", "--json"]);
    assert_eq!(found["adapter"]["name"], info["adapters"][0]["name"]);
    assert_eq!(found["adapter"]["described"], false);
}

#[test]
fn inspect_refuses_what_is_not_there() {
    run(&["inspect", "models/emoji32", "--for", "rtx9999"]).refused(&["for", "rtx9999", "navi21, apple7"]);
    run(&["inspect", "models/emoji32", "--batch", "0"]).refused(&["batch", "give 1 to"]);
    run(&["inspect", "models/fashion-classifier"]).refused(&["ResNetClassifier", "UNet2DModel"]);
    assert_eq!(run(&["inspect"]).code, Some(2));
    assert_eq!(run(&["inspect", "models/emoji32", "--dot", "--json"]).code, Some(2));
}

/// Graphviz itself reads the text, where it is installed; `tests/inspect.rs` parses it anywhere.
#[test]
fn dot_is_what_graphviz_reads() {
    let text = good(&["inspect", "models/emoji32", "--dot"]).stdout;
    assert!(text.starts_with("digraph \"models/emoji32\" {") && text.ends_with("}\n"));
    let child = Command::new("dot").arg("-Tcanon").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return };
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("a thread").expect("a reader");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn explain_gives_paper_equations_and_coefficients() {
    let text = good(&["explain", "ddim", "--steps", "2"]).stdout;
    for word in [
        "arXiv:2010.02502",
        "x_s = sqrt(alpha_bar_s)",
        "default schedule of DDPM",
        "program ddim: 2 steps, 2 network evaluations",
        "t = 500",
        "x = noise(0)",
        "out[0..3] = model(x; t = 500)",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let long = good(&["explain", "ddpm"]).stdout;
    assert!(long.contains("995 steps (--all shows them)"), "{long}");
    assert!(long.contains("t = 999") && long.contains("t = 0") && !long.contains("t = 500"), "{long}");
    assert!(good(&["explain", "ddpm", "--all"]).stdout.contains("t = 500"));
    let source = good(&["explain", "ddim", "--steps", "1", "--source"]).stdout;
    assert!(source.contains("pub fn program(context: &Context<'_>"), "{source}");
}

#[test]
fn explain_follows_the_model() {
    let args = ["explain", "ddim", "--steps", "3", "--model", "models/emoji32", "--class", "Flags"];
    let text = good(&[&args[..], &["--guidance-scale", "1.5", "--eta", "1"]].concat()).stdout;
    for word in
        ["6 network evaluations", "class holds 3", "null_class = 10", "1.5 out + -0.5 uncond", "noise(1)"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let found = json(&[&args[..], &["--json"]].concat());
    assert_eq!(found["nfe"], 3);
    assert_eq!(found["program"]["steps"].as_array().map(Vec::len), Some(3));
    assert_eq!(found["program"]["steps"][0]["instructions"][0]["noise"]["draw"], 0);
    assert_eq!(found["words"][0][0], "x = noise(0)");
    let bad = [&args[..6], &["--class", "unicorn"]].concat();
    run(&bad).refused(&["class", "unicorn", "3 Flags"]);
    run(&["explain", "ddim", "--class", "Flags"]).refused(&["Flags", "--model"]);
    run(&["explain", "ddpm", "--eta", "1"]).refused(&["eta", "ddim"]);
}

#[test]
fn models_are_found_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let repository = dir.path().join("home/hub/models--google--tiny");
    Model::tiny().write(&repository.join("snapshots").join(commit));
    put(&repository, "refs/main", commit.as_bytes());
    Model::with_classes().write(&dir.path().join("zoo/cats"));
    let run = |args: &[&str]| {
        let mut command = undiffuse(args);
        for variable in ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"] {
            command.env_remove(variable);
        }
        command.env("HF_HOME", dir.path().join("home")).env("UNDIFFUSE_ZOO", dir.path().join("zoo"));
        finish(&mut command)
    };
    let out = dir.path().join("one.png");
    let drawn = run(&["sample", "--model", "google/tiny", "--steps", "1", "--out", arg(&out)]);
    assert_eq!(drawn.code, Some(0), "{}", drawn.stderr);
    assert!(out.is_file());
    let seen = run(&["inspect", "zoo/cats", "--for", "core-webgpu"]);
    assert!(seen.stdout.contains("cat, dog, duck"), "{} {}", seen.stdout, seen.stderr);
    let told = run(&["explain", "ddim", "--steps", "1", "--model", "zoo/cats", "--class", "dog"]);
    assert!(told.stdout.contains("class holds 1"), "{} {}", told.stdout, told.stderr);
    run(&["sample", "--model", "google/other"]).refused(&["google/other", "hf download google/other"]);
    run(&["sample", "--model", "zoo/dogs"]).refused(&["zoo/dogs", "there are cats"]);
    let info = run(&["info"]).stdout;
    assert!(info.contains("zoo/cats") && info.contains("8 x 8, 3 channels, 3 classes"), "{info}");
    let object: Value = serde_json::from_str(&run(&["info", "--json"]).stdout).expect("one object");
    assert_eq!(object["zoo"]["models"][0]["name"], "cats");
}
