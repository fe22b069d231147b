//! A program's loop on the device: its gate, and what is known of it.

use super::numbers::Repeat;
use super::EngineError;
use crate::gpu::{BoundDispatch, Gpu, Parameters, Slice};
use crate::graph::bind::BoundPlan;
use crate::kernels::gate::{Gate, Mode, STATUS_WORDS};
use std::ops::Range;

/// Bytes of the status word that the host looks at.
pub const STATUS_BYTES: u64 = STATUS_WORDS as u64 * 4;

/// A loop ready to be recorded.
#[derive(Debug)]
pub struct Loop {
    /// The step it is in.
    pub step: usize,
    /// Its part of the step's segments.
    pub range: Range<usize>,
    /// The most passes.
    pub at_most: u32,
    gates: Vec<BoundDispatch>,
    _parameters: Parameters,
}

impl Loop {
    /// Binds the gate of a bound plan's loop. `segments` are those of its step.
    pub async fn new(
        gpu: &Gpu,
        plan: &BoundPlan,
        repeat: &Repeat,
        segments: &[usize],
        (slots, status): (&Slice, &Slice),
        n: usize,
    ) -> Result<Loop, EngineError> {
        use wgpu::BufferUsages as U;
        let mut calls: Vec<usize> =
            segments[repeat.range.clone()].iter().flat_map(|&s| plan.calls(s)).collect();
        calls.sort_unstable();
        calls.dedup();
        let parts = plan.part_places().map(|word| (word, 0));
        let places: Vec<u32> = calls
            .iter()
            .map(|&i| plan.place(i))
            .chain(parts)
            .flat_map(|(word, groups)| [word, groups])
            .collect();
        let size = (places.len() as u64 * 4).next_multiple_of(32);
        let buffer = gpu.buffer("gate", size, U::STORAGE | U::COPY_DST)?;
        gpu.write(&buffer, 0, bytemuck::cast_slice(&places));
        let all = |buffer: &wgpu::Buffer| Slice { buffer: buffer.clone(), offset: 0, size: buffer.size() };
        let bound: Vec<_> = [Mode::Pass, Mode::Again, Mode::Enter, Mode::Leave]
            .into_iter()
            .flat_map(|mode| {
                let gate = Gate { n, slot: repeat.until.0, places: places.len() / 2, mode };
                let (slots, status) = (slots.clone(), status.clone());
                gate.calls(&gpu.caps(), slots, status, all(&buffer), all(plan.parameters()))
            })
            .collect();
        let mut parameters = Parameters::new(gpu, bound.iter())?;
        let gates = bound.iter().map(|c| gpu.bind(c, &mut parameters)).collect::<Result<Vec<_>, _>>()?;
        parameters.upload(gpu);
        let mut encoder = gpu.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let cold = gates.iter().filter(|g| g.warm(&parameters, &mut pass)).count();
        drop(pass);
        if cold > 0 {
            gpu.submit(encoder)?.await?;
        }
        let Repeat { step, range, at_most, .. } = repeat.clone();
        Ok(Loop { step, range, at_most, gates, _parameters: parameters })
    }

    /// Dispatches of a pass; `segments` are those of its step.
    pub fn dispatches(&self, plan: &BoundPlan, segments: &[usize]) -> usize {
        segments[self.range.clone()].iter().map(|&s| plan.calls(s).len()).sum()
    }

    /// Records the gate.
    pub fn record(&self, mode: Mode, pass: &mut wgpu::ComputePass<'_>) {
        self.gates[mode as usize].record(pass);
    }
}

/// What became of a batch's loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Passes {
    /// Passes that ran.
    pub passes: u32,
    /// For each image, whether it is done.
    pub done: Vec<bool>,
    /// For each image, the number in the slot `accepted`, if the program has one.
    pub accepted: Vec<u32>,
    /// For each image, the number in the slot `rejected`.
    pub rejected: Vec<u32>,
    /// How often the host looked at the status.
    pub looks: u32,
}
