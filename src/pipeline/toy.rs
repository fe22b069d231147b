//! Data in the plane whose scores are known: models that need no training, for looking at
//! processes and samplers by eye and by number.
//!
//! `toy/NAME` is a mixture of Gaussians ([`models::mixture`](crate::models::mixture)) in VP, as continuous
//! time and as a chain of 1000 steps; `toy/NAME-sub-vp`, `toy/NAME-ve` and `toy/NAME-edm` are
//! the same data in other processes.

use super::{Model, PipelineError};
use crate::kernels::noise;
use crate::weights::{DiffusersFolder, Json, Safetensors, WeightsError};
use safetensors::tensor::TensorView;
use serde_json::json;
use std::f64::consts::PI;
use std::sync::Arc;

/// Points of an image: 32 rows of 32.
const SIDE: usize = 32;

/// The processes, by the end of a name.
const PROCESSES: [(&str, &str); 4] =
    [("-sub-vp", "subvpsde"), ("-ve", "vesde"), ("-edm", "edm"), ("", "vpsde")];

/// Data in the plane: a mixture of Gaussians of one deviation.
#[derive(Clone, Copy, Debug)]
pub struct Toy {
    /// The name, behind `toy/`.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// The deviation of a component.
    pub std: f64,
    means: fn() -> Vec<[f64; 2]>,
}

/// Every toy.
pub static TOYS: &[Toy] = &[
    Toy {
        name: "25-gaussians",
        about: "25 Gaussians of deviation 0.03, half a unit apart",
        std: 0.03,
        means: gaussians,
    },
    Toy {
        name: "swiss-roll",
        about: "a spiral of one and a half turns and deviation 0.03: 200 Gaussians",
        std: 0.03,
        means: swiss_roll,
    },
    Toy {
        name: "checkerboard",
        about: "8 squares of a board of 4 x 4: 6 x 6 Gaussians each, deviation 0.05",
        std: 0.05,
        means: checkerboard,
    },
];

fn gaussians() -> Vec<[f64; 2]> {
    (0..25).map(|i| [f64::from(i % 5) * 0.5 - 1.0, f64::from(i / 5) * 0.5 - 1.0]).collect()
}

/// `r = angle / (4.5 pi)` from 1.5 pi to 4.5 pi, the middles of equal parts, as scikit-learn's roll.
fn swiss_roll() -> Vec<[f64; 2]> {
    let angle = |i: i32| 1.5 * PI * (1.0 + 2.0 * (f64::from(i) + 0.5) / 200.0);
    (0..200).map(angle).map(|t| [t * t.cos() / (4.5 * PI), t * t.sin() / (4.5 * PI)]).collect()
}

fn checkerboard() -> Vec<[f64; 2]> {
    let middle = |square: i32, i: i32| f64::from(square) * 0.5 - 1.0 + (f64::from(i) + 0.5) / 12.0;
    let squares = (0..16).map(|s| (s % 4, s / 4)).filter(|(x, y)| (x + y) % 2 == 0);
    squares.flat_map(|(x, y)| (0..36).map(move |i| [middle(x, i % 6), middle(y, i / 6)])).collect()
}

impl Toy {
    /// The means of the components, which are all of one weight.
    pub fn means(&self) -> Vec<[f64; 2]> {
        (self.means)()
    }

    /// The toy and the process of a name behind `toy/`.
    ///
    /// # Errors
    /// A name that is not there, with those that are.
    pub fn find(name: &str) -> Result<(&'static Toy, &'static str), PipelineError> {
        let of = |(end, sde): &(&'static str, &'static str)| {
            let toy = TOYS.iter().find(|t| name.strip_suffix(end) == Some(t.name))?;
            Some((toy, *sde))
        };
        PROCESSES.iter().find_map(of).ok_or_else(|| {
            let names = TOYS.iter().map(|t| format!("toy/{}", t.name)).collect::<Vec<_>>().join(", ");
            let what = format!("no `toy/{name}`; there are {names}, each also with -sub-vp, -ve or -edm");
            PipelineError::Option { option: "model", what }
        })
    }

    /// Its files, as if they lay in a folder.
    ///
    /// # Errors
    /// None: a test opens them all.
    pub fn folder(&self, sde: &str) -> Result<DiffusersFolder, PipelineError> {
        let means = self.means();
        // Of VE: deviations that hold all of the data, and that the components still hide.
        let config = json!({
            "_class_name": "GaussianMixture", "components": means.len(), "std": self.std, "points": [SIDE, SIDE],
            "training": { "sde": sde },
            "model": { "beta_min": 0.1, "beta_max": 20.0, "sigma_min": 0.01, "sigma_max": 10.0, "sigma_data": 0.5,
                "num_scales": 1000 },
        });
        let weight = -(means.len() as f64).ln();
        let numbers = means.iter().flat_map(|m| [m[0], m[1], weight]).flat_map(|v| (v as f32).to_le_bytes());
        let bytes: Vec<u8> = numbers.collect();
        let origin = format!("toy/{}", self.name);
        let damaged = |e: safetensors::SafeTensorError| WeightsError::Damaged {
            path: origin.clone().into(),
            what: e.to_string(),
        };
        let view = TensorView::new(safetensors::Dtype::F32, vec![means.len(), 3], &bytes).map_err(damaged)?;
        let file = safetensors::serialize([("components", view)], None).map_err(damaged)?;
        let weights = Safetensors::from_bytes(&origin, file)?;
        let config = Json::new(format!("{origin}/config.json"), config.to_string());
        let mut folder = DiffusersFolder::with_weights(config, Arc::new(weights));
        if sde == "edm" {
            let text = json!({ "_class_name": "EDMEulerScheduler", "sigma_min": 0.002, "sigma_max": 80.0,
                "sigma_data": 0.5, "rho": 7.0 });
            folder.scheduler = Some(Json::new(format!("{origin}/scheduler_config.json"), text.to_string()));
        }
        Ok(folder)
    }
}

