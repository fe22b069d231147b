//! From a call with resources to a dispatch with a bind group.

use super::{CompiledKernel, Gpu, GpuError};
use crate::kernels::Call;
use std::sync::atomic::Ordering;
use std::sync::Arc;

/// Part of a buffer.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The buffer.
    pub buffer: wgpu::Buffer,
    /// Bytes from its start, a multiple of the adapter's storage alignment.
    pub offset: u64,
    /// Bytes, a multiple of 4.
    pub size: u64,
}

/// What a binding takes.
#[derive(Clone, Debug)]
pub enum Resource {
    /// Part of a buffer.
    Buffer(Slice),
    /// An image as [`Gpu::image`] makes it.
    Image(wgpu::TextureView),
}

impl From<Slice> for Resource {
    fn from(slice: Slice) -> Resource {
        Resource::Buffer(slice)
    }
}

/// A dispatch ready to be recorded any number of times, whole or in parts.
#[derive(Debug)]
pub struct BoundDispatch {
    kernel: Arc<CompiledKernel>,
    group: wgpu::BindGroup,
    offset: u32,
    groups: u32,
    /// The most workgroups of a dimension.
    max: u32,
}

/// Some of a dispatch's workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first.
    pub base: u32,
    /// How many.
    pub groups: u32,
}

/// Parameters of many dispatches in one buffer, with some places for those of
/// parts, which are written anew for each submission.
#[derive(Debug)]
pub struct Parameters {
    buffer: wgpu::Buffer,
    words: Vec<u8>,
    stride: usize,
    spare: usize,
}

/// Places for parts: a submission begins with the rest of a dispatch and ends with
/// the beginning of another. One more stays zero: no group of a dispatch with these
/// parameters has anything to do.
const SPARE: usize = 3;

impl Parameters {
    /// Room for the calls.
    ///
    /// # Errors
    /// As [`Gpu::kernel`] and [`Gpu::buffer`].
    pub fn new<'a, B: 'a>(
        gpu: &Gpu,
        calls: impl Iterator<Item = &'a Call<B>>,
    ) -> Result<Parameters, GpuError> {
        let align = gpu.limits().min_uniform_buffer_offset_alignment as usize;
        let (mut size, mut stride) = (0, align);
        for call in calls {
            let kernel = gpu.kernel(call.kernel, call.variant)?;
            let one = (kernel.reflection.uniform_size as usize).next_multiple_of(align);
            size += one;
            stride = stride.max(one);
        }
        // A loop's gate writes there too (kernels/gate.rs).
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::STORAGE;
        let buffer = gpu.buffer("parameters", (size + SPARE * stride) as u64, usage)?;
        Ok(Parameters { buffer, words: Vec::with_capacity(size), stride, spare: size })
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.buffer.size()
    }

    /// Sends everything that was bound.
    pub fn upload(&mut self, gpu: &Gpu) {
        self.words.resize(self.words.len().next_multiple_of(4), 0);
        gpu.write(&self.buffer, 0, &self.words);
    }

    /// Appends bytes; returns where they lie.
    fn push(&mut self, align: usize, bytes: &[u8]) -> u32 {
        self.words.resize(self.words.len().next_multiple_of(align), 0);
        let offset = self.words.len();
        self.words.extend_from_slice(bytes);
        offset as u32
    }

    /// The buffer.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// The words where the numbers of workgroups of parts lie.
    pub fn part_places(&self) -> [u32; 2] {
        [0, 1].map(|place| self.spare(place) / 4)
    }

    fn spare(&self, place: usize) -> u32 {
        (self.spare + place.min(SPARE - 1) * self.stride) as u32
    }
}

impl Gpu {
    /// Binds a call; its parameters are appended to `parameters`, which the caller
    /// uploads before the first submission.
    ///
    /// # Errors
    /// A binding larger than the adapter allows, or a call that does not fit its
    /// kernel (a bug).
    pub fn bind<R: Clone + Into<Resource>>(
        &self,
        call: &Call<R>,
        parameters: &mut Parameters,
    ) -> Result<BoundDispatch, GpuError> {
        let groups = u32::try_from(call.groups).map_err(|_| {
            GpuError::Internal(format!("{}/{}: too many workgroups", call.kernel.name, call.variant.name))
        })?;
        let max = self.limits().max_compute_workgroups_per_dimension;
        self.bind_part(call, Part { base: 0, groups }, max, parameters)
    }

