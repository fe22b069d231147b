//! From graphs to a plan: kernel calls in order, their labels, the weights they
//! read in the layouts they want, and where every intermediate lies. No device is
//! needed for any of it.

use super::memory::{place, Block, Layout};
use super::ops::Site;
use super::{Graph, GraphError, Node, Tensor};
use crate::gpu::image_bytes;
use crate::kernels::reflect::{reflection, IMAGE_ROW};
use crate::kernels::{Call, Caps};
use crate::shape::Shape;
use crate::weights::Param;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// A resource of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Buf {
    /// An intermediate, placed by the memory plan.
    Virtual(u32),
    /// A weight or constant, made once per model.
    Weight(u32),
    /// A buffer that the engine brings: state registers, slots, tables.
    External(u32),
}

/// Limits that a plan stays within.
#[derive(Clone, Debug)]
pub struct Target {
    /// What kernels may use.
    pub caps: Caps,
    /// The adapter's limits.
    pub limits: wgpu::Limits,
    /// The adapter's name, for errors.
    pub name: String,
}

impl Target {
    /// A described adapter.
    pub fn described(adapter: &crate::gpu::Described) -> Target {
        Target { caps: adapter.caps, limits: adapter.limits(), name: adapter.name.into() }
    }
}

/// A call of a plan.
#[derive(Clone, Debug)]
pub struct PlannedCall {
    /// The kernel call.
    pub call: Call<Buf>,
    /// Op and place: `conv2d mid_block.resnets.0.conv1`.
    pub label: String,
    /// The buffer that holds the op's result after this call, and floats per
    /// image in it; `None` for calls that fill scratch.
    pub result: Option<(Buf, usize)>,
    /// The node of the network that it belongs to; `None` outside of networks.
    pub node: Option<usize>,
    /// Multiply-adds of the op for all images, told by the call that does most of them.
    pub macs: u64,
}

impl PlannedCall {
    /// About how long it takes, in multiply-adds: a first guess until it is measured.
    pub fn cost(&self) -> f64 {
        self.macs as f64 + 256.0 * self.call.groups as f64 + 2e4
    }
}

type Make = Box<dyn FnOnce() -> Result<Vec<u8>, GraphError> + Send>;

/// A weight in a layout: made when first needed, shared by its key.
pub struct WeightUse {
    /// Name and layout: equal keys hold equal bytes.
    pub key: String,
    /// Bytes of its numbers in f32, before packing; `None` for a constant of our own.
    pub bytes: Option<u64>,
    /// Whether kernels read it as an image.
    pub image: bool,
    /// Reads and packs it.
    pub make: Make,
}

/// Kernel calls in segments, and where their buffers lie.
pub struct Plan {
    /// Images.
    pub n: usize,
    /// The calls.
    pub calls: Vec<PlannedCall>,
    /// What is run as a unit: ranges of `calls`, with a label.
    pub segments: Vec<(String, Range<usize>)>,
    /// The weights that the calls read.
    pub weights: Vec<WeightUse>,
    /// Labels of the external buffers, in the order declared.
    pub externals: Vec<String>,
    /// Bytes of each intermediate.
    pub blocks: Vec<Block>,
    /// For each intermediate, the op that it belongs to.
    pub block_labels: Vec<String>,
    /// Where each intermediate lies.
    pub layout: Layout,
}

/// Makes a [`Plan`].
pub struct Builder {
    target: Target,
    n: usize,
    calls: Vec<PlannedCall>,
    segments: Vec<(String, Range<usize>)>,
    weights: Vec<WeightUse>,
    keys: HashMap<String, u32>,
    externals: Vec<String>,
    virtuals: Vec<(u64, String, bool)>,
    node: Option<usize>,
}

impl Builder {
    /// A builder for batches of `n` images.
    pub fn new(target: Target, n: usize) -> Builder {
        Builder {
            target,
            n,
            calls: Vec::new(),
            segments: Vec::new(),
            weights: Vec::new(),
            keys: HashMap::new(),
            externals: Vec::new(),
            virtuals: Vec::new(),
            node: None,
        }
    }

    /// Images of a batch.
    pub fn n(&self) -> usize {
        self.n
    }

    /// What kernels may use.
    pub fn caps(&self) -> &Caps {
        &self.target.caps
    }

