//! A budget of memory of our own. Drivers may not report that memory is short:
//! software ones let the system kill the process instead.

use super::{Gpu, GpuError};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// How much may be used, and how much is.
#[derive(Debug)]
pub(super) struct Budget {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget { limit: AtomicU64::new(u64::MAX), used: AtomicU64::new(0) }
    }
}

/// Bytes taken from the budget; they are given back when it is dropped.
#[derive(Debug)]
pub struct Claim {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Gpu {
    /// Sets how many bytes the engine may have on this device, over all its
    /// pipelines and jobs; `None` lifts the limit. What is there already stays.
    pub fn set_memory_budget(&self, bytes: Option<u64>) {
        self.0.budget.limit.store(bytes.unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Bytes that the engine has on this device: weights, plans and kept images.
    pub fn memory_used(&self) -> u64 {
        self.0.budget.used.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget before they are allocated.
    ///
    /// # Errors
    /// There are not so many left.
    pub(crate) fn claim(&self, what: &str, bytes: u64) -> Result<Claim, GpuError> {
        let budget = &self.0.budget;
        let limit = budget.limit.load(Ordering::Relaxed);
        let take = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        match budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(Claim { budget: budget.clone(), bytes }),
            Err(used) => Err(GpuError::Budget { what: what.to_string(), bytes, used, limit }),
        }
    }
}

/// What a processor that acts as a GPU may take of the machine's free memory:
/// most of it, where the system tells how much that is.
pub(super) fn default_limit(info: &wgpu::AdapterInfo) -> Option<u64> {
    if info.device_type != wgpu::DeviceType::Cpu {
        return None;
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024 / 5 * 4)
}
