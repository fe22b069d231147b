//! Graphs, fusions and plans, for described adapters: no device is needed but
//! where results are compared.

use std::collections::HashMap;
use std::path::Path;
use undiffuse::engine::evaluate;
use undiffuse::gpu::{Described, Gpu, Options, DESCRIBED};
use undiffuse::graph::plan::{Buf, Target};
use undiffuse::graph::report::{live_set_bytes, plan};
use undiffuse::graph::{passes, Act, Graph};
use undiffuse::kernels::reflect::reflection;
use undiffuse::kernels::Caps;
use undiffuse::models;
use undiffuse::shape::Shape;
use undiffuse::weights::{deterministic, Deterministic, Json, Param};

const SWIFTSHADER: Caps = Caps { subgroup: Some(4), stream: true, images: true, ..Caps::CORE };

fn network(case: &str) -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/diffusers").join(case);
    let config = Json::read(&path.join("unet/config.json"), 1 << 20).unwrap();
    let mut graph = Graph::new();
    models::open(&config, None).unwrap().build(&Deterministic, &mut graph).unwrap();
    graph
}

fn embedded() -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/emoji32/unet/config.json");
    let mut graph = Graph::new();
    models::open(&Json::read(&path, 1 << 20).unwrap(), None)
        .unwrap()
        .build(&Deterministic, &mut graph)
        .unwrap();
    graph
}

fn described(name: &str) -> Target {
    Target::described(Described::find(name).expect("a described adapter"))
}

fn all() -> Vec<Target> {
    let swiftshader =
        Target { caps: SWIFTSHADER, limits: wgpu::Limits::defaults(), name: "SwiftShader".into() };
    DESCRIBED.iter().map(Target::described).chain([swiftshader]).collect()
}

#[test]
fn no_dispatch_reads_the_buffer_it_writes_and_live_tensors_do_not_overlap() {
    for (case, n) in [("ddpm_cifar10", 16), ("skip_attn", 3), ("scale_shift", 5), ("class_cond", 1)] {
        for target in all() {
            let caps = target.caps;
            let plan = plan(&passes::run(&network(case).without_taps()), target, n).unwrap();
            let mut written = HashMap::new();
            for (i, planned) in plan.calls.iter().enumerate() {
                let shader = reflection(planned.call.kernel, planned.call.variant).unwrap();
                assert!(caps.meets(planned.call.variant.needs), "{}", planned.label);
                assert!(shader.storage.len() <= 8, "{}: core limits have 8 storage buffers", planned.label);
                let (mut reads, mut writes) = (Vec::new(), Vec::new());
                for (name, buf) in &planned.call.bindings {
                    let to = shader.storage.iter().any(|b| b.name == *name && b.writable);
                    if let Buf::Virtual(v) = buf {
                        let place = plan.layout.places[*v as usize];
                        if to { &mut writes } else { &mut reads }.push((*v, place.buffer));
                    }
                }
                for (w, buffer) in &writes {
                    assert!(reads.iter().all(|(_, b)| b != buffer), "{case} {}", planned.label);
                    written.entry(*w).or_insert(i);
                }
                for (r, _) in reads {
                    assert!(written.contains_key(&r), "{case} {}: read before written", planned.label);
                }
            }
            for (i, a) in plan.blocks.iter().enumerate() {
                for (j, b) in plan.blocks.iter().enumerate().skip(i + 1) {
                    let (p, q) = (plan.layout.places[i], plan.layout.places[j]);
                    let together = a.first <= b.last && b.first <= a.last && p.buffer == q.buffer;
                    assert!(!together || p.offset + a.size <= q.offset || q.offset + b.size <= p.offset);
                }
            }
        }
    }
}

#[test]
fn memory_follows_the_largest_live_set() {
    let plan =
        plan(&passes::run(&network("ddpm_cifar10").without_taps()), described("lavapipe"), 16).unwrap();
    let live = (0..plan.calls.len())
        .map(|i| plan.blocks.iter().filter(|b| b.first <= i && i <= b.last).map(|b| b.size).sum::<u64>())
        .max()
        .unwrap();
    let ratio = plan.arena_bytes() as f64 / live as f64;
    assert!(ratio < 1.5, "{} bytes for a live set of {live}: {ratio:.2}", plan.arena_bytes());
}

