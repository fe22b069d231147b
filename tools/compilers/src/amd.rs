//! AMD: naga's SPIR-V, as wgpu asks for it, through Mesa's driver for a chip that
//! is not there ("null hardware": it compiles and runs nothing).

use crate::{isa, Compiler, Result, Shader, Verdict};
use ash::{khr, vk};
use naga::back::spv;
use naga::proc::BoundsCheckPolicy;
use naga::valid::Capabilities;
use std::collections::HashMap;
use std::ffi::CStr;
use undiffuse::kernels::Variant;

/// Families whose hot loop decides how fast the library is: nothing may spill.
const TILES: [&str; 2] = ["conv_tile", "attention"];

/// The driver. Handles live until the process ends.
pub struct Radv {
    name: String,
    device: ash::Device,
    query: khr::pipeline_executable_properties::Device,
    _entry: ash::Entry,
}

/// What the driver tells of a compiled shader.
struct Compiled {
    numbers: HashMap<String, u64>,
    assembly: String,
}

fn text(chars: &[std::ffi::c_char]) -> String {
    // SAFETY: Vulkan ends these arrays with a zero.
    unsafe { CStr::from_ptr(chars.as_ptr()) }.to_string_lossy().into_owned()
}

impl Radv {
    pub fn open(chip: &str) -> Result<Self> {
        std::env::set_var("RADV_FORCE_FAMILY", chip);
        // SAFETY: plain Vulkan; every structure outlives the call that it is passed to.
        unsafe {
            let entry = ash::Entry::load()?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
            let instance =
                entry.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let found = instance.enumerate_physical_devices()?;
            let physical = *found.first().ok_or("the driver offers no device")?;
            let name = text(&instance.get_physical_device_properties(physical).device_name);
            if !name.contains("RADV") {
                return Err(format!("{name} is not Mesa's driver for AMD").into());
            }
            let mut f12 = vk::PhysicalDeviceVulkan12Features::default();
            let mut all = vk::PhysicalDeviceFeatures2::default().push_next(&mut f12);
            instance.get_physical_device_features2(physical, &mut all);
            let core = all.features;
            f12.p_next = std::ptr::null_mut();
            let mut tell = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
                .pipeline_executable_info(true);
            let mut features = vk::PhysicalDeviceFeatures2::default()
                .features(core)
                .push_next(&mut f12)
                .push_next(&mut tell);
            let priority = [1.0];
            let queue = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priority)];
            let extensions = [khr::pipeline_executable_properties::NAME.as_ptr()];
            let device = instance.create_device(
                physical,
                &vk::DeviceCreateInfo::default()
                    .queue_create_infos(&queue)
                    .enabled_extension_names(&extensions)
                    .push_next(&mut features),
                None,
            )?;
            let query = khr::pipeline_executable_properties::Device::new(&instance, &device);
            Ok(Self { name, device, query, _entry: entry })
        }
    }

    fn build(&self, shader: &Shader, words: &[u32]) -> Result<Compiled> {
        let binding = |index, kind| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(index)
                .descriptor_type(kind)
                .descriptor_count(1)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let kind = |image| match image {
            true => vk::DescriptorType::SAMPLED_IMAGE,
            false => vk::DescriptorType::STORAGE_BUFFER,
        };
        let r = &shader.reflection;
        let mut bindings: Vec<_> =
            r.storage.iter().map(|b| binding(b.index, kind(b.image))).collect();
        bindings.push(binding(r.uniform, vk::DescriptorType::UNIFORM_BUFFER));
        let flags = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
            | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
        // SAFETY: as in `open`.
        unsafe {
            let d = &self.device;
            let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let sets = [d.create_descriptor_set_layout(&set, None)?];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            let layout = d.create_pipeline_layout(&layout, None)?;
            let module = d.create_shader_module(&vk::ShaderModuleCreateInfo::default().code(words), None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(module)
                .name(c"main");
            let info = vk::ComputePipelineCreateInfo::default().flags(flags).stage(stage).layout(layout);
            let made = d.create_compute_pipelines(vk::PipelineCache::null(), &[info], None);
            let pipeline = *made.map_err(|(_, e)| e)?.first().ok_or("no pipeline")?;
            let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
            let numbers = self.query.get_pipeline_executable_statistics(&which)?;
            let numbers = numbers
                .iter()
                .filter(|s| s.format == vk::PipelineExecutableStatisticFormatKHR::UINT64)
                .map(|s| (text(&s.name), s.value.u64))
                .collect();
            Ok(Compiled { numbers, assembly: self.assembly(&which)? })
        }
    }

    /// The machine code: asked for once for the sizes, once for the bytes.
    unsafe fn assembly(&self, which: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String> {
        let get = self.query.fp().get_pipeline_executable_internal_representations_khr;
        let mut count = 0;
        get(self.device.handle(), which, &mut count, std::ptr::null_mut()).result()?;
        let mut parts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
        get(self.device.handle(), which, &mut count, parts.as_mut_ptr()).result()?;
        let mut bytes: Vec<Vec<u8>> = parts.iter().map(|p| vec![0; p.data_size]).collect();
        for (part, bytes) in parts.iter_mut().zip(&mut bytes) {
            part.p_data = bytes.as_mut_ptr().cast();
        }
        get(self.device.handle(), which, &mut count, parts.as_mut_ptr()).result()?;
        let found = parts.iter().zip(&bytes).find(|(p, _)| text(&p.name) == "Assembly");
        let bytes = found.ok_or("the driver shows no machine code")?.1;
        Ok(String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned())
    }
}

impl Compiler for Radv {
    fn head(&self) -> String {
        format!(
            "{}\n{:34} vgpr spill scratch waves    lds  latency | hot loop: fma share  fma valu  lds mem",
            self.name, ""
        )
    }

    fn skips(&self, variant: &Variant) -> Option<&'static str> {
        variant.needs.subgroup.is_some_and(|n| n < 32).then_some("its subgroups are smaller than AMD's")
    }

    fn capabilities(&self) -> Capabilities {
        spv::supported_capabilities()
    }

    fn compile(&self, kernel: &str, shader: &Shader) -> Result<Verdict> {
        let mut options = spv::Options { lang_version: (1, 3), ..Default::default() };
        options.flags.remove(spv::WriterFlags::DEBUG);
        options.force_loop_bounding = true;
        options.zero_initialize_workgroup_memory = spv::ZeroInitializeWorkgroupMemoryMode::None;
        options.bounds_check_policies.index = BoundsCheckPolicy::Restrict;
        options.bounds_check_policies.buffer = BoundsCheckPolicy::Restrict;
        let words = spv::write_vec(&shader.module, &shader.info, &options, None)?;
        let made = self.build(shader, &words)?;
        if std::env::var_os("UNDIFFUSE_ISA").is_some() {
            println!("{}", made.assembly);
        }
        let get = |name: &str| made.numbers.get(name).copied().ok_or(format!("no statistic `{name}`"));
        let (spilled, scratch) = (get("Spilled VGPRs")?, get("Scratch size")?);
        let mut line = format!(
            "{:4} {spilled:5} {scratch:7} {:5} {:6} {:8}",
            get("VGPRs")?,
            get("Subgroups per SIMD")?,
            get("LDS size")?,
            get("Latency")?,
        );
        let loops = isa::loops(&made.assembly);
        if let Some(l) = loops.iter().max_by_key(|l| l.fma).filter(|l| l.fma > 0) {
            let memory = format!("{:4} {:3}", l.lds_read + l.lds_write, l.memory);
            line += &format!(" | {:17.0} % {:4} {:4} {memory}", l.share(), l.fma, l.valu);
        }
        let mut faults = Vec::new();
        if TILES.contains(&kernel) && spilled + scratch > 0 {
            faults.push(format!("{spilled} registers spilled, {scratch} bytes of scratch"));
        }
        Ok(Verdict { line, faults })
    }
}
