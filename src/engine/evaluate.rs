//! Evaluations of a network with values from the host: feature networks, tests, doctors, inspection.
//! Sampling never comes here.

use super::EngineError;
use crate::gpu::{Gpu, Slice};
use crate::graph::bind::{BoundPlan, WeightStore};
use crate::graph::plan::{Builder, Target};
use crate::graph::Graph;

/// A network on a device, planned for batches of `n` images, whose inputs come from the host and whose
/// outputs go there.
#[derive(Debug)]
pub struct Evaluator {
    gpu: Gpu,
    plan: BoundPlan,
    /// The inputs by name: where, and how many numbers.
    inputs: Vec<(String, Slice, usize)>,
    /// The outputs that are kept apart, each once.
    outputs: Vec<(Slice, usize)>,
    /// Which of them each wanted name gets: two names of one tensor share one.
    places: Vec<usize>,
}

impl Evaluator {
    /// Plans `graph` for `n` images and puts it on the device. `outputs` names outputs or taps.
    ///
    /// # Errors
    /// An output that is not there, unreadable weights, or an adapter without the means.
    pub fn new(gpu: &Gpu, graph: &Graph, n: usize, outputs: &[&str]) -> Result<Evaluator, EngineError> {
        use wgpu::BufferUsages as U;
        let target = Target { caps: gpu.caps(), limits: gpu.limits().clone(), name: gpu.info().name.clone() };
        let mut builder = Builder::new(target, n);
        let buffer = |name: &str, len: usize| -> Result<Slice, EngineError> {
            let size = (len as u64 * 4).next_multiple_of(32);
            let buffer = gpu.buffer(name, size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
            Ok(Slice { buffer, offset: 0, size })
        };
        let (mut inputs, mut given) = (Vec::new(), Vec::new());
        for (name, t) in graph.inputs() {
            let len = n * graph.shape(*t).len();
            inputs.push((name.clone(), buffer(name, len)?, len));
            given.push((name.as_str(), builder.external(name)));
        }
        let (mut wanted, mut kept, mut tensors, mut places) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for name in outputs {
            let found = graph.outputs().iter().chain(graph.taps()).find(|(n, _)| n == name);
            let (_, t) = found.ok_or_else(|| EngineError::Internal(format!("no output `{name}`")))?;
            let place = tensors.iter().position(|other| other == t).unwrap_or(tensors.len());
            places.push(place);
            if place < tensors.len() {
                continue;
            }
            tensors.push(*t);
            let len = n * graph.shape(*t).len();
            kept.push((buffer(name, len)?, len));
            wanted.push((*name, builder.external(name)));
        }
        builder.segment("network", |b| b.network(graph, &given, &wanted))?;
        let externals: Vec<Slice> =
            inputs.iter().map(|(_, slice, _)| slice).chain(kept.iter().map(|(s, _)| s)).cloned().collect();
        let store = WeightStore::default();
        let bound = builder.finish()?.bind(gpu, &store, &externals, |_, _| {});
        Ok(Evaluator { gpu: gpu.clone(), plan: pollster::block_on(bound)?, inputs, outputs: kept, places })
    }

    /// Evaluates a batch. `inputs` are (name, NHWC values), as many as the batch has; the NHWC values of
    /// the outputs come in the order in which they were named.
    ///
    /// # Errors
    /// Inputs that do not fit, or a lost device.
    pub fn run(&self, inputs: &[(&str, &[f32])]) -> Result<Vec<Vec<f32>>, EngineError> {
        for (name, slice, len) in &self.inputs {
            let given = inputs.iter().find(|(n, _)| n == name).map(|(_, values)| *values);
            let given = given.filter(|values| values.len() == *len).ok_or_else(|| {
                EngineError::Internal(format!("input `{name}` of {len} numbers is not given"))
            })?;
            self.gpu.write(&slice.buffer, 0, bytemuck::cast_slice(given));
        }
        let mut encoder = self.gpu.encoder();
        self.plan.record(0, &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.gpu.submit(encoder)?;
        let read = self.outputs.iter().map(|(slice, len)| {
            Ok(bytemuck::pod_collect_to_vec(&self.gpu.read(&slice.buffer, *len as u64 * 4)?))
        });
        let read = read.collect::<Result<Vec<Vec<f32>>, EngineError>>()?;
        Ok(self.places.iter().map(|place| read[*place].clone()).collect())
    }
}

/// Evaluates `graph` once on `n` images. `inputs` are (name, NHWC values); returns the
/// NHWC values of the named outputs or taps, in order.
///
/// # Errors
/// As [`Evaluator::new`] and [`Evaluator::run`].
pub fn evaluate(
    gpu: &Gpu,
    graph: &Graph,
    n: usize,
    inputs: &[(&str, &[f32])],
    outputs: &[&str],
) -> Result<Vec<Vec<f32>>, EngineError> {
    Evaluator::new(gpu, graph, n, outputs)?.run(inputs)
}
