//! What comes out of a batch that is drawn, and the estimate of one that is not.

use super::executable::Executable;
use super::outputs::{image_bytes, tight};
use super::repeat::{Passes, STATUS_BYTES};
use super::EngineError;
use crate::gpu::{copy_layer, Claim, Gpu, Readback};
use crate::shape::Shape;

/// A batch that is drawn.
#[derive(Debug)]
pub struct Drawn {
    /// RGBA8, `[n, h, w, 4]`, if asked for.
    pub rgba: Option<Vec<u8>>,
    /// The output register, `[n, h, w, c]`, if asked for.
    pub floats: Option<Vec<f32>>,
    /// Pixels that stay on the device, if asked for.
    pub kept: Option<Kept>,
    /// For each image, how many values were not finite.
    pub bad: Vec<u32>,
    /// What became of the program's loop, if it has one.
    pub passes: Option<Passes>,
}

/// Pixels of a batch in the device's memory: RGBA8, `[n, h, pitch]`.
#[derive(Debug)]
pub struct Kept {
    buffer: wgpu::Buffer,
    shape: Shape,
    _claim: Claim,
}

impl Kept {
    /// The buffer.
    pub fn buffer(&self) -> &wgpu::Buffer {
        &self.buffer
    }

    /// Bytes of one image.
    pub fn image_bytes(&self) -> u64 {
        image_bytes(self.shape)
    }

    /// Copies image `i` of the batch to a layer of a texture.
    pub fn copy(&self, i: usize, encoder: &mut wgpu::CommandEncoder, to: &wgpu::Texture, layer: u32) {
        copy_layer(encoder, &self.buffer, i as u64 * self.image_bytes(), to, layer);
    }
}

/// The last submission's copies.
#[derive(Debug)]
pub(super) struct Pending {
    readback: Readback,
    kept: Option<Kept>,
}

impl Pending {
    /// Records the copies behind the batch's last dispatch.
    pub fn record(exe: &Executable, encoder: &mut wgpu::CommandEncoder) -> Result<Pending, EngineError> {
        use wgpu::BufferUsages as U;
        let (gpu, n, shape, outputs) = (exe.gpu(), exe.n(), exe.shape(), exe.outputs());
        let (pixels, bad, output) = exe.results();
        let mut at = 0;
        let mut read = |from: &wgpu::Buffer, bytes: u64| {
            encoder.copy_buffer_to_buffer(from, 0, exe.readback(), at, bytes);
            at += bytes;
        };
        read(bad, n as u64 * 4);
        let size = n as u64 * image_bytes(shape);
        if outputs.images {
            read(pixels, size);
        }
        if outputs.tensors {
            read(output, (n * shape.len()) as u64 * 4);
        }
        if !exe.counts().is_empty() {
            let (slots, status) = exe.state();
            let row = n as u64 * 4;
            encoder.copy_buffer_to_buffer(status, 0, exe.readback(), at, STATUS_BYTES);
            at += STATUS_BYTES;
            for slot in exe.counts() {
                encoder.copy_buffer_to_buffer(slots, u64::from(slot.0) * row, exe.readback(), at, row);
                at += row;
            }
        }
        let mut kept = None;
        if outputs.textures {
            let place = gpu.claim("keeping finished images", size).and_then(|claim| {
                let buffer = gpu.buffer("images", size, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
                Ok(Kept { buffer, shape, _claim: claim })
            });
            match place {
                Ok(place) => {
                    encoder.copy_buffer_to_buffer(pixels, 0, &place.buffer, 0, size);
                    kept = Some(place);
                }
                // The host has them: a texture can still be made.
                Err(e) if outputs.images => tracing::debug!(%e, "images leave the device"),
                Err(e) => return Err(e.into()),
            }
        }
        let readback = gpu.read_on_submit(encoder, exe.readback(), at);
        Ok(Pending { readback, kept })
    }

    /// The batch, once its last submission is done.
    pub fn take(self, exe: &Executable) -> Result<Drawn, EngineError> {
        let (n, shape, outputs) = (exe.n(), exe.shape(), exe.outputs());
        let bytes = self.readback.take()?;
        let (bad, rest) = bytes.split_at(n * 4);
        let split = if outputs.images { n * image_bytes(shape) as usize } else { 0 };
        let (pixels, rest) = rest.split_at(split);
        let (floats, told) = rest.split_at(if outputs.tensors { n * shape.len() * 4 } else { 0 });
        let word = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        let passes = (!exe.counts().is_empty()).then(|| {
            let (status, rows) = told.split_at(STATUS_BYTES as usize);
            let rows: Vec<f32> = rows.chunks_exact(4).map(|b| f32::from_bits(word(b))).collect();
            let row = |i: usize| rows.chunks_exact(n).nth(i).unwrap_or_default().iter().copied();
            Passes {
                passes: word(&status[4..]),
                done: row(0).map(|v| v != 0.0).collect(),
                accepted: row(1).map(|v| v as u32).collect(),
                rejected: row(2).map(|v| v as u32).collect(),
                looks: 0,
            }
        });
        Ok(Drawn {
            passes,
            rgba: outputs.images.then(|| tight(pixels, shape)),
            floats: outputs
                .tensors
                .then(|| floats.chunks_exact(4).map(|b| f32::from_bits(word(b))).collect()),
            kept: self.kept,
            bad: bad.chunks_exact(4).map(word).collect(),
        })
    }
}

impl Executable {
    /// The present estimate of the images, into a texture of [`Executable::n`] layers.
    /// Nothing is read back and nothing waits.
    ///
    /// # Errors
    /// A lost device.
    pub fn preview(&self, to: &wgpu::Texture) -> Result<(), EngineError> {
        let mut encoder = self.pack_estimate();
        let (pixels, ..) = self.results();
        for layer in 0..self.n() {
            let offset = layer as u64 * image_bytes(self.shape());
            copy_layer(&mut encoder, pixels, offset, to, layer as u32);
        }
        self.gpu().submit(encoder)?;
        Ok(())
    }

