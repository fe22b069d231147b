//! A plan on a device: buffers made, weights up, bind groups made once.

use super::plan::{Buf, Plan};
use super::GraphError;
use crate::gpu::{BoundDispatch, Gpu, Slice};
use crate::kernels::Call;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;

/// Weights on a device, shared by all plans of a model.
#[derive(Debug, Default)]
pub struct WeightStore(Mutex<HashMap<String, Slice>>);

impl WeightStore {
    /// Bytes of all weights in all layouts.
    pub fn bytes(&self) -> u64 {
        self.lock().values().map(|s| s.size).sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Slice>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A plan ready to run.
#[derive(Debug)]
pub struct BoundPlan {
    dispatches: Vec<BoundDispatch>,
    labels: Vec<String>,
    results: Vec<Option<(Slice, usize)>>,
    segments: Vec<Range<usize>>,
    /// Bytes of intermediates and parameters, without weights.
    pub bytes: u64,
}

impl Plan {
    /// Puts the plan on a device. `externals` in the order they were declared.
    ///
    /// # Errors
    /// Weights that cannot be read, memory, limits.
    pub fn bind(
        self,
        gpu: &Gpu,
        store: &WeightStore,
        externals: &[Slice],
        mut progress: impl FnMut(usize, usize),
    ) -> Result<BoundPlan, GraphError> {
        use wgpu::BufferUsages as U;
        if externals.len() != self.externals.len() {
            return Err(GraphError::Internal("externals do not match the plan".into()));
        }
        let storage = U::STORAGE | U::COPY_SRC | U::COPY_DST;
        let arenas = self
            .layout
            .buffers
            .iter()
            .map(|&size| gpu.buffer("intermediates", size, storage))
            .collect::<Result<Vec<_>, _>>()?;
        let total = self.weights.len() + self.calls.len();
        let mut weights = Vec::with_capacity(self.weights.len());
        for (i, w) in self.weights.into_iter().enumerate() {
            progress(i, total);
            weights.push(upload(gpu, store, w.key, w.make)?);
        }
        let slice = |buf: Buf| match buf {
            Buf::External(i) => externals[i as usize].clone(),
            Buf::Weight(i) => weights[i as usize].clone(),
            Buf::Virtual(i) => {
                let place = self.layout.places[i as usize];
                let size = self.blocks[i as usize].size;
                Slice { buffer: arenas[place.buffer].clone(), offset: place.offset, size }
            }
        };
        let mut size = 0;
        for c in &self.calls {
            size += gpu.uniform_stride(&c.call)?;
        }
        let uniform_buffer = gpu.buffer("parameters", size, U::UNIFORM | U::COPY_DST)?;
        let mut uniforms = Vec::with_capacity(size as usize);
        let (mut dispatches, mut labels, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (i, planned) in self.calls.into_iter().enumerate() {
            progress(weights.len() + i, total);
            let c = planned.call;
            let call = Call {
                kernel: c.kernel,
                variant: c.variant,
                bindings: c.bindings.into_iter().map(|(n, b)| (n, slice(b))).collect(),
                params: c.params,
                groups: c.groups,
            };
            dispatches.push(gpu.bind(&call, &uniform_buffer, &mut uniforms)?);
            labels.push(planned.label);
            results.push(planned.result.map(|(b, len)| (slice(b), len)));
        }
        uniforms.resize(uniforms.len().next_multiple_of(4), 0);
        gpu.write(&uniform_buffer, 0, &uniforms);
        Ok(BoundPlan {
            dispatches,
            labels,
            results,
            segments: self.segments.into_iter().map(|s| s.1).collect(),
            bytes: self.layout.buffers.iter().sum::<u64>() + size,
        })
    }
}

fn upload(
    gpu: &Gpu,
    store: &WeightStore,
    key: String,
    make: impl FnOnce() -> Result<Vec<u8>, GraphError>,
) -> Result<Slice, GraphError> {
    if let Some(found) = store.lock().get(&key) {
        return Ok(found.clone());
    }
    let mut bytes = make()?;
    bytes.resize(bytes.len().max(4).next_multiple_of(32), 0);
    let (size, max) = (bytes.len() as u64, gpu.limits().max_storage_buffer_binding_size);
    if size > max {
        let what = format!("weight `{}`", key.split('@').next().unwrap_or(&key));
        return Err(gpu.limit(&what, "max_storage_buffer_binding_size", size, max).into());
    }
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer(&key, bytes.len() as u64, usage)?;
    gpu.write(&buffer, 0, &bytes);
    let slice = Slice { buffer, offset: 0, size: bytes.len() as u64 };
    store.lock().insert(key, slice.clone());
    Ok(slice)
}

impl BoundPlan {
    /// Records a segment into a pass.
    pub fn record(&self, segment: usize, pass: &mut wgpu::ComputePass<'_>) {
        for d in &self.dispatches[self.segments[segment].clone()] {
            d.record(pass);
        }
    }

    /// The dispatches of a segment.
    pub fn calls(&self, segment: usize) -> Range<usize> {
        self.segments[segment].clone()
    }

    /// One dispatch: itself, its label, and its result (buffer, floats per image)
    /// where it completes an op.
    pub fn call(&self, i: usize) -> (&BoundDispatch, &str, Option<&(Slice, usize)>) {
        (&self.dispatches[i], &self.labels[i], self.results[i].as_ref())
    }
}
