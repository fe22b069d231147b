//! Which classes are hit, by what a classifier takes each picture for.

use super::MetricsError;

/// How pictures spread over classes.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Modes {
    /// Pictures of each class.
    pub counts: Vec<u64>,
    /// Classes with a picture at least.
    pub hit: usize,
    /// The Kullback-Leibler divergence of these shares from what was wanted, nats.
    pub kl: f64,
}

impl Modes {
    /// Of pictures by class, against the shares `wanted` (of any sum), or an even spread.
    ///
    /// A class that is wanted by nobody counts as half a picture of the wanted's: the divergence stays
    /// finite, and is 0 of what is wanted itself.
    ///
    /// # Errors
    /// A class past `classes`, or shares of another length.
    pub fn of(classes: usize, labels: &[usize], wanted: Option<&[u64]>) -> Result<Modes, MetricsError> {
        let bad = |what: String| MetricsError::Option { option: "classes", what };
        let mut counts = vec![0u64; classes];
        for &label in labels {
            let of = counts.get_mut(label).ok_or_else(|| bad(format!("class {label} of {classes}")))?;
            *of += 1;
        }
        if let Some(wanted) = wanted.filter(|w| w.len() != classes) {
            return Err(bad(format!("shares of {} classes for {classes}", wanted.len())));
        }
        let share = |c: usize| match wanted {
            None => 1.0 / classes as f64,
            Some(wanted) => (wanted[c] as f64).max(0.5) / wanted.iter().sum::<u64>().max(1) as f64,
        };
        let n = labels.len() as f64;
        let term = |(c, count): (usize, &u64)| match *count {
            0 => 0.0,
            count => count as f64 / n * (count as f64 / n / share(c)).ln(),
        };
        let kl = counts.iter().enumerate().map(term).sum();
        let hit = counts.iter().filter(|c| **c > 0).count();
        Ok(Modes { counts, hit, kl })
    }
}
