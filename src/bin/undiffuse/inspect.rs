//! `undiffuse inspect`: a model from inside.

use crate::text::{bytes, count, percent, seconds, table, Side};
use crate::Failure;
use undiffuse::graph::report::{Bound, OpReport, Report};
use undiffuse::pipeline::inspect::{Inspection, Machine};
use undiffuse::pipeline::{Model, Recipe};

/// Ops that are shown where `--all` is not given.
const DEAREST: usize = 10;

#[derive(clap::Args)]
pub struct Args {
    /// An embedded model, a model folder, `OWNER/NAME` as the Hugging Face cache has it, or `zoo/NAME`;
    /// with --tensors, a checkpoint (.pth, .pt, .safetensors)
    #[arg(value_name = "MODEL", required_unless_present = "recipe", default_value = "")]
    model: String,
    /// The network of a published checkpoint (see `undiffuse recipes`), without its weights
    #[arg(long, value_name = "NAME", conflicts_with_all = ["model", "tensors"])]
    recipe: Option<String>,
    /// Read the configuration alone and make the weights from their names: for a model folder without
    /// weights
    #[arg(long, conflicts_with_all = ["recipe", "tensors"])]
    synthetic_weights: bool,
    /// What to plan for: navi21, apple7, core-webgpu, lavapipe, or an adapter of this machine by
    /// number or a part of its name [default: this machine's, else lavapipe]
    #[arg(long = "for", value_name = "ADAPTER")]
    machine: Option<String>,
    /// Images at once
    #[arg(long, default_value_t = 1, value_name = "N")]
    batch: usize,
    /// Every op in order, and every intermediate in memory
    #[arg(long)]
    all: bool,
    /// What each fusion did, node by node
    #[arg(long)]
    passes: bool,
    /// Print one JSON object with everything
    #[arg(long, conflicts_with_all = ["dot", "all", "passes"])]
    json: bool,
    /// Print the graph for Graphviz: `undiffuse inspect MODEL --dot | dot -Tsvg -o model.svg`
    #[arg(long, conflicts_with_all = ["all", "passes"])]
    dot: bool,
    /// List the tensors of a checkpoint: name, type, shape, least, greatest and mean number. Nothing
    /// in the file is run
    #[arg(long, conflicts_with_all = ["dot", "all", "passes", "machine"])]
    tensors: bool,
    /// The moving average in place of the weights, where the checkpoint holds one
    #[arg(long, requires = "tensors")]
    ema: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.tensors {
        return crate::tensors::run(std::path::Path::new(&args.model), args.ema, args.json);
    }
    let model = match &args.recipe {
        Some(name) => Recipe::find(name)?.synthetic()?,
        None if args.synthetic_weights => Model::synthetic(&args.model)?,
        None => Model::find(&args.model)?,
    };
    if args.dot {
        say!(stdout, "{}", model.dot().trim_end());
        return Ok(());
    }
    let machine = Machine::find(args.machine.as_deref())?;
    let found = model.inspect(&machine, args.batch)?;
    if args.json {
        say!(stdout, "{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    if args.machine.is_none() && machine.described {
        say!("note: no adapter answers here: this is for the description of lavapipe; --for names another");
    }
    let mut text = about(&found) + &plan(&found) + &fusions(&found, args.passes);
    text += &modules(&found.network);
    text += &match args.all {
        true => every_op(&found.network),
        false => dearest(&found.network),
    };
    text += &kernels(&found.network);
    text += &memory(&found.network, args.all);
    say!(stdout, "{}", text.trim_end());
    Ok(())
}

fn size([h, w, c]: [usize; 3]) -> String {
    format!("{h}x{w}x{c}")
}

fn about(i: &Inspection) -> String {
    let mut text = format!("{}: {}\n", i.model, i.architecture);
    let [h, w, _] = i.sample;
    text += &format!("  image        {} -> {}\n", size(i.sample), size([h, w, i.out_channels]));
    text += &format!("  time         {}\n", i.times);
    text += &format!("  label        {}\n", i.labels);
    if i.classes.iter().any(|c| c.parse::<usize>().is_err()) {
        let shown = i.classes.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
        let rest = if i.classes.len() > 20 { ", ..." } else { "" };
        text += &format!("  classes      {shown}{rest}\n");
    }
    let types: Vec<String> = i.weights.types.iter().map(|(t, n)| format!("{n} {t}")).collect();
    text += &format!(
        "  weights      {} parameters ({}) in {} tensors ({}), {} stored\n",
        count(i.weights.parameters),
        i.weights.parameters,
        i.weights.tensors,
        types.join(", "),
        bytes(i.weights.bytes)
    );
    text += &fields("config", &i.configuration);
    text += &fields("scheduler", &i.scheduler);
    for note in &i.notes {
        text += &format!("  note         {note}\n");
    }
    text
}

/// The fields of a configuration file that say something, filled into lines.
fn fields(name: &str, json: &serde_json::Value) -> String {
    let Some(map) = json.as_object() else { return String::new() };
    let says = |(key, value): &(&String, &serde_json::Value)| !key.starts_with('_') && !value.is_null();
    let (mut text, mut line) = (String::new(), String::new());
    let mut head = name;
    let mut end = |line: &mut String| {
        if !line.is_empty() {
            text += &format!("  {head:<12} {line}\n");
            head = "";
            line.clear();
        }
    };
    for (key, value) in map.iter().filter(says) {
        let value = value.to_string().replace('"', "");
        let value = if value.chars().count() > 200 { "...".into() } else { value.replace(',', ", ") };
        let word = format!("{key} {value}");
        if !line.is_empty() && line.len() + word.len() > 88 {
            end(&mut line);
        }
        line += if line.is_empty() { "" } else { "; " };
        line += &word;
    }
    end(&mut line);
    text
}

fn plan(i: &Inspection) -> String {
    let (n, a) = (&i.network, &i.adapter);
    let mut text = format!("\nOne evaluation, batch {}, for {}\n", n.batch, a.name);
    let lanes = a.subgroup.map_or("subgroups not of a fixed size".into(), |s| format!("subgroups of {s}"));
    let ints = if a.int64 { "64-bit integers" } else { "no 64-bit integers" };
    text += &format!("  adapter      {}\n", a.about);
    text += &format!("  kernels      {} family; {lanes}; {ints}\n", a.family);
    let images = n.batch as u64;
    text += &format!(
        "  arithmetic   {} multiply-adds an image, {} a batch\n",
        count(n.macs),
        count(n.macs.saturating_mul(images))
    );
    let per_byte = 2.0 * (n.macs * images) as f64 / n.bytes.max(1) as f64;
    text += &format!("  traffic      {} a batch, {per_byte:.1} FLOP a byte\n", bytes(n.bytes));
    text += &format!("  dispatches   {} of {} ops\n", n.dispatches, n.ops.len());
    match (n.seconds, n.rates) {
        (Some(s), Some(r)) => {
            let kind = if r.peak { "at least" } else { "about" };
            let word = match r.peak {
                true => "a roofline lower bound, no forecast",
                false => "a roofline estimate at measured rates",
            };
            text += &format!("  time         {kind} {} a batch: {word}\n", seconds(s));
            text += "               (each op: the longer of arithmetic and traffic, plus its dispatches)\n";
            text += &format!("               {}\n", r.source);
        }
        _ => text += "  time         not predicted: this adapter's rates are not known\n",
    }
    text
}

fn fusions(i: &Inspection, all: bool) -> String {
    let nodes = |at: Option<usize>| at.unwrap_or(0);
    let (first, last) = (i.passes.first().map(|p| p.before), i.passes.last().map(|p| p.after));
    let mut text = format!("\nFusions: {} nodes -> {}\n", nodes(first), nodes(last));
    for pass in &i.passes {
        text += &format!("  {:<15} {:>4} -> {:<4}", pass.name, pass.before, pass.after);
        if pass.name == "unread" {
            text += " (nodes that nothing reads)";
        } else if let Some(f) = pass.fusions.first().filter(|_| !all) {
            let more = pass.fusions.len() - 1;
            text += &format!(" {} took {}", f.node, f.took);
            text += &if more > 0 { format!(", and {more} more") } else { String::new() };
        }
        text = text.trim_end().to_string() + "\n";
        for f in pass.fusions.iter().filter(|_| all) {
            text += &format!("    {} took {}\n", f.node, f.took);
        }
    }
    text
}

fn modules(n: &Report) -> String {
    use Side::{Left, Right};
    let rows: Vec<Vec<String>> = n
        .modules
        .iter()
        .map(|m| {
            let name = if m.name.is_empty() { "(network)" } else { &m.name };
            vec![
                name.to_string(),
                size(m.output),
                m.ops.to_string(),
                m.dispatches.to_string(),
                m.parameters.to_string(),
                count(m.macs),
                bytes(m.bytes),
                m.seconds.map_or("-".into(), seconds),
                m.seconds.zip(n.seconds).map_or("-".into(), |(s, all)| percent(s, all)),
            ]
        })
        .collect();
    let head = [
        ("module", Left),
        ("output", Left),
        ("ops", Right),
        ("dispatches", Right),
        ("parameters", Right),
        ("MACs/image", Right),
        ("traffic", Right),
        ("time", Right),
        ("", Right),
    ];
    format!("\nModules\n{}", table(&head, &rows))
}

/// What an op costs, to sort by: time, else arithmetic, else traffic.
fn cost(o: &OpReport) -> (f64, u64, u64) {
    (o.seconds.unwrap_or(0.0), o.macs, o.bytes)
}

fn dearest(n: &Report) -> String {
    let mut order: Vec<usize> = (0..n.ops.len()).collect();
    order.sort_by(|a, b| {
        let (x, y) = (cost(&n.ops[*a]), cost(&n.ops[*b]));
        y.0.total_cmp(&x.0).then(y.1.cmp(&x.1)).then(y.2.cmp(&x.2)).then(a.cmp(b))
    });
    let shown = order.len().min(DEAREST);
    format!(
        "\nThe {shown} dearest of {} ops (--all shows every one)\n{}",
        order.len(),
        ops(n, &order[..shown])
    )
}

fn every_op(n: &Report) -> String {
    let order: Vec<usize> = (0..n.ops.len()).collect();
    format!("\nOps in order\n{}", ops(n, &order))
}

fn ops(n: &Report, which: &[usize]) -> String {
    use Side::{Left, Right};
    let rows: Vec<Vec<String>> = which
        .iter()
        .map(|&i| {
            let o = &n.ops[i];
            let mut kernels: Vec<String> = Vec::new();
            for d in &o.dispatches {
                let name = format!("{}/{}", d.kernel, d.variant);
                if kernels.last() != Some(&name) {
                    kernels.push(name);
                }
            }
            let bound = match o.bound {
                None => "-",
                Some(Bound::Compute) => "compute",
                Some(Bound::Memory) => "memory",
                Some(Bound::Dispatch) => "dispatch",
            };
            vec![
                i.to_string(),
                if o.scope.is_empty() { "(network)".into() } else { o.scope.clone() },
                format!("{} {}", o.op, o.detail).trim_end().to_string(),
                o.inputs.first().map_or(String::new(), |s| size(*s)),
                size(o.output),
                o.parameters.to_string(),
                count(o.macs),
                bytes(o.bytes),
                o.seconds.map_or("-".into(), seconds),
                bound.to_string(),
                kernels.join(" "),
            ]
        })
        .collect();
    let head = [
        ("#", Right),
        ("where", Left),
        ("op", Left),
        ("from", Left),
        ("to", Left),
        ("parameters", Right),
        ("MACs/image", Right),
        ("traffic", Right),
        ("time", Right),
        ("bound by", Left),
        ("kernels", Left),
    ];
    table(&head, &rows)
}

fn kernels(n: &Report) -> String {
    use Side::{Left, Right};
    let row = |k: &undiffuse::graph::report::KernelReport| {
        let [x, y, z] = k.workgroup;
        vec![
            format!("{}/{}", k.kernel, k.variant),
            k.dispatches.to_string(),
            format!("{x}x{y}x{z}"),
            bytes(k.workgroup_bytes.into()),
        ]
    };
    let head = [("kernel", Left), ("dispatches", Right), ("workgroup", Right), ("its memory", Right)];
    format!("\nKernels\n{}", table(&head, &n.kernels.iter().map(row).collect::<Vec<_>>()))
}

fn memory(n: &Report, all: bool) -> String {
    use Side::{Left, Right};
    let m = &n.memory;
    let arenas: u64 = m.arenas.iter().sum();
    let apart: u64 = m.blocks.iter().map(|b| b.bytes).sum();
    let mut text = String::from("\nMemory on the device\n");
    text += &format!("  weights        {} in f32, before the padding of packed layouts\n", bytes(m.weights));
    text += &format!("  in and out     {}\n", bytes(m.ends));
    let list: Vec<String> = m.arenas.iter().map(|a| bytes(*a)).collect();
    text += &format!(
        "  intermediates  {} in {} buffers ({}); each apart they would take {}\n",
        bytes(arenas),
        m.arenas.len(),
        list.join(", "),
        bytes(apart)
    );
    text += &format!(
        "  most alive     {} at dispatch {}, {}:\n",
        bytes(m.live.bytes),
        m.live.dispatch,
        m.live.label
    );
    let rows: Vec<Vec<String>> = (0..m.blocks.len())
        .filter(|i| all || m.live.blocks.contains(i))
        .map(|i| {
            let b = &m.blocks[i];
            vec![
                b.label.clone(),
                bytes(b.bytes),
                b.arena.to_string(),
                b.offset.to_string(),
                format!("{}..{}", b.first, b.last),
                if all && m.live.blocks.contains(&i) { "*" } else { "" }.to_string(),
            ]
        })
        .collect();
    let head = [
        ("intermediate", Left),
        ("bytes", Right),
        ("buffer", Right),
        ("offset", Right),
        ("dispatches", Right),
        ("", Left),
    ];
    text + &table(&head, &rows)
}
