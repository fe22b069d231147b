//! How much work fits a budget: what each dispatch takes, guessed first and then
//! learnt from how long chunks took.

/// A dispatch, or the fraction of it that a chunk had.
pub type Ran = (usize, f64);

/// How far one chunk may correct an estimate, as a factor.
const TRUST: f64 = 5.0;

/// Estimates of how long dispatches take.
#[derive(Debug)]
pub struct Pace {
    seconds: Vec<f64>,
    known: Vec<bool>,
    /// How much slower than guessed what was measured is: holds for the rest too.
    scale: f64,
}

impl Pace {
    /// Dispatches of these costs (multiply-adds), on an adapter that is expected to
    /// do `rate` of them a second.
    pub fn new(costs: &[f64], rate: f64) -> Pace {
        let seconds = costs.iter().map(|c| c / rate).collect();
        Pace { seconds, known: vec![false; costs.len()], scale: 1.0 }
    }

    /// Seconds that dispatch `i` is expected to take.
    pub fn estimate(&self, i: usize) -> f64 {
        let known = self.known.get(i).copied().unwrap_or(false);
        let scale = if known { 1.0 } else { self.scale };
        self.seconds.get(i).map_or(0.0, |s| s * scale).max(1e-7)
    }

    /// A chunk of these dispatches took so long.
    pub fn learn(&mut self, ran: &[Ran], took: f64) {
        let expected: f64 = ran.iter().map(|&(i, part)| self.estimate(i) * part).sum();
        if ran.is_empty() || !(expected > 0.0 && took > 0.0) {
            return;
        }
        let ratio = (took / expected).clamp(1.0 / TRUST, TRUST);
        let mut fresh = false;
        for &(i, _) in ran {
            let estimate = self.estimate(i);
            let (Some(seconds), Some(known)) = (self.seconds.get_mut(i), self.known.get_mut(i)) else {
                continue;
            };
            // A chunk tells the sum; who of its dispatches was to blame shows only
            // when they have been in different chunks.
            *seconds = estimate * if *known { ratio.sqrt() } else { ratio };
            fresh |= !*known;
            *known = true;
        }
        if fresh {
            self.scale *= ratio.sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_come_to_what_is_measured() {
        let truth = [0.004, 0.001, 0.0005, 0.010, 0.002, 0.0001];
        let mut pace = Pace::new(&[1e6, 1e6, 1e6, 1e6, 1e6, 1e6], 1e9);
        for round in 0..60 {
            // Chunks of changing length, as budgets cut them.
            let mut at = 0;
            while at < truth.len() {
                let end = (at + 1 + (round + at) % 3).min(truth.len());
                let ran: Vec<Ran> = (at..end).map(|i| (i, 1.0)).collect();
                pace.learn(&ran, truth[at..end].iter().sum());
                at = end;
            }
        }
        for (i, t) in truth.iter().enumerate() {
            let e = pace.estimate(i);
            assert!((e - t).abs() < 0.35 * t + 2e-4, "dispatch {i}: {e} for {t}");
        }
    }

    #[test]
    fn what_was_not_measured_follows_what_was() {
        let mut pace = Pace::new(&[1e6, 2e6], 1e9);
        for _ in 0..20 {
            pace.learn(&[(0, 1.0)], 0.1);
        }
        assert!(pace.estimate(0) > 0.09 && pace.estimate(0) < 0.11);
        assert!(pace.estimate(1) > 2.0 * 0.002, "slower than first guessed: {}", pace.estimate(1));
        pace.learn(&[], 1.0);
        pace.learn(&[(7, 1.0)], f64::NAN);
    }
}
