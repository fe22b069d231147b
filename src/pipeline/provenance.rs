//! How images were made, to be kept beside them and to make them again.

use super::{Class, Pipeline, Sample};
use crate::diffusion::sampler::{Sampler, SolverOptions};
use crate::diffusion::Rng;
use crate::kernels::noise::noise_hash;
use crate::kernels::Summation;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// How images were made: everything that they are a function of.
///
/// As JSON it is an object of these fields. What lacks is an error, what is not known
/// is kept in `other`: a later version may write more.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// The version of this library.
    pub undiffuse: String,
    /// The model's name, as it was asked for: an embedded one's or a path.
    pub model: String,
    /// [`super::Model::hash`].
    pub model_hash: String,
    /// [`crate::gpu::Gpu::kernel_set`].
    pub kernel_set: String,
    /// The adapter's name.
    pub adapter: String,
    /// Its backend, as `vulkan`.
    pub backend: String,
    /// Its driver and the driver's version.
    pub driver: String,
    /// The precision of the network: `f32`.
    pub precision: String,
    /// What the order of sums followed from.
    #[serde(default, skip_serializing_if = "Summation::is_default")]
    pub summation: Summation,
    /// [`noise_hash`] of the seed.
    pub noise_hash: String,
    /// Whether the batch has no part in the images' bits.
    pub batch_invariant: bool,
    /// The seed of all noise.
    pub seed: u64,
    /// The index of the first image.
    pub first_index: u64,
    /// How many images.
    pub count: usize,
    /// Images that were drawn at once.
    pub batch: usize,
    /// The sampler's name.
    pub sampler: String,
    /// Steps.
    pub steps: usize,
    /// How they were spread; null is as the model's file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<String>,
    /// Which timesteps were visited, where they were listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timesteps: Option<Vec<usize>>,
    /// Which noise levels were visited, where they were listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sigmas: Option<Vec<f64>>,
    /// Whose random numbers; null is our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rng: Option<String>,
    /// DDIM's stochasticity; null is the sampler's default.
    pub eta: Option<f64>,
    /// What solvers of differential equations were told; nothing is all defaults.
    #[serde(default, skip_serializing_if = "is_default")]
    pub solver: SolverOptions,
    /// The class: a label, a name, `all` or `none`; null is what the model draws by itself.
    pub class: Option<Value>,
    /// The scale of classifier-free guidance; 1 is none.
    pub guidance_scale: f64,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// One thing that is not as it was, and what that means for the images.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Difference {
    /// What.
    pub what: &'static str,
    /// As it was.
    pub was: String,
    /// As it is.
    pub is: String,
    /// What that means.
    pub means: &'static str,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {}, is {}: {}", self.what, self.was, self.is, self.means)
    }
}

impl Provenance {
    /// The same of something that is not drawn from noise: `verb` says what was done.
    pub fn doing(mut self, verb: &str) -> Provenance {
        self.other.insert("verb".into(), verb.into());
        self
    }

