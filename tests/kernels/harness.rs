//! Runs kernels on the adapter of this machine over host arrays, between guard
//! bands, and compares them with their twins.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::kernels::reflect::IMAGE_ROW;
use undiffuse::kernels::reflect::{reflect, Reflection};
use undiffuse::kernels::{Call, Caps, Kernel, Reference};

const GUARD: usize = 64; // words, a multiple of the offset alignment
const SENTINEL: u32 = 0x7fb1_5afe;

struct Compiled {
    reflection: Reflection,
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
}

/// The adapter under test.
pub struct Rig {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub caps: Caps,
    pipelines: Mutex<HashMap<String, Arc<Compiled>>>,
}

pub fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let gpu = Gpu::open(&Options::default()).expect("a device");
        let (device, queue) = (gpu.device().clone(), gpu.queue().clone());
        Rig { device, queue, caps: gpu.caps(), pipelines: Mutex::default() }
    })
}

/// Runs `f` so that wgpu's errors become ours.
fn scoped<T>(device: &wgpu::Device, f: impl FnOnce() -> T) -> Result<T, String> {
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let value = f();
    let errors = [pollster::block_on(internal.pop()), pollster::block_on(validation.pop())];
    match errors.into_iter().flatten().next() {
        Some(e) => Err(e.to_string()),
        None => Ok(value),
    }
}

impl Rig {
    /// What the adapter has, as GPU and as stream, and nothing at all.
    pub fn caps_list(&self) -> Vec<Caps> {
        let gpu = Caps { stream: false, ..self.caps };
        vec![Caps::CORE, gpu, Caps { stream: true, ..gpu }, Caps { stream: true, ..Caps::CORE }]
    }

