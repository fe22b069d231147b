//! A lowered program on a device.

use super::lower::{lower, Externals, COUNTER_WORDS};
use super::outputs::Outputs;
use super::pace::Pace;
use super::repeat::{Loop, STATUS_BYTES};
use super::{EngineError, NetGraph};
use crate::diffusion::program::{Program, Reg, Slot, SlotInit};
use crate::gpu::{Claim, Gpu, Slice};
use crate::graph::bind::{BoundPlan, WeightStore};
use crate::graph::plan::{Builder, Target};
use crate::kernels::gate::Mode;
use crate::shape::Shape;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Multiply-adds a second that a first guess expects of an adapter.
const RATE_GPU: f64 = 5e11;
const RATE_CPU: f64 = 5e9;

/// A program with its networks, planned for batches of `n` images and put on a device.
#[derive(Debug)]
pub struct Executable {
    gpu: Gpu,
    plan: BoundPlan,
    steps: Vec<Vec<usize>>,
    repeat: Option<Loop>,
    evals: Vec<bool>,
    counts: Vec<Slot>,
    labels: Vec<String>,
    externals: Externals,
    buffers: Vec<Slice>,
    readback: wgpu::Buffer,
    n: usize,
    shape: Shape,
    slots: Vec<SlotInit>,
    estimate: usize,
    output: usize,
    outputs: Outputs,
    dispatches: usize,
    loop_dispatches: usize,
    pace: Mutex<Pace>,
    _claim: Claim,
}

/// What distinguishes one batch from another.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The index of the first image.
    pub first_index: u64,
    /// The seed.
    pub seed: u64,
    /// A number per image for each input slot.
    pub inputs: Vec<(Slot, Vec<f32>)>,
    /// Arrays of all images (NHWC) for each input register.
    pub registers: Vec<(Reg, Vec<f32>)>,
}

