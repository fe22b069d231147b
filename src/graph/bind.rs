//! A plan on a device: buffers made, weights up, bind groups made once.

use super::plan::{Buf, Plan};
use super::GraphError;
use crate::gpu::{BoundDispatch, Claim, Gpu, Parameters, Part, Resource, Slice};
use crate::kernels::Call;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A weight on a device.
#[derive(Debug)]
struct Stored {
    resource: Resource,
    bytes: u64,
    _claim: Claim,
}

/// Weights on a device, shared by all plans of a model.
#[derive(Debug, Default)]
pub struct WeightStore {
    known: Mutex<HashMap<String, Stored>>,
    /// Held while a weight is read and packed, so that no two threads do it twice.
    loading: Mutex<()>,
}

impl WeightStore {
    /// Bytes of all weights in all layouts.
    pub fn bytes(&self) -> u64 {
        lock(&self.known).values().map(|s| s.bytes).sum()
    }

    fn get(&self, key: &str) -> Option<Resource> {
        lock(&self.known).get(key).map(|s| s.resource.clone())
    }
}

/// What a panicking thread leaves behind is whole: entries are only added.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What intermediates lie in.
enum Arena {
    Buffer(wgpu::Buffer),
    Image(wgpu::TextureView),
}

/// A plan ready to run.
#[derive(Debug)]
pub struct BoundPlan {
    dispatches: Vec<BoundDispatch>,
    labels: Vec<String>,
    results: Vec<Option<(Resource, usize)>>,
    costs: Vec<f64>,
    segments: Vec<Range<usize>>,
    parameters: Parameters,
    /// Bytes of intermediates and parameters, without weights.
    pub bytes: u64,
    _claim: Claim,
}

impl Plan {
    /// Puts the plan on a device. `externals` in the order they were declared.
    ///
    /// # Errors
    /// Weights that cannot be read, memory, limits.
    pub async fn bind(
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
        let claim = gpu.claim(&format!("a plan for {} images", self.n), self.layout.buffers.iter().sum())?;
        let storage = U::STORAGE | U::COPY_SRC | U::COPY_DST;
        let arenas = self
            .layout
            .buffers
            .iter()
            .zip(&self.layout.images)
            .map(|(&size, image)| {
                Ok(match image {
                    true => Arena::Image(gpu.scratch_image("intermediates", size)?),
                    false => Arena::Buffer(gpu.buffer("intermediates", size, storage)?),
                })
            })
            .collect::<Result<Vec<_>, GraphError>>()?;
        // All at once, on all processors; those that other plans compiled are there already.
        let kernels: Vec<_> = self.calls.iter().map(|c| (c.call.kernel, c.call.variant)).collect();
        gpu.compile(&kernels)?;
        let total = self.weights.len() + self.calls.len();
        let mut weights = Vec::with_capacity(self.weights.len());
        for (i, w) in self.weights.into_iter().enumerate() {
            progress(i, total);
            gpu.breathe().await;
            weights.push(upload(gpu, store, w.key, w.image, w.make)?);
        }
        let resource = |buf: Buf| -> Resource {
            match buf {
                Buf::External(i) => externals[i as usize].clone().into(),
                Buf::Weight(i) => weights[i as usize].clone(),
                Buf::Virtual(i) => {
                    let place = self.layout.places[i as usize];
                    let size = self.blocks[i as usize].size;
                    match &arenas[place.buffer] {
                        Arena::Image(view) => Resource::Image(view.clone()),
                        Arena::Buffer(b) => Slice { buffer: b.clone(), offset: place.offset, size }.into(),
                    }
                }
            }
        };
        let mut parameters = Parameters::new(gpu, self.calls.iter().map(|c| &c.call))?;
        let mut costs = Vec::with_capacity(self.calls.len());
        let (mut dispatches, mut labels, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (i, planned) in self.calls.into_iter().enumerate() {
            progress(weights.len() + i, total);
            gpu.breathe().await;
            costs.push(planned.cost());
            let c = planned.call;
            let call = Call {
                kernel: c.kernel,
                variant: c.variant,
                bindings: c.bindings.into_iter().map(|(n, b)| (n, resource(b))).collect(),
                params: c.params,
                groups: c.groups,
            };
            dispatches.push(gpu.bind(&call, &mut parameters)?);
            labels.push(planned.label);
            results.push(planned.result.map(|(b, len)| (resource(b), len)));
        }
        parameters.upload(gpu);
        let plan = BoundPlan {
            dispatches,
            labels,
            results,
            costs,
            segments: self.segments.into_iter().map(|s| s.1).collect(),
            bytes: self.layout.buffers.iter().sum::<u64>() + parameters.bytes(),
            parameters,
            _claim: claim,
        };
        plan.warm(gpu).await?;
        progress(total, total);
        Ok(plan)
    }
}

fn upload(
    gpu: &Gpu,
    store: &WeightStore,
    key: String,
    image: bool,
    make: impl FnOnce() -> Result<Vec<u8>, GraphError>,
) -> Result<Resource, GraphError> {
    if let Some(found) = store.get(&key) {
        return Ok(found);
    }
    let _loading = lock(&store.loading);
    if let Some(found) = store.get(&key) {
        return Ok(found);
    }
    let mut bytes = make()?;
    bytes.resize(bytes.len().max(4).next_multiple_of(32), 0);
    let what = format!("weight `{}`", key.split('@').next().unwrap_or(&key));
    if image {
        let claim = gpu.claim(&what, bytes.len() as u64)?;
        let (view, size) = gpu.image(&what, &bytes)?;
        lock(&store.known)
            .insert(key, Stored { resource: Resource::Image(view.clone()), bytes: size, _claim: claim });
        return Ok(Resource::Image(view));
    }
    let (size, max) = (bytes.len() as u64, gpu.limits().max_storage_buffer_binding_size);
    if size > max {
        return Err(gpu.limit(&what, "max_storage_buffer_binding_size", size, max).into());
    }
    let claim = gpu.claim(&what, size)?;
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let buffer = gpu.buffer(&key, bytes.len() as u64, usage)?;
    gpu.write(&buffer, 0, &bytes);
    let slice = Resource::from(Slice { buffer, offset: 0, size });
    lock(&store.known).insert(key, Stored { resource: slice.clone(), bytes: size, _claim: claim });
    Ok(slice)
}

impl BoundPlan {
    /// Runs every kernel that never ran on this device once, over nothing: drivers
    /// that compile at the first dispatch do it now.
    async fn warm(&self, gpu: &Gpu) -> Result<(), GraphError> {
        let mut encoder = gpu.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let cold = self.dispatches.iter().filter(|d| d.warm(&self.parameters, &mut pass)).count();
        drop(pass);
        if cold > 0 {
            gpu.submit(encoder)?.await?;
        }
        Ok(())
    }

