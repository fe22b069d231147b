//! The fields of `scheduler_config.json` that solvers of differential equations
//! read, and those whose default depends on the sampler.
//!
//! `None` is the sampler's own default: the field is missing, or the file says in
//! `_use_default_values` that it did not choose it.

use serde_json::Value;

use super::scheduler_config::Fields;
use super::timesteps::Spacing;
use super::Error;

/// How noise levels are spread, where not by timesteps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sigmas {
    /// As the timesteps are.
    #[default]
    Times,
    /// `sigma^(1/7)` in equal steps (Karras et al. 2022, arXiv:2206.00364, eq. 5).
    Karras,
    /// `log sigma` in equal steps.
    Exponential,
    /// Quantiles of the Beta(0.6, 0.6) distribution (Lee et al. 2024, arXiv:2407.12173).
    Beta,
    /// Log signal to noise ratios in equal steps (Lu et al. 2022, arXiv:2206.00927).
    Lu,
}

/// Where the last step leads (`final_sigmas_type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FinalSigma {
    /// To the image.
    #[default]
    Zero,
    /// To the least noise of training.
    SigmaMin,
}

/// Which equation DPM-Solver integrates (`algorithm_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The flow, by its noise (Lu et al. 2022, arXiv:2206.00927).
    Noise,
    /// The flow, by its image (Lu et al. 2022, arXiv:2211.01095).
    Data,
    /// The reverse SDE, by its noise.
    NoiseSde,
    /// The reverse SDE, by its image.
    DataSde,
}

impl Algorithm {
    /// The name in scheduler configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "dpmsolver",
            Self::Data => "dpmsolver++",
            Self::NoiseSde => "sde-dpmsolver",
            Self::DataSde => "sde-dpmsolver++",
        }
    }

    /// Whether it integrates the predicted image.
    pub const fn is_data(self) -> bool {
        matches!(self, Self::Data | Self::DataSde)
    }

    /// Whether it draws noise.
    pub const fn is_sde(self) -> bool {
        matches!(self, Self::NoiseSde | Self::DataSde)
    }
}

/// The variant of a solver (`solver_type`). Those of other classes mean each
/// class's own default, as in diffusers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SolverType {
    /// DPM-Solver's second order by the midpoint.
    Midpoint,
    /// DPM-Solver's second order by the trapezoid.
    Heun,
    /// UniPC with `B(h) = h`.
    Bh1,
    /// UniPC with `B(h) = e^h - 1`.
    Bh2,
    /// DEIS by polynomials in `log rho`.
    LogRho,
}

impl SolverType {
    const ALL: [SolverType; 5] = [Self::Midpoint, Self::Heun, Self::Bh1, Self::Bh2, Self::LogRho];

    const fn name(self) -> &'static str {
        match self {
            Self::Midpoint => "midpoint",
            Self::Heun => "heun",
            Self::Bh1 => "bh1",
            Self::Bh2 => "bh2",
            Self::LogRho => "logrho",
        }
    }
}

