//! Ctrl-C: the run stops at the next chunk and leaves whole files only.
#![cfg(unix)]

use crate::command::{arg, command, names};
use crate::model_folder::Model;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Starts a long run, interrupts it at its first line with `word`; returns what it says after that.
fn interrupted(model: &Path, out: &Path, word: &str) -> String {
    let args = ["sample", "--model", arg(model), "--count", "100", "--batch", "4", "--steps", "40"];
    let mut child = command(&[&args[..], &["--out", arg(out)]].concat()).spawn().expect("the program runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr"));
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).expect("a line"), 0, "it ended by itself");
    }
    let start = Instant::now();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill").success());
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).expect("text");
    let status = child.wait().expect("it ends");
    assert!(start.elapsed() < Duration::from_secs(5), "stopped after {:?}", start.elapsed());
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("stopped"), "{rest}");
    rest
}

#[test]
fn a_folder_keeps_what_was_finished_whole() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("out");
    interrupted(&model, &out, " on ");
    // Perhaps before the first batch was done: then the folder is gone as well.
    for name in if out.exists() { names(&out) } else { Vec::new() } {
        assert!(name.ends_with(".png") && !name.starts_with('.'), "{name}");
        assert_eq!(image::open(out.join(&name)).expect("a whole file").to_rgb8().dimensions(), (8, 8));
    }
    assert!(names(dir.path()).iter().all(|n| ["model", "out"].contains(&n.as_str())));
}

#[test]
fn a_grid_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    interrupted(&model, &dir.path().join("a.png"), " %  image ");
    assert_eq!(names(dir.path()), ["model"]);
}