    /// Declares a buffer that is brought when the plan is bound.
    pub fn external(&mut self, label: &str) -> Buf {
        self.externals.push(label.to_string());
        Buf::External(self.externals.len() as u32 - 1)
    }

    /// Runs `fill`, whose calls become a segment; returns its number.
    ///
    /// # Errors
    /// Those of `fill`.
    pub fn segment(
        &mut self,
        label: &str,
        fill: impl FnOnce(&mut Builder) -> Result<(), GraphError>,
    ) -> Result<usize, GraphError> {
        let start = self.calls.len();
        fill(self)?;
        self.segments.push((label.to_string(), start..self.calls.len()));
        Ok(self.segments.len() - 1)
    }

    /// Appends a call; `result` as in [`PlannedCall`].
    pub fn call(&mut self, label: &str, call: Call<Buf>, result: Option<(Buf, usize)>) {
        let (label, node) = (label.to_string(), self.node);
        self.calls.push(PlannedCall { call, label, result, macs: 0, node });
    }

    /// An intermediate of `len` floats.
    ///
    /// # Errors
    /// Larger than a binding of the adapter.
    pub fn scratch(&mut self, label: &str, len: usize) -> Result<Buf, GraphError> {
        let size = (len as u64 * 4).next_multiple_of(32);
        let max = self.target.limits.max_storage_buffer_binding_size;
        if size > max {
            return Err(crate::gpu::GpuError::Limit {
                adapter: self.target.name.clone(),
                what: format!("tensor `{label}` for {} images", self.n),
                limit: "max_storage_buffer_binding_size",
                wanted: size,
                found: max,
                advice: "Use a smaller --batch, a smaller model or another --adapter",
            }
            .into());
        }
        Ok(self.intermediate(size, label, false))
    }

    /// An intermediate of `len` floats that kernels write and read as an image.
    ///
    /// # Errors
    /// Larger than an image of the adapter.
    pub fn scratch_image(&mut self, label: &str, len: usize) -> Result<Buf, GraphError> {
        let size = image_bytes(len as u64 * 4);
        let max = self.target.limits.max_texture_dimension_2d;
        let rows = size / (IMAGE_ROW as u64 * 16);
        if rows > max.into() {
            return Err(crate::gpu::GpuError::Limit {
                adapter: self.target.name.clone(),
                what: format!("an image of `{label}` for {} images", self.n),
                limit: "max_texture_dimension_2d",
                wanted: rows,
                found: max.into(),
                advice: "Use a smaller --batch, a smaller model or another --adapter",
            }
            .into());
        }
        Ok(self.intermediate(size, label, true))
    }

    fn intermediate(&mut self, size: u64, label: &str, image: bool) -> Buf {
        self.virtuals.push((size, label.to_string(), image));
        Buf::Virtual(self.virtuals.len() as u32 - 1)
    }

    /// A constant by its key; `make` runs when the plan is bound, unless the key is known.
    pub fn weight(&mut self, key: String, make: Make) -> Buf {
        self.keyed(key, None, false, make)
    }

    /// A weight or constant; `bytes` as in [`WeightUse`].
    fn keyed(&mut self, key: String, bytes: Option<u64>, image: bool, make: Make) -> Buf {
        let next = self.weights.len() as u32;
        let id = *self.keys.entry(key.clone()).or_insert(next);
        if id == next {
            self.weights.push(WeightUse { key, bytes, image, make });
        }
        Buf::Weight(id)
    }