/// What solvers are told by the model's file, under the official names.
#[derive(Clone, Debug, PartialEq)]
pub struct SolverConfig {
    /// How timesteps are spread, if the file chose it.
    pub timestep_spacing: Option<Spacing>,
    /// Whether x0 is clamped, if the file chose it.
    pub clip_sample: Option<bool>,
    /// Whether the step beyond t = 0 goes to alpha_bar = 1, if the file chose it.
    pub set_alpha_to_one: Option<bool>,
    /// How noise levels are spread.
    pub sigmas: Sigmas,
    /// Where the last step leads.
    pub final_sigmas_type: FinalSigma,
    /// The least noise level of a spread.
    pub sigma_min: Option<f64>,
    /// The greatest noise level of a spread.
    pub sigma_max: Option<f64>,
    /// Noise levels in equal steps of their logarithm in place of the timesteps'
    /// own (`interpolation_type` = `log_linear`).
    pub log_linear: bool,
    /// The network is told `log(sigma) / 4`, where it predicts v (`timestep_type`
    /// = `continuous`).
    pub continuous: bool,
    /// Refused where it is set: flow matching (`use_flow_sigmas`).
    pub flow: bool,
    /// The order of multistep and single-step solvers.
    pub solver_order: Option<usize>,
    /// Which equation DPM-Solver integrates.
    pub algorithm_type: Option<Algorithm>,
    /// The variant of the solver.
    pub solver_type: Option<SolverType>,
    /// Whether the last steps of few are of lower order.
    pub lower_order_final: Option<bool>,
    /// Whether the last step is of order one.
    pub euler_at_final: bool,
    /// Timesteps of lower log signal to noise ratio (halved) are left out.
    pub lambda_min_clipped: f64,
    /// Whether UniPC integrates the predicted image.
    pub predict_x0: bool,
    /// Steps whose result UniPC leaves uncorrected.
    pub disable_corrector: Vec<usize>,
    /// Refused where it is set: UniPC with another solver as predictor.
    pub solver_p: bool,
    /// Whether PNDM starts with multistep formulas of lower order, not with Runge-Kutta.
    pub skip_prk_steps: bool,
    /// The steps of which LCM visits some.
    pub original_inference_steps: usize,
    /// LCM multiplies timesteps so before its boundary conditions.
    pub timestep_scaling: f64,
    /// The deviation of the data in EDM's preconditioning.
    pub sigma_data: f64,
    /// EDM's exponent.
    pub rho: f64,
    /// EDM spreads `log sigma` (`sigma_schedule` = `exponential`), not `sigma^(1/rho)`.
    pub edm_exponential: bool,
}

impl Default for SolverConfig {
    fn default() -> Self {
        Self {
            timestep_spacing: None,
            clip_sample: None,
            set_alpha_to_one: None,
            sigmas: Sigmas::Times,
            final_sigmas_type: FinalSigma::Zero,
            sigma_min: None,
            sigma_max: None,
            log_linear: false,
            continuous: false,
            flow: false,
            solver_order: None,
            algorithm_type: None,
            solver_type: None,
            lower_order_final: None,
            euler_at_final: false,
            lambda_min_clipped: f64::NEG_INFINITY,
            predict_x0: true,
            disable_corrector: Vec::new(),
            solver_p: false,
            skip_prk_steps: false,
            original_inference_steps: 50,
            timestep_scaling: 10.0,
            sigma_data: 0.5,
            rho: 7.0,
            edm_exponential: false,
        }
    }
}

