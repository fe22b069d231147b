//! Disks that are full, runs that are killed, folders that are shared: files are whole
//! or not there, and the error says what to do.
#![cfg(unix)]

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;

use command::{arg, command, finish, good, names, run};
use model_folder::Model;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let model = Model::tiny().write(&dir.path().join("model"));
    (dir, model)
}

/// Insists that every file is a whole picture, or a part file where `parts` may be.
fn whole(folder: &Path, parts: bool) -> usize {
    let names = names(folder);
    for name in names.iter().filter(|n| !(parts && n.starts_with(".undiffuse-") && n.ends_with(".part"))) {
        assert!(name.ends_with(".png"), "{name}");
        let image = image::open(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(image.to_rgb8().dimensions(), (8, 8));
    }
    names.iter().filter(|n| n.ends_with(".png")).count()
}

#[test]
fn a_file_larger_than_is_allowed_is_an_error() {
    let (dir, model) = place();
    for out in ["a.png", "a.npz"] {
        let out = dir.path().join(out);
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -f 1; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_undiffuse")]);
        shell.args(["sample", "--model", arg(&model), "--count", "16", "--steps", "2", "--out", arg(&out)]);
        let ran = finish(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        ran.refused(&["cannot write", arg(&out), "File too large", "--out", "space"]);
        assert_eq!(names(dir.path()), ["model"]);
    }
}

/// A file system of its own, taken away at the end.
struct Mount(PathBuf);

impl Mount {
    fn new(at: &Path, size: &str) -> Option<Mount> {
        std::fs::create_dir_all(at).unwrap();
        let option = format!("size={size}");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "tmpfs", arg(at)]).output();
        mount.is_ok_and(|o| o.status.success()).then(|| Mount(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_keeps_what_was_finished_and_says_how_to_go_on() {
    let (dir, model) = place();
    let disk = dir.path().join("disk");
    let Some(_mount) = Mount::new(&disk, "40k") else {
        eprintln!("not run: no file system can be mounted here");
        return;
    };
    let args = ["sample", "--model", arg(&model), "--count", "40", "--batch", "4", "--steps", "2"];
    let ran = run(&[&args[..], &["--out", arg(&disk)]].concat());
    ran.refused(&["cannot write", arg(&disk), "No space left", "--out", "space"]);
    let done = whole(&disk, false);
    assert!(done > 0 && done < 40, "{done}");
    let rest =
        format!("{done} of 40 images are written; go on with --first-index {done} --count {}", 40 - done);
    assert!(ran.stderr.contains(&rest), "no `{rest}`: {}", ran.stderr);
    let grid = disk.join("all.png");
    run(&[&args[..], &["--zoom", "16", "--out", arg(&grid)]].concat()).refused(&[
        "cannot write",
        "all.png",
        "space",
    ]);
    assert!(!grid.exists());
    whole(&disk, false);
}

#[test]
fn a_killed_run_leaves_whole_pictures_and_its_leftovers_are_swept() {
    let (dir, model) = place();
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let args =
        ["sample", "--model", arg(&model), "--batch", "8", "--steps", "1", "--out", arg(&out), "--count"];
    for round in 0..8u64 {
        let mut child = command(&[&args[..], &["100000"]].concat()).stderr(Stdio::null()).spawn().unwrap();
        // Wait until it writes, then kill it at some moment.
        let before = names(&out).len();
        let waited = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            names(&out).len() > before || round > 0 && out.join("000000.png").exists()
        });
        assert!(waited, "nothing was written");
        std::thread::sleep(Duration::from_micros(1500 + 137_531 * round * round % 400_000));
        child.kill().unwrap();
        child.wait().unwrap();
        whole(&out, true);
    }
    std::fs::write(out.join(".undiffuse-leftover.part"), b"\x89PNG half").unwrap();
    let ran = good(&[&args[..], &["2"]].concat());
    assert!(ran.stderr.contains("half-written") && ran.stderr.contains("removed"), "{}", ran.stderr);
    whole(&out, false);
}

#[test]
fn two_runs_share_a_folder() {
    let (dir, model) = place();
    let out = dir.path().join("out");
    let args = [
        "sample",
        "--model",
        arg(&model),
        "--count",
        "120",
        "--batch",
        "8",
        "--steps",
        "1",
        "--out",
        arg(&out),
    ];
    let start = |first| command(&[&args[..], &["--first-index", first]].concat()).spawn().unwrap();
    // The same images, others, and one that comes when the rest are writing.
    let mut runs = vec![start("0"), start("0"), start("60")];
    while !out.exists() || names(&out).is_empty() {
        std::thread::sleep(Duration::from_millis(20));
        assert!(runs.iter_mut().any(|r| r.try_wait().unwrap().is_none()) || !names(&out).is_empty());
    }
    runs.extend((0..3).map(|_| start("60")));
    for child in runs {
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{said}");
        assert!(!said.contains("half-written"), "swept what another run was writing: {said}");
    }
    assert_eq!(whole(&out, false), 180);
}

#[test]
fn places_that_cannot_be_written() {
    let (dir, model) = place();
    let file = dir.path().join("file.txt");
    std::fs::write(&file, b"x").unwrap();
    let draw = |out: &Path, more: &[&str]| {
        run(&[&["sample", "--model", arg(&model), "--steps", "2", "--out", arg(out)][..], more].concat())
    };
    for name in ["a.png", "a.npz", "folder"] {
        draw(&file.join(name), &[]).refused(&["cannot write", name, "--out"]);
    }
    let film = file.join("film.png");
    draw(&dir.path().join("a.png"), &["--animate", arg(&film)]).refused(&[
        "cannot write",
        "film.png",
        "permissions",
    ]);
    // Root may write to any folder but those that are mounted read-only.
    let readonly = dir.path().join("readonly");
    let mount = Mount::new(&readonly, "40k");
    if mount.is_some() {
        let remount = Command::new("mount").args(["-o", "remount,ro", arg(&readonly)]).status().unwrap();
        assert!(remount.success());
    } else {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&readonly, std::fs::Permissions::from_mode(0o555)).unwrap();
        if std::fs::write(readonly.join("x"), b"x").is_ok() {
            eprintln!("not run: nothing is read-only here");
            return;
        }
    }
    for name in ["a.png", "a.npz", "folder", "."] {
        draw(&readonly.join(name), &[]).refused(&["cannot write", "readonly", "permissions"]);
    }
}
