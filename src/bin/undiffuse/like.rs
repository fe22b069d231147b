//! `--like FILE.png`: a picture's own record of how it was made, made again.

use crate::output::grid::{grid, zoomed_size, Sheet};
use crate::output::png::{self, Record, RecordError};
use crate::output::OutputError;
use image::RgbImage;
use std::path::{Path, PathBuf};
use undiffuse::gpu::{self, Options};
use undiffuse::pipeline::{Class, Difference, Model, PipelineError, Provenance, Sample};

/// A picture that is made again.
pub struct Like {
    /// The file.
    pub path: PathBuf,
    /// What it says of itself.
    pub record: Record,
    pixels: RgbImage,
    overridden: Vec<&'static str>,
    differences: Vec<Difference>,
    comparable: bool,
}

/// Why a picture cannot be made again.
#[derive(Debug, thiserror::Error)]
pub enum LikeError {
    /// The model has gone.
    #[error("{path} was made with the model `{model}`, which cannot be opened here: {source}. Say with --model where it is")]
    Model { path: PathBuf, model: String, source: Box<PipelineError> },
    /// The model's name would open a connection.
    #[error(
        "{path} names a model on another machine, `{model}`. Say with --model that you want it, or another"
    )]
    Remote { path: PathBuf, model: String },
}

impl Like {
    /// Reads a file that anybody may have made.
    pub fn open(path: &Path) -> Result<Like, RecordError> {
        let (record, pixels) = (png::read_record(path)?, png::read_pixels(path)?);
        let path = path.to_path_buf();
        for name in record.made.other.keys() {
            say!("note: {} records `{name}`, which this version does not know", path.display());
        }
        Ok(Like { path, record, pixels, overridden: Vec::new(), differences: Vec::new(), comparable: false })
    }

    /// The file's options, as far as no flag says otherwise.
    pub fn options(&self) -> Result<Sample, PipelineError> {
        self.record.made.options()
    }

    /// What `flag` gives instead of what the file records, if it is something else.
    pub fn instead<T: PartialEq>(
        &mut self,
        flag: &'static str,
        given: Option<T>,
        recorded: T,
        say: impl Fn(&T) -> String,
    ) -> T {
        match given {
            Some(given) if given != recorded => {
                say!("note: --{flag} {} instead of the recorded {}", say(&given), say(&recorded));
                self.overridden.push(flag);
                given
            }
            _ => recorded,
        }
    }

    /// The recorded model.
    pub fn model(&self) -> Result<Model, LikeError> {
        let (path, model) = (self.path.clone(), self.record.made.model.clone());
        // On Windows such a path opens a connection, with the user's name, to whom the file says.
        if model.starts_with("\\\\") || model.starts_with("//") {
            return Err(LikeError::Remote { path, model });
        }
        Model::find(&model).map_err(|e| LikeError::Model { path, model, source: Box::new(e) })
    }

    /// The recorded adapter, if it is here; else the machine's best.
    pub fn adapter(&self) -> Options {
        let made = &self.record.made;
        let here = pollster::block_on(gpu::list(None)).unwrap_or_default();
        let is = |info: &wgpu::AdapterInfo| {
            info.name == made.adapter && format!("{:?}", info.backend).to_lowercase() == made.backend
        };
        let at = here.iter().position(|f| is(&f.info));
        Options { adapter: at.map(|i| i.to_string()), summation: made.summation, ..Options::default() }
    }

    /// Says what is not as it was, before anything is drawn.
    pub fn compare(&mut self, now: &Provenance, size: (usize, usize)) -> Result<(), OutputError> {
        self.differences = self.record.made.differences(now);
        for difference in &self.differences {
            say!("note: not as for {}: {difference}", self.path.display());
        }
        let sheet = Sheet::new(self.record.made.count, zoomed_size(size, self.record.zoom)?);
        let same_images = !self.overridden.iter().any(|f| ["count", "first-index"].contains(f));
        self.comparable = same_images && sheet.is_ok_and(|s| s.size == self.pixels.dimensions());
        if same_images && !self.comparable {
            let (w, h) = self.pixels.dimensions();
            say!("note: {} is {w} x {h}, not what its record makes: it was cut or scaled, or the model is another", self.path.display());
        }
        Ok(())
    }

    /// Whether images are to be compared with the file's.
    pub fn comparable(&self) -> bool {
        self.comparable
    }

    /// Says whether the images are the file's, pixel by pixel; the same as JSON.
    pub fn verdict(&self, images: &[RgbImage]) -> Result<serde_json::Value, OutputError> {
        let file = self.path.display();
        let mut json = serde_json::json!({
            "file": file.to_string(), "overridden": self.overridden, "differences": self.differences, "equal": null,
        });
        if !self.comparable {
            say!("not compared with {file}: other images or another size were asked for");
            return Ok(json);
        }
        let again = grid(images, self.record.zoom)?;
        let far = |(a, b): (&image::Rgb<u8>, &image::Rgb<u8>)| {
            (0..3).map(|c| a[c].abs_diff(b[c])).max().unwrap_or(0)
        };
        let far: Vec<u8> = again.pixels().zip(self.pixels.pixels()).map(far).collect();
        let (differ, most) = (far.iter().filter(|&&d| d > 0).count(), far.iter().max().copied().unwrap_or(0));
        json["equal"] = (differ == 0).into();
        json["pixels"] = far.len().into();
        json["pixels_that_differ"] = differ.into();
        json["largest_difference"] = most.into();
        if differ == 0 {
            say!("the pixels are equal to those of {file}");
            return Ok(json);
        }
        let why = match (&self.overridden[..], &self.differences[..]) {
            ([], []) => {
                "though nothing recorded is: the file's pixels were changed, or this is a fault to report"
                    .into()
            }
            ([], _) => "see the notes above for what is not as it was".into(),
            (flags, _) => format!("as --{} would have it", flags.join(", --")),
        };
        say!("the pixels are not equal to those of {file}: {differ} of {} differ, by {most} of 255 at most; {why}", far.len());
        Ok(json)
    }
}

/// A class as a user writes it.
pub fn class_name(class: &Class) -> String {
    match class {
        Class::Auto => "default".into(),
        Class::All => "all".into(),
        Class::None => "none".into(),
        Class::Index(i) => i.to_string(),
        Class::Name(name) => name.clone(),
    }
}
