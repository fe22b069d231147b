//! A lowered program on a device, and one batch on its way through it.

use super::lower::{lower, Externals, COUNTER_WORDS};
use super::{EngineError, NetGraph};
use crate::clock::Instant;
use crate::diffusion::program::{Program, Slot, SlotInit};
use crate::gpu::{Gpu, Slice, DEADLINE};
use crate::graph::bind::{BoundPlan, WeightStore};
use crate::graph::plan::{Builder, Target};
use std::collections::VecDeque;
use std::time::Duration;

/// Dispatches of a first chunk, before anything is known of their cost.
const FIRST_CHUNK: usize = 16;
/// Chunks that may be submitted and not yet done.
const IN_FLIGHT: usize = 2;

/// A program with its networks, planned for batches of `n` images and put on a device.
#[derive(Debug)]
pub struct Executable {
    gpu: Gpu,
    plan: BoundPlan,
    steps: Vec<Vec<usize>>,
    labels: Vec<String>,
    externals: Externals,
    buffers: Vec<Slice>,
    readback: wgpu::Buffer,
    n: usize,
    pixels: usize,
    slots: Vec<SlotInit>,
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
}

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Status {
    /// Steps that are submitted.
    pub step: usize,
    /// All steps.
    pub steps: usize,
    /// From 0 to 1, in dispatches.
    pub fraction: f64,
    /// Whether everything is submitted.
    pub done: bool,
}

/// The pixels of a batch.
#[derive(Clone, Debug)]
pub struct Pixels {
    /// RGBA8, `[n, h, w, 4]`.
    pub rgba: Vec<u8>,
    /// For each image, how many values were not finite.
    pub bad: Vec<u32>,
}

impl Executable {
    /// Plans and binds. `progress` is told how many of how many parts are done.
    ///
    /// # Errors
    /// A malformed program, unreadable weights, or an adapter without the means.
    pub fn new(
        gpu: &Gpu,
        program: &Program,
        nets: &[NetGraph],
        n: usize,
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
        let mut buffers = Vec::new();
        for (label, size) in &lowered.externals.sizes {
            if *size > max {
                return Err(gpu.limit(label, "max_storage_buffer_binding_size", *size, max).into());
            }
            let buffer = gpu.buffer(label, *size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
            buffers.push(Slice { buffer, offset: 0, size: *size });
        }
        let plan = builder.finish()?.bind(gpu, store, &buffers, progress)?;
        gpu.write(&buffers[lowered.externals.numbers].buffer, 0, bytemuck::cast_slice(&lowered.numbers));
        let shape = program.registers[program.output.0 as usize].shape;
        let pixels = shape.pixels();
        let readback = gpu.buffer("readback", (n * pixels + n) as u64 * 4, U::MAP_READ | U::COPY_DST)?;
        Ok(Executable {
            gpu: gpu.clone(),
            plan,
            steps,
            labels: program.steps.iter().map(|s| s.label.clone()).collect(),
            externals: lowered.externals,
            buffers,
            readback,
            n,
            pixels,
            slots: program.slots.iter().map(|s| s.init).collect(),
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

    pub(super) fn step_label(&self, step: usize) -> &str {
        self.labels.get(step).map_or("", String::as_str)
    }

    /// Begins a batch: everything the GPU needs to know is written here.
    ///
    /// # Errors
    /// An input that is missing or of the wrong length.
    pub fn start(&self, batch: &Batch) -> Result<Run, EngineError> {
        let e = &self.externals;
        let mut words = [0u32; COUNTER_WORDS];
        words[1] = batch.first_index as u32;
        words[2] = (batch.first_index >> 32) as u32;
        words[3] = batch.seed as u32;
        words[4] = (batch.seed >> 32) as u32;
        self.gpu.write(&self.buffers[e.counter].buffer, 0, bytemuck::cast_slice(&words));
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
        let calls = |step: &Vec<usize>| step.iter().map(|&s| self.plan.calls(s).len()).sum::<usize>();
        Ok(Run {
            step: 0,
            segment: 0,
            offset: 0,
            submitted: 0,
            total: self.steps.iter().map(calls).sum(),
            chunk: FIRST_CHUNK,
            in_flight: VecDeque::new(),
            last_done: Instant::now(),
        })
    }

    /// Runs one step by itself and waits for it, for tests that look at every state.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn run_step(&self, step: usize) -> Result<(), EngineError> {
        let mut encoder = self.gpu.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for &segment in self.steps.get(step).into_iter().flatten() {
            self.plan.record(segment, &mut pass);
        }
        drop(pass);
        let index = self.gpu.submit(encoder)?;
        Ok(self.gpu.wait(index, DEADLINE)?)
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
        use wgpu::BufferUsages as U;
        let slice = &self.buffers[self.externals.registers[register]];
        let bytes = (len as u64 * 4).min(slice.size);
        let to = self.gpu.buffer("register readback", bytes, U::MAP_READ | U::COPY_DST)?;
        let mut encoder = self.gpu.encoder();
        encoder.copy_buffer_to_buffer(&slice.buffer, 0, &to, 0, bytes);
        self.gpu.submit(encoder)?;
        Ok(bytemuck::cast_slice(&self.gpu.read(&to, bytes)?).to_vec())
    }
}

/// A batch between its first dispatch and its last.
#[derive(Debug)]
pub struct Run {
    step: usize,
    segment: usize,
    offset: usize,
    submitted: usize,
    total: usize,
    chunk: usize,
    in_flight: VecDeque<(wgpu::SubmissionIndex, usize)>,
    last_done: Instant,
}

impl Run {
    /// Submits one chunk, meant to take about `budget`, after waiting until no
    /// more than one is in flight.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn advance(&mut self, exe: &Executable, budget: Duration) -> Result<Status, EngineError> {
        while self.in_flight.len() >= IN_FLIGHT {
            self.wait_one(exe, budget)?;
        }
        if self.step < exe.steps.len() {
            let mut encoder = exe.gpu.encoder();
            let count = self.record(exe, &mut encoder);
            if self.step == exe.steps.len() {
                let e = &exe.externals;
                let (pixels, bad) = ((exe.n * exe.pixels) as u64 * 4, exe.n as u64 * 4);
                encoder.copy_buffer_to_buffer(&exe.buffers[e.pixels].buffer, 0, &exe.readback, 0, pixels);
                encoder.copy_buffer_to_buffer(&exe.buffers[e.bad].buffer, 0, &exe.readback, pixels, bad);
            }
            let index = exe.gpu.submit(encoder)?;
            self.in_flight.push_back((index, count));
            self.submitted += count;
        }
        Ok(self.status(exe))
    }

    /// How far it is.
    pub fn status(&self, exe: &Executable) -> Status {
        Status {
            step: self.step,
            steps: exe.steps.len(),
            fraction: self.submitted as f64 / self.total.max(1) as f64,
            done: self.step >= exe.steps.len(),
        }
    }

    /// Waits until nothing is in flight.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn drain(&mut self, exe: &Executable) -> Result<(), EngineError> {
        while !self.in_flight.is_empty() {
            self.wait_one(exe, Duration::ZERO)?;
        }
        Ok(())
    }

    /// The one readback of a batch that is done.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn pixels(mut self, exe: &Executable) -> Result<Pixels, EngineError> {
        self.drain(exe)?;
        let split = exe.n * exe.pixels * 4;
        let mut rgba = exe.gpu.read(&exe.readback, (split + exe.n * 4) as u64)?;
        let bad = rgba.split_off(split);
        let bad = bad.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Ok(Pixels { rgba, bad })
    }

