//! Systems whose sampling is their own: what the reference's configuration says of it, by its
//! own field names.

use super::cld::Cld;
use super::latent::LatentSde;
use super::{Error, Sampler};
use crate::shape::Shape;
use serde_json::{Map, Value};

/// The most steps that a configuration may ask for.
const MOST_STEPS: usize = 100_000;

/// A system with samplers of its own.
#[derive(Clone, Debug, PartialEq)]
pub enum System {
    /// A denoising diffusion GAN.
    Ddgan(Ddgan),
    /// Critically damped Langevin diffusion.
    Cld(CldSampling),
    /// A latent score-based model.
    Lsgm(Lsgm),
}

/// How a denoising diffusion GAN is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ddgan {
    /// Steps (`num_timesteps`).
    pub steps: usize,
    /// beta_min of the schedule.
    pub beta_min: f64,
    /// beta_max of the schedule.
    pub beta_max: f64,
    /// Variances in a geometric series in place of VP's.
    pub geometric: bool,
    /// Length of the noise vector.
    pub nz: usize,
}

/// How a CLD model is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CldSampling {
    /// The process.
    pub process: Cld,
    /// Steps, the denoising one included (`n_discrete_steps`).
    pub steps: usize,
    /// Where sampling ends (`sampling_eps`).
    pub eps: f64,
    /// A last step without noise down to time 0.
    pub denoising: bool,
    /// Steps that grow towards the noise (`striding` quadratic), else equal ones.
    pub quadratic: bool,
    /// Added to the variances of SSCS's analytic part.
    pub stabilise: f64,
    /// The reference's method: `sscs`, `em` or `ode`.
    pub method: CldMethod,
    /// Tolerances of the adaptive solver (`sampling_rtol`, `sampling_atol`).
    pub tolerances: (f64, f64),
}

/// The method of a CLD configuration (`sampling_method`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CldMethod {
    /// Symmetric splitting.
    Sscs,
    /// Euler-Maruyama.
    Em,
    /// Probability flow.
    Ode,
}

/// How a latent score-based model is sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lsgm {
    /// The prior's process.
    pub sde: LatentSde,
    /// Steps of the discrete chain (`diffusion_steps`).
    pub steps: usize,
    /// The chain's noise has the posterior's variance (`denoising_stddevs` `beta_post`), else `beta`.
    pub posterior: bool,
    /// Where the probability flow ends (`ode_eps`).
    pub ode_eps: f64,
    /// Both tolerances of the adaptive solver (`ode_solver_tol`).
    pub ode_tol: f64,
    /// Scales of latents; lower ones than the first are noise.
    pub scales: usize,
    /// Groups of a scale.
    pub groups: usize,
    /// Channels of a group.
    pub z: usize,
    /// The image.
    pub image: Shape,
}

/// Typed fields of an object.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn number(&self, name: &'static str, default: f64) -> Result<f64, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(v) => v
                .as_f64()
                .filter(|v| v.is_finite())
                .ok_or_else(|| Error::field(name, v, "a finite number is wanted")),
        }
    }

    fn positive(&self, name: &'static str, default: f64) -> Result<f64, Error> {
        let v = self.number(name, default)?;
        (v > 0.0).then_some(v).ok_or_else(|| Error::field(name, v, "it must be positive"))
    }

    fn count(&self, name: &'static str, default: usize, most: usize) -> Result<usize, Error> {
        let Some(v) = self.0.get(name).filter(|v| !v.is_null()) else { return Ok(default) };
        let whole = v.as_u64().and_then(|v| usize::try_from(v).ok()).filter(|v| (1..=most).contains(v));
        whole.ok_or_else(|| Error::field(name, v, format!("a whole number from 1 to {most} is wanted")))
    }

    fn flag(&self, name: &'static str, default: bool) -> Result<bool, Error> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(v) => v.as_bool().ok_or_else(|| Error::field(name, v, "true or false is wanted")),
        }
    }

    fn word<T: Copy>(&self, name: &'static str, default: T, known: &[(&str, T)]) -> Result<T, Error> {
        let Some(v) = self.0.get(name).filter(|v| !v.is_null()) else { return Ok(default) };
        let found = known.iter().find(|(word, _)| v.as_str() == Some(word));
        found.map(|(_, t)| *t).ok_or_else(|| {
            let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
            Error::field(name, v, format!("supported: {}", words.join(", ")))
        })
    }
}

impl System {
    /// What a configuration of the architecture `class` says; `None` for architectures whose
    /// sampling a scheduler's configuration describes. `image` is what a decoder gives.
    ///
    /// # Errors
    /// [`Error::Field`] with the field.
    pub fn of(class: &str, config: &Value, image: Shape) -> Result<Option<System>, Error> {
        let empty = Map::new();
        let f = Fields(config.as_object().unwrap_or(&empty));
        Ok(match class {
            "DenoisingDiffusionGan" => Some(System::Ddgan(ddgan(&f)?)),
            "CldSgm" => Some(System::Cld(cld(&f)?)),
            "Lsgm" => Some(System::Lsgm(lsgm(&f, image)?)),
            _ => None,
        })
    }

    /// The system that a sampler is of, with its published settings; `None` for a sampler of models
    /// that a scheduler's configuration describes.
    ///
    /// # Errors
    /// None: the settings are the defaults of the references.
    pub fn example(sampler: Sampler, image: Shape) -> Result<Option<System>, Error> {
        let class = match sampler {
            Sampler::Ddgan => "DenoisingDiffusionGan",
            Sampler::Sscs | Sampler::CldEm | Sampler::CldOde => "CldSgm",
            Sampler::LsgmOde | Sampler::LsgmAncestral => "Lsgm",
            _ => return Ok(None),
        };
        Self::of(class, &Value::Null, image)
    }

