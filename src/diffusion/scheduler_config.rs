//! `scheduler_config.json` of a diffusers model folder.
//!
//! A sampler may be chosen whatever class wrote the file, so fields of other
//! classes are ignored. Missing fields get the defaults of diffusers'
//! `DDPMScheduler` and `DDIMScheduler`, which agree on every field that they
//! share (a test compares both with [`SchedulerConfig::default`]); betas get
//! those of the class that wrote the file (`_class_name`). Fields whose default
//! differs from sampler to sampler are in [`SolverConfig`].

use serde_json::{Map, Value};

use super::continuous::Clock;
use super::process::{Process, Quantity};
use super::schedule::BetaSchedule;
use super::solver_config::SolverConfig;
use super::timesteps::Spacing;
use super::{Continuous, Error, Prediction, System};

/// More training timesteps than this are taken for a broken file.
pub const MAX_TRAIN_TIMESTEPS: usize = 100_000;

/// Where the variance of DDPM's steps comes from (`variance_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VarianceType {
    /// The posterior's, `beta~_t` (Ho et al. 2020, eq. 7).
    FixedSmall,
    /// The same by way of its logarithm.
    FixedSmallLog,
    /// `beta_t`.
    FixedLarge,
    /// The same by way of its logarithm. (diffusers 0.42 takes the square root
    /// of the logarithm, which is NaN; here it is what the name says.)
    FixedLargeLog,
    /// The network's second half of channels is the variance.
    Learned,
    /// The network's second half of channels, from -1 to 1, goes from the small
    /// to the large log variance (Nichol & Dhariwal 2021, arXiv:2102.09672,
    /// eq. 15).
    LearnedRange,
}

impl VarianceType {
    /// Every type.
    pub const ALL: [VarianceType; 6] = [
        Self::FixedSmall,
        Self::FixedSmallLog,
        Self::FixedLarge,
        Self::FixedLargeLog,
        Self::Learned,
        Self::LearnedRange,
    ];

    /// The name in scheduler configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FixedSmall => "fixed_small",
            Self::FixedSmallLog => "fixed_small_log",
            Self::FixedLarge => "fixed_large",
            Self::FixedLargeLog => "fixed_large_log",
            Self::Learned => "learned",
            Self::LearnedRange => "learned_range",
        }
    }

    /// Whether the network predicts it, in a second half of channels.
    pub const fn is_learned(self) -> bool {
        matches!(self, Self::Learned | Self::LearnedRange)
    }
}

/// The fields of `scheduler_config.json`, under their official names.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulerConfig {
    /// Timesteps of training, T.
    pub num_train_timesteps: usize,
    /// The first beta.
    pub beta_start: f64,
    /// The last beta.
    pub beta_end: f64,
    /// The family of betas.
    pub beta_schedule: BetaSchedule,
    /// All betas; takes the place of the family.
    pub trained_betas: Option<Vec<f64>>,
    /// The variance of DDPM's steps.
    pub variance_type: VarianceType,
    /// Whether the predicted x0 is clamped.
    pub clip_sample: bool,
    /// To which magnitude it is clamped.
    pub clip_sample_range: f64,
    /// Whether the predicted x0 is dynamically thresholded (instead of clamped).
    pub thresholding: bool,
    /// The quantile of |x0| that becomes the threshold.
    pub dynamic_thresholding_ratio: f64,
    /// The greatest threshold.
    pub sample_max_value: f64,
    /// What the network predicts.
    pub prediction_type: Prediction,
    /// How timesteps are spread by DDPM and DDIM; others have
    /// [`SolverConfig::timestep_spacing`].
    pub timestep_spacing: Spacing,
    /// Added to the timesteps of `leading`.
    pub steps_offset: usize,
    /// Whether DDIM's last step goes to alpha_bar = 1, or to that of t = 0.
    pub set_alpha_to_one: bool,
    /// Whether betas are rescaled so that the last level holds nothing of the image.
    pub rescale_betas_zero_snr: bool,
    /// What the solvers of differential equations are told.
    pub solver: SolverConfig,
    /// The model in continuous time, if it was trained so: then there are no betas but
    /// [`SchedulerConfig::trained_betas`], without which samplers of discrete chains are refused.
    pub continuous: Option<Continuous>,
    /// Whether the network is in EDM's parametrisation ([`Quantity::F`]): the classes of EDM's own
    /// samplers say so.
    pub edm: bool,
    /// What a system with samplers of its own says; there is no schedule then.
    pub system: Option<System>,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            num_train_timesteps: 1000,
            beta_start: 1e-4,
            beta_end: 0.02,
            beta_schedule: BetaSchedule::Linear,
            trained_betas: None,
            variance_type: VarianceType::FixedSmall,
            clip_sample: true,
            clip_sample_range: 1.0,
            thresholding: false,
            dynamic_thresholding_ratio: 0.995,
            sample_max_value: 1.0,
            prediction_type: Prediction::Epsilon,
            timestep_spacing: Spacing::Leading,
            steps_offset: 0,
            set_alpha_to_one: true,
            rescale_betas_zero_snr: false,
            solver: SolverConfig::default(),
            continuous: None,
            edm: false,
            system: None,
        }
    }
}

