//! Along the probability flow: images to latents and back, and log-densities.
//!
//! All by [`Flow`]'s programs, as jobs like any other.

use super::job::Work;
use super::{Class, Job, Outputs, Pipeline, PipelineError, Sample};
use crate::diffusion::sampler::flow::Flow;
use crate::diffusion::sampler::Sampler;
use crate::kernels::noise;
use crate::models::Labels;
use crate::shape::Shape;
use std::f64::consts::LN_2;

/// The draws of dequantisation and of probes: no draw of a sampler comes so far.
const UNIFORM: u32 = 1 << 31;
const PROBE: u32 = UNIFORM + 1;
/// Probes of an image at most.
const MOST_PROBES: usize = 1 << 16;

impl Pipeline {
    /// A job that takes images to their latents, which are its [`Job::tensors`]: by
    /// [`Sampler::Rk45`], or by [`Sampler::Rk4`] in `options.steps` steps.
    ///
    /// `images` are `[count, h, w, c]`, by and large in `[-1, 1]`; `options.count` is theirs.
    /// A model with classes takes the one in `options`, or its empty class.
    ///
    /// # Errors
    /// Images of another size, options that do not fit, or as [`Pipeline::sample`].
    pub fn encode(&self, images: &[f32], options: &Sample) -> Result<Job, PipelineError> {
        let options = numbers(self.along(options, images.len())?);
        let shifted = self.model().is_shifted();
        let values = images.iter().map(|v| if shifted { 0.5 * v + 0.5 } else { *v }).collect();
        self.flow(Flow::Encode, values, &options)
    }

    /// A job that takes latents back to their images, which are its images and, in `[-1, 1]`
    /// by and large, its tensors.
    ///
    /// # Errors
    /// As [`Pipeline::encode`].
    pub fn decode(&self, latents: &[f32], options: &Sample) -> Result<Job, PipelineError> {
        let options = self.along(options, latents.len())?;
        self.flow(Flow::Decode, latents.to_vec(), &options)
    }

    /// A job that finds the log-densities of images, each by `probes` probes
    /// ([`Flow::Likelihood`]); `options.first_index` is the index of the first image's noise.
    ///
    /// # Errors
    /// As [`Pipeline::encode`]; no probes or too many; a network with an op that has no
    /// derivative.
    pub fn likelihood(
        &self,
        images: &[f32],
        probes: usize,
        options: &Sample,
    ) -> Result<Likelihood, PipelineError> {
        if !(1..=MOST_PROBES).contains(&probes) {
            return Err(PipelineError::Option {
                option: "probes",
                what: format!("choose 1 to {MOST_PROBES}"),
            });
        }
        let options = numbers(self.along(options, images.len())?);
        let (model, len) = (self.model(), self.state().len());
        let shifted = model.is_shifted();
        let program = model.flow_program(Flow::Likelihood, &options)?;
        let (mut x, mut v) = (Vec::new(), Vec::new());
        for (i, image) in images.chunks_exact(len).enumerate() {
            for probe in 0..probes {
                x.extend(image.iter().map(|v| if shifted { 0.5 * v + 0.5 } else { *v }));
                let index = options.first_index.wrapping_add(i as u64);
                v.extend(self::probe(options.seed, index, probe, len));
            }
        }
        let count = options.count * probes;
        let options = Sample { count, ..options };
        let given = ["x", "probe"].map(|name| program.find_register(name)).into_iter().flatten();
        let given = given.zip([x, v]).collect();
        let nets = Some(vec![model.with_tangent()?]);
        let work = Work { program, nets, given };
        let job = pollster::block_on(Job::new(self, &options, work, |_, _| {}))?;
        Ok(Likelihood { job, probes, len, shifted })
    }

    /// The shape of the flow's state.
    fn state(&self) -> Shape {
        self.describe().sample
    }

    /// The options for the images that `numbers` numbers are.
    fn along(&self, options: &Sample, numbers: usize) -> Result<Sample, PipelineError> {
        let refuse = |option, what: String| Err(PipelineError::Option { option, what });
        let (shape, model) = (self.state(), self.model());
        if numbers == 0 || !numbers.is_multiple_of(shape.len()) {
            return refuse("images", format!("{numbers} numbers are no images of {shape}"));
        }
        if !matches!(options.sampler, Sampler::Rk45 | Sampler::Rk4) {
            let what =
                format!("{} does not solve the flow either way: take rk45 or rk4", options.sampler.name());
            return refuse("sampler", what);
        }
        let class = match (&options.class, model.about.labels) {
            (Class::Auto | Class::All, labels) if labels != Labels::None => match model.classes.null() {
                Some(_) => Class::None,
                None => return refuse("class", "name the class: this model has no empty one".into()),
            },
            (class, _) => class.clone(),
        };
        Ok(Sample { count: numbers / shape.len(), class, ..options.clone() })
    }

    fn flow(&self, flow: Flow, values: Vec<f32>, options: &Sample) -> Result<Job, PipelineError> {
        let mut program = self.model().flow_program(flow, options)?;
        if flow == Flow::Decode && self.model().is_shifted() {
            program = crate::diffusion::score_sde::centred(program);
        }
        let given = program.find_register("x").map(|x| (x, values)).into_iter().collect();
        pollster::block_on(Job::new(self, options, Work { program, nets: None, given }, |_, _| {}))
    }
}