#[test]
fn a_tensor_larger_than_a_binding_is_an_error_that_names_it() {
    let error =
        plan(&network("ddpm_cifar10"), described("core-webgpu"), 2000).map(|_| ()).unwrap_err().to_string();
    for word in ["conv", "2000 images", "max_storage_buffer_binding_size", "134217728", "--batch"] {
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn shape_rules_name_op_place_and_shapes() {
    let mut g = Graph::new();
    let x = g.input("x", Shape::new(4, 4, 6)).unwrap();
    g.enter("mid");
    g.enter("norm");
    let error = g.group_norm(x, 4, 1e-5, None, None).unwrap_err().to_string();
    for word in ["group_norm", "mid.norm", "4 groups do not divide 6 channels", "[n, 4, 4, 6]"] {
        assert!(error.contains(word), "{error}");
    }
    let weight = Param::from_f32("w", &[8, 5, 3, 3], vec![0.0; 360]).unwrap();
    assert!(g.conv2d(x, &weight, None, 1, [1; 4]).unwrap_err().to_string().contains("takes 5 channels"));
    let weight = Param::from_f32("w", &[8, 6, 9, 9], vec![0.0; 3888]).unwrap();
    assert!(g.conv2d(x, &weight, None, 1, [1; 4]).unwrap_err().to_string().contains("does not fit"));
    assert!(g.attention(x, x, x, 4, 1.0).unwrap_err().to_string().contains("4 heads do not divide"));
}

#[test]
fn fused_equals_unfused() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    for case in ["tiny", "scale_shift", "skip_then_plain", "attn_everywhere"] {
        let graph = network(case).without_taps();
        let fused = passes::run(&graph);
        assert!(fused.nodes().len() * 5 < graph.nodes().len() * 4, "{case}: hardly anything is fused");
        let n = 2;
        let values: Vec<(String, Vec<f32>)> = graph
            .inputs()
            .iter()
            .map(|(name, t)| {
                let len = n * graph.shape(*t).len();
                let many = deterministic::uniform(name, len).map(|u| (2.0 * u - 1.0) as f32).collect();
                (name.clone(), if name == "timestep" { vec![417.0; n] } else { many })
            })
            .collect();
        let inputs: Vec<(&str, &[f32])> = values.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
        let a = evaluate(&gpu, &graph, n, &inputs, &["output"]).unwrap();
        let b = evaluate(&gpu, &fused, n, &inputs, &["output"]).unwrap();
        let worst = a[0].iter().zip(&b[0]).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < 1e-5, "{case}: {worst}");
        assert!(a[0].iter().any(|v| v.abs() > 0.1), "{case}: nothing came out");
    }
}

#[test]
fn each_pass_takes_what_it_is_for_and_nothing_else() {
    let param = |name: &str, shape: &[usize]| {
        Param::from_f32(name, shape, deterministic::tensor(name, shape)).unwrap()
    };
    let mut g = Graph::new();
    let x = g.input("x", Shape::new(4, 4, 8)).unwrap();
    let emb = g.input("emb", Shape::vector(16)).unwrap();
    let bias = g.input("bias", Shape::vector(8)).unwrap();
    let n = g.group_norm(x, 2, 1e-5, None, None).unwrap();
    let n = g.scale_shift(n, emb).unwrap();
    let n = g.act(n, Act::Silu).unwrap();
    let c = g.conv2d(n, &param("c", &[8, 8, 3, 3]), None, 1, [1; 4]).unwrap();
    let c = g.add(c, bias).unwrap();
    let c = g.add(x, c).unwrap();
    let c = g.affine(c, 0.5, 0.0).unwrap();
    // A constant is not a factor, and a tensor that is read twice stays.
    let shared = g.conv2d(c, &param("d", &[8, 8, 1, 1]), None, 1, [0; 4]).unwrap();
    let d = g.affine(shared, 1.0, 0.25).unwrap();
    let out = g.add(d, shared).unwrap();
    g.output("output", out);
    let dead = g.act(x, Act::Relu).unwrap();
    g.act(dead, Act::Relu).unwrap();
    let fused = passes::run(&g);
    let ops: Vec<&str> = fused.nodes().iter().map(|n| n.op.name()).collect();
    assert_eq!(ops, ["group_norm", "conv2d", "conv2d", "affine", "add"]);

    let gpu = Gpu::open(&Options::default()).unwrap();
    let data = |name: &str, len| deterministic::tensor(name, &[len]);
    let (x, emb, bias) = (data("x", 256), data("emb", 32), data("bias", 16));
    let inputs = [("x", &x[..]), ("emb", &emb[..]), ("bias", &bias[..])];
    let a = evaluate(&gpu, &g, 2, &inputs, &["output"]).unwrap();
    let b = evaluate(&gpu, &fused, 2, &inputs, &["output"]).unwrap();
    let worst = a[0].iter().zip(&b[0]).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < 2e-6, "{worst}");
}

