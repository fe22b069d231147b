//! What a job gives: images, textures, buffers, tensors, and previews of them.

use super::album::Tensors;
use super::{Job, PipelineError};
use image::RgbImage;
use std::ops::Range;

impl Job {
    /// The images, in order of their indices.
    ///
    /// # Errors
    /// As [`Job::advance`]: what is left is drawn first.
    pub fn images(&mut self) -> Result<Vec<RgbImage>, PipelineError> {
        self.finish()?;
        Ok(self.album.images())
    }

    /// Takes the images that are finished and not yet taken; the job keeps nothing of them.
    pub fn take(&mut self) -> Vec<RgbImage> {
        self.album.take()
    }

    /// A texture with a layer for each image of `range` (0 is the job's first): RGBA8,
    /// `rgba8unorm`, viewable as `rgba8unorm-srgb`, to be bound and copied. The images
    /// must be drawn and not taken. Nothing is read back; the copy is submitted, not awaited.
    ///
    /// # Errors
    /// A range that is not drawn, more layers than the device allows, or a lost device.
    pub fn texture(&self, range: Range<usize>) -> Result<wgpu::Texture, PipelineError> {
        self.album.texture(&self.gpu, range)
    }

    /// A buffer with the images of `range`: RGBA8, `[range, h, pitch]`, rows
    /// [`row_pitch`](crate::gpu::row_pitch) bytes apart; otherwise as [`Job::texture`].
    ///
    /// # Errors
    /// As [`Job::texture`].
    pub fn buffer(&self, range: Range<usize>) -> Result<wgpu::Buffer, PipelineError> {
        self.album.buffer(&self.gpu, range)
    }

    /// The sampler's own numbers of all images. [`Sample::outputs`](super::Sample::outputs) must ask for tensors.
    ///
    /// # Errors
    /// As [`Job::advance`]: what is left is drawn first.
    pub fn tensors(&mut self) -> Result<Tensors, PipelineError> {
        if !self.options.outputs.tensors {
            let what = "tensors were not asked for: set it before the job is made".into();
            return Err(PipelineError::Option { option: "outputs.tensors", what });
        }
        self.finish()?;
        let first_index = self.options.first_index;
        let labels = (0..self.options.count as u64).map(|i| self.label(first_index.wrapping_add(i)));
        Ok(Tensors {
            values: self.album.floats().to_vec(),
            shape: self.exe.shape(),
            first_index,
            labels: labels.collect::<Result<_, _>>()?,
        })
    }

    /// The class of an image, -1 for none.
    fn label(&self, index: u64) -> Result<i64, PipelineError> {
        let classes = &self.pipeline.0.classes;
        if self.program.find_slot("class").is_none() {
            return Ok(-1);
        }
        let label = classes.label(&self.options.class, index)?;
        let empty = classes.null().is_some_and(|null| null as f32 == label);
        Ok(if empty { -1 } else { label as i64 })
    }

    /// The present estimate of the images that are being drawn (the sampler's `x0`), as a
    /// texture with a layer for each image of the batch; `None` before there is one. It is the
    /// same texture at each call, drawn anew. Nothing is read back and nothing waits.
    ///
    /// # Errors
    /// As [`Job::texture`].
    pub fn preview(&mut self) -> Result<Option<wgpu::Texture>, PipelineError> {
        if !self.has_estimate() {
            return Ok(None);
        }
        let texture = match &self.preview {
            Some(texture) => texture.clone(),
            None => {
                let shape = self.exe.shape();
                let texture = self.gpu.texture("preview", shape.w, shape.h, self.exe.n())?;
                self.preview.insert(texture).clone()
            }
        };
        self.exe.preview(&texture)?;
        Ok(Some(texture))
    }

    /// [`Job::preview`] on the host: a map and a wait. Fewer images in the last batch.
    ///
    /// # Errors
    /// A lost device.
    pub fn preview_images(&mut self) -> Result<Option<Vec<RgbImage>>, PipelineError> {
        if !self.has_estimate() {
            return Ok(None);
        }
        let rgba = pollster::block_on(self.exe.preview_pixels())?;
        let mut images = self.album.images_of(&rgba)?;
        images.truncate(self.options.count - self.batch * self.exe.n());
        Ok(Some(images))
    }

    /// The state of the images that are being drawn (the sampler's own `x`, noise and all), `[n, h, w,
    /// c]`, behind what is submitted; `None` before the first step is. A map and a wait. Fewer
    /// images in the last batch.
    ///
    /// # Errors
    /// A lost device.
    pub fn state(&self) -> Result<Option<Vec<f32>>, PipelineError> {
        if !self.has_estimate() {
            return Ok(None);
        }
        let left = self.options.count - self.batch * self.exe.n();
        Ok(Some(self.exe.state_of_images(left.min(self.exe.n()))?))
    }

    fn has_estimate(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.status(&self.exe).step > 0)
    }
}
