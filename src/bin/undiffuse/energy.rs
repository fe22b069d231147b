//! Joules, where the system counts them: Linux's powercap (RAPL).

use std::path::{Path, PathBuf};

/// Counters of whole packages, and what they said when this was made.
pub struct Energy {
    /// Path, the count then, and where it begins anew, in microjoules.
    counters: Vec<(PathBuf, u64, u64)>,
}

impl Energy {
    /// Of this machine; `None` where nothing is counted, or it may not be read.
    pub fn start() -> Option<Energy> {
        Self::of(Path::new("/sys/class/powercap"))
    }

    fn of(folder: &Path) -> Option<Energy> {
        let mut counters = Vec::new();
        for entry in std::fs::read_dir(folder).ok()?.flatten() {
            let zone = entry.path();
            // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it.
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.matches(':').count() != 1 || !name.contains("rapl") || name.contains("mmio") {
                continue;
            }
            let most = number(&zone.join("max_energy_range_uj")).unwrap_or(u64::MAX);
            counters.push((zone.join("energy_uj"), number(&zone.join("energy_uj"))?, most));
        }
        (!counters.is_empty()).then_some(Energy { counters })
    }

    /// Joules since then, of all that ran on the machine.
    pub fn joules(&self) -> Option<f64> {
        let mut sum = 0.0;
        for (path, then, most) in &self.counters {
            let now = number(path)?;
            let used = if now >= *then { now - then } else { most.saturating_sub(*then).saturating_add(now) };
            sum += used as f64 * 1e-6;
        }
        Some(sum)
    }
}

fn number(path: &Path) -> Option<u64> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_once_and_past_their_end() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Energy::of(dir.path()).is_none());
        let set = |zone: &str, value: &str| {
            std::fs::create_dir_all(dir.path().join(zone)).unwrap();
            std::fs::write(dir.path().join(zone).join("energy_uj"), value).unwrap();
            std::fs::write(dir.path().join(zone).join("max_energy_range_uj"), "10000000\n").unwrap();
        };
        set("intel-rapl:0", "9000000\n");
        set("intel-rapl:0:0", "100\n");
        set("intel-rapl:1", "1000000\n");
        let energy = Energy::of(dir.path()).unwrap();
        set("intel-rapl:0", "1000000\n");
        set("intel-rapl:1", "1500000\n");
        set("intel-rapl:0:0", "900000\n");
        assert!((energy.joules().unwrap() - 2.5).abs() < 1e-9);
        std::fs::remove_file(dir.path().join("intel-rapl:1/energy_uj")).unwrap();
        assert!(energy.joules().is_none());
    }
}