    /// Of images drawn with these options, `batch` at once. Reads all weights once, for the
    /// model's hash.
    pub(super) fn of(pipeline: &Pipeline, options: &Sample, batch: usize) -> Provenance {
        let (model, gpu) = (pipeline.model(), pipeline.gpu());
        // All by name: an option that is added must be thought of here and in `options`.
        let Sample {
            count,
            first_index,
            batch: _,
            sampler,
            steps: _,
            grid,
            timesteps,
            sigmas,
            rng,
            eta,
            solver,
            class,
            guidance_scale,
            seed,
            // Pictures are not recorded.
            restoration: _,
            start: _,
            outputs: _,
        } = options;
        let info = gpu.info();
        Provenance {
            undiffuse: env!("CARGO_PKG_VERSION").into(),
            model: model.name().into(),
            model_hash: model.hash().into(),
            kernel_set: gpu.kernel_set(),
            adapter: info.name.clone(),
            backend: format!("{:?}", info.backend).to_lowercase(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            precision: "f32".into(),
            summation: gpu.summation(),
            noise_hash: format!("{:016x}", noise_hash(*seed)),
            batch_invariant: pipeline.batch_invariant(options),
            seed: *seed,
            first_index: *first_index,
            count: *count,
            batch,
            sampler: sampler.name().into(),
            steps: model.steps(options),
            grid: grid.map(|g| g.name().into()),
            timesteps: timesteps.clone(),
            sigmas: sigmas.clone(),
            rng: (*rng != Rng::default()).then(|| rng.name().into()),
            eta: *eta,
            solver: *solver,
            class: match class {
                Class::Auto => None,
                Class::All => Some("all".into()),
                Class::None => Some("none".into()),
                Class::Index(i) => Some((*i).into()),
                Class::Name(name) => Some(name.as_str().into()),
            },
            guidance_scale: *guidance_scale,
            other: BTreeMap::new(),
        }
    }

    /// The options that draw these images again. The batch is left open: it has no part
    /// in them, and the device may be another.
    ///
    /// # Errors
    /// A sampler that is not there, or a class that is neither a label nor a name.
    pub fn options(&self) -> Result<Sample, super::PipelineError> {
        let class = match &self.class {
            None => Class::Auto,
            Some(Value::String(name)) => name.parse().unwrap_or_default(),
            Some(value) => match value.as_u64().and_then(|i| usize::try_from(i).ok()) {
                Some(label) => Class::Index(label),
                None => {
                    let what = format!("{value} is neither a label nor a name");
                    return Err(super::PipelineError::Option { option: "class", what });
                }
            },
        };
        let sampler: Sampler = self.sampler.parse()?;
        Ok(Sample {
            count: self.count,
            first_index: self.first_index,
            // Where the batch has a part in the images, it is theirs.
            batch: (!self.batch_invariant).then_some(self.batch),
            sampler,
            // A list says how many there are.
            steps: (self.timesteps.is_none() && self.sigmas.is_none() && !sampler.is_adaptive())
                .then_some(self.steps),
            grid: self.grid.as_deref().map(str::parse).transpose()?,
            timesteps: self.timesteps.clone(),
            sigmas: self.sigmas.clone(),
            rng: self.rng.as_deref().map(str::parse).transpose()?.unwrap_or_default(),
            eta: self.eta,
            solver: self.solver,
            class,
            guidance_scale: self.guidance_scale,
            seed: self.seed,
            ..Sample::default()
        })
    }

    /// The provenance of the `i`th of these images, drawn alone: the same for the same image,
    /// in whatever company it was drawn.
    pub fn image(&self, i: usize) -> Provenance {
        Provenance {
            first_index: self.first_index.wrapping_add(i as u64),
            count: 1,
            // As for many, where sums were ordered so.
            batch: if self.summation == Summation::Fastest { self.batch } else { 1 },
            ..self.clone()
        }
    }

    /// What was otherwise when `self` was made than it is for `now`, beside the options:
    /// why the same options may give other images.
    pub fn differences(&self, now: &Provenance) -> Vec<Difference> {
        let other_model = "another picture, unless it is the same model with a setting that no pixel shows";
        let all: [(&'static str, &str, &str, &'static str); 8] = [
            ("version", &self.undiffuse, &now.undiffuse, "samplers or kernels may have changed"),
            ("model hash", &self.model_hash, &now.model_hash, other_model),
            (
                "noise hash",
                &self.noise_hash,
                // Of another seed it is another, and rightly so.
                if self.seed == now.seed { &now.noise_hash } else { &self.noise_hash },
                "the noise of the same seed is another: another picture",
            ),
            (
                "kernel set",
                &self.kernel_set,
                &now.kernel_set,
                "the shaders are others: sums may be rounded otherwise",
            ),
            (
                "adapter",
                &self.adapter,
                &now.adapter,
                "another adapter rounds otherwise: expect a level or two in some pixels",
            ),
            (
                "backend",
                &self.backend,
                &now.backend,
                "shaders are compiled by other means: as another adapter",
            ),
            ("driver", &self.driver, &now.driver, "shaders may be compiled otherwise: as another adapter"),
            ("precision", &self.precision, &now.precision, "numbers are rounded otherwise: similar pictures"),
        ];
        let differ = all.into_iter().filter(|(_, was, is, _)| was != is);
        differ
            .map(|(what, was, is, means)| Difference { what, was: short(was), is: short(is), means })
            .collect()
    }
}

fn is_default(options: &SolverOptions) -> bool {
    *options == SolverOptions::default()
}

/// A hash by its first twelve digits.
fn short(text: &str) -> String {
    match text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => text[..12].into(),
        false => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Provenance {
        let text = r#"{"undiffuse":"9.0.0","model":"m","model_hash":"a","kernel_set":"b","adapter":"c",
            "backend":"vulkan","driver":"d","precision":"f32","noise_hash":"e","batch_invariant":true,
            "seed":18446744073709551615,"first_index":7,"count":3,"batch":2,"sampler":"ddim","steps":20,
            "eta":0.5,"class":"Food","guidance_scale":1.5,"colour":"red"}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let p = sample();
        assert_eq!(p.other["colour"], "red");
        let again: Provenance = serde_json::from_str(&serde_json::to_string(&p).unwrap()).unwrap();
        assert_eq!(again, p);
        let options = p.options().unwrap();
        assert_eq!((options.seed, options.first_index, options.count), (u64::MAX, 7, 3));
        assert_eq!((options.steps, options.eta, options.guidance_scale), (Some(20), Some(0.5), 1.5));
        assert_eq!(options.class, Class::Name("Food".into()));
        assert_eq!((p.image(2).first_index, p.image(2).count), (9, 1));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let error = |p: Provenance| p.options().unwrap_err().to_string();
        assert!(error(Provenance { sampler: "dpm9".into(), ..sample() }).contains("dpm9"));
        assert!(error(Provenance { class: Some(Value::from(-1)), ..sample() }).contains("-1"));
        let bad = serde_json::from_str::<Provenance>(r#"{"undiffuse":"1"}"#).unwrap_err().to_string();
        assert!(bad.contains("missing field"), "{bad}");
    }

    #[test]
    fn differences_say_what_was_what_is_and_what_it_means() {
        let was = sample();
        assert_eq!(was.differences(&was), []);
        let is = Provenance { adapter: "GPU".into(), model_hash: "f".repeat(64), ..sample() };
        let said: Vec<String> = was.differences(&is).iter().map(ToString::to_string).collect();
        assert!(said[0].starts_with("model hash was a, is ffffffffffff: another picture"), "{said:?}");
        assert!(said[1].starts_with("adapter was c, is GPU: another adapter rounds"), "{said:?}");
        assert_eq!(said.len(), 2);
        let other = Provenance { noise_hash: "f".into(), ..sample() };
        assert!(was.differences(&other)[0].to_string().starts_with("noise hash was e, is f"));
        assert_eq!(was.differences(&Provenance { seed: was.seed - 1, ..other }), []);
    }
}