    /// Lowers a network. `inputs` and `outputs` say where its tensors lie, by
    /// name; outputs that are not named stay intermediates.
    ///
    /// # Errors
    /// An input that is not given, weights that cannot be read, or an adapter
    /// without the means.
    pub fn network(
        &mut self,
        graph: &Graph,
        inputs: &[(&str, Buf)],
        outputs: &[(&str, Buf)],
    ) -> Result<(), GraphError> {
        let mut at: HashMap<Tensor, Buf> = HashMap::new();
        for (name, t) in graph.inputs() {
            let given = inputs.iter().find(|(n, _)| n == name);
            let (_, buf) =
                given.ok_or_else(|| GraphError::Internal(format!("input `{name}` is not given")))?;
            at.insert(*t, *buf);
        }
        for (name, buf) in outputs {
            let named = graph.outputs().iter().chain(graph.taps()).find(|(n, _)| n == name);
            let (_, t) = named.ok_or_else(|| GraphError::Internal(format!("no output `{name}`")))?;
            at.insert(*t, *buf);
        }
        let images = self.images(graph);
        for (i, node) in graph.nodes().iter().enumerate() {
            self.node = Some(i);
            let output = match at.get(&node.output) {
                Some(b) => *b,
                None => {
                    let len = self.n * graph.shape(node.output).len();
                    let label = node.label();
                    let b = match images.contains(&node.output) {
                        true => self.scratch_image(&label, len)?,
                        false => self.scratch(&label, len)?,
                    };
                    at.insert(node.output, b);
                    b
                }
            };
            let inputs = node
                .inputs
                .iter()
                .map(|t| at.get(t).copied().ok_or_else(|| GraphError::Internal("read before written".into())))
                .collect::<Result<Vec<_>, _>>()?;
            node.op.lower(&mut Lower { builder: self, graph, node, inputs, output })?;
        }
        self.node = None;
        Ok(())
    }

    /// The tensors that lie in images: those whose op may write one, and all of whose readers
    /// may read one.
    fn images(&self, graph: &Graph) -> HashSet<Tensor> {
        let caps = &self.target.caps;
        let rows = u64::from(self.target.limits.max_texture_dimension_2d);
        let (mut may, mut barred) = (HashSet::new(), HashSet::new());
        if !caps.images {
            return may;
        }
        for node in graph.nodes() {
            let inputs: Vec<Shape> = node.inputs.iter().map(|t| graph.shape(*t)).collect();
            let output = graph.shape(node.output);
            let site = Site { n: self.n, caps, inputs: &inputs, output };
            for (i, t) in node.inputs.iter().enumerate() {
                if !node.op.reads_image(&site, i) {
                    barred.insert(*t);
                }
            }
            let size = image_bytes((self.n * output.len()) as u64 * 4);
            if size <= rows * IMAGE_ROW as u64 * 16 && node.op.writes_image(&site) {
                may.insert(node.output);
            }
        }
        // What nobody reads is somebody's output.
        let named = graph.outputs().iter().chain(graph.taps()).map(|(_, t)| *t);
        barred.extend(named);
        may.retain(|t| !barred.contains(t));
        // Of two that go together neither without the other.
        let tied: Vec<[Tensor; 2]> = graph
            .nodes()
            .iter()
            .filter_map(|node| node.op.shared().map(|i| [node.inputs[i], node.output]))
            .collect();
        loop {
            let before = may.len();
            for [a, b] in &tied {
                if may.contains(a) != may.contains(b) {
                    may.remove(a);
                    may.remove(b);
                }
            }
            if may.len() == before {
                return may;
            }
        }
    }

    /// Places the intermediates.
    ///
    /// # Errors
    /// A kernel whose text is wrong (a bug).
    pub fn finish(self) -> Result<Plan, GraphError> {
        let mut blocks: Vec<Block> = self
            .virtuals
            .iter()
            .map(|&(size, _, image)| Block { size, first: usize::MAX, last: 0, image })
            .collect();
        let mut apart = Vec::new();
        for (i, planned) in self.calls.iter().enumerate() {
            let shader = reflection(planned.call.kernel, planned.call.variant)
                .map_err(|e| GraphError::Gpu(e.into()))?;
            let (mut read, mut written) = (Vec::new(), Vec::new());
            for (name, buf) in &planned.call.bindings {
                let Buf::Virtual(v) = *buf else { continue };
                let block = &mut blocks[v as usize];
                block.first = block.first.min(i);
                block.last = block.last.max(i);
                let writes = shader.storage.iter().any(|b| b.name == *name && b.writable);
                if writes { &mut written } else { &mut read }.push(v as usize);
            }
            apart.extend(read.iter().flat_map(|&r| written.iter().map(move |&w| (r, w))));
        }
        for b in &mut blocks {
            b.first = b.first.min(b.last);
        }
        let align = u64::from(self.target.limits.min_storage_buffer_offset_alignment).max(32);
        let max = self.target.limits.max_buffer_size;
        let layout = place(&blocks, &apart, align, max);
        Ok(Plan {
            n: self.n,
            calls: self.calls,
            segments: self.segments,
            weights: self.weights,
            externals: self.externals,
            blocks,
            block_labels: self.virtuals.into_iter().map(|v| v.1).collect(),
            layout,
        })
    }
}

