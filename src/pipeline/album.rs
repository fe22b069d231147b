//! The images that a job has drawn: on the device, on the host, or both.

use super::PipelineError;
use crate::engine::{image_bytes, texture, Drawn, EngineError, Kept, Source};
use crate::gpu::{row_pitch, Gpu};
use crate::shape::Shape;
use image::RgbImage;
use std::ops::Range;

/// The sampler's own numbers of all images that a job drew.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensors {
    /// `[count, h, w, c]`, as the sampler ended: a model's range is usually -1 to 1,
    /// nothing is clamped or rounded.
    pub values: Vec<f32>,
    /// The shape of one image.
    pub shape: Shape,
    /// The index of the first image.
    pub first_index: u64,
    /// The class of each, -1 for the empty class and for models without classes.
    pub labels: Vec<i64>,
}

/// The images of one batch.
#[derive(Debug)]
struct Page {
    first: usize,
    count: usize,
    images: Vec<RgbImage>,
    kept: Option<Kept>,
}

/// All images so far, in order.
#[derive(Debug)]
pub(super) struct Album {
    shape: Shape,
    pages: Vec<Page>,
    drawn: usize,
    taken: usize,
    floats: Vec<f32>,
}

impl Album {
    pub fn new(shape: Shape) -> Album {
        Album { shape, pages: Vec::new(), drawn: 0, taken: 0, floats: Vec::new() }
    }

    /// Images so far.
    pub fn drawn(&self) -> usize {
        self.drawn
    }

    /// Adds the first `wanted` images of a batch.
    pub fn add(&mut self, drawn: Drawn, wanted: usize) -> Result<(), PipelineError> {
        let images = match &drawn.rgba {
            None => Vec::new(),
            Some(rgba) => rgba
                .chunks_exact(self.shape.pixels() * 4)
                .take(wanted)
                .map(|rgba| self.image(rgba))
                .collect::<Result<_, _>>()?,
        };
        if let Some(floats) = drawn.floats {
            self.floats.extend_from_slice(&floats[..(wanted * self.shape.len()).min(floats.len())]);
        }
        self.pages.push(Page { first: self.drawn, count: wanted, images, kept: drawn.kept });
        self.drawn += wanted;
        Ok(())
    }

    fn image(&self, rgba: &[u8]) -> Result<RgbImage, PipelineError> {
        let rgb = rgba.chunks_exact(4).flat_map(|p| [p[0], p[1], p[2]]).collect();
        let image = RgbImage::from_raw(self.shape.w as u32, self.shape.h as u32, rgb);
        Ok(image.ok_or_else(|| EngineError::Internal("pixels do not fit".into()))?)
    }

    /// Images from RGBA8 `[n, h, w, 4]`.
    pub fn images_of(&self, rgba: &[u8]) -> Result<Vec<RgbImage>, PipelineError> {
        rgba.chunks_exact(self.shape.pixels() * 4).map(|i| self.image(i)).collect()
    }

    /// The images on the host that were not taken.
    pub fn images(&self) -> Vec<RgbImage> {
        self.pages.iter().flat_map(|p| &p.images).cloned().collect()
    }

    /// Hands the images over that were not taken yet; nothing of them stays here.
    pub fn take(&mut self) -> Vec<RgbImage> {
        self.taken = self.drawn;
        self.pages.drain(..).flat_map(|p| p.images).collect()
    }

    /// The floats so far, `[count, h, w, c]`.
    pub fn floats(&self) -> &[f32] {
        &self.floats
    }

    /// Where each image of a range is.
    fn sources(&self, range: &Range<usize>) -> Result<Vec<Source<'_>>, PipelineError> {
        let refuse = |what: String| PipelineError::Option { option: "range", what };
        if range.is_empty() || range.end > self.drawn {
            return Err(refuse(format!("images {range:?} were asked for, {} are drawn", self.drawn)));
        }
        range
            .clone()
            .map(|i| {
                let page = self.pages.iter().find(|p| (p.first..p.first + p.count).contains(&i));
                let Some(page) = page else {
                    return Err(refuse(format!("image {i} was taken: ask for it before take()")));
                };
                match (&page.kept, page.images.get(i - page.first)) {
                    (Some(kept), _) => Ok(Source::Kept(kept, i - page.first)),
                    (None, Some(image)) => {
                        let rgba = image.pixels().flat_map(|p| [p[0], p[1], p[2], 255]).collect();
                        Ok(Source::Rgba(rgba))
                    }
                    (None, None) => {
                        Err(refuse(format!("image {i} was not kept: ask for textures or images in outputs")))
                    }
                }
            })
            .collect()
    }

    /// A texture with a layer for each image of the range.
    pub fn texture(&self, gpu: &Gpu, range: Range<usize>) -> Result<wgpu::Texture, PipelineError> {
        Ok(texture(gpu, self.shape, self.sources(&range)?.into_iter())?)
    }

    /// A buffer with the images of the range, RGBA8, rows [`row_pitch`] apart.
    pub fn buffer(&self, gpu: &Gpu, range: Range<usize>) -> Result<wgpu::Buffer, PipelineError> {
        use wgpu::BufferUsages as U;
        let sources = self.sources(&range)?;
        let one = image_bytes(self.shape);
        let buffer =
            gpu.buffer("images", one * sources.len() as u64, U::STORAGE | U::COPY_SRC | U::COPY_DST)?;
        let mut encoder = gpu.encoder();
        for (i, source) in sources.into_iter().enumerate() {
            let at = i as u64 * one;
            match source {
                Source::Kept(kept, from) => {
                    encoder.copy_buffer_to_buffer(kept.buffer(), from as u64 * one, &buffer, at, one);
                }
                Source::Rgba(bytes) => {
                    let mut rows = Vec::with_capacity(one as usize);
                    for row in bytes.chunks_exact(self.shape.w * 4) {
                        rows.extend_from_slice(row);
                        rows.resize(rows.len().next_multiple_of(row_pitch(self.shape.w)), 0);
                    }
                    gpu.write(&buffer, at, &rows);
                }
            }
        }
        gpu.submit(encoder)?;
        Ok(buffer)
    }
}
