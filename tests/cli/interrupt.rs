//! Ctrl-C: the run stops at the next chunk and leaves whole files only.
#![cfg(unix)]

use crate::command::{arg, interrupted, names};
use crate::model_folder::Model;
use std::path::Path;

/// A long run of `sample`, stopped at its first line with `word`; what it says after that.
fn stopped(model: &Path, out: &Path, word: &str) -> String {
    let args = ["sample", "--model", arg(model), "--count", "100", "--batch", "4", "--steps", "40"];
    interrupted(&[&args[..], &["--out", arg(out)]].concat(), word)
}

#[test]
fn a_folder_keeps_what_was_finished_whole() {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    let out = dir.path().join("out");
    stopped(&model, &out, " on ");
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
    stopped(&model, &dir.path().join("a.png"), " %  image ");
    assert_eq!(names(dir.path()), ["model"]);
}
