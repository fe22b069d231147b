//! How good a set of pictures is, by a feature network: quality, coverage and modes in one object.
//!
//! ```no_run
//! # use undiffuse::{gpu::{Gpu, Options}, pipeline::*, shape::Shape};
//! # let (ours, theirs, shape) = (vec![0u8; 0], vec![0u8; 0], Shape::new(32, 32, 1));
//! let gpu = Gpu::open(&Options::default())?;
//! let network = Extractor::new(&gpu, FeatureModel::find("zoo/fashion-classifier")?)?;
//! let look = |set, levels: &[u8]| network.look(set, Pictures { levels, shape }, |_, _| {});
//! let reference = Reference::Seen(look("the reference", &theirs)?); // [count, h, w, c], 0 to 255
//! let about = network.model().describe();
//! let found = Evaluation::of(about, &look("ours", &ours)?, &reference, EvaluationOptions::default())?;
//! println!("{} of {}", found.frechet.value, found.features);
//! # Ok::<(), PipelineError>(())
//! ```

use super::{PipelineError, Seen};
use crate::metrics::manifold::Balls;
use crate::metrics::{
    frechet::Frechet, kernel, kernel_distance, Estimate, Features, KernelDistance, KernelOptions, Manifold,
    MetricsError, Modes, Moments, Subsets,
};
use crate::models::features::FeatureDescription;

/// Pictures of a subset that intervals are found with, at most: what counts neighbours takes time with the
/// square of it.
const SUBSET: usize = 2000;

/// How statistics are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvaluationOptions {
    /// Which neighbour's distance is the radius of precision, recall, density and coverage.
    pub k: usize,
    /// The kernel distance.
    pub kernel: KernelOptions,
    /// Subsets that each interval is found with; without one there are none.
    pub subsets: usize,
    /// Which subsets.
    pub seed: u64,
}

impl Default for EvaluationOptions {
    fn default() -> Self {
        Self { k: 5, kernel: KernelOptions::default(), subsets: 16, seed: 0 }
    }
}

/// What pictures are compared with.
#[derive(Clone, Debug)]
pub enum Reference {
    /// Pictures, as the feature network sees them.
    Seen(Seen),
    /// Mean and covariance alone, for the Frechet distance alone; `counted` where the number of pictures
    /// is known.
    Statistics {
        /// Mean and covariance.
        moments: Moments,
        /// Of so many pictures.
        counted: bool,
    },
}

/// How good a set of pictures is. Each interval is over the pictures: the reference is taken as it is.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// The feature network. A distance is called by its name: it is no FID unless that is Inception's own.
    pub features: String,
    /// Features of a picture.
    pub width: usize,
    /// Pictures.
    pub pictures: usize,
    /// Pictures of the reference; none where its statistics do not tell.
    pub reference: Option<u64>,
    /// The Frechet distance, squared as the field has it.
    pub frechet: Estimate,
    /// What needs the reference's pictures.
    pub compared: Option<Compared>,
    /// What a classifier makes of the pictures, where the network is one.
    pub modes: Option<ModesFound>,
    /// How many subsets the intervals are from.
    pub subsets: usize,
    /// What a user should know of these numbers.
    pub notes: Vec<String>,
}

/// What needs the reference's pictures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Compared {
    /// The kernel distance: the mean over its subsets, with the error of the pictures.
    pub kernel: Estimate,
    /// The subsets, and torch-fidelity's deviation over them.
    pub kernel_subsets: KernelDistance,
    /// Which neighbour's distance is a radius.
    pub k: usize,
    /// Of the pictures, how many lie on the reference's manifold.
    pub precision: Estimate,
    /// Of the reference, how much lies on the pictures' manifold.
    pub recall: Estimate,
    /// In how many of the reference's balls a picture lies, by `k`.
    pub density: Estimate,
    /// Of the reference's balls, how many hold a picture.
    pub coverage: Estimate,
}

/// What a classifier makes of the pictures.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModesFound {
    /// Classes with a picture at least.
    pub hit: usize,
    /// The Kullback-Leibler divergence of the classes' shares from the reference's (or an even spread where
    /// there are no pictures of it), nats.
    pub kl: Estimate,
    /// Whether the reference's pictures gave the shares, or an even spread.
    pub against: &'static str,
    /// How many pictures get a class with a confidence above 0.8.
    pub sure: Estimate,
    /// Class by class.
    pub classes: Vec<ClassFound>,
}

/// One class.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ClassFound {
    /// Its name.
    pub name: String,
    /// Its share of the pictures.
    pub share: Estimate,
    /// Its share of the reference, where there are pictures of it.
    pub reference: Option<f64>,
    /// Of the reference's pictures of this class, how many lie on the manifold of all pictures.
    pub recall: Option<f64>,
}