impl SchedulerConfig {
    /// Reads and checks the text of a `scheduler_config.json`.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> =
            serde_json::from_str(text).map_err(|e| Error::Json(e.to_string()))?;
        let f = Fields(&fields);
        let d = Self::of_class(f.text("_class_name")?.unwrap_or_default());
        let config = Self {
            num_train_timesteps: f.count("num_train_timesteps", d.num_train_timesteps)?,
            beta_start: f.number("beta_start", d.beta_start)?,
            beta_end: f.number("beta_end", d.beta_end)?,
            beta_schedule: f.choice("beta_schedule", d.beta_schedule, &BetaSchedule::ALL, |v| v.name())?,
            trained_betas: f.numbers("trained_betas")?,
            variance_type: f.choice("variance_type", d.variance_type, &VarianceType::ALL, |v| v.name())?,
            clip_sample: f.flag("clip_sample", d.clip_sample)?,
            clip_sample_range: f.number("clip_sample_range", d.clip_sample_range)?,
            thresholding: f.flag("thresholding", d.thresholding)?,
            dynamic_thresholding_ratio: f
                .number("dynamic_thresholding_ratio", d.dynamic_thresholding_ratio)?,
            sample_max_value: f.number("sample_max_value", d.sample_max_value)?,
            prediction_type: f
                .choice("prediction_type", d.prediction_type, &Prediction::ALL, |v| v.name())?,
            timestep_spacing: f
                .choice("timestep_spacing", d.timestep_spacing, &Spacing::ALL, |v| v.name())?,
            steps_offset: f.count("steps_offset", d.steps_offset)?,
            set_alpha_to_one: f.flag("set_alpha_to_one", d.set_alpha_to_one)?,
            rescale_betas_zero_snr: f.flag("rescale_betas_zero_snr", d.rescale_betas_zero_snr)?,
            solver: SolverConfig::read(&f)?,
            continuous: match f.text("_class_name")? {
                Some("ScoreSdeVeScheduler") => Some(score_sde_ve(&f)?),
                // No other class has these, and a file may lack its class.
                None if fields.contains_key("sampling_eps") && fields.contains_key("correct_steps") => {
                    Some(score_sde_ve(&f)?)
                }
                _ => None,
            },
            edm: f.text("_class_name")?.is_some_and(|class| class.starts_with("EDM")),
            system: None,
        };
        config.check()?;
        Ok(config)
    }

    /// The defaults, with the betas that the class has when its file names none.
    fn of_class(class: &str) -> Self {
        let latent = Self { beta_start: 0.00085, beta_end: 0.012, ..Self::default() };
        match class {
            "HeunDiscreteScheduler" | "KDPM2DiscreteScheduler" | "KDPM2AncestralDiscreteScheduler" => latent,
            "ScoreSdeVeScheduler" => Self { num_train_timesteps: 2000, ..Self::default() },
            "LCMScheduler" => Self { beta_schedule: BetaSchedule::ScaledLinear, ..latent },
            _ => Self::default(),
        }
    }

    /// Refuses nonsense, before anything is allocated for it.
    pub fn check(&self) -> Result<(), Error> {
        let train = self.num_train_timesteps;
        if train == 0 || train > MAX_TRAIN_TIMESTEPS {
            let need = format!("it must be 1 to {MAX_TRAIN_TIMESTEPS}");
            return Err(Error::config("num_train_timesteps", train, need));
        }
        if self.steps_offset >= train {
            let need = format!("it must be less than num_train_timesteps ({train})");
            return Err(Error::config("steps_offset", self.steps_offset, need));
        }
        for (field, value) in [("beta_start", self.beta_start), ("beta_end", self.beta_end)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(field, value, "it must lie in [0, 1]"));
            }
        }
        if let Some(betas) = &self.trained_betas {
            if betas.len() != train {
                let need = format!("their number must be num_train_timesteps ({train})");
                return Err(Error::config("trained_betas", format!("{} betas", betas.len()), need));
            }
            if let Some((t, beta)) = betas.iter().enumerate().find(|(_, b)| !(0.0..=1.0).contains(*b)) {
                return Err(Error::config(
                    "trained_betas",
                    format!("{beta} at t = {t}"),
                    "betas must lie in [0, 1]",
                ));
            }
        }
        for (field, value) in
            [("clip_sample_range", self.clip_sample_range), ("sample_max_value", self.sample_max_value)]
        {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::config(field, value, "it must be positive and finite"));
            }
        }
        if !(0.0..=1.0).contains(&self.dynamic_thresholding_ratio) {
            let value = self.dynamic_thresholding_ratio;
            return Err(Error::config("dynamic_thresholding_ratio", value, "it must lie in [0, 1]"));
        }
        Ok(())
    }
}

