//! `--help`, `--version`, `info`.

use crate::command::{command, good, run};
use std::process::Stdio;

#[test]
fn help_of_every_verb_names_every_option() {
    let all = good(&["--help"]);
    assert!(all.stdout.contains("sample") && all.stdout.contains("info"), "{}", all.stdout);
    let sample = good(&["sample", "--help"]).stdout;
    for option in [
        "model",
        "count",
        "first-index",
        "batch",
        "sampler",
        "steps",
        "eta",
        "class",
        "guidance-scale",
        "seed",
        "out",
        "zoom",
        "adapter",
        "backend",
        "exact",
        "fastest",
        "json",
    ] {
        assert!(sample.contains(&format!("--{option}")), "{option}: {sample}");
    }
    let info = good(&["info", "--help"]);
    assert!(info.stdout.contains("--json") && info.stderr.is_empty(), "{}", info.stdout);
    assert_eq!(good(&["--version"]).stdout, format!("undiffuse {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn words_that_mean_nothing_are_exit_code_2() {
    for args in [
        &[][..],
        &["draw"],
        &["sample", "--wrong"],
        &["sample", "--count", "many"],
        &["sample", "--count", "-1"],
        &["sample", "--sampler", "eulre"],
        &["sample", "--zoom", "0"],
        &["info", "extra"],
    ] {
        let ran = run(args);
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("Usage") || ran.stderr.contains("--help"), "{args:?}: {}", ran.stderr);
    }
    let sampler = run(&["sample", "--sampler", "eulre"]).stderr;
    assert!(["ddpm", "ddim", "euler", "dpmpp_2m"].iter().all(|s| sampler.contains(s)), "{sampler}");
}

#[test]
fn info_says_which_adapter_is_the_default_and_why() {
    let text = good(&["info"]).stdout;
    for word in ["* ", "driver", "f16", "subgroups", "max_storage_buffer_binding_size", "the default: "] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert!(text.contains("Embedded models:"), "{text}");
}

#[test]
fn info_as_json_has_one_default() {
    let ran = good(&["info", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    let adapters = json["adapters"].as_array().expect("a list");
    let defaults = adapters.iter().filter(|a| a["default"] == true);
    assert_eq!(defaults.count(), 1, "{json}");
    for a in adapters {
        for key in ["index", "name", "backend", "driver", "f16", "subgroups", "limits", "why"] {
            assert!(a.get(key).is_some(), "{key}: {a}");
        }
    }
    #[cfg(feature = "emoji32")]
    assert_eq!(json["models"][0]["name"], "emoji32");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = command(&["info"]).stdout(Stdio::piped()).spawn().expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}
