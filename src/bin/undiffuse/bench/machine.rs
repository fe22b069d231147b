//! The machine that is measured: how busy it is, how far measurements spread, what energy
//! it takes.

use serde_json::{json, Value};
use std::path::PathBuf;

/// The quartiles of quiet measurements are not further apart than this part of their median.
const QUIET: f64 = 0.1;

/// Why the machine is too busy to be measured, where it is.
pub fn busy() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (load > 0.5 * cores as f64).then(|| format!("a load of {load:.1} on {cores} cores"))
}

/// Repeated measurements.
pub struct Times {
    sorted: Vec<f64>,
}

impl Times {
    pub fn new(times: &[f64]) -> Times {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        Times { sorted }
    }

    fn at(&self, part: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1) as f64;
        let (low, rest) = ((part * last) as usize, (part * last).fract());
        let get = |i: usize| self.sorted.get(i).copied().unwrap_or(f64::NAN);
        match rest > 0.0 {
            true => get(low) * (1.0 - rest) + get(low + 1) * rest,
            false => get(low),
        }
    }

    pub fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub fn min(&self) -> f64 {
        self.at(0.0)
    }

    pub fn max(&self) -> f64 {
        self.at(1.0)
    }

    /// The distance of the quartiles, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.at(0.75) - self.at(0.25)) / self.median()
    }

    /// Whether the machine did other things meanwhile.
    pub fn noisy(&self) -> bool {
        self.sorted.len() > 2 && self.spread() > QUIET
    }

    /// Says so.
    pub fn warn(&self, what: &str) {
        if self.noisy() {
            let spread = 100.0 * self.spread();
            say!("warning: the machine is noisy: half of {what} lie {spread:.0} % apart or more");
        }
    }

    pub fn json(&self) -> Value {
        json!({
            "median_seconds": self.median(),
            "min_seconds": self.min(),
            "max_seconds": self.max(),
            "spread": self.spread(),
            "noisy": self.noisy(),
        })
    }
}

/// The energy counters of the processor packages, where the system lets them be read.
pub struct Energy {
    counters: Vec<(PathBuf, u64, u64)>,
}

impl Energy {
    /// Begins to count.
    pub fn start() -> Option<Energy> {
        let zones = std::fs::read_dir("/sys/class/powercap").ok()?;
        let package = |p: &PathBuf| {
            // `intel-rapl:0` is a package (AMD's too), `intel-rapl:0:1` a part of it.
            let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.strip_prefix("intel-rapl:").is_some_and(|rest| rest.parse::<u32>().is_ok())
        };
        let paths = zones.flatten().map(|z| z.path()).filter(package);
        let counter = |p: PathBuf| {
            let range = number(&p.join("max_energy_range_uj"))?;
            Some((p.join("energy_uj"), number(&p.join("energy_uj"))?, range))
        };
        let counters: Vec<_> = paths.filter_map(counter).collect();
        (!counters.is_empty()).then_some(Energy { counters })
    }

    /// Joules since.
    pub fn joules(&self) -> Option<f64> {
        let mut total = 0;
        for (path, before, range) in &self.counters {
            let now = number(path)?;
            total += if now >= *before { now - before } else { now + range.saturating_sub(*before) };
        }
        Some(1e-6 * total as f64)
    }
}

fn number(path: &std::path::Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Seconds that this thread has had a processor: what the host does while it does not wait.
pub fn thread_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(1e-9 * nanos as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_quartiles_and_noise() {
        let quiet = Times::new(&[1.0, 1.02, 1.01, 1.0, 1.01]);
        assert_eq!([quiet.min(), quiet.median(), quiet.max()], [1.0, 1.01, 1.02]);
        assert!(!quiet.noisy());
        assert!(Times::new(&[1.0, 2.0, 1.0, 2.0, 1.0]).noisy());
        assert!(!Times::new(&[1.0, 9.0]).noisy());
        assert_eq!(Times::new(&[1.0, 2.0]).median(), 1.5);
        assert!(Times::new(&[]).median().is_nan());
    }
}
