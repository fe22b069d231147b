//! One evaluation of a network with values from the host: for tests, doctors and
//! inspection. Sampling never comes here.

use super::EngineError;
use crate::gpu::{Gpu, Slice};
use crate::graph::bind::WeightStore;
use crate::graph::plan::{Builder, Target};
use crate::graph::Graph;

/// Evaluates `graph` on `n` images. `inputs` are (name, NHWC values); returns the
/// NHWC values of the named outputs or taps, in order.
///
/// # Errors
/// Inputs that do not fit, unreadable weights, or an adapter without the means.
pub fn evaluate(
    gpu: &Gpu,
    graph: &Graph,
    n: usize,
    inputs: &[(&str, &[f32])],
    outputs: &[&str],
) -> Result<Vec<Vec<f32>>, EngineError> {
    use wgpu::BufferUsages as U;
    let target = Target { caps: gpu.caps(), limits: gpu.limits().clone(), name: gpu.info().name.clone() };
    let mut builder = Builder::new(target, n);
    let mut buffers = Vec::new();
    let buffer = |name: &str, len: usize| -> Result<Slice, EngineError> {
        let size = (len as u64 * 4).next_multiple_of(32);
        let buffer = gpu.buffer(name, size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
        Ok(Slice { buffer, offset: 0, size })
    };
    let mut given = Vec::new();
    for (name, values) in inputs {
        let slice = buffer(name, values.len())?;
        gpu.write(&slice.buffer, 0, bytemuck::cast_slice(values));
        buffers.push(slice);
        given.push((*name, builder.external(name)));
    }
    let mut wanted = Vec::new();
    let mut lens = Vec::new();
    let mut tensors = Vec::new();
    // Which result each name gets: two names of one tensor share one.
    let mut places = Vec::new();
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
        buffers.push(buffer(name, len)?);
        wanted.push((*name, builder.external(name)));
        lens.push(len);
    }
    builder.segment("network", |b| b.network(graph, &given, &wanted))?;
    let plan = pollster::block_on(builder.finish()?.bind(gpu, &WeightStore::default(), &buffers, |_, _| {}))?;
    let mut encoder = gpu.encoder();
    plan.record(0, &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    gpu.submit(encoder)?;
    let results = buffers[inputs.len()..].iter().zip(lens);
    let read =
        results.map(|(b, len)| Ok(bytemuck::pod_collect_to_vec(&gpu.read(&b.buffer, len as u64 * 4)?)));
    let read = read.collect::<Result<Vec<Vec<f32>>, EngineError>>()?;
    Ok(places.into_iter().map(|place| read[place].clone()).collect())
}
