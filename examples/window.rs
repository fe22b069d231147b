//! A window in which an image comes out of noise: `cargo run --release --example window [SEED]`.
//!
//! Drag to the left or right to change the seed, press up or down to change the class, escape
//! to stop drawing and again to leave, space to draw anew. The window stays alive all the time:
//! between two frames the engine gets 8 ms.
//!
//! `UNDIFFUSE_FRAMES=N` leaves after N frames, but not before an image is drawn (for tests).

use std::sync::Arc;
use std::time::Duration;
use undiffuse::gpu::Gpu;
use undiffuse::pipeline::{Class, Job, Outputs, Pipeline, PipelineError, Sample};
use winit::application::ApplicationHandler;
use winit::event::{ElementState, MouseButton, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop};
use winit::keyboard::{Key, NamedKey};
use winit::window::{Window, WindowId};

const BUDGET: Duration = Duration::from_millis(8);
const STEPS: usize = 50;
/// Pixels of the mouse for one seed.
const DRAG: f64 = 8.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(7), |a| a.parse())?;
    let frames = std::env::var("UNDIFFUSE_FRAMES").ok().map(|f| f.parse()).transpose()?;
    let events = EventLoop::new()?;
    events.set_control_flow(ControlFlow::Poll);
    let mut app = App { seed, frames, view: None, class: 0, drag: None, error: None };
    events.run_app(&mut app)?;
    app.error.map_or(Ok(()), Err)
}

/// What the user has chosen, and the view of it once there is a window.
struct App {
    seed: u64,
    class: usize,
    drag: Option<(f64, u64)>,
    frames: Option<u64>,
    view: Option<View>,
    error: Option<Box<dyn std::error::Error>>,
}

impl App {
    fn sample(&self) -> Sample {
        Sample {
            steps: Some(STEPS),
            seed: self.seed,
            class: Class::Index(self.class),
            guidance_scale: 1.5,
            outputs: Outputs { images: false, tensors: false, textures: true },
            ..Sample::default()
        }
    }

    fn redraw(&mut self) {
        let sample = self.sample();
        let Some(view) = &mut self.view else { return };
        let title = format!("undiffuse: seed {}, {}", self.seed, view.pipeline.classes()[self.class]);
        view.window.set_title(&title);
        // The job before is dropped, wherever it is.
        match view.pipeline.sample(&sample) {
            Ok(job) => view.job = Some(job),
            Err(e) => self.error = Some(e.into()),
        }
        view.shown = None;
        view.done = false;
    }

    fn frame(&mut self, events: &ActiveEventLoop) -> Result<(), Box<dyn std::error::Error>> {
        let Some(view) = &mut self.view else { return Ok(()) };
        view.frame()?;
        view.frames += 1;
        if view.done && self.frames.is_some_and(|f| view.frames >= f) {
            println!("seed {}: drawn; {} frames", self.seed, view.frames);
            events.exit();
        }
        Ok(())
    }
}

impl ApplicationHandler for App {
    fn resumed(&mut self, events: &ActiveEventLoop) {
        if self.view.is_none() {
            match View::new(events) {
                Ok(view) => self.view = Some(view),
                Err(e) => self.error = Some(e),
            }
            self.redraw();
        }
    }