    /// Binds some of a call's workgroups, of which at most `max_x` lie in x.
    pub(super) fn bind_part<R: Clone + Into<Resource>>(
        &self,
        call: &Call<R>,
        part: Part,
        max_x: u32,
        parameters: &mut Parameters,
    ) -> Result<BoundDispatch, GpuError> {
        let kernel = self.kernel(call.kernel, call.variant)?;
        let name = format!("{}/{}", call.kernel.name, call.variant.name);
        let internal = |what: String| GpuError::Internal(format!("{name}: {what}"));
        let params =
            kernel.reflection.pack(part.base + part.groups, part.base, &call.params).map_err(internal)?;
        let align = self.limits().min_uniform_buffer_offset_alignment as usize;
        let offset = parameters.push(align, &params);

        let max = self.limits().max_storage_buffer_binding_size;
        let mut resources = Vec::with_capacity(kernel.reflection.storage.len());
        for b in &kernel.reflection.storage {
            let mut found = call.bindings.iter().filter(|(n, _)| *n == b.name);
            let (Some((_, resource)), None) = (found.next(), found.next()) else {
                return Err(internal(format!("binding `{}` is missing or given twice", b.name)));
            };
            let resource: Resource = resource.clone().into();
            if matches!(resource, Resource::Image(_)) != b.image {
                return Err(internal(format!("binding `{}` is of the other kind", b.name)));
            }
            if let Some(slice) = resource.slice().filter(|s| s.size > max) {
                let what = format!("binding `{}` of {name}", b.name);
                return Err(self.limit(&what, "max_storage_buffer_binding_size", slice.size, max));
            }
            resources.push((b.index, resource));
        }
        if call.bindings.len() != kernel.reflection.storage.len() {
            return Err(internal("a binding that the shader does not have".into()));
        }
        fn entry((index, resource): &(u32, Resource)) -> wgpu::BindGroupEntry<'_> {
            let resource = match resource {
                Resource::Buffer(slice) => binding(slice),
                Resource::Image(view) => wgpu::BindingResource::TextureView(view),
            };
            wgpu::BindGroupEntry { binding: *index, resource }
        }
        let mut entries: Vec<_> = resources.iter().map(entry).collect();
        let uniform = Slice {
            buffer: parameters.buffer.clone(),
            offset: 0,
            size: u64::from(kernel.reflection.uniform_size),
        };
        entries
            .push(wgpu::BindGroupEntry { binding: kernel.reflection.uniform, resource: binding(&uniform) });
        let group = self.scoped(&name, 0, |device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&name),
                layout: &kernel.layout,
                entries: &entries,
            })
        })?;
        Ok(BoundDispatch { kernel, group, offset, groups: part.groups, max: max_x })
    }

    /// An encoder.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("undiffuse") })
    }
}

impl Resource {
    /// The part of a buffer, where it is one.
    pub fn slice(&self) -> Option<&Slice> {
        match self {
            Resource::Buffer(slice) => Some(slice),
            Resource::Image(_) => None,
        }
    }
}

fn binding(slice: &Slice) -> wgpu::BindingResource<'_> {
    wgpu::BindingResource::Buffer(wgpu::BufferBinding {
        buffer: &slice.buffer,
        offset: slice.offset,
        size: wgpu::BufferSize::new(slice.size),
    })
}

impl BoundDispatch {
    /// Workgroups.
    pub fn groups(&self) -> u32 {
        self.groups
    }

    /// The word of the parameters that holds the number of workgroups.
    pub fn place(&self) -> u32 {
        self.offset / 4
    }

    /// Records the dispatch. Zero groups record nothing.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        self.dispatch(pass, self.offset, self.groups);
    }

    /// Records a part of it. Each part of a submission has another `place`, 0 or 1.
    pub fn record_part(
        &self,
        gpu: &Gpu,
        parameters: &Parameters,
        place: usize,
        part: Part,
        pass: &mut wgpu::ComputePass<'_>,
    ) {
        let size = self.kernel.reflection.uniform_size as usize;
        let mut words = parameters.words[self.offset as usize..][..size].to_vec();
        // A folded part has more groups than it needs: those past its end must not run.
        words[..4].copy_from_slice(&(part.base + part.groups).to_le_bytes());
        words[4..8].copy_from_slice(&part.base.to_le_bytes());
        let offset = parameters.spare(place);
        gpu.write(&parameters.buffer, offset.into(), &words);
        self.dispatch(pass, offset, part.groups);
    }

    /// Records a dispatch of one group that does nothing.
    pub fn record_idle(&self, parameters: &Parameters, pass: &mut wgpu::ComputePass<'_>) {
        self.dispatch(pass, parameters.spare(SPARE - 1), 1);
    }

    /// Records a dispatch that does nothing, if the kernel never ran before: then
    /// drivers that compile at the first dispatch have done so.
    pub fn warm(&self, parameters: &Parameters, pass: &mut wgpu::ComputePass<'_>) -> bool {
        let first = !self.kernel.warm.swap(true, Ordering::Relaxed);
        if first {
            self.record_idle(parameters, pass);
        }
        first
    }

    fn dispatch(&self, pass: &mut wgpu::ComputePass<'_>, offset: u32, groups: u32) {
        if groups == 0 {
            return;
        }
        let (x, y) = fold(groups, self.max);
        pass.set_pipeline(&self.kernel.pipeline);
        pass.set_bind_group(0, &self.group, &[offset]);
        pass.dispatch_workgroups(x, y, 1);
    }
}

/// Folds a number of groups into x and y within the limit of a dimension.
fn fold(groups: u32, max: u32) -> (u32, u32) {
    if groups <= max {
        return (groups, 1);
    }
    let y = groups.div_ceil(max);
    (groups.div_ceil(y), y)
}
