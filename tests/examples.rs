//! The examples run, as a reader would run them. The window needs a screen: that of this
//! session, else one of Xvfb's.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An example's program beside the tool's, built if this test is run alone.
fn example(name: &str) -> Command {
    let tool = PathBuf::from(env!("CARGO_BIN_EXE_undiffuse"));
    let folder = tool.parent().expect("a folder").join("examples");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", name]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success());
    }
    let mut command = Command::new(path);
    command.env("NODEVICE_SELECT", "1");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("the example starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn headless_draws_eight_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let text = run(example("headless").env("TMPDIR", dir.path()).env("TEMP", dir.path()));
    assert!(text.contains(" s on "), "{text}");
    for i in 0..8 {
        let image = image::open(dir.path().join(format!("undiffuse-{i}.png"))).expect("a picture");
        assert_eq!((image.width(), image.height()), (32, 32));
    }
}

#[test]
fn an_application_draws_frames_between_chunks() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("last.png");
    let text = run(example("embed").args(["8", "1"]).arg(&out));
    // A table of gaps, of many frames for one evaluation of a second.
    assert!(text.contains("frames | median") && text.contains("under 150 ms"), "{text}");
    let numbers = text.lines().skip_while(|l| !l.contains("median")).nth(1).expect("a row");
    let frames: usize = numbers.split('|').next().and_then(|f| f.trim().parse().ok()).expect("a number");
    assert!(frames > 8, "{text}");
    let last = image::open(out).expect("the last frame").to_rgb8();
    // Four images between stripes: many colours.
    let colours: std::collections::HashSet<_> = last.pixels().collect();
    assert_eq!(last.dimensions(), (256, 256));
    assert!(colours.len() > 1000, "{} colours", colours.len());
}

/// A screen that ends with the test.
struct Screen(Child, String);

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Xvfb on a display that it chooses, `None` where it is not installed.
fn screen() -> Option<Screen> {
    use std::io::{BufRead, BufReader};
    let mut command = Command::new("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "640x600x24"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut number = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut number).ok()?;
    Some(Screen(child, format!(":{}", number.trim())))
}

#[test]
fn a_window_shows_an_image_coming() {
    let screen = screen();
    let mut command = example("window");
    match &screen {
        Some(screen) => drop(command.env("DISPLAY", &screen.1)),
        None if cfg!(unix) && std::env::var_os("DISPLAY").is_none() => {
            eprintln!("NOT TESTED: the window (no DISPLAY and no Xvfb here; `make driver` installs it)");
            return;
        }
        None => {}
    }
    let mut child = command.arg("3").env("UNDIFFUSE_FRAMES", "20").stdout(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(240), "the window does not come to an end");
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("seed 3: drawn"), "{text}");
    // It was alive meanwhile: a frame for each chunk of 50 steps.
    let frames = text.split("; ").nth(1).and_then(|f| f.split(' ').next()?.parse::<u32>().ok());
    assert!(frames.is_some_and(|f| f >= 20), "{text}");
}
