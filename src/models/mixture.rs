//! Not a trained network but what one would learn at best: data in the plane that are a mixture
//! of Gaussians of one variance, whose score is known at every time.
//!
//! A point is a pixel of two channels, so an "image" of `[h, w, 2]` is `h w` points that know
//! nothing of each other. The configuration says the process as score_sde's do (`training.sde`:
//! `vpsde`, `subvpsde` or `vesde`, with `model.beta_min` and `beta_max`), or `"edm"` for EDM's
//! parametrisation with `model.sigma_data`; the checkpoint holds `components` `[k, 3]`: means and logs of
//! weights.

use super::options::Checker;
use super::{Beside, Description, Labels, Model, ModelError, Network, Times};
use crate::graph::Graph;
use crate::kernels::mixture::{Form, MOST_COMPONENTS};
use crate::shape::Shape;
use crate::weights::{Json, Weights};
use serde::Deserialize;

/// The `_class_name` of these configurations.
pub const CLASS: &str = "GaussianMixture";

/// What tells one without the name.
pub const FIELDS: &[&str] = &["components"];

/// The most points of a side.
const MOST_SIDE: usize = 1 << 12;

/// The fields that are read.
#[derive(Clone, Debug, Deserialize)]
struct Config {
    components: usize,
    /// The deviation of a component.
    std: f64,
    /// Rows and columns of points.
    points: (usize, usize),
    training: Training,
    #[serde(default)]
    model: Numbers,
}

#[derive(Clone, Debug, Deserialize)]
struct Training {
    sde: String,
    #[serde(default = "yes")]
    continuous: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
struct Numbers {
    beta_min: f64,
    beta_max: f64,
    sigma_data: f64,
}

impl Default for Numbers {
    fn default() -> Self {
        Self { beta_min: 0.1, beta_max: 20.0, sigma_data: 0.5 }
    }
}

/// A checked configuration.
#[derive(Debug)]
struct Mixture {
    shape: Shape,
    components: usize,
    variance: f64,
    form: Form,
}

/// Reads and checks a configuration.
///
/// # Errors
/// [`ModelError::Config`] with the field, [`ModelError::Weights`] for what is not JSON.
pub fn open(json: &Json, size: Option<(usize, usize)>) -> Result<Box<dyn Model>, ModelError> {
    let config: Config = json.parse()?;
    let check = Checker::new(&json.path);
    let (h, w) = size.unwrap_or(config.points);
    for side in [h, w] {
        check.count("points", side, MOST_SIDE)?;
    }
    check.count("components", config.components, MOST_COMPONENTS)?;
    // In f32 a smaller one is nothing beside a point's square.
    if !(1e-4..=1e4).contains(&config.std) {
        return Err(check.error("std", format!("{} is not between 1e-4 and 1e4", config.std)));
    }
    let Numbers { beta_min, beta_max, sigma_data: data } = config.model;
    if !(beta_min >= 0.0 && beta_max > beta_min && beta_max <= 1e3) {
        return Err(
            check.error("beta_max", format!("{beta_max} is not between beta_min ({beta_min}) and 1000"))
        );
    }
    if !(1e-4..=1e4).contains(&data) {
        return Err(check.error("sigma_data", format!("{data} is not between 1e-4 and 1e4")));
    }
    let known = [
        ("vpsde", Form::Vp { beta_min, beta_max }),
        ("subvpsde", Form::SubVp { beta_min, beta_max }),
        ("vesde", Form::Ve),
        ("edm", Form::Edm { data }),
    ];
    let form = check.word("sde", &config.training.sde, &known)?;
    if !config.training.continuous {
        return Err(check.error("continuous", "the exact score is one of continuous time: leave it out"));
    }
    let shape = Shape::new(h, w, 2);
    Ok(Box::new(Mixture { shape, components: config.components, variance: config.std.powi(2), form }))
}

impl Model for Mixture {
    fn describe(&self) -> Description {
        Description {
            architecture: CLASS,
            sample: self.shape,
            out_channels: 2,
            labels: Labels::None,
            times: Times::Real,
            beside: Beside::Nothing,
        }
    }

    fn build(&self, weights: &dyn Weights, graph: &mut Graph) -> Result<Network, ModelError> {
        let components = weights.get("components", &[self.components, 3])?;
        let sample = graph.input("sample", self.shape)?;
        let timestep = graph.input("timestep", Shape::vector(1))?;
        let output = graph.mixture(sample, timestep, &components, self.variance, self.form)?;
        graph.output("output", output);
        Ok(Network { sample, timestep, class_labels: None, beside: None, output })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_are_checked() {
        let good = serde_json::json!({ "_class_name": CLASS, "components": 3, "std": 0.1, "points": [2, 5],
            "training": { "sde": "vpsde" } });
        let read = |json: &serde_json::Value| {
            crate::models::open(&Json::new("mixture.json", json.to_string()), None)
        };
        assert_eq!(read(&good).unwrap().describe().sample, Shape::new(2, 5, 2));
        for (field, value) in [
            ("components", serde_json::json!(0)),
            ("components", serde_json::json!(1 << 20)),
            ("std", serde_json::json!(0.0)),
            ("std", serde_json::json!(null)),
            ("points", serde_json::json!([0, 4])),
            ("points", serde_json::json!([1 << 30, 1 << 30])),
            ("sde", serde_json::json!({ "sde": "cosine" })),
            ("continuous", serde_json::json!({ "sde": "vpsde", "continuous": false })),
            ("beta_max", serde_json::json!({ "beta_max": -1.0 })),
            ("sigma_data", serde_json::json!({ "sigma_data": 0.0 })),
        ] {
            let mut bad = good.clone();
            let place = match field {
                "sde" | "continuous" => "training",
                "beta_max" | "sigma_data" => "model",
                own => own,
            };
            bad[place] = value;
            let text = read(&bad).unwrap_err().to_string();
            assert!(text.contains(field) && text.contains("mixture.json"), "{field}: {text}");
        }
    }
}