impl Evaluation {
    /// Compares pictures, as the feature network `about` sees them, with a reference.
    ///
    /// # Errors
    /// Sets of different widths, or too small for `k`: [`MetricsError`].
    pub fn of(
        about: &FeatureDescription,
        pictures: &Seen,
        reference: &Reference,
        options: EvaluationOptions,
    ) -> Result<Evaluation, PipelineError> {
        let (own, n) = (&pictures.features, pictures.features.len());
        let moments = Moments::of(own)?;
        let mut notes = Vec::new();
        if (n as u64) <= own.width() as u64 {
            notes.push(format!(
                "{n} pictures for {} features: the covariance has no full rank, and the Frechet distance says \
                 more of their number than of them",
                own.width()
            ));
        }
        let (target, count) = match reference {
            Reference::Seen(seen) => (Moments::of(&seen.features)?, Some(seen.features.len() as u64)),
            Reference::Statistics { moments, counted } => {
                let what = "the reference is a mean and a covariance alone: only the Frechet distance is \
                            computed; give pictures for the rest";
                notes.push(what.into());
                (moments.clone(), counted.then(|| moments.count()))
            }
        };
        let size = (n / 2).min(SUBSET);
        let mut draw = Subsets::new(options.seed);
        let few = size <= options.k.max(1);
        if few {
            notes.push(format!("{n} pictures are too few for intervals"));
        }
        let rows: Vec<Vec<usize>> =
            (0..if few { 0 } else { options.subsets }).map(|_| draw.draw(n, size)).collect();
        let parts: Vec<Features> = rows.iter().map(|rows| own.select(rows)).collect();
        let estimate = |value: f64, subsets: &[f64]| Estimate::of_subsets(value, subsets, size, n);
        let from = Frechet::from(&target)?;
        let each = parts.iter().map(|part| from.to(&Moments::of(part)?));
        let each = each.collect::<Result<Vec<f64>, MetricsError>>()?;
        let frechet = estimate(from.to(&moments)?, &each);
        let (mut compared, mut recalled) = (None, None);
        if let Reference::Seen(seen) = reference {
            let (found, each) = compare(own, &parts, &seen.features, options, &estimate)?;
            compared = Some(found);
            recalled = Some(each);
        }
        let modes = match about.classes.is_empty() {
            true => None,
            false => {
                let reference = match reference {
                    Reference::Seen(seen) => Some(seen),
                    Reference::Statistics { .. } => None,
                };
                Some(modes(about, pictures, reference, &rows, recalled.as_deref(), &estimate)?)
            }
        };
        Ok(Evaluation {
            features: about.called.clone(),
            width: own.width(),
            pictures: n,
            reference: count,
            frechet,
            compared,
            modes,
            subsets: rows.len(),
            notes,
        })
    }
}

type Estimator<'a> = dyn Fn(f64, &[f64]) -> Estimate + 'a;

fn compare(
    own: &Features,
    parts: &[Features],
    reference: &Features,
    options: EvaluationOptions,
    estimate: &Estimator<'_>,
) -> Result<(Compared, Vec<bool>), MetricsError> {
    let distance = kernel_distance(reference, own, options.kernel)?;
    // The mean over subsets is an estimate of the whole sets' discrepancy: so are these.
    let some = Subsets::new(options.seed ^ 1).draw(reference.len(), SUBSET);
    let some = reference.select(&some);
    let kernels = parts.iter().map(|part| kernel::discrepancy(&some, part));
    let kernels = kernels.collect::<Result<Vec<f64>, MetricsError>>()?;
    let balls = Balls::around(reference, options.k)?;
    let (whole, recalled) = balls.against_each(own)?;
    let each = parts.iter().map(|part| balls.against(part)).collect::<Result<Vec<Manifold>, _>>()?;
    let of = |f: fn(&Manifold) -> f64| estimate(f(&whole), &each.iter().map(f).collect::<Vec<f64>>());
    let compared = Compared {
        kernel: estimate(distance.mean, &kernels),
        kernel_subsets: distance,
        k: options.k,
        precision: of(|m| m.precision),
        recall: of(|m| m.recall),
        density: of(|m| m.density),
        coverage: of(|m| m.coverage),
    };
    Ok((compared, recalled))
}

fn modes(
    about: &FeatureDescription,
    pictures: &Seen,
    reference: Option<&Seen>,
    rows: &[Vec<usize>],
    recalled: Option<&[bool]>,
    estimate: &Estimator<'_>,
) -> Result<ModesFound, MetricsError> {
    let count = about.classes.len();
    let (own, theirs) = (pictures.classes(), reference.map(Seen::classes));
    let wanted = theirs.as_ref().map(|labels| Modes::of(count, labels, None)).transpose()?;
    let wanted = wanted.as_ref().map(|m| &m.counts[..]);
    let whole = Modes::of(count, &own, wanted)?;
    let part = |rows: &Vec<usize>| {
        let labels: Vec<usize> = rows.iter().map(|i| own[*i]).collect();
        Modes::of(count, &labels, wanted)
    };
    let parts = rows.iter().map(part).collect::<Result<Vec<Modes>, MetricsError>>()?;
    let sure = |all: &mut dyn Iterator<Item = f64>| {
        let (n, yes) = all.fold((0.0, 0.0), |(n, yes), p| (n + 1.0, yes + f64::from(u8::from(p > 0.8))));
        yes / f64::max(n, 1.0)
    };
    let confidence = pictures.confidence();
    let share = |n: u64, of: usize| n as f64 / of.max(1) as f64;
    let class = |(c, name): (usize, &String)| {
        let each: Vec<f64> = parts.iter().zip(rows).map(|(m, r)| share(m.counts[c], r.len())).collect();
        let members =
            || theirs.iter().flatten().enumerate().filter(|(_, label)| **label == c).map(|(i, _)| i);
        let recall = recalled
            .filter(|_| members().next().is_some())
            .map(|recalled| members().filter(|i| recalled[*i]).count() as f64 / members().count() as f64);
        ClassFound {
            name: name.clone(),
            share: estimate(share(whole.counts[c], own.len()), &each),
            reference: wanted.map(|w| share(w[c], theirs.as_ref().map_or(0, Vec::len))),
            recall,
        }
    };
    let each: Vec<f64> = rows.iter().map(|rows| sure(&mut rows.iter().map(|i| confidence[*i]))).collect();
    Ok(ModesFound {
        hit: whole.hit,
        kl: estimate(whole.kl, &parts.iter().map(|m| m.kl).collect::<Vec<f64>>()),
        against: if wanted.is_some() { "reference" } else { "even" },
        sure: estimate(sure(&mut confidence.iter().copied()), &each),
        classes: about.classes.iter().enumerate().map(class).collect(),
    })
}
