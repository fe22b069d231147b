//! Which adapters there are, and which one is taken.

use super::GpuError;
use crate::kernels::{Caps, Summation};

/// How to choose an adapter and a device.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A part of the adapter's name (any case) or its number in [`list`]; `None` takes the best.
    pub adapter: Option<String>,
    /// `vulkan`, `metal`, `dx12` or `webgpu`; `None` asks all.
    pub backend: Option<String>,
    /// Ask for core WebGPU limits and no features: what the weakest adapter has. For tests.
    pub core_only: bool,
    /// What the order of sums may follow from.
    pub summation: Summation,
}

/// An adapter as it describes itself.
#[derive(Debug)]
pub struct Found {
    /// The adapter.
    pub adapter: wgpu::Adapter,
    /// Its description.
    pub info: wgpu::AdapterInfo,
    /// Whether [`super::Gpu::open`] takes it by default.
    pub default: bool,
    /// Why, in words.
    pub why: &'static str,
}

impl Found {
    /// What kernels may use on a device of this adapter.
    pub fn caps(&self) -> Caps {
        caps(&self.info, self.adapter.features() & wanted_features())
    }
}

/// Features that we use where they are present.
pub(super) fn wanted_features() -> wgpu::Features {
    wgpu::Features::SUBGROUP
        | wgpu::Features::SHADER_INT64
        | wgpu::Features::TIMESTAMP_QUERY
        | wgpu::Features::PIPELINE_CACHE
}

/// What kernels may use on a device.
pub fn caps(info: &wgpu::AdapterInfo, features: wgpu::Features) -> Caps {
    let fixed = info.subgroup_min_size == info.subgroup_max_size && info.subgroup_min_size > 0;
    Caps {
        subgroup: (fixed && features.contains(wgpu::Features::SUBGROUP)).then_some(info.subgroup_min_size),
        int64: features.contains(wgpu::Features::SHADER_INT64),
        stream: info.device_type == wgpu::DeviceType::Cpu,
        images: info.device_type == wgpu::DeviceType::Cpu && !inserts(),
        ..Caps::CORE
    }
}

/// Whether this processor inserts into a vector at a place known at run time.
fn inserts() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
    return false;
}

fn backends(name: Option<&str>) -> Result<wgpu::Backends, GpuError> {
    match name.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(wgpu::Backends::PRIMARY),
        Some("vulkan") => Ok(wgpu::Backends::VULKAN),
        Some("metal") => Ok(wgpu::Backends::METAL),
        Some("dx12") => Ok(wgpu::Backends::DX12),
        Some("webgpu") => Ok(wgpu::Backends::BROWSER_WEBGPU),
        Some(other) => Err(GpuError::UnknownBackend(other.to_string())),
    }
}

/// Rank of a kind of adapter, best first, and the reason it gives.
fn rank(kind: wgpu::DeviceType) -> (u8, &'static str) {
    match kind {
        wgpu::DeviceType::DiscreteGpu => (0, "a discrete GPU"),
        wgpu::DeviceType::IntegratedGpu => (1, "an integrated GPU; no discrete one is present"),
        wgpu::DeviceType::VirtualGpu => (2, "a virtual GPU; no hardware one is present"),
        wgpu::DeviceType::Other => (3, "of unknown kind; no known GPU is present"),
        wgpu::DeviceType::Cpu => (4, "a software adapter: no GPU is present, expect it to be slow"),
    }
}

/// The adapters of the machine, the default one marked.
///
/// # Errors
/// An unknown backend name. No adapter at all is an empty list.
pub async fn list(backend: Option<&str>) -> Result<Vec<Found>, GpuError> {
    let backends = backends(backend)? & wgpu::Instance::enabled_backend_features();
    if backends.is_empty() {
        return Ok(Vec::new());
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        flags: wgpu::InstanceFlags::empty(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let mut found: Vec<Found> = instance
        .enumerate_adapters(backends)
        .await
        .into_iter()
        .map(|adapter| {
            let info = adapter.get_info();
            Found { adapter, info, default: false, why: "" }
        })
        .collect();
    let best = found.iter().enumerate().min_by_key(|(i, f)| (rank(f.info.device_type).0, *i));
    if let Some(i) = best.map(|b| b.0) {
        found[i].default = true;
        found[i].why = rank(found[i].info.device_type).1;
    }
    Ok(found)
}

/// The adapter that the options name.
///
/// # Errors
/// No adapter at all, or none that matches.
pub async fn choose(options: &Options) -> Result<Found, GpuError> {
    let here = wgpu::Instance::enabled_backend_features();
    if let Some(name) = &options.backend {
        if (backends(Some(name))? & here).is_empty() {
            let names: Vec<_> = (here & wgpu::Backends::PRIMARY).iter_names().map(|(n, _)| n).collect();
            let present = names.join(", ").to_lowercase();
            return Err(GpuError::BackendNotHere { wanted: name.clone(), present });
        }
    }
    let mut found = list(options.backend.as_deref()).await?;
    if found.is_empty() {
        let backends = options.backend.clone().unwrap_or_else(|| "Vulkan, Metal or DX12".into());
        return Err(GpuError::NoAdapter { backends });
    }
    let at = match &options.adapter {
        None => found.iter().position(|f| f.default),
        Some(wanted) => match wanted.parse::<usize>() {
            Ok(i) => (i < found.len()).then_some(i),
            Err(_) => {
                let wanted = wanted.to_lowercase();
                found.iter().position(|f| f.info.name.to_lowercase().contains(&wanted))
            }
        },
    };
    match at {
        Some(i) => Ok(found.swap_remove(i)),
        None => Err(GpuError::AdapterNotFound {
            wanted: options.adapter.clone().unwrap_or_default(),
            present: found
                .iter()
                .enumerate()
                .map(|(i, f)| format!("{i}: {} ({:?})", f.info.name, f.info.backend))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}
