//! A kernel variant compiled for a device.

use super::image::IMAGE_FORMAT;
use super::{Gpu, GpuError};
use crate::kernels::reflect::{reflection, Reflection};
use crate::kernels::{Kernel, Variant};
use std::sync::atomic::AtomicBool;
use std::sync::Arc;

/// A pipeline with its layout and what its shader declares.
#[derive(Debug)]
pub struct CompiledKernel {
    /// What the WGSL declares.
    pub reflection: Arc<Reflection>,
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Whether it has run once: some drivers compile at the first dispatch.
    pub(super) warm: AtomicBool,
}

impl CompiledKernel {
    pub(super) fn new(
        gpu: &Gpu,
        kernel: &'static Kernel,
        variant: &'static Variant,
    ) -> Result<Self, GpuError> {
        let reflection = reflection(kernel, variant)?;
        let name = format!("{}/{}", kernel.name, variant.name);
        if !gpu.caps().meets(variant.needs) {
            return Err(GpuError::Internal(format!("{name} needs {:?}", variant.needs)));
        }
        check_limits(gpu, &name, &reflection)?;
        let buffer = |binding, ty, size| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            count: None,
            ty: wgpu::BindingType::Buffer {
                ty,
                // Whole dispatches and parts of them differ in where their parameters lie.
                has_dynamic_offset: ty == wgpu::BufferBindingType::Uniform,
                min_binding_size: wgpu::BufferSize::new(size),
            },
        };
        let mut entries: Vec<_> = reflection
            .storage
            .iter()
            .map(|b| match b.image {
                true => wgpu::BindGroupLayoutEntry {
                    binding: b.index,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    count: None,
                    ty: image_type(b.writable),
                },
                false => buffer(
                    b.index,
                    wgpu::BufferBindingType::Storage { read_only: !b.writable },
                    b.stride.into(),
                ),
            })
            .collect();
        let cache = gpu.pipeline_cache();
        let uniform = wgpu::BufferBindingType::Uniform;
        entries.push(buffer(reflection.uniform, uniform, u64::from(reflection.uniform_size)));
        gpu.scoped(&name, 0, |device| {
            let label = Some(name.as_str());
            let layout = device
                .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
            let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label,
                source: wgpu::ShaderSource::Wgsl(reflection.text.as_str().into()),
            });
            let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label,
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: cache.as_ref(),
            });
            let warm = AtomicBool::new(false);
            CompiledKernel { pipeline, layout, reflection: reflection.clone(), warm }
        })
    }
}

fn image_type(writable: bool) -> wgpu::BindingType {
    let view_dimension = wgpu::TextureViewDimension::D2;
    if writable {
        return wgpu::BindingType::StorageTexture {
            access: wgpu::StorageTextureAccess::WriteOnly,
            format: IMAGE_FORMAT,
            view_dimension,
        };
    }
    let sample_type = wgpu::TextureSampleType::Float { filterable: false };
    wgpu::BindingType::Texture { sample_type, view_dimension, multisampled: false }
}

/// wgpu does not check these for us everywhere.
fn check_limits(gpu: &Gpu, name: &str, r: &Reflection) -> Result<(), GpuError> {
    let limits = gpu.limits();
    let checks = [
        (
            "max_storage_buffers_per_shader_stage",
            r.storage.len() as u64,
            limits.max_storage_buffers_per_shader_stage,
        ),
        (
            "max_compute_invocations_per_workgroup",
            r.workgroup.iter().map(|&x| u64::from(x)).product(),
            limits.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_storage_size",
            u64::from(r.workgroup_bytes),
            limits.max_compute_workgroup_storage_size,
        ),
    ];
    for (limit, wanted, found) in checks {
        if wanted > u64::from(found) {
            return Err(gpu.limit(&format!("kernel {name}"), limit, wanted, u64::from(found)));
        }
    }
    Ok(())
}