impl SolverConfig {
    pub(super) fn read(f: &Fields<'_>) -> Result<Self, Error> {
        let d = Self::default();
        let flag = |field| f.flag(field, false);
        let some_flag = |field| f.chosen(field).then(|| flag(field)).transpose();
        let positive = |field, default: Option<f64>| -> Result<Option<f64>, Error> {
            let read = |v: &Value| if v.is_null() { Some(default) } else { v.as_f64().map(Some) };
            let value = f.read(field, "it must be a number", read)?.unwrap_or(default);
            match value.filter(|v| !(*v > 0.0 && v.is_finite())) {
                Some(bad) => Err(Error::config(field, bad, "it must be positive and finite")),
                None => Ok(value),
            }
        };
        let spacing = |v: Spacing| v.name();
        let algorithm = match f.text("algorithm_type")? {
            None => None,
            // As in diffusers, which reads the files of DEIS so.
            Some("deis") => Some(Algorithm::Data),
            Some(name) => Some(
                [Algorithm::Noise, Algorithm::Data, Algorithm::NoiseSde, Algorithm::DataSde]
                    .into_iter()
                    .find(|a| a.name() == name)
                    .ok_or_else(|| {
                        let need =
                            "accepted are dpmsolver, dpmsolver++, sde-dpmsolver, sde-dpmsolver++, deis";
                        Error::config("algorithm_type", name, need)
                    })?,
            ),
        };
        let solver_type =
            f.choice("solver_type", None, &SolverType::ALL.map(Some), |v| v.map_or("", SolverType::name))?;
        let solver_order = match f.count("solver_order", 0)? {
            0 => None,
            order => Some(order),
        };
        let choice = |field, first: &'static str, second: &'static str| {
            f.choice(field, false, &[false, true], move |v| if v { second } else { first })
        };
        Ok(Self {
            timestep_spacing: match f.chosen("timestep_spacing") {
                true => Some(f.choice("timestep_spacing", Spacing::Leading, &Spacing::ALL, spacing)?),
                false => None,
            },
            clip_sample: some_flag("clip_sample")?,
            set_alpha_to_one: some_flag("set_alpha_to_one")?,
            sigmas: Self::sigmas(f)?,
            final_sigmas_type: match choice("final_sigmas_type", "zero", "sigma_min")? {
                true => FinalSigma::SigmaMin,
                false => FinalSigma::Zero,
            },
            sigma_min: positive("sigma_min", None)?,
            sigma_max: positive("sigma_max", None)?,
            log_linear: choice("interpolation_type", "linear", "log_linear")?,
            continuous: choice("timestep_type", "discrete", "continuous")?,
            flow: flag("use_flow_sigmas")?,
            solver_order,
            algorithm_type: algorithm,
            solver_type,
            lower_order_final: some_flag("lower_order_final")?,
            euler_at_final: flag("euler_at_final")?,
            lambda_min_clipped: f
                .read("lambda_min_clipped", "it must be a number", |v| {
                    // JSON has no infinities: readers of Python's give null.
                    if v.is_null() {
                        Some(d.lambda_min_clipped)
                    } else {
                        v.as_f64()
                    }
                })?
                .unwrap_or(d.lambda_min_clipped),
            predict_x0: f.flag("predict_x0", true)?,
            disable_corrector: f
                .read("disable_corrector", "it must be a list of at most 1000 whole numbers", |v| match v {
                    Value::Null => Some(Vec::new()),
                    Value::Array(list) if list.len() <= 1000 => {
                        list.iter().map(|v| v.as_u64().map(|n| n as usize)).collect()
                    }
                    _ => None,
                })?
                .unwrap_or_default(),
            solver_p: f.read("solver_p", "", |v| Some(!v.is_null()))?.unwrap_or(false),
            skip_prk_steps: flag("skip_prk_steps")?,
            original_inference_steps: f.count("original_inference_steps", d.original_inference_steps)?,
            timestep_scaling: positive("timestep_scaling", Some(d.timestep_scaling))?
                .unwrap_or(d.timestep_scaling),
            sigma_data: positive("sigma_data", Some(d.sigma_data))?.unwrap_or(d.sigma_data),
            rho: positive("rho", Some(d.rho))?.unwrap_or(d.rho),
            edm_exponential: choice("sigma_schedule", "karras", "exponential")?,
        })
    }

    /// At most one of the flags may be set.
    fn sigmas(f: &Fields<'_>) -> Result<Sigmas, Error> {
        let mut chosen: Option<(&str, Sigmas)> = None;
        for (field, sigmas) in [
            ("use_karras_sigmas", Sigmas::Karras),
            ("use_exponential_sigmas", Sigmas::Exponential),
            ("use_beta_sigmas", Sigmas::Beta),
            ("use_lu_lambdas", Sigmas::Lu),
        ] {
            if f.flag(field, false)? {
                if let Some((other, _)) = chosen {
                    return Err(Error::config(
                        field,
                        "true",
                        format!("{other} is true already; set one of them"),
                    ));
                }
                chosen = Some((field, sigmas));
            }
        }
        Ok(chosen.map_or(Sigmas::Times, |(_, sigmas)| sigmas))
    }
}
