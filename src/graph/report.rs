//! A network's plan in numbers: what each op costs, which kernels run it, where
//! every intermediate lies, and how long it takes at least. No device is needed.

use super::plan::{Buf, Builder, Plan, Target};
use super::{Graph, GraphError, Node};
use crate::gpu::Rates;
use crate::kernels::reflect::reflection;
use crate::shape::Shape;
use std::collections::{HashMap, HashSet};

/// The plan of one evaluation of a network.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// Images of the batch.
    pub batch: usize,
    /// Numbers in all weights.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub macs: u64,
    /// Bytes that the dispatches of the batch read and write.
    pub bytes: u64,
    /// Dispatches.
    pub dispatches: usize,
    /// Predicted seconds of the batch; `None` where the adapter's rates are not known.
    pub seconds: Option<f64>,
    /// What predictions rest on.
    pub rates: Option<Rates>,
    /// The ops in the order they run.
    pub ops: Vec<OpReport>,
    /// The model's parts, in the order they begin.
    pub modules: Vec<ModuleReport>,
    /// The kernels, the most used first.
    pub kernels: Vec<KernelReport>,
    /// Where everything lies.
    pub memory: MemoryReport,
}

/// An op after the fusions.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct OpReport {
    /// The op.
    pub op: &'static str,
    /// What tells it from others of its name.
    pub detail: String,
    /// Its place in the model.
    pub scope: String,
    /// `[h, w, c]` of each input.
    pub inputs: Vec<[usize; 3]>,
    /// `[h, w, c]` of the result.
    pub output: [usize; 3],
    /// Numbers in its weights.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub macs: u64,
    /// Bytes of the batch: the sum over its dispatches.
    pub bytes: u64,
    /// Its dispatches.
    pub dispatches: Vec<DispatchReport>,
    /// Predicted seconds of the batch.
    pub seconds: Option<f64>,
    /// What the prediction is made of most.
    pub bound: Option<Bound>,
}

/// What an op's time is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Arithmetic.
    Compute,
    /// Memory traffic.
    Memory,
    /// Starting the dispatches.
    Dispatch,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct DispatchReport {
    /// The kernel family.
    pub kernel: &'static str,
    /// Its variant.
    pub variant: &'static str,
    /// Workgroups.
    pub workgroups: u64,
    /// Bytes of the buffers that it reads.
    pub read: u64,
    /// Bytes that it writes. A result that several dispatches of an op write in
    /// parts is shared equally among them.
    pub written: u64,
}

/// A part of the model: the ops whose scopes begin alike.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModuleReport {
    /// The scope's beginning, as `down_blocks.0`; empty for ops of the network itself.
    pub name: String,
    /// `[h, w, c]` of the last result.
    pub output: [usize; 3],
    /// Ops.
    pub ops: usize,
    /// Dispatches.
    pub dispatches: usize,
    /// Numbers in the weights, each counted where it is first read.
    pub parameters: u64,
    /// Multiply-adds of one image.
    pub macs: u64,
    /// Bytes of the batch.
    pub bytes: u64,
    /// Predicted seconds of the batch.
    pub seconds: Option<f64>,
}

/// A kernel variant that the plan uses.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct KernelReport {
    /// The family.
    pub kernel: &'static str,
    /// The variant.
    pub variant: &'static str,
    /// Invocations of a workgroup.
    pub workgroup: [u32; 3],
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u32,
    /// How often it is dispatched.
    pub dispatches: usize,
}

/// Device memory.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct MemoryReport {
    /// Bytes of the weights and constants, before the padding of packed layouts.
    pub weights: u64,
    /// Bytes of the network's inputs and outputs.
    pub ends: u64,
    /// Bytes of each buffer that holds intermediates.
    pub arenas: Vec<u64>,
    /// Intermediates one by one, in the order they are made.
    pub blocks: Vec<BlockReport>,
    /// The most that is alive at once.
    pub live: LiveReport,
}

/// An intermediate: a tensor or scratch.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BlockReport {
    /// The op that makes it.
    pub label: String,
    /// Which arena it lies in.
    pub arena: usize,
    /// Bytes from the arena's start.
    pub offset: u64,
    /// Bytes.
    pub bytes: u64,
    /// The first dispatch that touches it, counted over the network.
    pub first: usize,
    /// The last.
    pub last: usize,
}

/// The moment at which most is alive.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct LiveReport {
    /// Bytes.
    pub bytes: u64,
    /// The dispatch.
    pub dispatch: usize,
    /// The op that it belongs to.
    pub label: String,
    /// Blocks by their place in [`MemoryReport::blocks`].
    pub blocks: Vec<usize>,
}

