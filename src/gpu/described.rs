//! Adapters known by description, so that plans can be made and looked at without
//! a device: what kernels may use there, limits, and how fast the hardware is.

use crate::kernels::Caps;
use wgpu::Limits;

/// How fast an adapter is, for predictions.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Rates {
    /// Operations on f32 per second; a multiply-add is two.
    pub flops: f64,
    /// Bytes from and to memory per second.
    pub bandwidth: f64,
    /// Seconds that a dispatch takes at least.
    pub dispatch: f64,
    /// Whether `flops` is the hardware's peak, so that no time below is possible; else
    /// it was measured over networks, and predictions are estimates.
    pub peak: bool,
    /// Where the numbers come from.
    pub source: &'static str,
}

/// An adapter by description.
#[derive(Clone, Copy, Debug)]
pub struct Described {
    /// The name, for `--for`.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// What kernels may use.
    pub caps: Caps,
    /// How fast it is; `None` for a description that is not one device.
    pub rates: Option<Rates>,
    limits: fn() -> Limits,
    /// Parts of the names by which drivers report just this adapter.
    reported: &'static [&'static str],
}

/// Every described adapter. Where a vendor publishes no limit, it is that of core WebGPU.
pub static DESCRIBED: &[Described] = &[
    Described {
        name: "navi21",
        about: "AMD Radeon RX 6800 XT (Navi 21, RDNA 2), Mesa's RADV on Linux",
        // 32 or 64 lanes as the driver likes: wgpu cannot pin the size.
        caps: Caps { int64: true, ..Caps::CORE },
        rates: Some(Rates {
            flops: 20.74e12,
            bandwidth: 512e9,
            dispatch: 5e-6,
            peak: true,
            source: "AMD's product page: 20.74 TFLOP/s, 512 GB/s; 5 us a dispatch is assumed",
        }),
        limits: || Limits {
            // wgpu's own cap for Mesa on Linux.
            max_buffer_size: i32::MAX as u64,
            max_storage_buffer_binding_size: i32::MAX as u64,
            max_compute_workgroup_storage_size: 65536,
            max_compute_invocations_per_workgroup: 1024,
            ..Limits::defaults()
        },
        reported: &["Radeon RX 6800 XT"],
    },
    Described {
        name: "apple7",
        about: "Apple M1 with 8 GPU cores (GPU family Apple7), Metal",
        // wgpu reports no fixed subgroup size on Metal.
        caps: Caps { int64: true, ..Caps::CORE },
        rates: Some(Rates {
            flops: 2.6e12,
            bandwidth: 68.25e9,
            dispatch: 5e-6,
            peak: true,
            source: "Apple's announcement: 2.6 TFLOP/s; LPDDR4X-4266 of 128 bits: 68 GB/s; \
                     5 us a dispatch is assumed",
        }),
        limits: || Limits {
            // Metal Feature Set Tables, Apple7.
            max_compute_workgroup_storage_size: 32768,
            max_compute_invocations_per_workgroup: 1024,
            ..Limits::defaults()
        },
        reported: &[],
    },
    Described {
        name: "core-webgpu",
        about: "no particular device: core WebGPU limits and no features, which every adapter has",
        caps: Caps::CORE,
        rates: None,
        limits: Limits::defaults,
        reported: &[],
    },
    Described {
        name: "lavapipe",
        about: "Mesa's software Vulkan on a processor with AVX2",
        caps: Caps { subgroup: Some(8), int64: true, stream: true, images: true, ..Caps::CORE },
        rates: Some(Rates {
            flops: 47e9,
            bandwidth: 28e9,
            dispatch: 17e-6,
            peak: false,
            source: "measured on two shared cores of an AMD EPYC: 40 to 47 GFLOP/s over whole networks, \
                     28 GB/s in a copy, 14 to 20 us a dispatch",
        }),
        limits: || Limits {
            max_buffer_size: i32::MAX as u64,
            max_compute_workgroup_storage_size: 32768,
            max_compute_invocations_per_workgroup: 1024,
            ..Limits::defaults()
        },
        reported: &["llvmpipe"],
    },
];

impl Described {
    /// The adapter of this name.
    pub fn find(name: &str) -> Option<&'static Described> {
        DESCRIBED.iter().find(|d| d.name == name)
    }

    /// The description of an adapter that is present, by the name it reports.
    pub fn of(info: &wgpu::AdapterInfo) -> Option<&'static Described> {
        DESCRIBED.iter().find(|d| d.reported.iter().any(|r| info.name.contains(r)))
    }

    /// The names, for messages.
    pub fn names() -> String {
        DESCRIBED.iter().map(|d| d.name).collect::<Vec<_>>().join(", ")
    }

    /// Its limits.
    pub fn limits(&self) -> Limits {
        (self.limits)()
    }
}
