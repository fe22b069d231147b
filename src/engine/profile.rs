//! What an evaluation of a network takes: as a whole, dispatch by dispatch, in memory.

use super::EngineError;
use crate::clock::Instant;
use crate::gpu::{Gpu, Slice, MOST_PASSES};
use crate::graph::bind::{BoundPlan, WeightStore};
use crate::graph::plan::{PlannedCall, Target};
use crate::graph::report::{live_set_bytes, plan, Report};
use crate::graph::Graph;

/// A measured evaluation.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Profile {
    /// Images.
    pub batch: usize,
    /// Multiply-adds of the batch.
    pub macs: u64,
    /// Seconds of each evaluation, submitted at once and waited for.
    pub seconds: Vec<f64>,
    /// Seconds of a submission of as many dispatches that do nothing.
    pub empty_seconds: f64,
    /// Whose clock told the times of dispatches.
    pub clock: Clock,
    /// The dispatches in order.
    pub dispatches: Vec<DispatchTime>,
    /// Bytes of the weights on the device, as packed.
    pub weights_bytes: u64,
    /// Bytes of intermediates and parameters on the device.
    pub activation_bytes: u64,
    /// Bytes of intermediates alive at once at the most.
    pub live_set_bytes: u64,
}

/// Who tells what a dispatch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The device: timestamps at the bounds of a pass for each dispatch.
    Device,
    /// The host: a submission for each dispatch, less what an empty one takes.
    Host,
}

/// A measured dispatch.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DispatchTime {
    /// Op and place.
    pub label: String,
    /// The kernel family.
    pub kernel: &'static str,
    /// Its variant.
    pub variant: &'static str,
    /// Workgroups.
    pub groups: u64,
    /// Multiply-adds that it completes, for the batch.
    pub macs: u64,
    /// Bytes of the buffers that it reads and writes.
    pub bytes: u64,
    /// Its seconds, the least of the repeats.
    pub seconds: f64,
}

/// A network on a device, with constant numbers for inputs.
struct Ready {
    gpu: Gpu,
    bound: BoundPlan,
    store: WeightStore,
    dispatches: Vec<DispatchTime>,
    live_set_bytes: u64,
}

impl Ready {
    fn new(gpu: &Gpu, graph: &Graph, n: usize) -> Result<Ready, EngineError> {
        use wgpu::BufferUsages as U;
        let target = Target { caps: gpu.caps(), limits: gpu.limits().clone(), name: gpu.info().name.clone() };
        let plan = plan(graph, target.clone(), n)?;
        let mut ends = Vec::new();
        for (name, t) in graph.inputs().iter().chain(graph.outputs()) {
            let len = n * graph.shape(*t).len();
            let size = (len as u64 * 4).next_multiple_of(32);
            let buffer = gpu.buffer(name, size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
            gpu.write(&buffer, 0, bytemuck::cast_slice(&vec![0.5f32; len]));
            ends.push(Slice { buffer, offset: 0, size });
        }
        let time = |c: &PlannedCall| DispatchTime {
            label: c.label.clone(),
            kernel: c.call.kernel.name,
            variant: c.call.variant.name,
            groups: c.call.groups,
            macs: c.macs,
            bytes: 0,
            seconds: f64::INFINITY,
        };
        let mut dispatches: Vec<DispatchTime> = plan.calls.iter().map(time).collect();
        // Ops are lowered one after another: their dispatches are the plan's calls in order.
        let traffic = Report::new(graph, target, None, n)?;
        for (d, t) in dispatches.iter_mut().zip(traffic.ops.iter().flat_map(|o| &o.dispatches)) {
            d.bytes = t.read + t.written;
        }
        let live_set_bytes = live_set_bytes(&plan);
        let store = WeightStore::default();
        let bound = pollster::block_on(plan.bind(gpu, &store, &ends, |_, _| {}))?;
        Ok(Ready { gpu: gpu.clone(), bound, store, dispatches, live_set_bytes })
    }

    /// Seconds of each dispatch by the device's clock, a pass for each; `None` where it has none.
    fn timestamps(&self) -> Result<Option<Vec<f64>>, EngineError> {
        let mut seconds = Vec::with_capacity(self.dispatches.len());
        let all: Vec<usize> = (0..self.dispatches.len()).collect();
        for some in all.chunks(MOST_PASSES) {
            let Some(watch) = self.gpu.stopwatch(some.len())? else { return Ok(None) };
            let mut encoder = self.gpu.encoder();
            for (i, call) in some.iter().enumerate() {
                self.bound.call(*call).0.record(&mut watch.pass(&mut encoder, i));
            }
            seconds.extend(watch.submit(encoder)?);
        }
        Ok(Some(seconds))
    }

    /// Seconds from the submission of what is recorded to its end.
    fn run(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> Result<f64, EngineError> {
        let mut encoder = self.gpu.encoder();
        record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        let start = Instant::now();
        self.gpu.wait(&self.gpu.submit(encoder)?)?;
        Ok(start.elapsed().as_secs_f64())
    }
}

/// A function that evaluates `graph` on `n` images of constant numbers and returns the
/// seconds from submission to end, for scripts that measure several programs in turn.
///
/// # Errors
/// As [`profile`].
pub fn evaluate_again(
    gpu: &Gpu,
    graph: &Graph,
    n: usize,
) -> Result<impl FnMut() -> Result<f64, EngineError>, EngineError> {
    let ready = Ready::new(gpu, graph, n)?;
    Ok(move || ready.run(|pass| ready.bound.record(0, pass)))
}

/// Evaluates `graph` on `n` images of constant numbers `repeats` times, and as often with
/// each of its dispatches timed.
///
/// # Errors
/// Unreadable weights, an adapter without the means, a timeout.
pub fn profile(gpu: &Gpu, graph: &Graph, n: usize, repeats: usize) -> Result<Profile, EngineError> {
    let ready = Ready::new(gpu, graph, n)?;
    let mut dispatches = ready.dispatches.clone();
    ready.run(|pass| ready.bound.record(0, pass))?;
    let (mut seconds, mut empty, mut nothing) = (Vec::with_capacity(repeats), f64::INFINITY, f64::INFINITY);
    let mut clock = Clock::Device;
    for _ in 0..repeats.max(1) {
        seconds.push(ready.run(|pass| ready.bound.record(0, pass))?);
        empty = empty.min(ready.run(|pass| ready.bound.record_idle(0, pass))?);
        let mut times = ready.timestamps()?;
        if times.is_none() {
            clock = Clock::Host;
            nothing = nothing.min(ready.run(|_| {})?);
            let alone = |i| ready.run(|pass| ready.bound.call(i).0.record(pass));
            times = Some((0..dispatches.len()).map(alone).collect::<Result<_, _>>()?);
        }
        for (d, t) in dispatches.iter_mut().zip(times.into_iter().flatten()) {
            d.seconds = d.seconds.min(t);
        }
    }
    if clock == Clock::Host {
        dispatches.iter_mut().for_each(|d| d.seconds = (d.seconds - nothing).max(0.0));
    }
    Ok(Profile {
        batch: n,
        macs: graph.macs().saturating_mul(n as u64),
        seconds,
        empty_seconds: empty,
        clock,
        dispatches,
        weights_bytes: ready.store.bytes(),
        activation_bytes: ready.bound.bytes,
        live_set_bytes: ready.live_set_bytes,
    })
}
