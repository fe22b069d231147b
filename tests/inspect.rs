//! What is inside a model, planned for described adapters: no device is needed.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use undiffuse::gpu::{Described, DESCRIBED};
use undiffuse::graph::plan::Target;
use undiffuse::graph::report::{Bound, MemoryReport, Report};
use undiffuse::graph::{dot, passes, Graph};
use undiffuse::models;
use undiffuse::pipeline::inspect::Machine;
use undiffuse::pipeline::Model;
use undiffuse::weights::{Deterministic, Json, Safetensors, Weights};

/// The architecture of google/ddpm-cifar10-32.
fn cifar() -> Graph {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/diffusers/ddpm_cifar10");
    let config = Json::read(&path.join("unet/config.json"), 1 << 20).unwrap();
    let mut graph = Graph::new();
    models::open(&config, None).unwrap().build(&Deterministic, &mut graph).unwrap();
    passes::run(&graph.without_taps())
}

fn report(graph: &Graph, adapter: &Described, n: usize) -> Report {
    Report::new(graph, Target::described(adapter), adapter.rates, n).unwrap()
}

fn stored(name: &str) -> Model {
    Model::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("models").join(name)).unwrap()
}

/// Numbers in a safetensors file.
fn numbers(file: &str) -> u64 {
    let file = Safetensors::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    file.names().iter().map(|n| file.shape(n).unwrap().iter().product::<usize>() as u64).sum()
}

#[test]
fn parameters_are_those_of_the_files_and_of_the_papers() {
    let machine = Machine::described(Described::find("lavapipe").unwrap());
    for (name, known) in [("emoji32", 2_787_811), ("fashion-ddpm", 677_633)] {
        let found = stored(name).inspect(&machine, 1).unwrap();
        assert_eq!(found.network.parameters, known, "{name}");
        let file = format!("models/{name}/unet/diffusion_pytorch_model.safetensors");
        assert_eq!(found.weights.parameters, numbers(&file), "{name}");
        assert_eq!(found.weights.bytes, 2 * known, "{name} is stored in f16");
    }
    // 35.7 M as Ho et al. 2020 say; the exact number is that of diffusers' model.
    assert_eq!(report(&cifar(), &DESCRIBED[0], 1).parameters, 35_746_307);
}

#[test]
fn ops_and_modules_add_up() {
    let graph = cifar();
    for adapter in DESCRIBED {
        let r = report(&graph, adapter, 3);
        assert_eq!(r.macs, graph.macs());
        assert_eq!(r.macs, r.ops.iter().map(|o| o.macs).sum::<u64>());
        assert_eq!(r.macs, r.modules.iter().map(|m| m.macs).sum::<u64>());
        assert_eq!(r.bytes, r.modules.iter().map(|m| m.bytes).sum::<u64>());
        assert_eq!(r.ops.len(), r.modules.iter().map(|m| m.ops).sum::<usize>());
        assert_eq!(r.dispatches, r.ops.iter().map(|o| o.dispatches.len()).sum::<usize>());
        assert_eq!(r.dispatches, r.kernels.iter().map(|k| k.dispatches).sum::<usize>());
        assert_eq!(r.seconds.is_some(), adapter.rates.is_some(), "{}", adapter.name);
        assert!(r.ops.iter().all(|o| !o.dispatches.is_empty() && o.bytes > 0));
    }
}

#[test]
fn one_convolution_by_hand() {
    let adapter = Described::find("navi21").unwrap();
    let r = report(&cifar(), adapter, 16);
    let conv = r.ops.iter().find(|o| o.scope == "conv_in").unwrap();
    assert_eq!((conv.op, conv.detail.as_str()), ("conv2d", "3x3"));
    assert_eq!((conv.inputs[0], conv.output), ([32, 32, 3], [32, 32, 128]));
    assert_eq!(conv.macs, 32 * 32 * 128 * 27);
    let tensors = 16 * 32 * 32 * (3 + 128) * 4;
    let weights = (128 * 27 + 128) * 4;
    let rest = conv.bytes - tensors - weights;
    assert!(rest <= 64, "{rest} bytes that are nothing of it");
    let rates = adapter.rates.unwrap();
    let memory = conv.bytes as f64 / rates.bandwidth;
    assert!((conv.seconds.unwrap() - memory - rates.dispatch).abs() < 1e-12);
    assert_eq!(conv.bound, Some(Bound::Memory));
    // A result that is written in two parts is written once.
    let norm = r.ops.iter().find(|o| o.op == "group_norm" && o.inputs.len() == 2).unwrap();
    let len = |s: [usize; 3]| s.iter().product::<usize>() as u64 * 16 * 4;
    let apply = norm.dispatches.iter().filter(|d| d.kernel == "norm_apply");
    assert_eq!(apply.clone().count(), 2);
    assert_eq!(apply.map(|d| d.written).sum::<u64>(), len(norm.output));
}

#[test]
fn variants_are_those_that_the_adapter_can_run() {
    let graph = cifar();
    let families = |name: &str| {
        let r = report(&graph, Described::find(name).unwrap(), 1);
        r.kernels.iter().map(|k| k.kernel).filter(|k| k.starts_with("conv")).collect::<Vec<_>>()
    };
    assert!(families("lavapipe").iter().all(|k| ["conv_stream", "conv3_stream"].contains(k)));
    for gpu in ["navi21", "apple7", "core-webgpu"] {
        assert!(families(gpu).iter().all(|k| *k == "conv_tile"), "{gpu}");
        assert!(!families(gpu).is_empty());
    }
}