/// Nothing is dispatched only to copy, concatenate, upsample, add or activate.
#[test]
fn every_dispatch_computes() {
    for (name, graph) in [("ddpm_cifar10", network("ddpm_cifar10")), ("emoji32", embedded())] {
        let graph = passes::run(&graph.without_taps());
        for target in all() {
            let adapter = target.name.clone();
            for planned in plan(&graph, target, 4).unwrap().calls {
                let kernel = planned.call.kernel.name;
                let idle = ["copy_channels", "resample", "elementwise", "fill", "mix"].contains(&kernel);
                assert!(!idle, "{name} on {adapter}: {kernel} for {}", planned.label);
            }
        }
    }
}

/// Where texels load fast, layers hand images to one another: only the network's input is
/// brought into one.
#[test]
fn layers_hand_images_to_one_another() {
    let graph = passes::run(&embedded().without_taps());
    let staged = |target: Target| {
        let calls = plan(&graph, target, 4).unwrap().calls;
        let staged = calls.iter().filter(|c| c.call.kernel.name == "texels");
        staged.map(|c| c.label.clone()).collect::<Vec<_>>()
    };
    assert_eq!(staged(described("lavapipe")), ["conv2d conv_in"]);
    assert!(staged(described("core-webgpu")).is_empty());
}

#[test]
fn the_largest_live_set_is_what_the_report_says() {
    let graph = passes::run(&network("ddpm_cifar10").without_taps());
    // Images and buffers cannot lie in one another's place.
    for (adapter, bound) in [("core-webgpu", 1.05), ("lavapipe", 1.5)] {
        let plan = plan(&graph, described(adapter), 16).unwrap();
        let (live, arenas) = (live_set_bytes(&plan), plan.arena_bytes());
        let ratio = arenas as f64 / live as f64;
        println!("ddpm_cifar10, 16 images: {arenas} bytes for a live set of {live}: {ratio:.3}");
        assert!(live > 16 * 32 * 32 * 128 * 4 * 2, "{live}");
        assert!(
            (1.0..bound).contains(&ratio),
            "{adapter}: {arenas} bytes for a live set of {live}: {ratio:.2}"
        );
    }
}

/// Runs `graph` fused and unfused; returns the names of the fused ops.
fn same_when_fused(graph: &Graph) -> Vec<&'static str> {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let n = 3;
    let values: Vec<(String, Vec<f32>)> = graph
        .inputs()
        .iter()
        .map(|(name, t)| (name.clone(), deterministic::tensor(name, &[n * graph.shape(*t).len()])))
        .collect();
    let inputs: Vec<(&str, &[f32])> = values.iter().map(|(n, v)| (n.as_str(), &v[..])).collect();
    let outputs: Vec<&str> = graph.outputs().iter().map(|(n, _)| n.as_str()).collect();
    let fused = passes::run(graph);
    let a = evaluate(&gpu, graph, n, &inputs, &outputs).unwrap();
    let b = evaluate(&gpu, &fused, n, &inputs, &outputs).unwrap();
    for (a, b) in a.iter().zip(&b) {
        let worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < 4e-6, "{worst}");
        assert!(a.iter().any(|v| v.abs() > 0.05), "nothing came out");
    }
    fused.nodes().iter().map(|n| n.op.name()).collect()
}

fn param(name: &str, shape: &[usize]) -> Param {
    Param::from_f32(name, shape, deterministic::tensor(name, shape)).unwrap()
}

#[test]
fn concatenation_becomes_addressing() {
    // Widths that vectors of eight, of four and single numbers suit.
    for (a, b) in [(16, 8), (4, 12), (3, 6)] {
        let c = a + b;
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(5, 4, a)).unwrap();
        let y = g.input("y", Shape::new(5, 4, b)).unwrap();
        let both = g.concat(x, y).unwrap();
        let weight = |name: &str| param(&format!("{name}.weight"), &[c]);
        let groups = if c % 2 == 0 { 2 } else { 3 };
        let n = g.group_norm(both, groups, 1e-5, Some(&weight("n")), Some(&param("n.bias", &[c]))).unwrap();
        let n = g.act(n, Act::Silu).unwrap();
        let n = g.conv2d(n, &param("a", &[8, c, 3, 3]), Some(&param("a.bias", &[8])), 1, [1; 4]).unwrap();
        let s = g.conv2d(both, &param("b", &[8, c, 1, 1]), Some(&param("b.bias", &[8])), 1, [0; 4]).unwrap();
        let sum = g.add(n, s).unwrap();
        g.output("output", sum);
        // Three in a row, and one that something else reads too.
        let three = g.concat(both, x).unwrap();
        let three = g.group_norm(three, 1, 1e-5, None, None).unwrap();
        g.output("three", three);
        let kept = g.concat(y, x).unwrap();
        let kept = g.act(kept, Act::Relu).unwrap();
        g.output("kept", kept);
        let ops = same_when_fused(&g);
        assert_eq!(ops.iter().filter(|o| **o == "concat").count(), 1, "{ops:?}");
        assert_eq!(ops.iter().filter(|o| **o == "conv2d").count(), 3, "{ops:?}");
        assert_eq!(ops.len(), 3 + 2 + 2, "{ops:?}");
    }
}

