//! What passes take, by the device's own clock.

use super::{Gpu, GpuError};

/// Passes of one stopwatch at most: a query set holds 4096 times, two a pass.
pub const MOST_PASSES: usize = 2048;

/// Times at which the passes of a submission begin and end.
#[derive(Debug)]
pub struct Stopwatch {
    gpu: Gpu,
    set: wgpu::QuerySet,
    times: wgpu::Buffer,
    passes: u32,
}

impl Gpu {
    /// A stopwatch for so many passes of a submission ([`MOST_PASSES`] at most); `None`
    /// where the device has no clock that can be relied on.
    ///
    /// # Errors
    /// Out of memory.
    pub fn stopwatch(&self, passes: usize) -> Result<Option<Stopwatch>, GpuError> {
        use wgpu::BufferUsages as U;
        // A processor that acts as a GPU may note its times when nothing is left to do of what
        // lies between them: lavapipe does.
        if self.caps().stream || !self.device().features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let passes = passes.clamp(1, MOST_PASSES) as u32;
        let times = self.buffer("timestamps", u64::from(passes) * 16, U::QUERY_RESOLVE | U::COPY_SRC)?;
        let set = self.scoped("timestamps", 0, |device| {
            device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: passes * 2,
            })
        })?;
        Ok(Some(Stopwatch { gpu: self.clone(), set, times, passes }))
    }
}

impl Stopwatch {
    /// Pass `i` of the submission.
    pub fn pass<'a>(&self, encoder: &'a mut wgpu::CommandEncoder, i: usize) -> wgpu::ComputePass<'a> {
        let first = (i as u32).min(self.passes - 1) * 2;
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                query_set: &self.set,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            }),
        })
    }

    /// Submits, waits, and returns the seconds of each pass.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn submit(&self, mut encoder: wgpu::CommandEncoder) -> Result<Vec<f64>, GpuError> {
        encoder.resolve_query_set(&self.set, 0..self.passes * 2, &self.times, 0);
        self.gpu.wait(&self.gpu.submit(encoder)?)?;
        let bytes = self.gpu.read(&self.times, u64::from(self.passes) * 16)?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&bytes);
        let tick = 1e-9 * f64::from(self.gpu.queue().get_timestamp_period());
        Ok(ticks.chunks_exact(2).map(|t| t[1].saturating_sub(t[0]) as f64 * tick).collect())
    }
}
