//! C programs, compiled with every warning an error, linked with the library and run.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Class, Pipeline, Sample};

/// The folder of the library for C, built now unless it is there: with the features and
/// the profile of this test, so that nothing but its last link is new.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // .../PROFILE/deps/capi-0123456789abcdef
        let test = std::env::current_exe().expect("a path");
        let profile = test.ancestors().nth(2).expect("a profile folder");
        let target = profile.parent().expect("a target folder");
        let mut features = vec!["capi"];
        // Cargo counts `default` itself as a feature: without its name all would be built again.
        features.extend(cfg!(feature = "default").then_some("default"));
        features.extend(cfg!(feature = "cli").then_some("cli"));
        features.extend(cfg!(feature = "emoji32").then_some("emoji32"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "undiffuse_c", "--no-default-features"]);
        cargo.args(["--features", &features.join(","), "--target-dir"]).arg(target);
        cargo.args(profile.ends_with("release").then_some("--release"));
        cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
        let built = cargo.status().expect("cargo runs");
        assert!(built.success(), "the library for C does not build");
        profile.join("examples")
    })
}

/// Compiles `examples/c/NAME.c`; `None`, loudly, where there is no C compiler.
fn compile(name: &str, to: &Path) -> Option<PathBuf> {
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    if !Command::new(&compiler).arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("\n*** SKIPPED: no C compiler `{compiler}` answers; the C interface is NOT tested ***\n");
        return None;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = to.join(name);
    let mut cc = Command::new(compiler);
    cc.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-o"]).arg(&program);
    cc.arg(root.join("examples/c").join(name).with_extension("c")).arg("-I").arg(root.join("include"));
    cc.arg("-L").arg(library()).arg("-lundiffuse_c");
    cc.arg(format!("-Wl,-rpath,{}", library().display()));
    let said = cc.output().expect("the compiler runs");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    Some(program)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(program: &Path, args: &[&str]) -> Output {
    // A layer of Mesa complains where a machine has no screen.
    Command::new(program).args(args).env("NODEVICE_SELECT", "1").output().expect("the C program runs")
}

#[test]
fn a_c_program_draws_what_rust_draws() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(program) = compile("sample", dir.path()) else { return };
    let ppm = dir.path().join("out.ppm");
    let ran = run(&program, &[ppm.to_str().expect("a plain path"), "2", "3", "5"]);
    let (stdout, stderr) = (text(&ran.stdout), text(&ran.stderr));
    assert!(ran.status.success(), "{stdout}{stderr}");

    let gpu = Gpu::open(&Options::default()).expect("an adapter");
    let pipeline = Pipeline::embedded(&gpu, "emoji32").expect("the model");
    let class = Class::All;
    let options =
        Sample { count: 2, steps: Some(3), seed: 5, class, guidance_scale: 1.5, ..Sample::default() };
    let mut job = pipeline.sample(&options).expect("a job");
    let images = job.images().expect("images");
    assert!(images[0] != images[1]);
    let mut wanted = b"P6\n64 32\n255\n".to_vec();
    for y in 0..32 {
        for image in &images {
            wanted.extend_from_slice(&image.as_raw()[y * 96..][..96]);
        }
    }
    assert!(std::fs::read(&ppm).expect("the picture") == wanted, "other pixels than Rust's");

    // It says what it did.
    assert!(stdout.contains(&format!("adapter: {}\n", gpu.info().name)), "{stdout}");
    assert!(stdout.contains("classes: 10, the first is "), "{stdout}");
    assert!(stdout.contains("images: 2 of 32 x 32\n") && stdout.contains("callbacks: some\n"), "{stdout}");
    let report = stdout.lines().find_map(|l| l.strip_prefix("report: ")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
    let (ours, theirs) = (job.report(), |key: &str| report[key].clone());
    assert_eq!((theirs("images"), theirs("steps"), theirs("seed")), (2.into(), 3.into(), 5.into()));
    assert_eq!(theirs("noise_hash"), ours.noise_hash);

    // And what it cannot do.
    let ran = run(&program, &["/no/such/folder/out.ppm", "1", "1"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("cannot write /no/such/folder/out.ppm"), "{}", text(&ran.stderr));
    let ran = run(&program, &["out.ppm", "0"]);
    assert!(text(&ran.stderr).contains("start: status 101: count: 0 images"), "{}", text(&ran.stderr));
}

#[test]
fn whatever_c_gets_wrong_is_told() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let Some(program) = compile("checks", dir.path()) else { return };
    let ran = run(&program, &[]);
    assert!(ran.status.success() && text(&ran.stdout) == "all right\n", "{}", text(&ran.stderr));
    assert_eq!(text(&ran.stderr), "", "nothing is printed by the library itself");
}

#[test]
fn the_header_is_good_cpp() {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    if !Command::new(&compiler).arg("--version").output().is_ok_and(|o| o.status.success()) {
        eprintln!("\n*** SKIPPED: no C++ compiler `{compiler}` answers ***\n");
        return;
    }
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/undiffuse.h");
    let mut check = Command::new(compiler);
    check.args(["-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++"]).arg(header);
    let said = check.output().expect("the compiler runs");
    assert!(said.status.success(), "{}", text(&said.stderr));
}
