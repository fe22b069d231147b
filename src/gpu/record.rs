//! From a call with resources to a dispatch with bind groups.

use super::{CompiledKernel, Gpu, GpuError};
use crate::kernels::Call;
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

/// A dispatch ready to be recorded any number of times.
#[derive(Debug)]
pub struct BoundDispatch {
    kernel: Arc<CompiledKernel>,
    group: wgpu::BindGroup,
    count: [u32; 2],
}

impl Gpu {
    /// Bytes of uniform that a call needs, aligned so that calls can share a buffer.
    ///
    /// # Errors
    /// As [`Gpu::kernel`].
    pub fn uniform_stride<B>(&self, call: &Call<B>) -> Result<u64, GpuError> {
        let align = u64::from(self.limits().min_uniform_buffer_offset_alignment);
        let kernel = self.kernel(call.kernel, call.variant)?;
        Ok(u64::from(kernel.reflection.uniform_size).next_multiple_of(align))
    }

    /// Binds a call: its parameters are appended to `uniforms` (to be written to
    /// `uniform_buffer` by the caller before the first submission).
    ///
    /// # Errors
    /// A binding larger than the adapter allows, or a call that does not fit its
    /// kernel (a bug).
    pub fn bind(
        &self,
        call: &Call<Slice>,
        uniform_buffer: &wgpu::Buffer,
        uniforms: &mut Vec<u8>,
    ) -> Result<BoundDispatch, GpuError> {
        let kernel = self.kernel(call.kernel, call.variant)?;
        let name = format!("{}/{}", call.kernel.name, call.variant.name);
        let internal = |what: String| GpuError::Internal(format!("{name}: {what}"));
        let groups = u32::try_from(call.groups).map_err(|_| internal("too many workgroups".into()))?;
        let params = kernel.reflection.pack(groups, 0, &call.params).map_err(internal)?;
        let align = self.limits().min_uniform_buffer_offset_alignment as usize;
        uniforms.resize(uniforms.len().next_multiple_of(align), 0);
        let offset = uniforms.len() as u64;
        uniforms.extend_from_slice(&params);

        let max = self.limits().max_storage_buffer_binding_size;
        let mut entries = Vec::with_capacity(kernel.reflection.storage.len() + 1);
        for b in &kernel.reflection.storage {
            let mut found = call.bindings.iter().filter(|(n, _)| *n == b.name);
            let (Some((_, slice)), None) = (found.next(), found.next()) else {
                return Err(internal(format!("binding `{}` is missing or given twice", b.name)));
            };
            if slice.size > max {
                let what = format!("binding `{}` of {name}", b.name);
                return Err(self.limit(&what, "max_storage_buffer_binding_size", slice.size, max));
            }
            entries.push(wgpu::BindGroupEntry { binding: b.index, resource: binding(slice) });
        }
        if call.bindings.len() != kernel.reflection.storage.len() {
            return Err(internal("a binding that the shader does not have".into()));
        }
        let uniform =
            Slice { buffer: uniform_buffer.clone(), offset, size: u64::from(kernel.reflection.uniform_size) };
        entries
            .push(wgpu::BindGroupEntry { binding: kernel.reflection.uniform, resource: binding(&uniform) });
        let group = self.scoped(&name, 0, |device| {
            device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&name),
                layout: &kernel.layout,
                entries: &entries,
            })
        })?;
        let count = self.fold(groups);
        Ok(BoundDispatch { kernel, group, count })
    }

    /// Folds a number of groups into x and y within the limit of a dimension.
    fn fold(&self, groups: u32) -> [u32; 2] {
        let max = self.limits().max_compute_workgroups_per_dimension;
        if groups <= max {
            return [groups, 1];
        }
        let y = groups.div_ceil(max);
        [groups.div_ceil(y), y]
    }

    /// An encoder.
    pub fn encoder(&self) -> wgpu::CommandEncoder {
        self.device().create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("undiffuse") })
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
    /// Records the dispatch. Zero groups record nothing.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        if self.count[0] == 0 {
            return;
        }
        pass.set_pipeline(&self.kernel.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.count[0], self.count[1], 1);
    }
}
