//! Machines without the adapter that is asked for, or with too small a one.

use crate::command::run;
use crate::model_folder::Model;
use crate::refused_with;
use undiffuse::gpu::{Gpu, GpuError, Options};
use undiffuse::pipeline::{Pipeline, Sample};

#[test]
fn an_unknown_adapter_lists_those_present() {
    let dir = tempfile::tempdir().unwrap();
    Model::tiny().write(&dir.path().join("model"));
    let name = Gpu::open(&Options::default()).unwrap().info().name.clone();
    for wanted in ["voodoo", "99"] {
        refused_with(dir.path(), &["--adapter", wanted], &[&format!("`{wanted}`"), "present: 0: ", &name]);
    }
}

#[test]
fn an_unknown_backend_lists_those_there_are() {
    let dir = tempfile::tempdir().unwrap();
    Model::tiny().write(&dir.path().join("model"));
    refused_with(dir.path(), &["--backend", "opengl"], &["`opengl`", "vulkan, metal, dx12 or webgpu"]);
    run(&["info", "--backend", "opengl"]).refused(&["`opengl`", "vulkan"]);
    if cfg!(target_os = "linux") {
        refused_with(dir.path(), &["--backend", "metal"], &["no metal on this system", "vulkan"]);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn no_adapter_at_all_says_what_to_install() {
    use crate::command::{arg, command, finish};
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let blind = |args: &[&str]| {
        let mut command = command(args);
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        finish(&mut command)
    };
    let ran = blind(&["sample", "--out", arg(&out)]);
    ran.refused(&["no GPU adapter", "apt install mesa-vulkan-drivers"]);
    assert!(!out.exists());
    // Looking is no error.
    let info = blind(&["info"]);
    assert_eq!(info.code, Some(0), "{}", info.stderr);
    assert!(info.stdout.contains("apt install mesa-vulkan-drivers"), "{}", info.stdout);
}

#[test]
fn a_batch_larger_than_a_binding_is_named_and_cut() {
    // Core limits: 128 MiB a binding. 8 KiB an image and tensor: 20,000 images do not fit.
    let gpu = Gpu::open(&Options { core_only: true, ..Default::default() }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = Model::tiny().write(dir.path());
    let pipeline = Pipeline::open(&gpu, &folder).unwrap();
    let options = Sample { count: 20_000, batch: Some(20_000), ..Sample::default() };
    // The images do not depend on the batch: a smaller one is taken, and the job says so.
    let report = pipeline.sample(&options).unwrap().report();
    assert!((1..20_000).contains(&report.batch), "{report:?}");
    let text = report.notes.join("\n");
    assert!(text.contains(&format!("{} images are drawn at once", report.batch)), "{text}");
    let wanted = (20_000 * 8 * 8 * 32 * 4).to_string();
    for word in ["conv2d conv_in", "20000 images", "max_storage_buffer_binding_size", &wanted, "134217728"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Without a number, a batch that fits is found, and nothing needs to be said.
    let report = pipeline.sample(&Sample { count: 20_000, ..Sample::default() }).unwrap().report();
    assert!(report.notes.is_empty(), "{report:?}");
}

#[test]
fn a_weight_larger_than_a_binding_is_named() {
    use undiffuse::engine::{evaluate, EngineError};
    use undiffuse::graph::{Graph, GraphError};
    use undiffuse::shape::Shape;
    use undiffuse::weights::{Deterministic, Weights};
    let gpu = Gpu::open(&Options { core_only: true, ..Default::default() }).unwrap();
    let mut graph = Graph::new();
    let label = graph.input("label", Shape::vector(1)).unwrap();
    let table = Deterministic.get("big.weight", &[(1 << 17) + 1, 256]).unwrap();
    let row = graph.embedding(label, &table).unwrap();
    graph.output("row", row);
    let error = evaluate(&gpu, &graph, 1, &[("label", &[0.0])], &["row"]).expect_err("a refusal");
    let EngineError::Graph(GraphError::Gpu(GpuError::Limit { what, limit, wanted, found, .. })) = &error
    else {
        panic!("{error}");
    };
    assert_eq!(what, "weight `big.weight`");
    assert_eq!((*limit, *found), ("max_storage_buffer_binding_size", 1 << 27));
    assert!(*wanted > *found);
}
