//! An application with a device of its own draws frames, and lets the engine work
//! between them: `cargo run --release --example embed [BUDGET_MS] [OUT.png]`.
//!
//! Each frame is a moving background into a texture of the application's. Between two
//! frames `advance` gets a budget. When the images are there, the application draws them,
//! as a texture that never left the device, with a pipeline of its own. In the end it says
//! how far apart the frames were.

use std::time::{Duration, Instant};
use undiffuse::gpu::Gpu;
use undiffuse::pipeline::{Job, Model, Outputs, Pipeline, Sample};
use undiffuse::weights::{DiffusersFolder, Json};

/// The network of google/ddpm-cifar10-32 (6 GMAC an evaluation), without its weights.
const CONFIG: &str = r#"{
    "_class_name": "UNet2DModel", "sample_size": 32, "in_channels": 3, "out_channels": 3,
    "block_out_channels": [128, 256, 256, 256], "layers_per_block": 2,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    "attention_head_dim": null, "downsample_padding": 0, "flip_sin_to_cos": false,
    "freq_shift": 1, "norm_eps": 1e-6, "norm_num_groups": 32
}"#;
const SIZE: u32 = 256;
const BATCH: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let budget = Duration::from_secs_f64(args.next().map_or(Ok(8.0), |a| a.parse::<f64>())? / 1e3);
    let out = args.next().unwrap_or_else(|| "embed.png".into());
    let steps = std::env::var("EMBED_STEPS").ok().and_then(|s| s.parse().ok()).unwrap_or(3);

    // What the application would have anyway.
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions::default()))?;
    let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
        // Not needed by the engine, but where they are allowed it is faster.
        required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::SHADER_INT64),
        required_limits: adapter.limits(),
        ..Default::default()
    }))?;
    let app = App::new(device.clone(), queue.clone());

    // The guest.
    let gpu = Gpu::adopt(device, queue);
    let folder = DiffusersFolder::synthetic(Json::new("config.json", CONFIG));
    let start = Instant::now();
    let pipeline = Pipeline::new(&gpu, Model::from_folder("ddpm_cifar10, synthetic", &folder)?, |_, _| {})?;
    let sample = |steps| Sample {
        count: BATCH,
        batch: Some(BATCH),
        steps: Some(steps),
        outputs: Outputs { images: false, tensors: false, textures: true },
        ..Sample::default()
    };
    let mut job = pipeline.sample(&sample(steps))?;
    println!("{}: opened in {:.2} s", gpu.info().name, start.elapsed().as_secs_f64());

    let gaps = frames(&app, &mut job, budget)?;
    println!(
        "{BATCH} images, {steps} steps, a budget of {:.1} ms between frames:",
        budget.as_secs_f64() * 1e3
    );
    distribution(gaps);

    let texture = job.texture(0..BATCH)?;
    app.frame(0, Some(&texture));
    app.save(&gpu, &out)?;
    println!("the last frame is in {out}");

    overhead(&pipeline, &sample(steps), budget)
}

/// Draws frames until the job is done; returns the seconds between them.
fn frames(app: &App, job: &mut Job, budget: Duration) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let mut gaps = Vec::new();
    let mut last = Instant::now();
    loop {
        app.frame(gaps.len() as u32, None);
        let more = job.advance(budget)?.is_some();
        gaps.push(last.elapsed().as_secs_f64());
        last = Instant::now();
        if !more {
            return Ok(gaps);
        }
    }
}

fn distribution(mut gaps: Vec<f64>) {
    gaps.sort_by(f64::total_cmp);
    let at = |q: f64| gaps[((gaps.len() - 1) as f64 * q).round() as usize] * 1e3;
    println!("  frames | median |   90 % |   99 % | longest (ms)");
    println!("  {:6} | {:6.1} | {:6.1} | {:6.1} | {:6.1}", gaps.len(), at(0.5), at(0.9), at(0.99), at(1.0));
    for limit in [10, 20, 40, 80, 150] {
        let share = gaps.iter().filter(|g| **g * 1e3 < f64::from(limit)).count() as f64 / gaps.len() as f64;
        println!("  under {limit:3} ms: {:5.1} %", share * 100.0);
    }
}

/// What small budgets cost: the same job in chunks and in one go, in turn.
fn overhead(
    pipeline: &Pipeline,
    sample: &Sample,
    budget: Duration,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let mut whole = pipeline.sample(sample)?;
        let start = Instant::now();
        whole.finish()?;
        let finish = start.elapsed().as_secs_f64();
        let mut chunks = pipeline.sample(sample)?;
        let start = Instant::now();
        while chunks.advance(budget)?.is_some() {}
        ratios.push(start.elapsed().as_secs_f64() / finish);
    }
    ratios.sort_by(f64::total_cmp);
    println!("in chunks of that budget against finish(): {:.2} times as long (median of 3)", ratios[1]);
    Ok(())
}