    fn compiled<B>(&self, call: &Call<B>) -> Result<Arc<Compiled>, String> {
        let name = format!("{}/{}", call.kernel.name, call.variant.name);
        if let Some(c) = self.pipelines.lock().unwrap().get(&name) {
            return Ok(c.clone());
        }
        let reflection = reflect(call.kernel, call.variant).map_err(|e| e.to_string())?;
        let entry = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            count: None,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        };
        let mut entries: Vec<_> = reflection
            .storage
            .iter()
            .map(|b| match b.image {
                true => wgpu::BindGroupLayoutEntry {
                    ty: wgpu::BindingType::Texture {
                        sample_type: wgpu::TextureSampleType::Float { filterable: false },
                        view_dimension: wgpu::TextureViewDimension::D2,
                        multisampled: false,
                    },
                    ..entry(b.index, wgpu::BufferBindingType::Uniform)
                },
                false => entry(b.index, wgpu::BufferBindingType::Storage { read_only: !b.writable }),
            })
            .collect();
        entries.push(entry(reflection.uniform, wgpu::BufferBindingType::Uniform));
        let compiled = scoped(&self.device, || {
            let layout = self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(&name),
                entries: &entries,
            });
            let pipeline_layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: None,
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&name),
                source: wgpu::ShaderSource::Wgsl(reflection.text.as_str().into()),
            });
            let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&name),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some("main"),
                compilation_options: wgpu::PipelineCompilationOptions {
                    constants: &[],
                    zero_initialize_workgroup_memory: false,
                },
                cache: None,
            });
            Compiled { reflection: reflection.clone(), layout, pipeline }
        })
        .map_err(|e| format!("{name}: {e}"))?;
        let compiled = Arc::new(compiled);
        self.pipelines.lock().unwrap().insert(name, compiled.clone());
        Ok(compiled)
    }

    fn buffer(&self, words: &[u32], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let b = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: (words.len() * 4) as u64,
            usage: usage | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&b, 0, bytemuck::cast_slice(words));
        b
    }

    /// Runs the calls over `arrays` (a call's resource is an index into it) and
    /// writes the results back. Each array lies between guard bands; the one
    /// behind it is inside the binding. Dispatches are cut and folded.
    pub fn run(&self, calls: &[Call<usize>], arrays: &mut [Vec<u32>]) -> Result<(), String> {
        self.run_spoilt(calls, arrays, None)
    }

    /// As `run`; `spoil` names (array, word) to overwrite after the run, counted
    /// from the front guard: the self test's way to plant an error.
    pub fn run_spoilt(
        &self,
        calls: &[Call<usize>],
        arrays: &mut [Vec<u32>],
        spoil: Option<(usize, usize)>,
    ) -> Result<(), String> {
        let buffers: Vec<_> = arrays
            .iter()
            .map(|a| {
                let mut words = vec![SENTINEL; GUARD];
                words.extend_from_slice(a);
                words.resize(words.len() + GUARD, SENTINEL);
                self.buffer(&words, wgpu::BufferUsages::STORAGE)
            })
            .collect();
        self.dispatch(calls, arrays, &buffers)?;
        if let Some((array, word)) = spoil {
            self.queue.write_buffer(&buffers[array], (word * 4) as u64, &[1, 2, 3, 4]);
        }
        let total: u64 = buffers.iter().map(wgpu::Buffer::size).sum();
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: total,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut at = 0;
        for b in &buffers {
            encoder.copy_buffer_to_buffer(b, 0, &staging, at, b.size());
            at += b.size();
        }
        let index = self.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, .., |r| r.unwrap());
        self.wait(index)?;
        let view = staging.get_mapped_range(..).map_err(|e| e.to_string())?;
        let mut words: &[u32] = bytemuck::cast_slice(&view);
        for (k, a) in arrays.iter_mut().enumerate() {
            let (mine, rest) = words.split_at(a.len() + 2 * GUARD);
            words = rest;
            let (front, mine) = mine.split_at(GUARD);
            let (mine, back) = mine.split_at(a.len());
            a.copy_from_slice(mine);
            for (guard, side) in [(front, "before"), (back, "behind")] {
                if let Some(i) = guard.iter().position(|&w| w != SENTINEL) {
                    return Err(format!("array {k}: guard word {i} {side} it was written"));
                }
            }
        }
        Ok(())
    }

    fn wait(&self, index: wgpu::SubmissionIndex) -> Result<(), String> {
        let timeout = Some(Duration::from_secs(60));
        let wait = wgpu::PollType::Wait { submission_index: Some(index), timeout };
        self.device.poll(wait).map(|_| ()).map_err(|e| e.to_string())
    }

    /// Numbers as an image, ones behind them: what is read past the end shows.
    fn image(&self, words: &[u32]) -> wgpu::TextureView {
        let row = IMAGE_ROW * 4;
        let height = words.len().div_ceil(row).max(1);
        let mut padded = words.to_vec();
        padded.resize(row * height, 1f32.to_bits());
        let size =
            wgpu::Extent3d { width: IMAGE_ROW as u32, height: height as u32, depth_or_array_layers: 1 };
        let texture = self.device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size,
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Float,
            usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
            view_formats: &[],
        });
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row as u32 * 4),
            rows_per_image: Some(height as u32),
        };
        self.queue.write_texture(texture.as_image_copy(), bytemuck::cast_slice(&padded), layout, size);
        texture.create_view(&wgpu::TextureViewDescriptor::default())
    }

    fn dispatch(
        &self,
        calls: &[Call<usize>],
        arrays: &[Vec<u32>],
        buffers: &[wgpu::Buffer],
    ) -> Result<(), String> {
        let compiled: Vec<_> = calls.iter().map(|c| self.compiled(c)).collect::<Result<_, _>>()?;
        let mut steps = Vec::new();
        for (call, compiled) in calls.iter().zip(&compiled) {
            let groups = u32::try_from(call.groups).map_err(|e| e.to_string())?;
            // Cut in two where there are two groups, fold each part where it has three.
            let middle = groups * 2 / 3;
            for (from, to) in [(0, middle), (middle, groups)] {
                if from == to {
                    continue;
                }
                let bytes = compiled
                    .reflection
                    .pack(to, from, &call.params)
                    .map_err(|e| format!("{}: {e}", call.kernel.name))?;
                let uniform = self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size: bytes.len() as u64,
                    usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                });
                self.queue.write_buffer(&uniform, 0, &bytes);
                let images: HashMap<&str, wgpu::TextureView> = compiled
                    .reflection
                    .storage
                    .iter()
                    .filter(|b| b.image)
                    .filter_map(|b| {
                        let (_, array) = call.bindings.iter().find(|(n, _)| *n == b.name)?;
                        Some((b.name.as_str(), self.image(&arrays[*array])))
                    })
                    .collect();
                let mut entries = vec![wgpu::BindGroupEntry {
                    binding: compiled.reflection.uniform,
                    resource: uniform.as_entire_binding(),
                }];
                for b in &compiled.reflection.storage {
                    let found: Vec<_> = call.bindings.iter().filter(|(n, _)| *n == b.name).collect();
                    let [(_, array)] = found[..] else {
                        return Err(format!("{}: binding `{}`", call.kernel.name, b.name));
                    };
                    let offset = (GUARD * 4) as u64;
                    let size = wgpu::BufferSize::new(buffers[*array].size() - offset);
                    let buffer = &buffers[*array];
                    let resource = match images.get(b.name.as_str()) {
                        Some(view) => wgpu::BindingResource::TextureView(view),
                        None => wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size }),
                    };
                    entries.push(wgpu::BindGroupEntry { binding: b.index, resource });
                }
                if call.bindings.len() != compiled.reflection.storage.len() {
                    return Err(format!("{}/{}: extra bindings", call.kernel.name, call.variant.name));
                }
                let group = scoped(&self.device, || {
                    self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                        label: None,
                        layout: &compiled.layout,
                        entries: &entries,
                    })
                })?;
                let count = to - from;
                let y = if count > 65535 {
                    count.div_ceil(65535)
                } else if count >= 3 {
                    2
                } else {
                    1
                };
                steps.push((compiled.clone(), group, [count.div_ceil(y), y]));
            }
        }
        let index = scoped(&self.device, || {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for (compiled, group, [x, y]) in &steps {
                pass.set_pipeline(&compiled.pipeline);
                pass.set_bind_group(0, group, &[]);
                pass.dispatch_workgroups(*x, *y, 1);
            }
            drop(pass);
            self.queue.submit([encoder.finish()])
        })?;
        self.wait(index)
    }
}

