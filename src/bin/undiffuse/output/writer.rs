//! What comes out of a run, put where it should go.

use super::png::{self, Record, Text};
use super::{grid, npz, Kind, Output, OutputError};
use image::RgbImage;
use std::path::{Path, PathBuf};
use undiffuse::pipeline::{Provenance, Tensors};

/// Writes images as they come (folder) or together (grid, numbers).
pub struct Writer<'a> {
    output: &'a Output,
    made: Provenance,
    zoom: u32,
    /// Keep the images also where they are written at once.
    keep: bool,
    images: Vec<RgbImage>,
    /// Files that are written.
    pub files: Vec<PathBuf>,
    written: usize,
}

impl<'a> Writer<'a> {
    /// Of the images that `made` tells of; `keep` them all for [`Writer::images`].
    pub fn new(output: &'a Output, made: Provenance, zoom: u32, keep: bool) -> Writer<'a> {
        Writer { output, made, zoom, keep, images: Vec::new(), files: Vec::new(), written: 0 }
    }

    /// The next images, in order.
    pub fn add(&mut self, images: Vec<RgbImage>) -> Result<(), OutputError> {
        if let Kind::Folder(folder) = &self.output.to {
            for image in &images {
                let made = self.made.image(self.written);
                let path = folder.join(format!("{:06}.png", made.first_index));
                let text = Text::record(&Record { made, zoom: self.zoom });
                png::write(&path, &grid::zoomed(image, self.zoom), &text)?;
                self.files.push(path);
                self.written += 1;
            }
        }
        if self.keep || matches!(self.output.to, Kind::Grid(_)) {
            self.images.extend(images);
        }
        Ok(())
    }

    /// What a batch, whose first image is the `first`th, looks like after `step` steps.
    pub fn preview(&mut self, step: usize, first: usize, images: &[RgbImage]) -> Result<(), OutputError> {
        let one = |i: usize| self.made.image(first + i);
        let text = |made: &Provenance| Text::description(made, &format!("the estimate after {step} steps"));
        let (Kind::Grid(path) | Kind::Npz(path)) = &self.output.to else {
            let Kind::Folder(folder) = &self.output.to else { return Ok(()) };
            for (i, image) in images.iter().enumerate() {
                let made = one(i);
                let path = folder.join(format!("{:06}-step{step:04}.png", made.first_index));
                png::write(&path, &grid::zoomed(image, self.zoom), &text(&made))?;
                self.files.push(path);
            }
            return Ok(());
        };
        let made = Provenance { count: images.len(), ..one(0) };
        let batch = match images.len() == self.made.count {
            true => String::new(),
            false => format!("-from{:06}", made.first_index),
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let path = path.with_file_name(format!("{stem}{batch}-step{step:04}.png"));
        png::write(&path, &grid::grid(images, self.zoom)?, &text(&made))?;
        self.files.push(path);
        Ok(())
    }

    /// Writes what is written together. `tensors` are wanted for numbers alone, of which `levels` takes
    /// those of the images that were kept.
    pub fn finish(&mut self, tensors: Option<&Tensors>, levels: bool) -> Result<(), OutputError> {
        match &self.output.to {
            Kind::Folder(_) => {}
            Kind::Grid(path) => {
                let text = Text::record(&Record { made: self.made.clone(), zoom: self.zoom });
                png::write(path, &grid::grid(&self.images, self.zoom)?, &text)?;
                self.files.push(path.clone());
            }
            Kind::Npz(path) => {
                if let Some(tensors) = tensors {
                    match levels {
                        true => {
                            let of = |image| crate::input::channels(image, tensors.shape.c);
                            let levels: Vec<u8> = self.images.iter().flat_map(of).collect();
                            npz::write_levels(path, tensors, &levels, &self.made)?;
                        }
                        false => npz::write(path, tensors, &self.made)?,
                    }
                    self.files.push(path.clone());
                }
            }
        }
        Ok(())
    }

    /// The images that were kept.
    pub fn images(&self) -> &[RgbImage] {
        &self.images
    }

    /// Notes a file that somebody else wrote.
    pub fn wrote(&mut self, path: &Path) {
        self.files.push(path.to_path_buf());
    }

    /// How to go on where only some files of a folder were written.
    pub fn rest(&self) -> Option<String> {
        let (done, all) = (self.written, self.made.count);
        (matches!(self.output.to, Kind::Folder(_)) && done > 0 && done < all).then(|| {
            let next = self.made.first_index.wrapping_add(done as u64);
            format!(
                "{done} of {all} images are written; go on with --first-index {next} --count {}",
                all - done
            )
        })
    }

    /// What was written, in words.
    pub fn said(&self) -> String {
        match (&self.output.to, &self.files[..]) {
            (Kind::Folder(folder), files) => format!("{} files in {}", files.len(), folder.display()),
            (_, files) => files.iter().map(|f| f.display().to_string()).collect::<Vec<_>>().join(", "),
        }
    }
}