/// Pairs of blocks that are alive at once on the same bytes.
fn overlaps(m: &MemoryReport) -> usize {
    let pairs = m.blocks.iter().enumerate().flat_map(|(i, a)| m.blocks[i + 1..].iter().map(move |b| (a, b)));
    pairs
        .filter(|(a, b)| a.arena == b.arena && a.first <= b.last && b.first <= a.last)
        .filter(|(a, b)| a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes)
        .count()
}

#[test]
fn no_live_blocks_overlap_and_the_largest_live_set_is_one() {
    for adapter in DESCRIBED {
        let mut memory = report(&cifar(), adapter, 2).memory;
        assert_eq!(overlaps(&memory), 0, "{}", adapter.name);
        let end = |a: usize| {
            let inside = memory.blocks.iter().filter(|b| b.arena == a);
            inside.map(|b| b.offset + b.bytes).max().unwrap_or(0)
        };
        for (i, size) in memory.arenas.iter().enumerate() {
            assert_eq!(end(i), *size, "arena {i}");
        }
        let at = |i: usize| -> u64 {
            memory.blocks.iter().filter(|b| (b.first..=b.last).contains(&i)).map(|b| b.bytes).sum()
        };
        let last = memory.blocks.iter().map(|b| b.last).max().unwrap();
        assert_eq!((0..=last).map(at).max(), Some(memory.live.bytes));
        assert_eq!(
            memory.live.blocks.iter().map(|&b| memory.blocks[b].bytes).sum::<u64>(),
            memory.live.bytes
        );
        // The check would notice: a block moved onto another of the live set.
        let (a, b) = (memory.live.blocks[0], memory.live.blocks[1]);
        let (arena, offset) = (memory.blocks[b].arena, memory.blocks[b].offset);
        (memory.blocks[a].arena, memory.blocks[a].offset) = (arena, offset);
        assert!(overlaps(&memory) > 0);
    }
}

#[test]
fn passes_say_what_they_took() {
    let machine = Machine::described(Described::find("core-webgpu").unwrap());
    let found = stored("emoji32").inspect(&machine, 1).unwrap();
    let names: Vec<&str> = found.passes.iter().map(|p| p.name).collect();
    let all = ["affine", "norm_epilogue", "concat", "upsample", "qkv", "conv_epilogue", "siblings"];
    assert_eq!(names[0], "unread");
    assert_eq!(names[1..], all);
    for (i, pass) in found.passes.iter().enumerate().skip(1) {
        assert_eq!(pass.before, found.passes[i - 1].after);
        // A convolution of a concatenation becomes two.
        if pass.name != "concat" {
            assert_eq!(pass.before - pass.after, pass.fusions.len(), "{}", pass.name);
        }
        assert_eq!(pass.fusions.is_empty(), pass.name == "affine", "{}", pass.name);
    }
    assert_eq!(found.passes[7].after, found.network.ops.len());
    let first = &found.passes[2].fusions[0];
    assert_eq!(first.node, "group_norm down_blocks.0.resnets.0.norm1");
    assert_eq!(first.took, "activation down_blocks.0.resnets.0");
}

#[test]
fn batches_that_cannot_be_say_which_can() {
    let machine = Machine::described(Described::find("core-webgpu").unwrap());
    let model = stored("fashion-ddpm");
    for batch in [0, usize::MAX] {
        let text = model.inspect(&machine, batch).unwrap_err().to_string();
        assert!(text.contains("batch") && text.contains("give 1 to"), "{text}");
    }
    let text = model.inspect(&machine, 20_000).unwrap_err().to_string();
    for word in ["core-webgpu", "max_storage_buffer_binding_size", "--batch"] {
        assert!(text.contains(word), "{text}");
    }
}

/// The least of Graphviz's language: strings closed, braces matched, every edge between
/// declared nodes. Returns nodes and edges.
fn parse(text: &str) -> (BTreeMap<String, String>, Vec<(String, String)>) {
    let (mut nodes, mut edges, mut depth) = (BTreeMap::new(), Vec::new(), 0i32);
    for line in text.lines() {
        let mut bare = String::new();
        let (mut inside, mut escaped) = (false, false);
        for c in line.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if inside => escaped = true,
                '"' => inside = !inside,
                c if !inside => bare.push(c),
                _ => {}
            }
        }
        assert!(!inside, "a string is open: {line}");
        depth += bare.matches('{').count() as i32 - bare.matches('}').count() as i32;
        assert!(depth >= 0, "{line}");
        let head = bare.split('[').next().unwrap().trim().to_string();
        match head.split_once(" -> ") {
            Some((a, b)) => edges.push((a.to_string(), b.to_string())),
            None if bare.contains("label=]") && !head.contains('{') => {
                assert!(nodes.insert(head.clone(), line.to_string()).is_none(), "{head} twice");
            }
            None => {}
        }
    }
    assert_eq!(depth, 0, "braces do not match");
    (nodes, edges)
}

#[test]
fn the_dot_text_holds_every_node_and_edge() {
    let graph = cifar();
    let (nodes, edges) = parse(&dot::dot(&graph, "a \"name\""));
    let ends = graph.inputs().len() + graph.outputs().len();
    assert_eq!(nodes.len(), graph.nodes().len() + ends);
    let reads: usize = graph.nodes().iter().map(|n| n.inputs.len()).sum();
    assert_eq!(edges.len(), reads + graph.outputs().len());
    for (a, b) in &edges {
        assert!(nodes.contains_key(a) && nodes.contains_key(b), "{a} -> {b}");
    }
    let mut degree: HashMap<&str, usize> = HashMap::new();
    edges.iter().for_each(|(_, b)| *degree.entry(b).or_default() += 1);
    for (i, node) in graph.nodes().iter().enumerate() {
        assert_eq!(degree[format!("op{i}").as_str()], node.inputs.len());
        assert!(nodes[&format!("op{i}")].contains(node.op.name()));
    }
}
