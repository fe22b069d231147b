//! Numbers in an image: where an adapter loads texels faster than buffers.

use super::{Gpu, GpuError};
use crate::kernels::reflect::IMAGE_ROW;

/// Texels of four f32.
pub(super) const IMAGE_FORMAT: wgpu::TextureFormat = wgpu::TextureFormat::Rgba32Float;

/// Bytes of an image that holds `bytes`: whole rows of [`IMAGE_ROW`] texels.
pub fn image_bytes(bytes: u64) -> u64 {
    bytes.max(1).next_multiple_of(IMAGE_ROW as u64 * 16)
}

impl Gpu {
    /// An image of [`IMAGE_ROW`] texels of four f32 a row that holds `bytes`, zeros
    /// behind them, and how many bytes it takes.
    ///
    /// # Errors
    /// Larger than the device allows, or out of memory.
    pub fn image(&self, label: &str, bytes: &[u8]) -> Result<(wgpu::TextureView, u64), GpuError> {
        let whole = image_bytes(bytes.len() as u64);
        let texture = self.texels(label, whole, wgpu::TextureUsages::COPY_DST)?;
        let mut padded = bytes.to_vec();
        padded.resize(whole as usize, 0);
        self.count(|m| &m.bytes_up, whole);
        let size = texture.size();
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(size.width * 16),
            rows_per_image: Some(size.height),
        };
        self.tolerant("write", |queue| queue.write_texture(texture.as_image_copy(), &padded, layout, size));
        Ok((texture.create_view(&wgpu::TextureViewDescriptor::default()), whole))
    }

    /// An image that holds `bytes`, which kernels write and read; it begins as zeros.
    ///
    /// # Errors
    /// Larger than the device allows, or out of memory.
    pub fn scratch_image(&self, label: &str, bytes: u64) -> Result<wgpu::TextureView, GpuError> {
        use wgpu::TextureUsages as U;
        let texture = self.texels(label, image_bytes(bytes), U::STORAGE_BINDING | U::COPY_SRC)?;
        Ok(texture.create_view(&wgpu::TextureViewDescriptor::default()))
    }

    fn texels(&self, label: &str, bytes: u64, usage: wgpu::TextureUsages) -> Result<wgpu::Texture, GpuError> {
        let (height, max) = (bytes / (IMAGE_ROW as u64 * 16), self.limits().max_texture_dimension_2d);
        if height > max.into() {
            return Err(self.limit(label, "max_texture_dimension_2d", height, max.into()));
        }
        let size =
            wgpu::Extent3d { width: IMAGE_ROW as u32, height: height as u32, depth_or_array_layers: 1 };
        self.scoped(label, bytes, |device| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: IMAGE_FORMAT,
                usage: usage | wgpu::TextureUsages::TEXTURE_BINDING,
                view_formats: &[],
            })
        })
    }
}