    /// Records a segment into a pass.
    pub fn record(&self, segment: usize, pass: &mut wgpu::ComputePass<'_>) {
        for d in &self.dispatches[self.segments[segment].clone()] {
            d.record(pass);
        }
    }

    /// Records as many dispatches as a segment has, none of which does anything.
    pub fn record_idle(&self, segment: usize, pass: &mut wgpu::ComputePass<'_>) {
        for d in &self.dispatches[self.segments[segment].clone()] {
            d.record_idle(&self.parameters, pass);
        }
    }

    /// Records a part of a dispatch; each part of a submission has another `place`, 0 or 1.
    pub fn record_part(
        &self,
        gpu: &Gpu,
        i: usize,
        place: usize,
        part: Part,
        pass: &mut wgpu::ComputePass<'_>,
    ) {
        self.dispatches[i].record_part(gpu, &self.parameters, place, part, pass);
    }

    /// The parameters of all dispatches, on the device.
    pub fn parameters(&self) -> &wgpu::Buffer {
        self.parameters.buffer()
    }

    /// Where the number of workgroups of dispatch `i` lies, in words of
    /// [`BoundPlan::parameters`], and that number.
    pub fn place(&self, i: usize) -> (u32, u32) {
        (self.dispatches[i].place(), self.dispatches[i].groups())
    }

    /// Where those of parts lie.
    pub fn part_places(&self) -> [u32; 2] {
        self.parameters.part_places()
    }

    /// How many segments there are.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The dispatches of a segment.
    pub fn calls(&self, segment: usize) -> Range<usize> {
        self.segments[segment].clone()
    }

    /// One dispatch: itself, its label, and its result (where it lies, floats per image)
    /// where it completes an op.
    pub fn call(&self, i: usize) -> (&BoundDispatch, &str, Option<&(Resource, usize)>) {
        (&self.dispatches[i], &self.labels[i], self.results[i].as_ref())
    }

    /// About how long each dispatch takes, in multiply-adds.
    pub fn costs(&self) -> &[f64] {
        &self.costs
    }
}
