//! Numbers in an image: where an adapter loads texels faster than buffers.

use super::{Gpu, GpuError};
use crate::kernels::reflect::IMAGE_ROW;

impl Gpu {
    /// An image of [`IMAGE_ROW`] texels of four f32 a row that holds `bytes`, zeros
    /// behind them, and how many bytes it takes.
    ///
    /// # Errors
    /// Larger than the device allows, or out of memory.
    pub fn image(&self, label: &str, bytes: &[u8]) -> Result<(wgpu::TextureView, u64), GpuError> {
        let row = IMAGE_ROW * 16;
        let (width, height) = (IMAGE_ROW as u32, bytes.len().div_ceil(row).max(1) as u32);
        let max = self.limits().max_texture_dimension_2d;
        if height > max {
            return Err(self.limit(label, "max_texture_dimension_2d", height.into(), max.into()));
        }
        let whole = row * height as usize;
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        let texture = self.scoped(label, whole as u64, |device| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba32Float,
                usage: wgpu::TextureUsages::TEXTURE_BINDING | wgpu::TextureUsages::COPY_DST,
                view_formats: &[],
            })
        })?;
        let mut padded = bytes.to_vec();
        padded.resize(whole, 0);
        self.count(|m| &m.bytes_up, whole as u64);
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(row as u32),
            rows_per_image: Some(height),
        };
        self.tolerant("write", |queue| queue.write_texture(texture.as_image_copy(), &padded, layout, size));
        Ok((texture.create_view(&wgpu::TextureViewDescriptor::default()), whole as u64))
    }
}