impl Plan {
    /// Bytes of all intermediates after placement.
    pub fn arena_bytes(&self) -> u64 {
        self.layout.buffers.iter().sum()
    }
}

/// What an op sees while it is lowered.
pub struct Lower<'a> {
    builder: &'a mut Builder,
    graph: &'a Graph,
    node: &'a Node,
    inputs: Vec<Buf>,
    output: Buf,
}

impl Lower<'_> {
    /// Images of the batch.
    pub fn n(&self) -> usize {
        self.builder.n
    }

    /// What kernels may use.
    pub fn caps(&self) -> &Caps {
        &self.builder.target.caps
    }

    /// The shape of an input.
    pub fn shape(&self, i: usize) -> Shape {
        self.graph.shape(self.node.inputs[i])
    }

    /// The shape of the result.
    pub fn output_shape(&self) -> Shape {
        self.graph.shape(self.node.output)
    }

    /// Where an input lies.
    pub fn input(&self, i: usize) -> Buf {
        self.inputs[i]
    }

    /// Where the result goes.
    pub fn output(&self) -> Buf {
        self.output
    }

    /// Whether a tensor lies in an image, `[n, h, w, c]` in texels of four.
    pub fn is_image(&self, buf: Buf) -> bool {
        matches!(buf, Buf::Virtual(v) if self.builder.virtuals[v as usize].2)
    }

    /// Scratch of `len` floats for this op.
    ///
    /// # Errors
    /// Larger than a binding of the adapter.
    pub fn scratch(&mut self, len: usize) -> Result<Buf, GraphError> {
        let label = self.label();
        self.builder.scratch(&label, len)
    }

    /// Scratch of `len` floats for this op, an image.
    ///
    /// # Errors
    /// Larger than an image of the adapter.
    pub fn scratch_image(&mut self, len: usize) -> Result<Buf, GraphError> {
        let label = self.label();
        self.builder.scratch_image(&label, len)
    }

    /// A weight packed by `pack`; `layout` names the packing, so that equal
    /// layouts of one weight are made once. `image`: for a binding that is one.
    ///
    /// # Errors
    /// None here: reading happens when the plan is bound.
    pub fn weight(
        &mut self,
        param: &Param,
        layout: &str,
        image: bool,
        pack: impl FnOnce(Vec<f32>) -> Vec<f32> + Send + 'static,
    ) -> Result<Buf, GraphError> {
        let param = param.clone();
        let key = format!("{}@{layout}", param.name());
        let bytes = param.count() as u64 * 4;
        let make = move || Ok(bytemuck::cast_slice(&pack(param.to_f32()?)).to_vec());
        Ok(self.builder.keyed(key, Some(bytes), image, Box::new(make)))
    }

    /// Numbers of our own, by a key that says what they are.
    ///
    /// # Errors
    /// None here.
    pub fn constant(
        &mut self,
        key: &str,
        make: impl FnOnce() -> Vec<f32> + Send + 'static,
    ) -> Result<Buf, GraphError> {
        let make = move || Ok(bytemuck::cast_slice(&make()).to_vec());
        Ok(self.builder.weight(format!("@{key}"), Box::new(make)))
    }

    /// Appends a call of this op, which does the op's arithmetic where it writes the result.
    pub fn call(&mut self, call: Call<Buf>) {
        let writes = call.bindings.iter().any(|(_, b)| *b == self.output);
        self.part(call, writes);
    }

    /// Appends a call of this op; `arithmetic`: whether it does the op's.
    pub fn part(&mut self, call: Call<Buf>, arithmetic: bool) {
        let label = self.label();
        let writes = call.bindings.iter().any(|(_, b)| *b == self.output);
        let result = writes.then(|| (self.output, self.output_shape().len()));
        let macs = if arithmetic { self.graph.macs_of(self.node) } else { 0 };
        let macs = macs.saturating_mul(self.builder.n as u64);
        let node = self.builder.node;
        self.builder.calls.push(PlannedCall { call, label, result, macs, node });
    }

    /// Appends calls of this op.
    pub fn calls(&mut self, calls: Vec<Call<Buf>>) {
        calls.into_iter().for_each(|c| self.call(c));
    }

    fn label(&self) -> String {
        self.node.label()
    }
}