#[test]
fn upsampling_becomes_addressing() {
    for c in [8, 12, 5] {
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(3, 5, c)).unwrap();
        let up = g.upsample_nearest(x, (6, 10)).unwrap();
        let up = g.upsample_nearest(up, (12, 20)).unwrap();
        let up = g.conv2d(up, &param("a", &[8, c, 3, 3]), None, 1, [1; 4]).unwrap();
        g.output("output", up);
        // Not a power of two, and not the same both ways.
        let odd = g.upsample_nearest(x, (9, 15)).unwrap();
        let odd = g.conv2d(odd, &param("b", &[4, c, 1, 1]), None, 1, [0; 4]).unwrap();
        g.output("odd", odd);
        let wide = g.upsample_nearest(x, (6, 5)).unwrap();
        let wide = g.conv2d(wide, &param("c", &[4, c, 3, 3]), None, 2, [0, 1, 0, 1]).unwrap();
        g.output("wide", wide);
        let ops = same_when_fused(&g);
        assert_eq!(ops, ["conv2d", "nearest", "conv2d", "nearest", "conv2d"]);
    }
}

#[test]
fn linear_maps_of_one_tensor_become_one() {
    for c in [16, 12] {
        let mut g = Graph::new();
        let x = g.input("x", Shape::new(4, 3, c)).unwrap();
        let t = g.input("t", Shape::vector(6)).unwrap();
        let h = g.linear(t, &param("t1", &[16, 6]), Some(&param("t1.bias", &[16]))).unwrap();
        let h = g.act(h, Act::Silu).unwrap();
        let [q, k, v] = ["q", "k", "v"].map(|name| {
            let bias = (name != "k").then(|| param(&format!("{name}.bias"), &[c]));
            g.linear(x, &param(name, &[c, c]), bias.as_ref()).unwrap()
        });
        let mixed = g.attention(q, k, v, 2, 0.4).unwrap();
        let mut y = mixed;
        for i in 0..3 {
            let wide = if i == 1 { 24 } else { 16 };
            let y1 = g
                .conv2d(
                    y,
                    &param(&format!("c{i}"), &[wide, if i == 0 { c } else { 16 }, 1, 1]),
                    None,
                    1,
                    [0; 4],
                )
                .unwrap();
            y = if i == 1 {
                let e = g.linear(h, &param(&format!("e{i}"), &[48, 16]), None).unwrap();
                let n = g.group_norm(y1, 4, 1e-5, None, None).unwrap();
                let n = g.scale_shift(n, e).unwrap();
                g.conv2d(n, &param("back", &[16, 24, 1, 1]), None, 1, [0; 4]).unwrap()
            } else {
                let e = g
                    .linear(
                        h,
                        &param(&format!("e{i}"), &[16, 16]),
                        Some(&param(&format!("e{i}.bias"), &[16])),
                    )
                    .unwrap();
                g.add(y1, e).unwrap()
            };
        }
        g.output("output", y);
        let ops = same_when_fused(&g);
        let linear = ops.iter().filter(|o| **o == "linear").count();
        assert_eq!((linear, ops.len()), (3, 3 + 1 + 4 + 1), "{ops:?}");
    }
}

#[test]
fn factors_and_constants_are_folded() {
    let mut g = Graph::new();
    let x = g.input("x", Shape::new(4, 3, 6)).unwrap();
    let y = g.affine(x, 2.0, -1.0).unwrap();
    let y = g.affine(y, -0.5, 0.25).unwrap();
    let y = g.affine(y, 3.0, 0.0).unwrap();
    g.output("output", y);
    assert_eq!(same_when_fused(&g), ["affine"]);
}
