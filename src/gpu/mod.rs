//! Floor 2: the device. Open or adopt one, make buffers and pipelines, submit
//! and wait. All wgpu calls of the library are made on this floor.

mod adapters;
mod described;
mod error;
mod image;
mod kernel;
mod memory;
mod pipelines;
mod readback;
mod record;
mod scope;
mod stopwatch;
mod texture;
mod ticket;
mod trial;
mod tuning;

pub use adapters::{caps, choose, list, Found, Options};
pub use described::{Described, Rates, DESCRIBED};
pub use error::GpuError;
pub use image::image_bytes;
pub use kernel::CompiledKernel;
pub use memory::Claim;
pub use readback::Readback;
pub use record::{BoundDispatch, Parameters, Part, Resource, Slice};
pub use stopwatch::{Stopwatch, MOST_PASSES};
pub use texture::{copy_layer, row_pitch};
pub use ticket::Ticket;
pub use trial::{Arrays, Cut, Trial, GUARD};
pub use tuning::{cache_folder, Tuning};

use crate::kernels::{set_hash, Caps, Choices, Kernel, Summation, Variant};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// How long one wait may last before it is an error. Generous: lavapipe compiles
/// a kernel at its first dispatch.
pub const DEADLINE: Duration = Duration::from_secs(180);

/// A device, its queue, and the kernels compiled for it. Cheap to clone; may be
/// shared by threads.
#[derive(Clone, Debug)]
pub struct Gpu(Arc<Inner>, Option<Arc<Meter>>, Option<&'static Choices>, Summation);

#[derive(Debug)]
struct Inner {
    device: wgpu::Device,
    queue: wgpu::Queue,
    info: wgpu::AdapterInfo,
    limits: wgpu::Limits,
    caps: Caps,
    kernels: Mutex<HashMap<(usize, usize), Arc<CompiledKernel>>>,
    lost: Arc<AtomicBool>,
    meter: Meter,
    budget: Arc<memory::Budget>,
    watch: ticket::Watch,
    kept: OnceLock<Mutex<pipelines::Kept>>,
    #[cfg(target_arch = "wasm32")]
    pending: scope::Pending,
}

#[derive(Debug, Default)]
struct Meter {
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
    maps: AtomicU64,
    submissions: AtomicU64,
}

/// What went over the bus and how often the host asked, since the device was
/// opened or, for [`Gpu::metered`], since that call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Command submissions.
    pub submissions: u64,
    /// Buffers mapped for reading.
    pub maps: u64,
    /// Bytes written by the host.
    pub bytes_up: u64,
    /// Bytes read by the host.
    pub bytes_down: u64,
}

impl Gpu {
    /// Opens the adapter that `options` name, with all the limits that it has.
    ///
    /// # Errors
    /// No adapter, none that matches, or one that gives no device.
    pub fn open(options: &Options) -> Result<Gpu, GpuError> {
        pollster::block_on(Self::open_async(options))
    }