    /// Relative and absolute tolerance of the reference's adaptive solver, if it has one.
    pub fn tolerances(&self) -> Option<(f64, f64)> {
        match self {
            System::Ddgan(_) => None,
            System::Cld(s) => Some(s.tolerances),
            System::Lsgm(s) => Some((s.ode_tol, s.ode_tol)),
        }
    }

    /// The steps of a user who names none.
    pub fn steps(&self) -> usize {
        match self {
            System::Ddgan(s) => s.steps,
            System::Cld(s) => s.steps,
            System::Lsgm(s) => s.steps,
        }
    }
}

fn ddgan(f: &Fields<'_>) -> Result<Ddgan, Error> {
    let (beta_min, beta_max) = (f.positive("beta_min", 0.1)?, f.positive("beta_max", 20.0)?);
    let geometric = f.flag("use_geometric", false)?;
    if geometric && beta_max >= 1.0 {
        return Err(Error::field("beta_max", beta_max, "use_geometric needs a variance below 1"));
    }
    let steps = f.count("num_timesteps", 4, MOST_STEPS)?;
    Ok(Ddgan { steps, beta_min, beta_max, geometric, nz: f.count("nz", 100, 1 << 14)? })
}

fn cld(f: &Fields<'_>) -> Result<CldSampling, Error> {
    f.word("beta_type", (), &[("linear", ())])?;
    f.word("sde", (), &[("cld", ())])?;
    let process = Cld {
        beta0: f.number("beta0", 4.0)?,
        beta1: f.number("beta1", 0.0)?,
        m_inv: f.positive("m_inv", 4.0)?,
        gamma: f.number("gamma", 0.04)?,
        eps: f.number("numerical_eps", 1e-9)?,
        hybrid: f.word("cld_objective", true, &[("hsm", true), ("dsm", false)])?,
        mixed_score: f.flag("mixed_score", true)?,
    };
    if process.beta0 < 0.0 || process.beta0 + process.beta1 <= 0.0 || process.gamma < 0.0 || process.eps < 0.0
    {
        let given = format!("{} + {} t", process.beta0, process.beta1);
        return Err(Error::field("beta0", given, "beta, gamma and numerical_eps must not be negative"));
    }
    let eps = f.positive("sampling_eps", 1e-3)?;
    if eps >= 1.0 {
        return Err(Error::field("sampling_eps", eps, "it must be less than 1"));
    }
    let methods = [("sscs", CldMethod::Sscs), ("em", CldMethod::Em), ("ode", CldMethod::Ode)];
    Ok(CldSampling {
        process,
        steps: f.count("n_discrete_steps", 500, MOST_STEPS)?,
        eps,
        denoising: f.flag("denoising", true)?,
        quadratic: f.word("striding", false, &[("linear", false), ("quadratic", true)])?,
        stabilise: f.number("sscs_num_stab", 0.0)?,
        method: f.word("sampling_method", CldMethod::Sscs, &methods)?,
        tolerances: (f.positive("sampling_rtol", 1e-5)?, f.positive("sampling_atol", 1e-5)?),
    })
}

fn lsgm(f: &Fields<'_>, image: Shape) -> Result<Lsgm, Error> {
    let kind =
        f.word("sde_type", 0, &[("vpsde", 0), ("sub_vpsde", 1), ("vesde", 2), ("geometric_sde", 3)])?;
    let (beta_start, beta_end) = (f.positive("beta_start", 0.1)?, f.positive("beta_end", 20.0)?);
    let sigma2_0 = f.number("sigma2_0", 0.0)?;
    let (sigma2_min, sigma2_max) = (f.positive("sigma2_min", 1e-4)?, f.positive("sigma2_max", 0.99)?);
    if !(0.0..1.0).contains(&sigma2_0) {
        return Err(Error::field("sigma2_0", sigma2_0, "it must lie in [0, 1)"));
    }
    if sigma2_min >= sigma2_max {
        return Err(Error::field("sigma2_min", sigma2_min, "it must be less than sigma2_max"));
    }
    let sde = match kind {
        0 => LatentSde::Vp { beta_start, beta_end, sigma2_0 },
        1 => LatentSde::SubVp { beta_start, beta_end, sigma2_0 },
        2 => LatentSde::Ve { sigma2_min, sigma2_max, sigma2_0 },
        _ => LatentSde::Geometric { sigma2_min, sigma2_max, sigma2_0 },
    };
    let ode_eps = f.positive("ode_eps", 1e-5)?;
    if ode_eps >= 1.0 {
        return Err(Error::field("ode_eps", ode_eps, "it must be less than 1"));
    }
    Ok(Lsgm {
        sde,
        steps: f.count("diffusion_steps", 1000, MOST_STEPS)?,
        posterior: f.word("denoising_stddevs", false, &[("beta", false), ("beta_post", true)])?,
        ode_eps,
        ode_tol: f.positive("ode_solver_tol", 1e-5)?,
        scales: f.count("num_latent_scales", 1, 8)?,
        groups: f.count("num_groups_per_scale", 10, 1 << 12)?,
        z: f.count("num_latent_per_group", 20, 1 << 12)?,
        image,
    })
}
