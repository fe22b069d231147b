//! wgpu's errors as ours: calls run in error scopes.

use super::{Gpu, GpuError};
use std::future::Future;
use std::task::Poll;

impl Gpu {
    /// Runs wgpu calls so that their errors become ours. In a browser errors come
    /// later: [`Gpu::settle`] awaits them.
    pub(super) fn scoped<T>(
        &self,
        what: &str,
        bytes: u64,
        f: impl FnOnce(&wgpu::Device) -> T,
    ) -> Result<T, GpuError> {
        let device = self.device();
        let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
        let made = f(device);
        let (internal, memory, validation) = (internal.pop(), memory.pop(), validation.pop());
        let found = verdict(what.to_string(), bytes, internal, memory, validation);
        #[cfg(not(target_arch = "wasm32"))]
        pollster::block_on(found)?;
        #[cfg(target_arch = "wasm32")]
        self.0.pending.push(found);
        Ok(made)
    }

    /// Lets an executor do something else between two costly steps.
    pub(crate) async fn breathe(&self) {
        let mut asked = false;
        std::future::poll_fn(|cx| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Awaits the errors of what was made so far. Native systems tell them at once.
    ///
    /// # Errors
    /// The first of them.
    pub async fn settle(&self) -> Result<(), GpuError> {
        #[cfg(target_arch = "wasm32")]
        for error in self.0.pending.take() {
            error.await?;
        }
        self.alive()
    }
}

async fn verdict(
    what: String,
    bytes: u64,
    internal: impl Future<Output = Option<wgpu::Error>>,
    memory: impl Future<Output = Option<wgpu::Error>>,
    validation: impl Future<Output = Option<wgpu::Error>>,
) -> Result<(), GpuError> {
    let (internal, memory, validation) = (internal.await, memory.await, validation.await);
    if memory.is_some() {
        return Err(GpuError::OutOfMemory { what, bytes });
    }
    match validation.or(internal) {
        Some(e) => Err(GpuError::Internal(format!("{what}: {e}"))),
        None => Ok(()),
    }
}

#[cfg(target_arch = "wasm32")]
pub(super) use browser::Pending;

#[cfg(target_arch = "wasm32")]
mod browser {
    use super::*;
    use std::pin::Pin;
    use std::sync::{Mutex, PoisonError};

    type Verdict = Pin<Box<dyn Future<Output = Result<(), GpuError>>>>;

    /// Errors that the browser has not told yet.
    #[derive(Default)]
    pub struct Pending(Mutex<Vec<Verdict>>);

    impl std::fmt::Debug for Pending {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Pending")
        }
    }

    impl Pending {
        pub fn push(&self, verdict: impl Future<Output = Result<(), GpuError>> + 'static) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(verdict));
        }

        pub fn take(&self) -> Vec<Verdict> {
            std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }
}