    fn window_event(&mut self, events: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested => events.exit(),
            WindowEvent::Resized(size) => {
                if let Some(view) = &mut self.view {
                    view.resize(size.width, size.height);
                }
            }
            WindowEvent::MouseInput { state, button: MouseButton::Left, .. } => {
                let at = self.view.as_ref().map_or(0.0, |v| v.mouse);
                self.drag = (state == ElementState::Pressed).then_some((at, self.seed));
            }
            WindowEvent::CursorMoved { position, .. } => {
                if let Some(view) = &mut self.view {
                    view.mouse = position.x;
                }
                if let Some((from, seed)) = self.drag {
                    let seed = seed.saturating_add_signed(((position.x - from) / DRAG) as i64);
                    if seed != self.seed {
                        self.seed = seed;
                        self.redraw();
                    }
                }
            }
            WindowEvent::KeyboardInput { event, .. } if event.state == ElementState::Pressed => {
                let classes = self.view.as_ref().map_or(1, |v| v.pipeline.classes().len().max(1));
                match event.logical_key {
                    Key::Named(NamedKey::ArrowUp) => self.class = (self.class + 1) % classes,
                    Key::Named(NamedKey::ArrowDown) => self.class = (self.class + classes - 1) % classes,
                    Key::Named(NamedKey::Space) => {}
                    Key::Named(NamedKey::Escape) => {
                        match self.view.as_ref().and_then(|v| v.job.as_ref()) {
                            Some(job) => job.canceller().cancel(),
                            None => events.exit(),
                        }
                        return;
                    }
                    _ => return,
                }
                self.redraw();
            }
            WindowEvent::RedrawRequested => {
                if let Err(e) = self.frame(events) {
                    self.error = Some(e);
                }
            }
            _ => {}
        }
        if self.error.is_some() {
            events.exit();
        }
    }

    fn about_to_wait(&mut self, _: &ActiveEventLoop) {
        if let Some(view) = &self.view {
            view.window.request_redraw();
        }
    }
}

/// The window with its device, and what is drawn in it.
struct View {
    window: Arc<Window>,
    surface: wgpu::Surface<'static>,
    config: wgpu::SurfaceConfiguration,
    device: wgpu::Device,
    queue: wgpu::Queue,
    render: wgpu::RenderPipeline,
    uniform: wgpu::Buffer,
    empty: wgpu::Texture,
    pipeline: Pipeline,
    job: Option<Job>,
    shown: Option<wgpu::Texture>,
    fraction: f64,
    done: bool,
    mouse: f64,
    frames: u64,
}

const SHADER: &str = "
struct P { size: vec2f, fraction: f32, shown: f32 }
@group(0) @binding(0) var<uniform> p: P;
@group(0) @binding(1) var image: texture_2d<f32>;

@vertex fn vertex(@builtin(vertex_index) i: u32) -> @builtin(position) vec4f {
  return vec4f(f32((i << 1u) & 2u) * 2.0 - 1.0, f32(i & 2u) * 2.0 - 1.0, 0.0, 1.0);
}

@fragment fn fragment(@builtin(position) at: vec4f) -> @location(0) vec4f {
  let bar = 12.0;
  if (at.y > p.size.y - bar) {
    return select(vec4f(0.15, 0.15, 0.15, 1.0), vec4f(1.0, 0.75, 0.2, 1.0), at.x < p.size.x * p.fraction);
  }
  let pixels = vec2f(textureDimensions(image));
  let scale = floor(min(p.size.x, p.size.y - bar) / pixels.x);
  let uv = (at.xy - (p.size - vec2f(0.0, bar) - pixels * scale) * 0.5) / scale;
  if (p.shown == 0.0 || any(uv < vec2f(0.0)) || any(uv >= pixels)) {
    return vec4f(0.08, 0.08, 0.09, 1.0);
  }
  return textureLoad(image, vec2u(uv), 0);
}
";

