//! Bad input: each fault is one clear line (what, where, what to do), exit code 2,
//! and nothing left behind. Never a panic, never a message of a library below us.

#[path = "bad_input/adapter.rs"]
mod adapter;
#[path = "bad_input/config.rs"]
mod config;
#[path = "bad_input/mutations.rs"]
mod mutations;
#[path = "bad_input/options.rs"]
mod options;
#[path = "bad_input/weights.rs"]
mod weights;

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, names, run};
use std::path::Path;

/// Samples two images with the model folder `folder/model` and insists on a refusal with
/// all `words`, that leaves nothing beside the model.
#[track_caller]
fn refused_with(folder: &Path, options: &[&str], words: &[&str]) -> String {
    let (model, out) = (folder.join("model"), folder.join("out"));
    let mut args = vec!["sample"];
    let usual = [("--model", arg(&model)), ("--count", "2"), ("--steps", "2"), ("--out", arg(&out))];
    for (option, value) in usual {
        if !options.contains(&option) {
            args.extend([option, value]);
        }
    }
    args.extend(options);
    let ran = run(&args);
    let line = ran.refused(words).to_string();
    let mut left = names(folder);
    left.retain(|n| n != "model");
    assert!(left.is_empty(), "left behind: {left:?}");
    line
}

/// [`refused_with`] without further options, in a folder of its own that `write` fills.
#[track_caller]
fn refused(words: &[&str], write: impl FnOnce(&Path)) -> String {
    let dir = tempfile::tempdir().expect("a temporary folder");
    write(&dir.path().join("model"));
    refused_with(dir.path(), &[], words)
}
