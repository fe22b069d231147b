//! What may come out of a batch: pixels in the device's memory, on the host, or the
//! sampler's floats.

use crate::gpu::row_pitch;
use crate::shape::Shape;

/// What to bring out of a batch, beside a count of bad values for each image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// RGBA8 on the host.
    pub images: bool,
    /// The sampler's own floats on the host.
    pub tensors: bool,
    /// RGBA8 in the device's memory.
    pub textures: bool,
}

impl Default for Outputs {
    fn default() -> Self {
        Outputs { images: true, tensors: false, textures: true }
    }
}

impl Outputs {
    /// Nothing but the counts.
    pub fn none() -> Self {
        Outputs { images: false, tensors: false, textures: false }
    }

    /// Bytes that a batch of `n` images reads back: a count of bad values for each, and
    /// what is asked for.
    pub(super) fn bytes(self, n: usize, shape: Shape) -> u64 {
        let images = if self.images { n as u64 * image_bytes(shape) } else { 0 };
        let tensors = if self.tensors { (n * shape.len()) as u64 * 4 } else { 0 };
        n as u64 * 4 + images + tensors
    }
}

/// Bytes of an image whose rows are [`row_pitch`] apart.
pub fn image_bytes(shape: Shape) -> u64 {
    (shape.h * row_pitch(shape.w)) as u64
}

/// Takes the padding off the rows: `[n, h, pitch]` to `[n, h, w, 4]`.
pub fn tight(rows: &[u8], shape: Shape) -> Vec<u8> {
    let (pitch, row) = (row_pitch(shape.w), shape.w * 4);
    rows.chunks_exact(pitch).flat_map(|r| &r[..row]).copied().collect()
}
