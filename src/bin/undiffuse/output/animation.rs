//! The reverse process as an animated PNG: the estimate of the images after every few
//! steps, then the images, held.

use super::file::Part;
use super::grid::{grid, zoomed_size, Sheet};
use super::png::{encoding, into_part, Text};
use super::{extension, parent, try_place, OutputError, MOST};
use ::png::{BitDepth, ColorType, Encoder};
use image::RgbImage;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The most frames before the last.
const FRAMES: usize = 60;
/// Milliseconds that all frames before the last should take.
const RUN: usize = 3000;
/// Milliseconds of a frame.
const SHORTEST: usize = 33;
const LONGEST: usize = 200;
/// Milliseconds that the last frame is held.
const HOLD: u16 = 2500;

/// An animation that is being collected. A frame has all images, of whatever batches.
#[derive(Debug)]
pub struct Animation {
    path: PathBuf,
    zoom: u32,
    /// A frame after every so many steps.
    pub every: usize,
    frames: Vec<Vec<RgbImage>>,
}

impl Animation {
    /// Tries that `path` can be written.
    pub fn open(path: &Path, out: &Path, zoom: u32) -> Result<Animation, OutputError> {
        if extension(path).as_deref() != Some("png") || path.is_dir() {
            return Err(OutputError::NotAnimated { path: path.into() });
        }
        if path == out {
            return Err(OutputError::Twice { path: path.into() });
        }
        try_place(path, &parent(path))?;
        Ok(Animation { path: path.into(), zoom, every: 1, frames: Vec::new() })
    }

    /// Writes pictures of one size as frames; the last is held.
    pub fn film(path: &Path, mut frames: Vec<RgbImage>, zoom: u32, text: &Text) -> Result<(), OutputError> {
        let Some(last) = frames.pop() else { return Ok(()) };
        let frames = frames.into_iter().map(|frame| vec![frame]).collect();
        let film = Animation { path: path.into(), zoom, every: 1, frames };
        film.finish(&[last], text).map(|_| ())
    }

    /// Sets the frames for a run, and whether they can be had.
    pub fn plan(&mut self, steps: usize, count: usize, size: (usize, usize)) -> Result<(), OutputError> {
        self.every = steps.div_ceil(FRAMES).max(1);
        let frames = steps.saturating_sub(1) / self.every;
        self.frames = vec![Vec::new(); frames];
        let fits = |(w, h): (u32, u32)| u64::from(w) * u64::from(h) * (frames as u64 + 1) <= MOST;
        let sheet = Sheet::new(count, zoomed_size(size, self.zoom)?);
        match sheet.is_ok_and(|s| fits(s.size)) {
            true => Ok(()),
            false => Err(OutputError::TooLarge {
                what: format!("an animation of {} frames of {count} images", frames + 1),
                advice: "draw fewer images, or use a smaller --zoom",
            }),
        }
    }

    /// Adds what the images of a batch look like after `step` steps. Batches come in order.
    pub fn add(&mut self, step: usize, images: &[RgbImage]) {
        if step > 0 && step.is_multiple_of(self.every) {
            if let Some(frame) = self.frames.get_mut(step / self.every - 1) {
                frame.extend_from_slice(images);
            }
        }
    }

    /// Writes the file; `last` are the images themselves.
    pub fn finish(&self, last: &[RgbImage], text: &Text) -> Result<&Path, OutputError> {
        let frames: Vec<&[RgbImage]> =
            self.frames.iter().map(Vec::as_slice).filter(|f| f.len() == last.len()).chain([last]).collect();
        let delay = (RUN / frames.len()).clamp(SHORTEST, LONGEST) as u16;
        let mut file = BufWriter::new(Part::new(&self.path)?);
        self.encode(&mut file, &frames, delay, text)?;
        into_part(&self.path, file)?.finish()?;
        Ok(&self.path)
    }

    fn encode(
        &self,
        to: impl Write,
        frames: &[&[RgbImage]],
        delay: u16,
        text: &Text,
    ) -> Result<(), OutputError> {
        let failed = |e| encoding(&self.path, e);
        let (width, height) = grid(frames.last().copied().unwrap_or_default(), self.zoom)?.dimensions();
        let mut encoder = Encoder::new(to, width, height);
        encoder.set_color(ColorType::Rgb);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_animated(frames.len() as u32, 0).map_err(failed)?;
        text.add_to(&mut encoder).map_err(failed)?;
        let mut writer = encoder.write_header().map_err(failed)?;
        for (i, frame) in frames.iter().enumerate() {
            let delay = if i + 1 == frames.len() { HOLD } else { delay };
            writer.set_frame_delay(delay, 1000).map_err(failed)?;
            writer.write_image_data(grid(frame, self.zoom)?.as_raw()).map_err(failed)?;
        }
        writer.finish().map_err(failed)
    }
}
