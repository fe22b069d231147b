//! Images as textures: RGBA8, one layer an image.

use super::{Gpu, GpuError};

/// Bytes of a row in a buffer from which textures are copied: WebGPU wants
/// multiples of 256.
pub fn row_pitch(width: usize) -> usize {
    (width * 4).next_multiple_of(wgpu::COPY_BYTES_PER_ROW_ALIGNMENT as usize)
}

impl Gpu {
    /// A texture of `layers` images of RGBA8, `rgba8unorm` and viewable as
    /// `rgba8unorm-srgb`, to be bound and copied.
    ///
    /// # Errors
    /// Larger than the device allows, or out of memory.
    pub fn texture(
        &self,
        label: &str,
        width: usize,
        height: usize,
        layers: usize,
    ) -> Result<wgpu::Texture, GpuError> {
        use wgpu::TextureUsages as U;
        let limits = self.limits();
        let checks = [
            ("max_texture_dimension_2d", width.max(height), limits.max_texture_dimension_2d),
            ("max_texture_array_layers", layers, limits.max_texture_array_layers),
        ];
        for (limit, wanted, found) in checks {
            if wanted as u64 > u64::from(found) {
                return Err(GpuError::Limit {
                    adapter: self.info().name.clone(),
                    what: format!("texture `{label}` of {layers} images"),
                    limit,
                    wanted: wanted as u64,
                    found: found.into(),
                    advice: "Ask for a shorter range of images, or use buffer() or images()",
                });
            }
        }
        let size = wgpu::Extent3d {
            width: width as u32,
            height: height as u32,
            depth_or_array_layers: layers as u32,
        };
        self.scoped(label, (width * height * layers) as u64 * 4, |device| {
            device.create_texture(&wgpu::TextureDescriptor {
                label: Some(label),
                size,
                mip_level_count: 1,
                sample_count: 1,
                dimension: wgpu::TextureDimension::D2,
                format: wgpu::TextureFormat::Rgba8Unorm,
                usage: U::TEXTURE_BINDING | U::COPY_SRC | U::COPY_DST,
                view_formats: &[wgpu::TextureFormat::Rgba8UnormSrgb],
            })
        })
    }
}

/// Copies one image, rows of [`row_pitch`] bytes from `offset` on, to a layer.
pub fn copy_layer(
    encoder: &mut wgpu::CommandEncoder,
    from: &wgpu::Buffer,
    offset: u64,
    to: &wgpu::Texture,
    layer: u32,
) {
    let (width, height) = (to.width(), to.height());
    encoder.copy_buffer_to_texture(
        wgpu::TexelCopyBufferInfo {
            buffer: from,
            layout: wgpu::TexelCopyBufferLayout {
                offset,
                bytes_per_row: Some(row_pitch(width as usize) as u32),
                rows_per_image: Some(height),
            },
        },
        wgpu::TexelCopyTextureInfo {
            texture: to,
            mip_level: 0,
            origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
            aspect: wgpu::TextureAspect::All,
        },
        wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
    );
}