    /// [`Gpu::open`] without blocking.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn open_async(options: &Options) -> Result<Gpu, GpuError> {
        let found = adapters::choose(options).await?;
        let (features, limits) = if options.core_only {
            (wgpu::Features::empty(), wgpu::Limits::defaults())
        } else {
            (found.adapter.features() & adapters::wanted_features(), found.adapter.limits())
        };
        let (device, queue) = found
            .adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("undiffuse"),
                required_features: features,
                required_limits: limits,
                experimental_features: wgpu::ExperimentalFeatures::disabled(),
                memory_hints: wgpu::MemoryHints::Performance,
                trace: wgpu::Trace::Off,
            })
            .await
            .map_err(|e| GpuError::Device { adapter: found.info.name.clone(), message: e.to_string() })?;
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        device.set_device_lost_callback(move |_, message| {
            flag.store(true, Ordering::SeqCst);
            tracing::warn!(message, "device lost");
        });
        // Our own calls run in error scopes; what still arrives here is a bug
        // to be told of, never a panic in the user's program.
        device.on_uncaptured_error(Arc::new(|e| tracing::error!(%e, "uncaptured GPU error")));
        Ok(Self::new(device, queue, lost).with_summation(options.summation))
    }

    /// Uses a device that the application owns. The features and limits that the
    /// application asked for are what the engine plans within; its error and
    /// loss handlers stay in place.
    pub fn adopt(device: wgpu::Device, queue: wgpu::Queue) -> Gpu {
        Self::new(device, queue, Arc::new(AtomicBool::new(false)))
    }

    fn new(device: wgpu::Device, queue: wgpu::Queue, lost: Arc<AtomicBool>) -> Gpu {
        let info = device.adapter_info();
        let caps = adapters::caps(&info, device.features());
        let limits = device.limits();
        let budget = memory::default_limit(&info);
        let inner = Arc::new(Inner {
            device,
            queue,
            info,
            limits,
            caps,
            kernels: Mutex::default(),
            lost,
            meter: Meter::default(),
            budget: Arc::default(),
            watch: ticket::Watch::default(),
            kept: OnceLock::new(),
            #[cfg(target_arch = "wasm32")]
            pending: scope::Pending::default(),
        });
        let gpu = Gpu(inner, None, None, Summation::default());
        gpu.set_memory_budget(budget);
        gpu
    }

    /// The same device with counters of its own, from zero: two users of one
    /// device, on whatever threads, each learn what they did.
    pub fn metered(&self) -> Gpu {
        Gpu(self.0.clone(), Some(Arc::default()), self.2, self.3)
    }

    /// The same device, planned for with what was learnt of it ([`Tuning`]). Equal choices
    /// are kept once in a process, for as long as it lives.
    pub fn with_choices(&self, choices: Choices) -> Gpu {
        static KNOWN: Mutex<Vec<&'static Choices>> = Mutex::new(Vec::new());
        if choices.is_empty() {
            return Gpu(self.0.clone(), self.1.clone(), None, self.3);
        }
        let mut known = lock(&KNOWN);
        let found = known.iter().copied().find(|k| **k == choices);
        let choices = found.unwrap_or_else(|| {
            let kept: &'static Choices = Box::leak(Box::new(choices));
            known.push(kept);
            kept
        });
        Gpu(self.0.clone(), self.1.clone(), Some(choices), self.3)
    }

    /// The same device, planned for with another order of summation ([`Options::summation`]).
    pub fn with_summation(&self, summation: Summation) -> Gpu {
        Gpu(self.0.clone(), self.1.clone(), self.2, summation)
    }

    /// What the order of sums in plans for this device follows from.
    pub fn summation(&self) -> Summation {
        self.3
    }

    /// Adds to a counter of the device and, where it has one, of this handle.
    fn count(&self, which: fn(&Meter) -> &AtomicU64, by: u64) {
        for meter in [Some(&self.0.meter), self.1.as_deref()].into_iter().flatten() {
            which(meter).fetch_add(by, Ordering::Relaxed);
        }
    }

    /// The wgpu device.
    pub fn device(&self) -> &wgpu::Device {
        &self.0.device
    }

    /// The wgpu queue.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.0.queue
    }

    /// The adapter's description.
    pub fn info(&self) -> &wgpu::AdapterInfo {
        &self.0.info
    }

    /// The device's limits.
    pub fn limits(&self) -> &wgpu::Limits {
        &self.0.limits
    }

    /// What kernels may use.
    pub fn caps(&self) -> Caps {
        Caps { choices: self.2, summation: self.3, ..self.0.caps }
    }

    /// What tells the kernels of this device's plans from others: [`set_hash`], and what was
    /// learnt of the device or was asked of its sums, where anything was. Equal images need
    /// an equal one.
    pub fn kernel_set(&self) -> String {
        let mut set = set_hash().to_string();
        if let Some(choices) = self.2 {
            set += &format!(" {}", choices.hash());
        }
        if !self.3.is_default() {
            set += &format!(" {}", self.3.name());
        }
        match set.len() == set_hash().len() {
            true => set,
            false => blake3::hash(set.as_bytes()).to_hex().to_string(),
        }
    }

    /// What was moved and asked so far.
    pub fn counters(&self) -> Counters {
        let meter = self.1.as_deref().unwrap_or(&self.0.meter);
        let get = |a: &AtomicU64| a.load(Ordering::Relaxed);
        Counters {
            submissions: get(&meter.submissions),
            maps: get(&meter.maps),
            bytes_up: get(&meter.bytes_up),
            bytes_down: get(&meter.bytes_down),
        }
    }

    /// Kernels that are compiled for this device.
    pub fn kernels_compiled(&self) -> usize {
        lock(&self.0.kernels).len()
    }

    /// A compiled variant, from the cache or made now.
    ///
    /// # Errors
    /// The variant needs more than the device has, or its text is wrong (a bug).
    pub fn kernel(
        &self,
        kernel: &'static Kernel,
        variant: &'static Variant,
    ) -> Result<Arc<CompiledKernel>, GpuError> {
        let key = (kernel as *const _ as usize, variant as *const _ as usize);
        if let Some(found) = lock(&self.0.kernels).get(&key) {
            return Ok(found.clone());
        }
        let made = Arc::new(CompiledKernel::new(self, kernel, variant)?);
        Ok(lock(&self.0.kernels).entry(key).or_insert(made).clone())
    }

    /// A buffer for storage, copies both ways and, with `uniform`, parameters.
    /// New buffers are zero.
    ///
    /// # Errors
    /// Larger than the device allows, or out of memory.
    pub fn buffer(
        &self,
        label: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<wgpu::Buffer, GpuError> {
        let size = bytes.max(4).next_multiple_of(4);
        if size > self.0.limits.max_buffer_size {
            return Err(self.limit(label, "max_buffer_size", size, self.0.limits.max_buffer_size));
        }
        self.scoped(label, size, |device| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size,
                usage,
                mapped_at_creation: false,
            })
        })
    }

    /// The error for a limit that `what` exceeds.
    pub fn limit(&self, what: &str, limit: &'static str, wanted: u64, found: u64) -> GpuError {
        GpuError::Limit {
            adapter: self.0.info.name.clone(),
            what: what.to_string(),
            limit,
            wanted,
            found,
            advice: "Use a smaller --batch, a smaller model or another --adapter",
        }
    }

    /// Writes `data` (a multiple of 4 bytes) before the next submission. A lost device
    /// takes it and forgets it; the submission tells.
    pub fn write(&self, buffer: &wgpu::Buffer, offset: u64, data: &[u8]) {
        self.count(|m| &m.bytes_up, data.len() as u64);
        self.tolerant("write", |queue| queue.write_buffer(buffer, offset, data));
    }

    /// Writes RGBA8 `[h, w, 4]` to a layer of a texture before the next submission.
    pub fn write_layer(&self, texture: &wgpu::Texture, layer: u32, rgba: &[u8]) {
        self.count(|m| &m.bytes_up, rgba.len() as u64);
        let (width, height) = (texture.width(), texture.height());
        let to = wgpu::TexelCopyTextureInfo {
            texture,
            mip_level: 0,
            origin: wgpu::Origin3d { x: 0, y: 0, z: layer },
            aspect: wgpu::TextureAspect::All,
        };
        let layout = wgpu::TexelCopyBufferLayout {
            offset: 0,
            bytes_per_row: Some(width * 4),
            rows_per_image: Some(height),
        };
        let size = wgpu::Extent3d { width, height, depth_or_array_layers: 1 };
        self.tolerant("write", |queue| queue.write_texture(to, rgba, layout, size));
    }

    /// A write whose errors are only told to the log: what was made on a lost device is
    /// not there, and no handler of the application's shall hear of it.
    fn tolerant(&self, what: &str, f: impl FnOnce(&wgpu::Queue)) {
        if let Err(e) = self.scoped(what, 0, |_| f(&self.0.queue)) {
            tracing::debug!(%e, "a write failed");
        }
    }

    /// Submits commands; the ticket tells when they are done.
    ///
    /// # Errors
    /// The device is lost, or the commands are wrong (a bug).
    pub fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<Ticket, GpuError> {
        self.count(|m| &m.submissions, 1);
        let index = self.scoped("submit", 0, |_| self.0.queue.submit([encoder.finish()]))?;
        self.alive()?;
        self.0.watch.ticket(&self.0.device, &self.0.queue, index, DEADLINE)
    }

    /// Waits until a submission is done, at most until [`DEADLINE`].
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn wait(&self, ticket: &Ticket) -> Result<(), GpuError> {
        match ticket.wait(DEADLINE)? {
            Some(_) => self.alive(),
            None => Err(GpuError::Timeout { what: "its submitted work", deadline: DEADLINE }),
        }
    }

    /// Fails where the device is known to be lost.
    pub(crate) fn alive(&self) -> Result<(), GpuError> {
        if self.0.lost.load(Ordering::SeqCst) {
            return Err(GpuError::Lost("the driver reported it".into()));
        }
        Ok(())
    }
}

/// A mutex that a panicking thread left is still usable: the maps are insert-only.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