/// A plan of `graph` alone for `n` images: its inputs, then its outputs, are the
/// external buffers.
///
/// # Errors
/// A batch of none, or tensors that the target cannot hold.
pub fn plan(graph: &Graph, target: Target, n: usize) -> Result<Plan, GraphError> {
    let mut builder = Builder::new(target, n);
    let named = |tensors: &[(String, super::Tensor)], b: &mut Builder| -> Vec<(String, Buf)> {
        tensors.iter().map(|(name, _)| (name.clone(), b.external(name))).collect()
    };
    let (inputs, outputs) = (named(graph.inputs(), &mut builder), named(graph.outputs(), &mut builder));
    fn borrowed(v: &[(String, Buf)]) -> Vec<(&str, Buf)> {
        v.iter().map(|(n, b)| (n.as_str(), *b)).collect()
    }
    builder.segment("network", |b| b.network(graph, &borrowed(&inputs), &borrowed(&outputs)))?;
    builder.finish()
}

/// The most bytes of intermediates that are alive at a dispatch: inputs, outputs and
/// scratch of it, and whatever waits to be read. No placement needs less.
pub fn live_set_bytes(plan: &Plan) -> u64 {
    let alive = |i| plan.blocks.iter().filter(move |b| b.first <= i && i <= b.last);
    (0..plan.calls.len()).map(|i| alive(i).map(|b| b.size).sum()).max().unwrap_or(0)
}

impl Report {
    /// Plans `graph` for `n` images on `target`.
    ///
    /// # Errors
    /// As [`plan`].
    pub fn new(graph: &Graph, target: Target, rates: Option<Rates>, n: usize) -> Result<Report, GraphError> {
        let mut plan = plan(graph, target, n)?;
        let sizes = Sizes::new(graph, &mut plan)?;
        let mut calls: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes().len()];
        for (i, c) in plan.calls.iter().enumerate() {
            let node = c.node.ok_or_else(|| GraphError::Internal("a call of no op".into()))?;
            calls[node].push(i);
        }
        let mut ops = Vec::with_capacity(calls.len());
        for (node, calls) in graph.nodes().iter().zip(&calls) {
            ops.push(op(graph, node, &plan, calls, &sizes, rates.as_ref())?);
        }
        let (modules, parameters) = modules(graph, &ops);
        Ok(Report {
            batch: n,
            parameters,
            macs: ops.iter().map(|o| o.macs).sum(),
            bytes: ops.iter().map(|o| o.bytes).sum(),
            dispatches: plan.calls.len(),
            seconds: rates.map(|_| ops.iter().filter_map(|o| o.seconds).sum()),
            rates,
            modules,
            kernels: kernels(&plan)?,
            memory: memory(&plan, &sizes),
            ops,
        })
    }
}

/// Bytes of every buffer of a plan.
struct Sizes {
    weights: Vec<u64>,
    ends: Vec<u64>,
    blocks: Vec<u64>,
}

impl Sizes {
    fn new(graph: &Graph, plan: &mut Plan) -> Result<Sizes, GraphError> {
        let mut weights = Vec::with_capacity(plan.weights.len());
        // Constants are few and small: made, to know their size.
        for w in std::mem::take(&mut plan.weights) {
            weights.push(match w.bytes {
                Some(bytes) => bytes,
                None => (w.make)()?.len() as u64,
            });
        }
        let ends = graph.inputs().iter().chain(graph.outputs());
        let ends = ends.map(|(_, t)| (plan.n * graph.shape(*t).len()) as u64 * 4).collect();
        Ok(Sizes { weights, ends, blocks: plan.blocks.iter().map(|b| b.size).collect() })
    }

    fn of(&self, buf: Buf) -> u64 {
        let (list, i) = match buf {
            Buf::Virtual(i) => (&self.blocks, i),
            Buf::Weight(i) => (&self.weights, i),
            Buf::External(i) => (&self.ends, i),
        };
        list.get(i as usize).copied().unwrap_or(0)
    }
}

fn dims(s: Shape) -> [usize; 3] {
    [s.h, s.w, s.c]
}

fn op(
    graph: &Graph,
    node: &Node,
    plan: &Plan,
    calls: &[usize],
    sizes: &Sizes,
    rates: Option<&Rates>,
) -> Result<OpReport, GraphError> {
    let mut bound = Vec::new();
    let mut writers: HashMap<Buf, u64> = HashMap::new();
    for &i in calls {
        let call = &plan.calls[i].call;
        let shader = reflection(call.kernel, call.variant).map_err(|e| GraphError::Gpu(e.into()))?;
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (name, buf) in &call.bindings {
            let to = shader.storage.iter().any(|b| b.name == *name && b.writable);
            if to { &mut writes } else { &mut reads }.push(*buf);
        }
        for w in &writes {
            *writers.entry(*w).or_default() += 1;
        }
        bound.push((call, reads, writes));
    }
    let dispatches: Vec<DispatchReport> = bound
        .into_iter()
        .map(|(call, reads, writes)| DispatchReport {
            kernel: call.kernel.name,
            variant: call.variant.name,
            workgroups: call.groups,
            read: reads.iter().map(|b| sizes.of(*b)).sum(),
            written: writes.iter().map(|b| sizes.of(*b) / writers.get(b).copied().unwrap_or(1).max(1)).sum(),
        })
        .collect();
    let macs = graph.macs_of(node);
    let bytes = dispatches.iter().map(|d| d.read + d.written).sum();
    let times = rates.map(|r| {
        let compute = 2.0 * macs as f64 * plan.n as f64 / r.flops;
        [compute, bytes as f64 / r.bandwidth, dispatches.len() as f64 * r.dispatch]
    });
    Ok(OpReport {
        op: node.op.name(),
        detail: node.op.detail(),
        scope: node.scope.clone(),
        inputs: node.inputs.iter().map(|t| dims(graph.shape(*t))).collect(),
        output: dims(graph.shape(node.output)),
        parameters: node.op.params().iter().map(|p| p.count() as u64).sum(),
        macs,
        bytes,
        dispatches,
        seconds: times.map(|[compute, memory, start]| compute.max(memory) + start),
        bound: times.map(|[compute, memory, start]| match () {
            () if start >= compute.max(memory) => Bound::Dispatch,
            () if compute >= memory => Bound::Compute,
            () => Bound::Memory,
        }),
    })
}

