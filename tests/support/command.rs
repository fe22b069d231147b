//! The program as a user runs it.
#![allow(dead_code)] // each test binary uses its part

use std::path::Path;
use std::process::{Command, Stdio};

/// What a run left behind.
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program, its streams caught and its environment plain.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_undiffuse"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("UNDIFFUSE_LOG");
    // What was measured on this machine has no part in tests.
    command.env("UNDIFFUSE_CACHE", "off");
    command
}

/// Runs to the end.
pub fn run(args: &[&str]) -> Ran {
    finish(&mut command(args))
}

/// Runs `command` to the end.
pub fn finish(command: &mut Command) -> Ran {
    let output = command.output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Starts a long run, interrupts it as Ctrl-C does at its first line with `word`, insists that it
/// stops soon and says so; what it says after that.
#[cfg(unix)]
pub fn interrupted(args: &[&str], word: &str) -> String {
    use std::io::{BufRead, BufReader, Read};
    use std::time::{Duration, Instant};
    let mut child = command(args).spawn().expect("the program runs");
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

/// Runs and insists on success.
pub fn good(args: &[&str]) -> Ran {
    let ran = run(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {}", ran.stderr);
    ran
}

impl Ran {
    /// Insists on a clear error: exit code 2, one line of our own with all `words`,
    /// nothing on stdout, no panic, no words of a library below us.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) -> &str {
        let line = self.stderr.lines().find_map(|l| l.strip_prefix("undiffuse: ")).unwrap_or_default();
        assert_eq!(self.code, Some(2), "wanted {words:?}: {}", self.stderr);
        for word in words {
            assert!(line.contains(word), "no `{word}` in `{line}`; all: {}", self.stderr);
        }
        assert_eq!(self.stdout, "");
        for bad in ["panicked", "internal error", "Validation Error", "wgpu"] {
            assert!(!self.stderr.contains(bad), "{bad}: {}", self.stderr);
        }
        line
    }
}

/// The names of a folder's entries, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
