//! What the host does before the GPU has anything to do: `cargo bench --bench host`.

use criterion::{criterion_group, criterion_main, BatchSize, Criterion};
use std::hint::black_box;
use undiffuse::gpu::Described;
use undiffuse::graph::plan::Target;
use undiffuse::graph::report::{plan, Report};
use undiffuse::graph::{passes, Graph};
use undiffuse::kernels::conv::Conv;
use undiffuse::kernels::Caps;
use undiffuse::models;
use undiffuse::pipeline::{Model, Recipe, Sample, EMBEDDED};
use undiffuse::weights::{Deterministic, Recorder};

/// A graph, its fusions, and its plan for a described adapter.
fn planning(c: &mut Criterion) {
    let recipe = Recipe::find("score_sde/cifar10_ddpmpp_continuous").expect("a recipe");
    let build = || {
        let mut graph = Graph::new();
        let model = models::open(&recipe.json(), None).expect("a configuration");
        model.build(&Deterministic, &mut graph).expect("a network");
        graph.without_taps()
    };
    let built = build();
    let fused = passes::run(&built);
    c.bench_function("build DDPM++ of CIFAR-10", |b| b.iter(build));
    c.bench_function("its fusions", |b| b.iter(|| passes::run(black_box(&built))));
    for name in ["navi21", "lavapipe"] {
        let target = Target::described(Described::find(name).expect("a described adapter"));
        c.bench_function(&format!("its plan for {name}, batch 16"), |b| {
            b.iter(|| plan(black_box(&fused), target.clone(), 16).expect("a plan"))
        });
        c.bench_function(&format!("its report for {name}, batch 16"), |b| {
            b.iter(|| Report::new(black_box(&fused), target.clone(), None, 16).expect("a report"))
        });
    }
}

/// From options to a checked program.
fn programs(c: &mut Criterion) {
    let model = Model::embedded("emoji32").expect("the embedded model");
    for (sampler, steps) in [("ddim", 50), ("ddpm", 1000), ("dpmpp_2m", 50), ("unipc", 20)] {
        let sampler = sampler.parse().expect("a sampler");
        let options = Sample { sampler, steps: Some(steps), ..Sample::default() };
        c.bench_function(&format!("program of {} with {steps} steps", sampler.name()), |b| {
            b.iter(|| model.program(black_box(&options)).expect("a program"))
        });
    }
}

/// Weights: opened, converted, packed for a kernel.
fn weights(c: &mut Criterion) {
    let embedded = &EMBEDDED[0];
    c.bench_function("open emoji32", |b| b.iter(|| embedded.folder().expect("the embedded model")));
    let folder = embedded.folder().expect("the embedded model");
    let recorder = Recorder::new(folder.weights());
    let model = models::open(&folder.config, None).expect("a configuration");
    model.build(&recorder, &mut Graph::new()).expect("a network");
    let asked = recorder.asked();
    c.bench_function("read its 2.8 M weights as f32", |b| {
        b.iter(|| {
            let one = |(name, shape): &(String, Vec<usize>)| {
                folder.weights().get(name, shape).and_then(|p| p.to_f32()).expect("a tensor").len()
            };
            asked.iter().map(one).sum::<usize>()
        })
    });
    let conv = Conv {
        n: 1,
        h: 16,
        w: 16,
        ci: 256,
        oh: 16,
        ow: 16,
        co: 256,
        kh: 3,
        kw: 3,
        stride: 1,
        pad_top: 1,
        pad_left: 1,
        scale: 1.0,
        ..Default::default()
    };
    let numbers = vec![0.5f32; 256 * 256 * 9];
    for caps in [Caps::CORE, Described::find("lavapipe").expect("a described adapter").caps] {
        let (kernel, variant) = conv.choose(&caps);
        c.bench_function(&format!("pack 3x3, 256 to 256 for {}/{}", kernel.name, variant.name), |b| {
            b.iter_batched(|| numbers.clone(), |w| conv.pack(kernel, variant, &w), BatchSize::LargeInput)
        });
    }
}

criterion_group! {
    name = host;
    config = Criterion::default().sample_size(20);
    targets = planning, programs, weights
}
criterion_main!(host);