/// The application: a texture that it draws into, and one pipeline.
struct App {
    device: wgpu::Device,
    queue: wgpu::Queue,
    target: wgpu::Texture,
    empty: wgpu::Texture,
    uniform: wgpu::Buffer,
    sampler: wgpu::Sampler,
    pipeline: wgpu::RenderPipeline,
}

const SHADER: &str = "
struct P { frame: f32, images: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var images: texture_2d_array<f32>;
@group(0) @binding(2) var nearest: sampler;
struct V { @builtin(position) at: vec4f, @location(0) uv: vec2f }

@vertex fn vertex(@builtin(vertex_index) i: u32) -> V {
  let uv = vec2f(f32((i << 1u) & 2u), f32(i & 2u));
  return V(vec4f(uv * 2.0 - 1.0, 0.0, 1.0), uv);
}

@fragment fn fragment(v: V) -> @location(0) vec4f {
  let stripes = 0.5 + 0.1 * sin(40.0 * (v.uv.x + v.uv.y) + p.frame * 0.2);
  let cell = v.uv * 2.0;
  let at = fract(cell) * 1.1 - 0.05;
  let layer = u32(cell.y) * 2u + u32(cell.x);
  let image = textureSampleLevel(images, nearest, at, layer, 0.0);
  let inside = p.images > 0.0 && all(at > vec2f(0.0)) && all(at < vec2f(1.0));
  return select(vec4f(stripes, stripes * 0.9, stripes * 0.7, 1.0), image, inside);
}
";

impl App {
    fn new(device: wgpu::Device, queue: wgpu::Queue) -> App {
        use wgpu::TextureUsages as U;
        let texture = |size, usage, layers| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some("the application's"),
                size: wgpu::Extent3d { width: size, height: size, depth_or_array_layers: layers },
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                usage,
                view_formats: &[],
            })
        };
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let pipeline = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
            label: None,
            layout: None,
            vertex: wgpu::VertexState {
                module: &module,
                entry_point: Some("vertex"),
                compilation_options: Default::default(),
                buffers: &[],
            },
            primitive: Default::default(),
            depth_stencil: None,
            multisample: Default::default(),
            fragment: Some(wgpu::FragmentState {
                module: &module,
                entry_point: Some("fragment"),
                compilation_options: Default::default(),
                targets: &[Some(wgpu::TextureFormat::Rgba8Unorm.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        App {
            target: texture(SIZE, U::RENDER_ATTACHMENT | U::COPY_SRC, 1),
            empty: texture(1, U::TEXTURE_BINDING, 1),
            uniform: device.create_buffer(&wgpu::BufferDescriptor {
                label: None,
                size: 16,
                usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
            sampler: device.create_sampler(&wgpu::SamplerDescriptor::default()),
            pipeline,
            device,
            queue,
        }
    }

    fn frame(&self, number: u32, images: Option<&wgpu::Texture>) {
        let words = [number as f32, f32::from(u8::from(images.is_some())), 0.0, 0.0];
        self.queue.write_buffer(&self.uniform, 0, bytemuck::cast_slice(&words));
        let view = images.unwrap_or(&self.empty).create_view(&wgpu::TextureViewDescriptor {
            dimension: Some(wgpu::TextureViewDimension::D2Array),
            ..Default::default()
        });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.pipeline.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&view) },
                wgpu::BindGroupEntry { binding: 2, resource: wgpu::BindingResource::Sampler(&self.sampler) },
            ],
        });
        let target = self.target.create_view(&Default::default());
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_render_pass(&wgpu::RenderPassDescriptor {
            color_attachments: &[Some(wgpu::RenderPassColorAttachment {
                view: &target,
                depth_slice: None,
                resolve_target: None,
                ops: wgpu::Operations::default(),
            })],
            ..Default::default()
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
    }

    fn save(&self, gpu: &Gpu, path: &str) -> Result<(), Box<dyn std::error::Error>> {
        let size = u64::from(SIZE * SIZE * 4);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        let layout =
            wgpu::TexelCopyBufferLayout { offset: 0, bytes_per_row: Some(SIZE * 4), rows_per_image: None };
        let to = wgpu::TexelCopyBufferInfo { buffer: &buffer, layout };
        encoder.copy_texture_to_buffer(self.target.as_image_copy(), to, self.target.size());
        self.queue.submit([encoder.finish()]);
        let image = image::RgbaImage::from_raw(SIZE, SIZE, gpu.read(&buffer, size)?).ok_or("no image")?;
        image.save(path)?;
        Ok(())
    }
}
