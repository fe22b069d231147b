//! Bytes back to the host: a map that belongs to a submission.

use super::{Gpu, GpuError, Meter};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How long a callback may be on its way after its submission is done: another thread that
/// polled or submitted may have taken it, and not called it yet.
const ON_ITS_WAY: Duration = Duration::from_secs(10);

/// A buffer that is mapped as soon as its submission is done.
#[derive(Debug)]
pub struct Readback {
    gpu: Gpu,
    buffer: wgpu::Buffer,
    bytes: u64,
    mapped: Arc<(Mutex<Option<bool>>, Condvar)>,
}

impl Gpu {
    /// Maps the first `bytes` (a multiple of 4) of a `MAP_READ` buffer when the
    /// commands of `encoder`, once submitted, are done.
    pub fn read_on_submit(
        &self,
        encoder: &wgpu::CommandEncoder,
        buffer: &wgpu::Buffer,
        bytes: u64,
    ) -> Readback {
        let mapped = Arc::new((Mutex::new(None), Condvar::new()));
        let result = mapped.clone();
        encoder.map_buffer_on_submit(buffer, wgpu::MapMode::Read, 0..bytes, move |r| {
            *result.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(r.is_ok());
            result.1.notify_all();
        });
        Readback { gpu: self.clone(), buffer: buffer.clone(), bytes, mapped }
    }

    /// Copies `bytes` of `from` out, and waits for them.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn read(&self, from: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, GpuError> {
        pollster::block_on(self.read_async(from, bytes))
    }

    /// [`Gpu::read`] without blocking.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_async(&self, from: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, GpuError> {
        use wgpu::BufferUsages as U;
        let to = self.buffer("readback", bytes, U::MAP_READ | U::COPY_DST)?;
        let mut encoder = self.encoder();
        encoder.copy_buffer_to_buffer(from, 0, &to, 0, bytes);
        let readback = self.read_on_submit(&encoder, &to, bytes);
        self.submit(encoder)?.await?;
        readback.take()
    }
}

impl Readback {
    /// Whether the map worked. Browsers have called back by now, and cannot wait.
    fn mapped(&self) -> Option<bool> {
        let state = self.mapped.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cfg!(target_arch = "wasm32") {
            return *state;
        }
        let waited = self.mapped.1.wait_timeout_while(state, ON_ITS_WAY, |s| s.is_none());
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The bytes. The submission's ticket must be punched.
    ///
    /// # Errors
    /// The device was lost.
    pub fn take(self) -> Result<Vec<u8>, GpuError> {
        if self.mapped() != Some(true) {
            return Err(GpuError::Lost("its memory cannot be read any more".into()));
        }
        let view =
            self.buffer.get_mapped_range(0..self.bytes).map_err(|e| GpuError::Internal(e.to_string()))?;
        let data = view.to_vec();
        drop(view);
        self.buffer.unmap();
        self.gpu.count(|m: &Meter| &m.maps, 1);
        self.gpu.count(|m: &Meter| &m.bytes_down, self.bytes);
        Ok(data)
    }
}