/// The beginning of a scope that names a part of the model: `up_blocks.1`, `conv_in`.
fn module(scope: &str) -> &str {
    let mut ends = scope.match_indices('.').map(|(i, _)| i).chain([scope.len()]);
    let first = ends.next().unwrap_or(0);
    match ends.next() {
        Some(second) if scope[first + 1..second].bytes().all(|b| b.is_ascii_digit()) => &scope[..second],
        _ => &scope[..first],
    }
}

/// The parts, and the numbers in all weights.
fn modules(graph: &Graph, ops: &[OpReport]) -> (Vec<ModuleReport>, u64) {
    let mut modules: Vec<ModuleReport> = Vec::new();
    let mut seen = HashSet::new();
    for (node, op) in graph.nodes().iter().zip(ops) {
        let name = module(&op.scope);
        let at = modules.iter().position(|m| m.name == name).unwrap_or_else(|| {
            modules.push(ModuleReport {
                name: name.to_string(),
                output: op.output,
                ops: 0,
                dispatches: 0,
                parameters: 0,
                macs: 0,
                bytes: 0,
                seconds: None,
            });
            modules.len() - 1
        });
        let m = &mut modules[at];
        m.output = op.output;
        m.ops += 1;
        m.dispatches += op.dispatches.len();
        // A tensor that two ops read is one tensor.
        let fresh = node.op.params().into_iter().filter(|p| seen.insert(p.name().to_string()));
        m.parameters += fresh.map(|p| p.count() as u64).sum::<u64>();
        m.macs += op.macs;
        m.bytes += op.bytes;
        m.seconds = op.seconds.map(|s| s + m.seconds.unwrap_or(0.0));
    }
    let parameters = modules.iter().map(|m| m.parameters).sum();
    (modules, parameters)
}

fn kernels(plan: &Plan) -> Result<Vec<KernelReport>, GraphError> {
    let mut kernels: Vec<KernelReport> = Vec::new();
    for planned in &plan.calls {
        let (kernel, variant) = (planned.call.kernel, planned.call.variant);
        match kernels.iter_mut().find(|k| (k.kernel, k.variant) == (kernel.name, variant.name)) {
            Some(k) => k.dispatches += 1,
            None => {
                let shader = reflection(kernel, variant).map_err(|e| GraphError::Gpu(e.into()))?;
                kernels.push(KernelReport {
                    kernel: kernel.name,
                    variant: variant.name,
                    workgroup: shader.workgroup,
                    workgroup_bytes: shader.workgroup_bytes,
                    dispatches: 1,
                });
            }
        }
    }
    kernels.sort_by_key(|k| (std::cmp::Reverse(k.dispatches), k.kernel, k.variant));
    Ok(kernels)
}

fn memory(plan: &Plan, sizes: &Sizes) -> MemoryReport {
    let blocks: Vec<BlockReport> = plan
        .blocks
        .iter()
        .zip(&plan.layout.places)
        .zip(&plan.block_labels)
        .map(|((block, place), label)| BlockReport {
            label: label.clone(),
            arena: place.buffer,
            offset: place.offset,
            bytes: block.size,
            first: block.first,
            last: block.last,
        })
        .collect();
    let mut live = LiveReport::default();
    for (i, call) in plan.calls.iter().enumerate() {
        let alive = |b: &BlockReport| b.first <= i && i <= b.last;
        let bytes = blocks.iter().filter(|b| alive(b)).map(|b| b.bytes).sum();
        if bytes > live.bytes {
            let which = blocks.iter().enumerate().filter(|(_, b)| alive(b)).map(|(j, _)| j).collect();
            live = LiveReport { bytes, dispatch: i, label: call.label.clone(), blocks: which };
        }
    }
    MemoryReport {
        weights: sizes.weights.iter().sum(),
        ends: sizes.ends.iter().sum(),
        arenas: plan.layout.buffers.clone(),
        blocks,
        live,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn scopes_begin_with_the_name_of_a_module() {
        for (scope, wanted) in [
            ("down_blocks.0.resnets.1.conv1", "down_blocks.0"),
            ("mid_block.attentions.0", "mid_block"),
            ("up_blocks.12", "up_blocks.12"),
            ("conv_in", "conv_in"),
            ("", ""),
        ] {
            assert_eq!(super::module(scope), wanted, "{scope}");
        }
    }
}
