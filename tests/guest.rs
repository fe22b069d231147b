//! The engine as a guest: outputs on the device, other people's threads, and faults.

#[path = "guest/cuts.rs"]
mod cuts;
#[path = "guest/faults.rs"]
mod faults;
#[path = "guest/outputs.rs"]
mod outputs;
#[path = "guest/soak.rs"]
mod soak;
#[path = "guest/threads.rs"]
mod threads;

#[path = "support/model_folder.rs"]
mod model_folder;

use image::RgbImage;
use model_folder::Model;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Pipeline, Sample};

/// A device of our own.
fn open() -> Gpu {
    Gpu::open(&Options::default()).expect("an adapter")
}

/// A device as an application makes it, with nothing asked for.
fn application(limits: wgpu::Limits) -> (wgpu::Device, wgpu::Queue) {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    pollster::block_on(adapter.request_device(&descriptor)).expect("a device")
}

fn pipeline(gpu: &Gpu, model: &Model) -> Pipeline {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Weights stay mapped after the folder is gone.
    Pipeline::open(gpu, model.write(dir.path())).expect("a good model")
}

fn options(count: usize, batch: usize) -> Sample {
    Sample { count, batch: Some(batch), steps: Some(3), ..Sample::default() }
}

fn images(pipeline: &Pipeline, options: &Sample) -> Vec<RgbImage> {
    pipeline.sample(options).and_then(|mut job| job.images()).expect("images")
}

/// RGBA8 of every layer of a texture, by a copy of the application's own.
fn layers(gpu: &Gpu, texture: &wgpu::Texture) -> Vec<Vec<[u8; 4]>> {
    let (w, h) = (texture.width(), texture.height());
    let pitch = (w * 4).next_multiple_of(256);
    let size = u64::from(pitch * h) * u64::from(texture.depth_or_array_layers());
    let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.encoder();
    encoder.copy_texture_to_buffer(
        texture.as_image_copy(),
        wgpu::TexelCopyBufferInfo {
            buffer: &buffer,
            layout: wgpu::TexelCopyBufferLayout {
                offset: 0,
                bytes_per_row: Some(pitch),
                rows_per_image: Some(h),
            },
        },
        texture.size(),
    );
    gpu.submit(encoder).expect("a submission");
    rows(&gpu.read(&buffer, size).expect("bytes"), w, h)
}

/// Images of rows 256 bytes or a multiple apart.
fn rows(bytes: &[u8], w: u32, h: u32) -> Vec<Vec<[u8; 4]>> {
    let pitch = (w * 4).next_multiple_of(256) as usize;
    let tight =
        |row: &[u8]| row[..w as usize * 4].chunks_exact(4).map(|p| [p[0], p[1], p[2], p[3]]).collect();
    let all: Vec<Vec<[u8; 4]>> = bytes.chunks_exact(pitch).map(tight).collect();
    all.chunks_exact(h as usize).map(|rows| rows.concat()).collect()
}

/// An image with alpha.
fn rgba(image: &RgbImage) -> Vec<[u8; 4]> {
    image.pixels().map(|p| [p[0], p[1], p[2], 255]).collect()
}
