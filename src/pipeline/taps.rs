//! What goes on within a diffusion model: the activations of a block for noised pictures, averaged over the
//! pixels, as a representation (Baranchuk et al. 2022, arXiv:2112.03126; Xiang et al. 2023, arXiv:2303.09769).

use super::{Class, Model, PipelineError};
use crate::diffusion::Continuous;
use crate::engine::Evaluator;
use crate::gpu::Gpu;
use crate::graph::passes;
use crate::kernels::noise;
use crate::metrics::Features;
use crate::models::Beside;

/// Multiply-adds of a batch, about.
const WORK: u64 = 1 << 31;
/// The draw of the noise: no draw of a sampler comes so far.
const DRAW: u32 = (1 << 31) + 2;

/// A block of a model on a device.
#[derive(Debug)]
pub struct Blocks<'a> {
    model: &'a Model,
    continuous: Continuous,
    evaluator: Evaluator,
    batch: usize,
    /// Pixels and channels of the block.
    pixels: usize,
    width: usize,
}

impl Model {
    /// The blocks of the network that can be looked at, by name, from first to last.
    pub fn blocks(&self) -> Vec<&str> {
        self.tapped.taps().iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<'a> Blocks<'a> {
    /// Puts the model on a device, to look at the block `tap`.
    ///
    /// # Errors
    /// A block that is not there, a model that takes more than a picture, a time and a class, unreadable
    /// weights, or an adapter without the means.
    pub fn new(gpu: &Gpu, model: &'a Model, tap: &str) -> Result<Blocks<'a>, PipelineError> {
        let refuse = |option, what: String| PipelineError::Option { option, what };
        let Some(graph) = model.tapped.clone().with_tap(tap) else {
            let there = model.blocks().join(", ");
            let there = if there.is_empty() { "none".into() } else { there };
            return Err(refuse("tap", format!("no block `{tap}` in {}; there are {there}", model.name())));
        };
        if model.about.beside != Beside::Nothing || model.scheduler.system.is_some() {
            let what = "its network takes more than a noised picture, a time and a class".into();
            return Err(refuse("model", what));
        }
        let continuous = Continuous::of(&model.scheduler)?;
        let (_, tensor) = graph.taps()[0];
        let shape = graph.shape(tensor);
        let graph = passes::run(&graph);
        let batch = usize::try_from(WORK / graph.macs().max(1)).unwrap_or(1).clamp(1, 64);
        let evaluator = Evaluator::new(gpu, &graph, batch, &[tap])?;
        Ok(Blocks { model, continuous, evaluator, batch, pixels: shape.pixels(), width: shape.c })
    }

    /// The times that the model knows: timesteps of a discrete chain, else those of its process.
    pub fn times(&self) -> (f64, f64) {
        (self.continuous.end.min(self.continuous.start), self.continuous.start.max(self.continuous.end))
    }

    /// The block's channels, averaged over its pixels, a row for each picture.
    ///
    /// Pictures are `[count, h, w, c]` in `[-1, 1]`, noised to `time` by their index (from
    /// `first_index` on) and the seed.
    ///
    /// # Errors
    /// A time or class that the model does not know, pictures of another size, activations that are no
    /// numbers, or a lost device.
    pub fn look(
        &self,
        pictures: &[f32],
        time: f64,
        class: &Class,
        seed: u64,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Features, PipelineError> {
        let refuse = |option, what: String| PipelineError::Option { option, what };
        let (low, high) = self.times();
        if !(low..=high).contains(&time) {
            return Err(refuse("time", format!("{time} is outside of the model's process, {low} to {high}")));
        }
        let (shape, net) = (self.model.about.sample, self.model.network());
        let len = shape.len();
        if pictures.is_empty() || !pictures.len().is_multiple_of(len) {
            let what = format!("{} numbers are no pictures of {shape}", pictures.len());
            return Err(refuse("pictures", what));
        }
        let process = &self.continuous.process;
        let (keep, add) = (process.mean(time), process.std(time));
        let (scale, told) = (self.continuous.input_scale(time), self.continuous.told(time) as f32);
        let shifted = self.model.is_shifted();
        let (count, mut values) = (pictures.len() / len, Vec::new());
        for (part, chunk) in pictures.chunks(self.batch * len).enumerate() {
            let first = part * self.batch;
            progress(first, count);
            let mut x = Vec::with_capacity(self.batch * len);
            for (i, picture) in chunk.chunks_exact(len).enumerate() {
                let mut z = vec![0f32; len];
                noise::fill(seed, (first + i) as u64, DRAW, &mut z);
                x.extend(picture.iter().zip(&z).map(|(v, z)| {
                    let v = if shifted { 0.5 * v + 0.5 } else { *v };
                    (scale * (keep * f64::from(v) + add * f64::from(*z))) as f32
                }));
            }
            x.resize(self.batch * len, 0.0);
            let times = vec![told; self.batch];
            let mut inputs: Vec<(&str, &[f32])> = vec![(&net.images[0], &x)];
            inputs.extend(net.time.as_deref().map(|name| (name, &times[..])));
            let labels = (first..first + self.batch)
                .map(|i| Ok(self.model.label(class, i as u64)?.unwrap_or_default()));
            let labels = labels.collect::<Result<Vec<f32>, PipelineError>>()?;
            inputs.extend(net.label.as_deref().map(|name| (name, &labels[..])));
            let found = self.evaluator.run(&inputs)?;
            for image in found[0].chunks_exact(self.pixels * self.width).take(chunk.len() / len) {
                let mean = |c: usize| {
                    let sum: f64 = image.iter().skip(c).step_by(self.width).map(|v| f64::from(*v)).sum();
                    (sum / self.pixels as f64) as f32
                };
                values.extend((0..self.width).map(mean));
            }
        }
        Ok(Features::new(&format!("{} at time {time}", self.model.name()), self.width, values)?)
    }
}
