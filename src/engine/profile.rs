//! What an evaluation of a network takes: as a whole, dispatch by dispatch, in memory.

use super::EngineError;
use crate::clock::Instant;
use crate::gpu::{Gpu, Slice};
use crate::graph::bind::{BoundPlan, WeightStore};
use crate::graph::plan::{PlannedCall, Target};
use crate::graph::report::{live_set_bytes, plan};
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
    /// The dispatches in order.
    pub dispatches: Vec<DispatchTime>,
    /// Bytes of the weights on the device, as packed.
    pub weights_bytes: u64,
    /// Bytes of intermediates and parameters on the device.
    pub activation_bytes: u64,
    /// Bytes of intermediates alive at once at the most.
    pub live_set_bytes: u64,
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
    /// The least seconds of a submission of it alone, without those of an empty one.
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
        let plan = plan(graph, target, n)?;
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
            seconds: f64::INFINITY,
        };
        let dispatches = plan.calls.iter().map(time).collect();
        let live_set_bytes = live_set_bytes(&plan);
        let store = WeightStore::default();
        let bound = pollster::block_on(plan.bind(gpu, &store, &ends, |_, _| {}))?;
        Ok(Ready { gpu: gpu.clone(), bound, store, dispatches, live_set_bytes })
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

/// Evaluates `graph` on `n` images of constant numbers `repeats` times, and each of
/// its dispatches as often by itself.
///
/// # Errors
/// Unreadable weights, an adapter without the means, a timeout.
pub fn profile(gpu: &Gpu, graph: &Graph, n: usize, repeats: usize) -> Result<Profile, EngineError> {
    let ready = Ready::new(gpu, graph, n)?;
    let mut dispatches = ready.dispatches.clone();
    ready.run(|pass| ready.bound.record(0, pass))?;
    let (mut seconds, mut empty, mut nothing) = (Vec::with_capacity(repeats), f64::INFINITY, f64::INFINITY);
    for _ in 0..repeats.max(1) {
        seconds.push(ready.run(|pass| ready.bound.record(0, pass))?);
        empty = empty.min(ready.run(|pass| ready.bound.record_idle(0, pass))?);
        nothing = nothing.min(ready.run(|_| {})?);
        for (i, d) in dispatches.iter_mut().enumerate() {
            d.seconds = d.seconds.min(ready.run(|pass| ready.bound.call(i).0.record(pass))?);
        }
    }
    dispatches.iter_mut().for_each(|d| d.seconds = (d.seconds - nothing).max(0.0));
    Ok(Profile {
        batch: n,
        macs: graph.macs().saturating_mul(n as u64),
        seconds,
        empty_seconds: empty,
        dispatches,
        weights_bytes: ready.store.bytes(),
        activation_bytes: ready.bound.bytes,
        live_set_bytes: ready.live_set_bytes,
    })
}