    /// The present estimate on the host, RGBA8 `[n, h, w, 4]`: a map and a wait.
    ///
    /// # Errors
    /// A lost device.
    pub async fn preview_pixels(&self) -> Result<Vec<u8>, EngineError> {
        self.gpu().submit(self.pack_estimate())?;
        let (pixels, ..) = self.results();
        let bytes = self.n() as u64 * image_bytes(self.shape());
        Ok(tight(&self.gpu().read_async(pixels, bytes).await?, self.shape()))
    }

    /// The state of the first `count` images, NHWC: a map and a wait.
    ///
    /// # Errors
    /// A lost device.
    pub fn state_of_images(&self, count: usize) -> Result<Vec<f32>, EngineError> {
        let (.., output) = self.results();
        let bytes = (count.min(self.n()) * self.shape().len()) as u64 * 4;
        Ok(bytemuck::pod_collect_to_vec(&self.gpu().read(output, bytes)?))
    }

    fn pack_estimate(&self) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu().encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        self.plan().record(self.estimate(), &mut pass);
        drop(pass);
        encoder
    }
}

/// A texture of images, each on the device or on the host.
///
/// # Errors
/// More layers or a larger side than the device allows, or out of memory.
pub fn texture<'a>(
    gpu: &Gpu,
    shape: Shape,
    images: impl ExactSizeIterator<Item = Source<'a>>,
) -> Result<wgpu::Texture, EngineError> {
    let texture = gpu.texture("images", shape.w, shape.h, images.len())?;
    let mut encoder = gpu.encoder();
    for (layer, image) in images.enumerate() {
        match image {
            Source::Kept(kept, i) => kept.copy(i, &mut encoder, &texture, layer as u32),
            Source::Rgba(bytes) => gpu.write_layer(&texture, layer as u32, &bytes),
        }
    }
    gpu.submit(encoder)?;
    Ok(texture)
}

/// Where an image is.
pub enum Source<'a> {
    /// The image of this number in a batch that stayed on the device.
    Kept(&'a Kept, usize),
    /// RGBA8, `[h, w, 4]`.
    Rgba(Vec<u8>),
}