/// diffusers' `ScoreSdeVeScheduler`: score_sde's VE, whose network gives the score.
fn score_sde_ve(f: &Fields<'_>) -> Result<Continuous, Error> {
    let (sigma_min, sigma_max) = (f.number("sigma_min", 0.01)?, f.number("sigma_max", 1348.0)?);
    let (end, snr) = (f.number("sampling_eps", 1e-5)?, f.number("snr", 0.15)?);
    if !(sigma_min > 0.0 && sigma_min < sigma_max && sigma_max.is_finite()) {
        let need = format!("it must be positive and less than sigma_max ({sigma_max})");
        return Err(Error::config("sigma_min", sigma_min, need));
    }
    if !(end > 0.0 && end < 1.0) {
        return Err(Error::config("sampling_eps", end, "it must lie between 0 and 1"));
    }
    if !(snr > 0.0 && snr.is_finite()) {
        return Err(Error::config("snr", snr, "it must be positive and finite"));
    }
    let corrector_steps = f.count("correct_steps", 1)?;
    if corrector_steps > 1000 {
        return Err(Error::config("correct_steps", corrector_steps, "it must be at most 1000"));
    }
    Ok(Continuous {
        process: Process::Ve { sigma_min, sigma_max },
        quantity: Quantity::Score,
        clock: Clock::Std,
        start: 1.0,
        end,
        scales: f.count("num_train_timesteps", 2000)?,
        snr,
        corrector_steps,
        stds: None,
    })
}

/// Typed access to a JSON object, with errors that name the field.
pub(super) struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Whether the file itself chose this field: it is there, and is not said to
    /// be the default of the class that wrote it (`_use_default_values`).
    pub(super) fn chosen(&self, field: &str) -> bool {
        let defaults = self.0.get("_use_default_values").and_then(Value::as_array);
        self.0.contains_key(field)
            && !defaults.is_some_and(|list| list.iter().any(|v| v.as_str() == Some(field)))
    }

    /// `None` if the field is missing or null.
    pub(super) fn text(&self, field: &'static str) -> Result<Option<&'a str>, Error> {
        match self.0.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Error::config(
                field,
                other.to_string().chars().take(80).collect::<String>(),
                "it must be a text",
            )),
        }
    }

    /// `None` if the field is missing.
    pub(super) fn read<T>(
        &self,
        field: &'static str,
        need: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.0.get(field) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let text: String = value.to_string().chars().take(80).collect();
                Err(Error::config(field, text, need))
            }
        }
    }

    pub(super) fn count(&self, field: &'static str, default: usize) -> Result<usize, Error> {
        let read = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        Ok(self.read(field, "it must be a whole number, not negative", read)?.unwrap_or(default))
    }

    pub(super) fn number(&self, field: &'static str, default: f64) -> Result<f64, Error> {
        Ok(self.read(field, "it must be a number", Value::as_f64)?.unwrap_or(default))
    }

    /// `null` is false, as Python sees it.
    pub(super) fn flag(&self, field: &'static str, default: bool) -> Result<bool, Error> {
        let read = |v: &Value| if v.is_null() { Some(false) } else { v.as_bool() };
        Ok(self.read(field, "it must be true or false", read)?.unwrap_or(default))
    }

    /// `null` is `None`.
    pub(super) fn numbers(&self, field: &'static str) -> Result<Option<Vec<f64>>, Error> {
        let read = |v: &Value| match v {
            Value::Null => Some(None),
            Value::Array(list) if list.len() <= MAX_TRAIN_TIMESTEPS => {
                list.iter().map(Value::as_f64).collect::<Option<Vec<f64>>>().map(Some)
            }
            _ => None,
        };
        let need = format!("it must be null or a list of at most {MAX_TRAIN_TIMESTEPS} numbers");
        Ok(self.read(field, &need, read)?.flatten())
    }

    pub(super) fn choice<T: Copy>(
        &self,
        field: &'static str,
        default: T,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<T, Error> {
        let names: Vec<&str> = all.iter().map(|v| name(*v)).collect();
        let need = format!("accepted are {}", names.join(", "));
        let read = |v: &Value| match v {
            Value::Null => Some(default),
            v => all.iter().copied().find(|c| v.as_str() == Some(name(*c))),
        };
        Ok(self.read(field, &need, read)?.unwrap_or(default))
    }
}