/// How points lie among a toy's components.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Grade {
    /// How many points were looked at.
    pub points: usize,
    /// The share of them within four deviations of a component's mean; of the data itself 0.9997
    /// or more.
    pub near: f64,
    /// Components of the data.
    pub components: usize,
    /// Components that are the nearest one of a point near them.
    pub hit: usize,
    /// Half the sum of `|share of points - share of data|` over the components, by nearest mean. Of
    /// finitely many points it is not 0: of the data's own it is about `sqrt(components / points) / 2.5`.
    pub variation: f64,
}

impl Toy {
    /// Grades points `[count, 2]`.
    pub fn grade(&self, points: &[f32]) -> Grade {
        let means = self.means();
        let (mut hits, mut all, mut near) = (vec![0usize; means.len()], vec![0usize; means.len()], 0usize);
        for p in points.chunks_exact(2) {
            let far = |m: &[f64; 2]| (f64::from(p[0]) - m[0]).hypot(f64::from(p[1]) - m[1]);
            let distances = means.iter().map(far).enumerate();
            let Some((i, d)) = distances.min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
            all[i] += 1;
            if d <= 4.0 * self.std {
                near += 1;
                hits[i] += 1;
            }
        }
        let count = (points.len() / 2).max(1) as f64;
        let share = 1.0 / means.len() as f64;
        Grade {
            points: points.len() / 2,
            near: near as f64 / count,
            components: means.len(),
            hit: hits.iter().filter(|n| **n > 0).count(),
            variation: 0.5 * all.iter().map(|n| (*n as f64 / count - share).abs()).sum::<f64>(),
        }
    }

    /// `count` points of the data, a component after the other, `[count, 2]`.
    pub fn draw(&self, seed: u64, count: usize) -> Vec<f32> {
        let means = self.means();
        let mut noise = vec![0.0; 2 * count];
        noise::fill(seed, 0, 0, &mut noise);
        let at =
            |(i, z): (usize, &f32)| (means[i / 2 % means.len()][i % 2] + self.std * f64::from(*z)) as f32;
        noise.iter().enumerate().map(at).collect()
    }
}

impl Model {
    /// Opens a toy by its name behind `toy/`.
    ///
    /// # Errors
    /// As [`Toy::find`].
    pub fn toy(name: &str) -> Result<Model, PipelineError> {
        let (toy, sde) = Toy::find(name)?;
        Self::from_folder(&format!("toy/{name}"), &toy.folder(sde)?)
    }

    /// The toy that it is.
    pub fn as_toy(&self) -> Option<&'static Toy> {
        Toy::find(self.name().strip_prefix("toy/")?).ok().map(|(toy, _)| toy)
    }

    /// Whether what it draws are points in the plane: a pixel each, of two channels.
    pub fn is_points(&self) -> bool {
        self.about.architecture == crate::models::mixture::CLASS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{Continuous, Schedule};
    use crate::kernels::mixture::Form;

    fn form(end: &str) -> Form {
        match end {
            "" => Form::Vp { beta_min: 0.1, beta_max: 20.0 },
            "-sub-vp" => Form::SubVp { beta_min: 0.1, beta_max: 20.0 },
            "-ve" => Form::Ve,
            _ => Form::Edm { data: 0.5 },
        }
    }

    /// What a sampler takes for the process is what the scores are of.
    #[test]
    fn toys_know_the_process_that_samplers_see() {
        for toy in TOYS {
            for (end, _) in PROCESSES {
                let model = Model::toy(&format!("{}{end}", toy.name)).unwrap();
                let view = Continuous::of(model.scheduler()).unwrap();
                for u in [0.0, 0.01, 0.3, 0.7, 1.0] {
                    let t = view.end + u * (view.start - view.end);
                    let (a, s) = form(end).factors(view.told(t));
                    let near = |x: f64, y: f64| (x - y).abs() < 1e-12 * y.abs();
                    assert!(near(a, view.process.mean(t)) && near(s, view.process.std(t)), "{end} {t}");
                }
            }
        }
        let model = Model::toy("swiss-roll").unwrap();
        let schedule = Schedule::new(model.scheduler()).unwrap();
        for k in [0, 1, 500, 999] {
            let (a, _) = form("").factors(k as f64);
            assert!((schedule.alpha_bar()[k] - a * a).abs() < 1e-12, "{k}");
        }
    }

    #[test]
    fn data_are_graded_as_data() {
        for toy in TOYS {
            let own = toy.grade(&toy.draw(3, 20_000));
            assert!(own.near > 0.9995 && own.hit == own.components, "{own:?}");
            let shifted: Vec<f32> = toy.draw(3, 20_000).iter().map(|v| v + 3.0).collect();
            let far = toy.grade(&shifted);
            assert!(far.near == 0.0 && far.hit == 0 && far.variation > 0.5, "{far:?}");
        }
        let one: Vec<f32> = std::iter::repeat_n([0.5, 0.5], 100).flatten().collect();
        let one = TOYS[0].grade(&one);
        assert_eq!((one.hit, one.near), (1, 1.0));
        assert!((one.variation - 0.96).abs() < 1e-9);
        assert!(Toy::find("swiss").unwrap_err().to_string().contains("toy/swiss-roll"));
    }
}