/// The same, to end in numbers alone.
fn numbers(options: Sample) -> Sample {
    Sample { outputs: Outputs { images: false, tensors: true, textures: false }, ..options }
}

/// A job that finds log-densities.
#[derive(Debug)]
pub struct Likelihood {
    /// The job: an "image" of it is an image of the caller's with one probe.
    pub job: Job,
    probes: usize,
    len: usize,
    shifted: bool,
}

/// An image's log-density, by Hutchinson's estimator.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Density {
    /// `log p(x)` in nats, x being in `[-1, 1]`: the mean over the probes.
    pub nats: f64,
    /// The standard error of the mean; 0 of one probe, of which nothing is known.
    pub error: f64,
    /// Numbers of the image.
    pub dimensions: usize,
}

impl Likelihood {
    /// Runs the job to its end; the densities, image by image.
    ///
    /// # Errors
    /// As [`Job::advance`].
    pub fn finish(&mut self) -> Result<Vec<Density>, PipelineError> {
        // Half as wide an interval, twice the density, in each dimension.
        let width = if self.shifted { -(self.len as f64) * LN_2 } else { 0.0 };
        let all = self.job.tensors()?.values;
        Ok(all.chunks_exact(self.probes).map(|own| density(own, self.len, width)).collect())
    }
}

/// Latents on the great circle from `a` to `b` (Shoemake 1985), `count` of them one after the other, both
/// ends among them: all as likely as noise as the ends are, which the straight line's middle is not.
///
/// ```
/// let way = undiffuse::pipeline::slerp(&[1.0, 0.0], &[0.0, 1.0], 3);
/// assert!((way[2] - 0.5f32.sqrt()).abs() < 1e-6 && (way[3] - 0.5f32.sqrt()).abs() < 1e-6);
/// ```
pub fn slerp(a: &[f32], b: &[f32], count: usize) -> Vec<f32> {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let cos = dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE);
    let angle = cos.clamp(-1.0, 1.0).acos();
    let weights = |t: f64| match angle.sin() {
        // One direction, or opposite ones, between which no circle is the one: the straight line.
        sin if sin.abs() < 1e-6 => (1.0 - t, t),
        sin => (((1.0 - t) * angle).sin() / sin, (t * angle).sin() / sin),
    };
    let mut all = Vec::with_capacity(count * a.len());
    for i in 0..count {
        let (u, v) = weights(i as f64 / count.saturating_sub(1).max(1) as f64);
        all.extend(a.iter().zip(b).map(|(x, y)| (u * f64::from(*x) + v * f64::from(*y)) as f32));
    }
    all
}

/// Signs for Hutchinson's estimator: probe number `probe` of an image of `len` numbers.
pub fn probe(seed: u64, image: u64, probe: usize, len: usize) -> Vec<f32> {
    let mut normal = vec![0.0; len];
    noise::fill(seed, image, PROBE.wrapping_add(probe as u32), &mut normal);
    normal.iter().map(|z| 1f32.copysign(*z)).collect()
}

fn density(own: &[f32], dimensions: usize, more: f64) -> Density {
    let n = own.len() as f64;
    let mean = own.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let squares: f64 = own.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let error = if own.len() > 1 { (squares / (n - 1.0) / n).sqrt() } else { 0.0 };
    Density { nats: mean + more, error, dimensions }
}

impl Density {
    /// Bits per dimension of a picture of 256 levels, whose dequantised form
    /// ([`dequantised`]) has this density: a level is `1 / 128` wide (Theis et al. 2016,
    /// arXiv:1511.01844).
    pub fn bits_per_dimension(&self) -> f64 {
        7.0 - self.nats / (self.dimensions as f64 * LN_2)
    }

    /// The standard error of [`Density::bits_per_dimension`].
    pub fn bits_error(&self) -> f64 {
        self.error / (self.dimensions as f64 * LN_2)
    }
}

/// Levels of pictures as numbers in `[-1, 1)`: `(v + u) / 128 - 1`, u uniform in `[0, 1)`, by
/// the seed and the index of the picture of `len` levels; u is 1/2 where there is no seed.
pub fn dequantised(levels: &[u8], len: usize, seed: Option<u64>, first_index: u64) -> Vec<f32> {
    let mut all = Vec::with_capacity(levels.len());
    for (i, picture) in levels.chunks(len.max(1)).enumerate() {
        let index = first_index.wrapping_add(i as u64);
        for (block, four) in picture.chunks(4).enumerate() {
            let words =
                seed.map(|s| noise::philox([block as u32, UNIFORM, index as u32, (index >> 32) as u32], s));
            for (j, v) in four.iter().enumerate() {
                // 16 bits of a word: v + u is exact in f32.
                let u = words.map_or(0.5, |w| f32::from((w[j] >> 16) as u16) / 65536.0);
                all.push((f32::from(*v) + u) / 128.0 - 1.0);
            }
        }
    }
    all
}