/// One family's comparison: remembers which variants ran.
pub struct Twin {
    kernels: Vec<&'static Kernel>,
    seen: RefCell<BTreeSet<String>>,
}

impl Twin {
    /// Runs the calls and notes their variants.
    pub fn run(&self, calls: &[Call<usize>], arrays: &mut [Vec<u32>]) -> Result<(), String> {
        for c in calls {
            self.seen.borrow_mut().insert(format!("{}/{}", c.kernel.name, c.variant.name));
        }
        rig().run(calls, arrays)
    }
}

/// Runs `body` over `cases` random values of `strategy`, each with every set of
/// capabilities, and requires that each variant the adapter meets has run.
pub fn twin<S: Strategy>(
    kernels: &[&'static Kernel],
    cases: u32,
    strategy: S,
    body: impl Fn(&Twin, &Caps, &S::Value) -> Result<(), String>,
) where
    S::Value: std::fmt::Debug,
{
    let t = Twin { kernels: kernels.to_vec(), seen: RefCell::default() };
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let list = rig().caps_list();
    let result = runner.run(&strategy, |value| {
        for caps in &list {
            body(&t, caps, &value).map_err(|e| TestCaseError::fail(format!("{e} ({caps:?})")))?;
        }
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
    for k in &t.kernels {
        for v in k.variants.iter().filter(|v| rig().caps.meets(v.needs)) {
            let name = format!("{}/{}", k.name, v.name);
            assert!(t.seen.borrow().contains(&name), "variant {name} was never picked");
        }
    }
}

/// Numbers from a small generator: about normal, now and then large or zero.
pub fn data(seed: u64, len: usize) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ len as u64;
    let mut next = move || {
        s = s.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = s;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let mut out = Vec::with_capacity(len);
    for _ in 0..len {
        let (a, b) = (next(), next());
        let u = |x: u64| (x >> 40) as f32 / (1u64 << 24) as f32;
        let v = (u(a) + u(a << 24) + u(b) - 1.5) * 2.0;
        out.push(match b & 63 {
            0 => 0.0,
            1 => v * 16.0,
            _ => v,
        });
    }
    out
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

pub fn floats(x: &[u32]) -> Vec<f32> {
    x.iter().map(|v| f32::from_bits(*v)).collect()
}

/// `|got - want| <= tolerance * magnitude` for each element.
pub fn compare(got: &[u32], want: &Reference, tolerance: f64) -> Result<(), String> {
    if got.len() != want.value.len() || got.len() != want.magnitude.len() {
        return Err(format!("{} numbers, want {}", got.len(), want.value.len()));
    }
    for (i, g) in got.iter().enumerate() {
        let (g, w, m) = (f64::from(f32::from_bits(*g)), want.value[i], want.magnitude[i]);
        let error = (g - w).abs();
        let good = error <= tolerance * m + 1e-30;
        if !good {
            return Err(format!("element {i}: {g} for {w}, error {:.3e} of magnitude {m}", error / m));
        }
    }
    Ok(())
}

/// The tolerance that most kernels meet, relative to the sum of magnitudes.
pub const TOLERANCE: f64 = 1e-5;