impl Executable {
    /// Plans and binds. `progress` is told how many of how many parts are done.
    ///
    /// # Errors
    /// A malformed program, unreadable weights, or an adapter without the means.
    pub async fn new(
        gpu: &Gpu,
        program: &Program,
        nets: &[NetGraph],
        n: usize,
        outputs: Outputs,
        store: &WeightStore,
        progress: impl FnMut(usize, usize),
    ) -> Result<Executable, EngineError> {
        use wgpu::BufferUsages as U;
        let target = Target { caps: gpu.caps(), limits: gpu.limits().clone(), name: gpu.info().name.clone() };
        let max = target.limits.max_storage_buffer_binding_size;
        // Everything below multiplies by n: registers first, by checked arithmetic.
        for r in &program.registers {
            let size = r.shape.checked_len().and_then(|len| len.checked_mul(n)?.checked_mul(4));
            let size = size.map_or(u64::MAX, |s| s as u64);
            if size > max {
                let what = format!("register {} of {n} images", r.name);
                return Err(gpu.limit(&what, "max_storage_buffer_binding_size", size, max).into());
            }
        }
        let mut builder = Builder::new(target, n);
        let lowered = lower(&mut builder, program, nets)?;
        let mut steps = lowered.steps;
        if let Some(last) = steps.last_mut() {
            last.push(lowered.pack);
        }
        let shape = program.registers[program.output.0 as usize].shape;
        // Of a loop, the host is told at the end who is done and what was counted.
        let mut counts = Vec::new();
        if let Some(repeat) = &lowered.repeat {
            counts.push(repeat.until);
            counts.extend(["accepted", "rejected"].iter().filter_map(|name| program.find_slot(name)));
        }
        let told = if counts.is_empty() { 0 } else { STATUS_BYTES + (counts.len() * n * 4) as u64 };
        let back = outputs.bytes(n, shape) + told;
        let external = lowered.externals.sizes.iter().map(|s| s.1).sum::<u64>();
        let claim = gpu.claim(&format!("the state of {n} images"), external + back)?;
        let mut buffers = Vec::new();
        for (label, size) in &lowered.externals.sizes {
            if *size > max {
                return Err(gpu.limit(label, "max_storage_buffer_binding_size", *size, max).into());
            }
            let buffer = gpu.buffer(label, *size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
            buffers.push(Slice { buffer, offset: 0, size: *size });
        }
        let plan = builder.finish()?.bind(gpu, store, &buffers, progress).await?;
        gpu.write(&buffers[lowered.externals.numbers].buffer, 0, bytemuck::cast_slice(&lowered.numbers));
        let readback = gpu.buffer("readback", back, U::MAP_READ | U::COPY_DST)?;
        let rate = if gpu.caps().stream { RATE_CPU } else { RATE_GPU };
        let pace = Mutex::new(Pace::new(plan.costs(), rate));
        let output = lowered.externals.registers[program.output.0 as usize];
        let mut repeat = None;
        if let Some(r) = &lowered.repeat {
            let state = (&buffers[lowered.externals.slots], &buffers[lowered.externals.status]);
            repeat = Some(Loop::new(gpu, &plan, r, &steps[r.step], state, n).await?);
        }
        let mut evals = vec![false; plan.segments()];
        lowered.evals.iter().for_each(|&s| evals[s] = true);
        gpu.settle().await?;
        Ok(Executable {
            loop_dispatches: repeat.iter().map(|l| l.dispatches(&plan, &steps[l.step])).sum(),
            dispatches: steps.iter().flatten().map(|&s| plan.calls(s).len()).sum(),
            gpu: gpu.clone(),
            plan,
            steps,
            repeat,
            evals,
            counts,
            labels: program.steps.iter().map(|s| s.label.clone()).collect(),
            externals: lowered.externals,
            buffers,
            readback,
            n,
            shape,
            slots: program.slots.iter().map(|s| s.init).collect(),
            estimate: lowered.estimate,
            output,
            outputs,
            pace,
            _claim: claim,
        })
    }

    /// Images of a batch.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Bytes on the device beside the weights.
    pub fn bytes(&self) -> u64 {
        self.plan.bytes + self.buffers.iter().map(|b| b.size).sum::<u64>()
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn plan(&self) -> &BoundPlan {
        &self.plan
    }

    pub(super) fn steps(&self) -> &[Vec<usize>] {
        &self.steps
    }

    /// The loop of a step.
    pub(super) fn repeat(&self, step: usize) -> Option<&Loop> {
        self.repeat.as_ref().filter(|l| l.step == step)
    }

    /// Whether a segment evaluates a network.
    pub(super) fn is_eval(&self, segment: usize) -> bool {
        self.evals.get(segment).copied().unwrap_or(false)
    }

    /// What of the slots is read back at the end: the loop's `until`, then its counts.
    pub(super) fn counts(&self) -> &[Slot] {
        &self.counts
    }

    /// The slots, and how far the loop is.
    pub(super) fn state(&self) -> (&wgpu::Buffer, &wgpu::Buffer) {
        (&self.buffers[self.externals.slots].buffer, &self.buffers[self.externals.status].buffer)
    }

    pub(super) fn step_label(&self, step: usize) -> &str {
        self.labels.get(step).map_or("", String::as_str)
    }

    /// The shape of an image.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn outputs(&self) -> Outputs {
        self.outputs
    }

    /// The segment that packs the present estimate.
    pub(super) fn estimate(&self) -> usize {
        self.estimate
    }

    /// Dispatches of a batch.
    pub(super) fn dispatches(&self) -> usize {
        self.dispatches
    }

    /// Those of a pass of its loop.
    pub(super) fn loop_dispatches(&self) -> usize {
        self.loop_dispatches
    }

    pub(super) fn readback(&self) -> &wgpu::Buffer {
        &self.readback
    }

    /// Where results lie: pixels, counts of bad values, the output register.
    pub(super) fn results(&self) -> (&wgpu::Buffer, &wgpu::Buffer, &wgpu::Buffer) {
        let buffer = |i: usize| &self.buffers[i].buffer;
        (buffer(self.externals.pixels), buffer(self.externals.bad), buffer(self.output))
    }

    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Chunks that may be under way at a time: where `submit` waits for the one
    /// before (processors that act as GPUs) one, else one that runs and one behind it.
    pub(super) fn room(&self) -> usize {
        if self.gpu.caps().stream {
            1
        } else {
            2
        }
    }

    /// Tells the device what it needs to know of a batch.
    pub(super) fn write_batch(&self, batch: &Batch) -> Result<(), EngineError> {
        let e = &self.externals;
        let mut words = [0u32; COUNTER_WORDS];
        words[1] = batch.first_index as u32;
        words[2] = (batch.first_index >> 32) as u32;
        words[3] = batch.seed as u32;
        words[4] = (batch.seed >> 32) as u32;
        self.gpu.write(&self.buffers[e.counter].buffer, 0, bytemuck::cast_slice(&words));
        for (reg, values) in &batch.registers {
            let slice = e.registers.get(reg.0 as usize).map(|r| &self.buffers[*r]);
            let bytes: &[u8] = bytemuck::cast_slice(values);
            match slice.filter(|s| bytes.len() as u64 <= s.size && s.size - (bytes.len() as u64) < 32) {
                Some(slice) => self.gpu.write(&slice.buffer, 0, bytes),
                None => return Err(EngineError::Internal(format!("register {} is not of this size", reg.0))),
            }
        }
        if self.repeat.is_some() {
            self.gpu.write(&self.buffers[e.status].buffer, 0, &[0; STATUS_BYTES as usize]);
        }
        for (i, init) in self.slots.iter().enumerate() {
            let slot = Slot(i as u32);
            let values = match init {
                SlotInit::Unset => continue,
                SlotInit::Const(v) => vec![*v as f32; self.n],
                SlotInit::Input => {
                    let given = batch.inputs.iter().find(|(s, _)| *s == slot);
                    let (_, values) = given
                        .filter(|(_, v)| v.len() == self.n)
                        .ok_or_else(|| EngineError::Internal(format!("input slot {i} is not given")))?;
                    values.clone()
                }
            };
            let bytes = bytemuck::cast_slice(&values);
            self.gpu.write(&self.buffers[e.slots].buffer, (i * self.n * 4) as u64, bytes);
            if let Some(label) = e.labels.get(&slot) {
                self.gpu.write(&self.buffers[*label].buffer, 0, bytes);
            }
        }
        Ok(())
    }

    /// Runs one step by itself and waits for it, for tests that look at every state.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn run_step(&self, step: usize) -> Result<(), EngineError> {
        let list = self.steps.get(step).map_or(&[][..], Vec::as_slice);
        let run = |segments: &[usize], before: Option<Mode>, after: Option<Mode>| {
            let mut encoder = self.gpu.encoder();
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let gate = |mode: Option<Mode>, pass: &mut wgpu::ComputePass<'_>| {
                self.repeat.iter().zip(mode).for_each(|(l, mode)| l.record(mode, pass));
            };
            gate(before, &mut pass);
            segments.iter().for_each(|&segment| self.plan.record(segment, &mut pass));
            gate(after, &mut pass);
            drop(pass);
            self.gpu.wait(&self.gpu.submit(encoder)?)
        };
        let Some(l) = self.repeat(step) else { return Ok(run(list, None, None)?) };
        run(&list[..l.range.start], None, Some(Mode::Enter))?;
        for _ in 0..l.at_most {
            run(&list[l.range.clone()], None, Some(Mode::Pass))?;
            if self.gpu.read(self.state().1, 4)? != [0; 4] {
                break;
            }
        }
        // One more pass, which must do nothing.
        run(&list[l.range.clone()], Some(Mode::Again), Some(Mode::Pass))?;
        Ok(run(&list[l.range.end..], Some(Mode::Leave), None)?)
    }

    /// Writes a register of the batch (NHWC), for tests and editing.
    pub fn write_register(&self, register: usize, values: &[f32]) {
        let slice = &self.buffers[self.externals.registers[register]];
        let values = &values[..values.len().min(slice.size as usize / 4)];
        self.gpu.write(&slice.buffer, 0, bytemuck::cast_slice(values));
    }

    /// Reads `len` floats of a register, for tests: a map and a wait.
    ///
    /// # Errors
    /// A lost device.
    pub fn read_register(&self, register: usize, len: usize) -> Result<Vec<f32>, EngineError> {
        let slice = &self.buffers[self.externals.registers[register]];
        let bytes = (len as u64 * 4).min(slice.size);
        Ok(bytemuck::pod_collect_to_vec(&self.gpu.read(&slice.buffer, bytes)?))
    }
}