impl View {
    fn new(events: &ActiveEventLoop) -> Result<View, Box<dyn std::error::Error>> {
        let size = winit::dpi::LogicalSize::new(480, 492);
        let attributes = Window::default_attributes().with_title("undiffuse").with_inner_size(size);
        let window = Arc::new(events.create_window(attributes)?);
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let surface = instance.create_surface(window.clone())?;
        let adapter = pollster::block_on(instance.request_adapter(&wgpu::RequestAdapterOptions {
            compatible_surface: Some(&surface),
            ..Default::default()
        }))?;
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            required_features: adapter.features() & (wgpu::Features::SUBGROUP | wgpu::Features::SHADER_INT64),
            required_limits: adapter.limits(),
            ..Default::default()
        }))?;
        let size = window.inner_size();
        let mut config = surface
            .get_default_config(&adapter, size.width.max(1), size.height.max(1))
            .ok_or("this adapter cannot draw into the window")?;
        // Pixels of a model are sRGB already: they are shown as they are.
        config.format = config.format.remove_srgb_suffix();
        surface.configure(&device, &config);
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(SHADER.into()),
        });
        let render = device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
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
                targets: &[Some(config.format.into())],
            }),
            multiview_mask: None,
            cache: None,
        });
        let uniform = device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 16,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let empty = device.create_texture(&wgpu::TextureDescriptor {
            label: None,
            size: wgpu::Extent3d { width: 1, height: 1, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba8Unorm,
            usage: wgpu::TextureUsages::TEXTURE_BINDING,
            view_formats: &[],
        });
        let gpu = Gpu::adopt(device.clone(), queue.clone());
        let pipeline = Pipeline::embedded(&gpu, "emoji32")?;
        let (job, shown) = (None, None);
        let (fraction, done, mouse, frames) = (0.0, false, 0.0, 0);
        Ok(View {
            window,
            surface,
            config,
            device,
            queue,
            render,
            uniform,
            empty,
            pipeline,
            job,
            shown,
            fraction,
            done,
            mouse,
            frames,
        })
    }

    fn resize(&mut self, width: u32, height: u32) {
        (self.config.width, self.config.height) = (width.max(1), height.max(1));
        self.surface.configure(&self.device, &self.config);
    }

    /// Lets the engine work, and draws what there is.
    fn frame(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if let Some(mut job) = self.job.take() {
            match job.advance(BUDGET) {
                Ok(Some(progress)) => {
                    self.fraction = progress.fraction();
                    if let Some(preview) = job.preview()? {
                        self.shown = Some(preview);
                    }
                    self.job = Some(job);
                }
                Ok(None) => {
                    self.shown = Some(job.texture(0..1)?);
                    self.fraction = 1.0;
                    self.done = true;
                }
                Err(PipelineError::Cancelled { .. }) => self.window.set_title("undiffuse: stopped"),
                Err(e) => return Err(e.into()),
            }
        }
        self.draw();
        Ok(())
    }

    fn draw(&mut self) {
        let frame = match self.surface.get_current_texture() {
            wgpu::CurrentSurfaceTexture::Success(frame) => frame,
            // The window has changed, or is not to be seen: the next frame comes.
            wgpu::CurrentSurfaceTexture::Timeout | wgpu::CurrentSurfaceTexture::Occluded => return,
            _ => return self.surface.configure(&self.device, &self.config),
        };
        let (w, h) = (self.config.width as f32, self.config.height as f32);
        let shown = f32::from(u8::from(self.shown.is_some()));
        self.queue.write_buffer(&self.uniform, 0, bytemuck::cast_slice(&[w, h, self.fraction as f32, shown]));
        let image = self.shown.as_ref().unwrap_or(&self.empty);
        let image = image.create_view(&wgpu::TextureViewDescriptor {
            dimension: Some(wgpu::TextureViewDimension::D2),
            array_layer_count: Some(1),
            ..Default::default()
        });
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &self.render.get_bind_group_layout(0),
            entries: &[
                wgpu::BindGroupEntry { binding: 0, resource: self.uniform.as_entire_binding() },
                wgpu::BindGroupEntry { binding: 1, resource: wgpu::BindingResource::TextureView(&image) },
            ],
        });
        let target = frame.texture.create_view(&Default::default());
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
        pass.set_pipeline(&self.render);
        pass.set_bind_group(0, &group, &[]);
        pass.draw(0..3, 0..1);
        drop(pass);
        self.queue.submit([encoder.finish()]);
        self.queue.present(frame);
    }
}