    /// Waits for the oldest chunk and learns from it how large the next may be.
    fn wait_one(&mut self, exe: &Executable, budget: Duration) -> Result<(), EngineError> {
        let Some((index, count)) = self.in_flight.pop_front() else { return Ok(()) };
        exe.gpu.wait(index, DEADLINE)?;
        let took = self.last_done.elapsed().as_secs_f64();
        self.last_done = Instant::now();
        let fit = budget.as_secs_f64() / (took / count.max(1) as f64).max(1e-7);
        // At most four times as many: a first dispatch compiles on some drivers.
        self.chunk = (fit as usize).clamp(1, (count * 4).max(FIRST_CHUNK)).min(4096);
        Ok(())
    }

    /// Records the next chunk into one pass; says how many dispatches it has.
    fn record(&mut self, exe: &Executable, encoder: &mut wgpu::CommandEncoder) -> usize {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let mut count = 0;
        while count < self.chunk && self.step < exe.steps.len() {
            let Some(&segment) = exe.steps[self.step].get(self.segment) else {
                self.step += 1;
                self.segment = 0;
                continue;
            };
            let calls = exe.plan.calls(segment);
            if self.offset == calls.len() {
                self.segment += 1;
                self.offset = 0;
                continue;
            }
            exe.plan.call(calls.start + self.offset).0.record(&mut pass);
            self.offset += 1;
            count += 1;
        }
        // Steps that are fully recorded are left behind at once.
        while self.step < exe.steps.len() && self.at_step_end(exe) {
            self.step += 1;
            self.segment = 0;
            self.offset = 0;
        }
        count
    }

    fn at_step_end(&self, exe: &Executable) -> bool {
        let step = &exe.steps[self.step];
        match step.get(self.segment) {
            None => true,
            Some(&s) => self.segment + 1 == step.len() && self.offset == exe.plan.calls(s).len(),
        }
    }
}
