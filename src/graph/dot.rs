//! A graph as Graphviz text: `dot -Tsvg`.

use super::{Graph, Tensor};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// Modules within modules, and the nodes of each.
#[derive(Default)]
struct Module {
    /// By the order of their first nodes.
    parts: BTreeMap<usize, (String, Module)>,
    nodes: Vec<usize>,
}

impl Module {
    fn add(&mut self, path: &[String], node: usize) {
        match path {
            [] => self.nodes.push(node),
            [first, rest @ ..] => {
                let known = self.parts.iter().find(|(_, (name, _))| name == first).map(|(at, _)| *at);
                let part = self.parts.entry(known.unwrap_or(node));
                part.or_insert_with(|| (first.clone(), Module::default())).1.add(rest, node);
            }
        }
    }
}

/// `resnets.0.conv1` as `["resnets.0", "conv1"]`: a number belongs to the name before it.
fn path(scope: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in scope.split('.').filter(|w| !w.is_empty()) {
        match parts.last_mut() {
            Some(last) if word.bytes().all(|b| b.is_ascii_digit()) => *last += &format!(".{word}"),
            _ => parts.push(word.to_string()),
        }
    }
    parts
}

/// A string in Graphviz's quotes; `\n` stays a line break.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn colour(op: &str) -> &'static str {
    match op {
        "conv2d" => "#cfe2f3",
        "linear" => "#d9d2e9",
        "group_norm" => "#fff2cc",
        "attention" => "#f4cccc",
        "concat" | "nearest" | "avg_pool" | "fir" => "#d9ead3",
        _ => "#eeeeee",
    }
}

/// The graph in Graphviz's language: ops with their shapes, modules as clusters.
pub fn dot(graph: &Graph, name: &str) -> String {
    let mut root = Module::default();
    let modules = modules(graph);
    for (i, node) in graph.nodes().iter().enumerate() {
        let mut path = path(&node.scope);
        if !modules.contains(&path) {
            path.pop();
        }
        root.add(&path, i);
    }
    let mut out = format!("digraph {} {{\n", quoted(name));
    out += "  node [shape=box, style=filled, fontname=\"sans-serif\", fontsize=10];\n";
    out += "  edge [fontname=\"sans-serif\", fontsize=9];\n";
    let mut makers: HashMap<Tensor, String> = HashMap::new();
    for (i, (name, t)) in graph.inputs().iter().enumerate() {
        let label = format!("{name}\n{}", graph.shape(*t));
        let _ = writeln!(out, "  in{i} [shape=ellipse, fillcolor=white, label={}];", quoted(&label));
        makers.insert(*t, format!("in{i}"));
    }
    let mut clusters = 0;
    write_module(&mut out, graph, &modules, &root, 1, &mut clusters);
    for (i, node) in graph.nodes().iter().enumerate() {
        makers.insert(node.output, format!("op{i}"));
    }
    let edge = |out: &mut String, from: &Tensor, to: &str| {
        if let Some(maker) = makers.get(from) {
            let _ = writeln!(out, "  {maker} -> {to} [label={}];", quoted(&graph.shape(*from).to_string()));
        }
    };
    for (i, node) in graph.nodes().iter().enumerate() {
        for input in &node.inputs {
            edge(&mut out, input, &format!("op{i}"));
        }
    }
    for (i, (name, t)) in graph.outputs().iter().enumerate() {
        let _ = writeln!(out, "  out{i} [shape=ellipse, fillcolor=white, label={}];", quoted(name));
        edge(&mut out, t, &format!("out{i}"));
    }
    out += "}\n";
    out
}

/// The paths that lead to ops by a further name. An op at such a path stands in the
/// module; the last name of every other path is the op's own and stands in its label.
fn modules(graph: &Graph) -> HashSet<Vec<String>> {
    let paths = graph.nodes().iter().map(|n| path(&n.scope));
    paths.flat_map(|p| (0..p.len()).map(|len| p[..len].to_vec()).collect::<Vec<_>>()).collect()
}

fn write_module(
    out: &mut String,
    graph: &Graph,
    modules: &HashSet<Vec<String>>,
    module: &Module,
    depth: usize,
    clusters: &mut usize,
) {
    let indent = "  ".repeat(depth);
    for &i in &module.nodes {
        let node = &graph.nodes()[i];
        let mut path = path(&node.scope);
        let own = if modules.contains(&path) { String::new() } else { path.pop().unwrap_or_default() };
        let name = node.op.name();
        let lines = [own, format!("{name} {}", node.op.detail()).trim().to_string()];
        let label = lines.into_iter().filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n");
        let _ = writeln!(out, "{indent}op{i} [fillcolor=\"{}\", label={}];", colour(name), quoted(&label));
    }
    for (name, part) in module.parts.values() {
        let _ = writeln!(out, "{indent}subgraph cluster_{clusters} {{ label={};", quoted(name));
        *clusters += 1;
        write_module(out, graph, modules, part, depth + 1, clusters);
        let _ = writeln!(out, "{indent}}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_numbers_in_names() {
        assert_eq!(quoted("a \"b\"\\\nc"), r#""a \"b\"\\\nc""#);
        assert_eq!(path("down_blocks.0.resnets.1.conv1"), ["down_blocks.0", "resnets.1", "conv1"]);
        assert!(path("").is_empty());
    }
}
