//! Pipelines before they are needed: several compiled at once, and kept from one process to
//! the next where the driver has a cache that applications keep (Vulkan).

use super::tuning::{read_bounded, write_whole};
use super::{lock, Gpu, GpuError};
use crate::kernels::{Kernel, Variant};
use std::io;
use std::path::{Path, PathBuf};

/// A file of the cache is not longer.
const MOST_BYTES: u64 = 256 << 20;
/// Bytes of the hash in front of a driver's own.
const HASH: usize = 32;

impl Gpu {
    /// Compiles those of the variants that are not compiled yet, on as many threads as
    /// there are processors.
    ///
    /// # Errors
    /// As [`Gpu::kernel`]: the first of them.
    pub fn compile(&self, wanted: &[(&'static Kernel, &'static Variant)]) -> Result<(), GpuError> {
        let known = |(k, v): &(&Kernel, &Variant)| {
            let key = (std::ptr::from_ref(*k) as usize, std::ptr::from_ref(*v) as usize);
            lock(&self.0.kernels).contains_key(&key)
        };
        let mut cold: Vec<_> = Vec::new();
        for one in wanted.iter().filter(|w| !known(w)) {
            if !cold
                .iter()
                .any(|c: &(&Kernel, &Variant)| std::ptr::eq(c.0, one.0) && std::ptr::eq(c.1, one.1))
            {
                cold.push(*one);
            }
        }
        compile_all(self, &cold)
    }
}

#[cfg(target_arch = "wasm32")]
fn compile_all(gpu: &Gpu, cold: &[(&'static Kernel, &'static Variant)]) -> Result<(), GpuError> {
    cold.iter().try_for_each(|(k, v)| gpu.kernel(k, v).map(|_| ()))
}

#[cfg(not(target_arch = "wasm32"))]
fn compile_all(gpu: &Gpu, cold: &[(&'static Kernel, &'static Variant)]) -> Result<(), GpuError> {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(cold.len());
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), GpuError> {
        while let Some((k, v)) = cold.get(next.fetch_add(1, Ordering::Relaxed)) {
            gpu.kernel(k, v)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        // This thread works too.
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut result = work();
        for other in others {
            let theirs = other
                .join()
                .unwrap_or_else(|_| Err(GpuError::Internal("a thread that compiles ended".into())));
            result = result.and(theirs);
        }
        result
    })
}

/// The driver's own cache of compiled pipelines, as a file keeps it.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) cache: Option<wgpu::PipelineCache>,
    /// BLAKE3 of what the file holds.
    hash: [u8; HASH],
}

impl Gpu {
    /// The file of a device's pipelines in a cache folder; `None` where the device has no
    /// cache that applications keep.
    pub fn pipelines_path(&self, folder: &Path) -> Option<PathBuf> {
        if !self.device().features().contains(wgpu::Features::PIPELINE_CACHE) {
            return None;
        }
        let name = wgpu::util::pipeline_cache_key(self.info())?;
        Some(folder.join(format!("pipelines-{}.bin", &blake3::hash(name.as_bytes()).to_hex()[..16])))
    }

    /// Lets pipelines that are compiled from now on come from the cache folder, where they
    /// were kept by [`Gpu::keep_pipelines`]. Returns a warning where the file could not be
    /// used: it is written whole when pipelines are next kept. The first call decides.
    pub fn load_pipelines(&self, folder: &Path) -> Option<String> {
        let path = self.pipelines_path(folder)?;
        let (data, warning) = match read(&path) {
            Ok(data) => (data, None),
            Err(why) => (None, Some(format!("{} is not used: {why}", path.display()))),
        };
        let hash = data.as_deref().map_or([0; HASH], |d| *blake3::hash(d).as_bytes());
        let made = self.scoped("the pipeline cache", 0, |device| create(device, data.as_deref()));
        let _ = self.0.kept.set(std::sync::Mutex::new(Kept { cache: made.ok(), hash }));
        warning
    }

    /// Writes what was compiled to the cache folder, where anything is new: the file's place.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn keep_pipelines(&self, folder: &Path) -> io::Result<Option<PathBuf>> {
        let (Some(path), Some(kept)) = (self.pipelines_path(folder), self.0.kept.get()) else {
            return Ok(None);
        };
        let mut kept = lock(kept);
        let Some(data) = kept.cache.as_ref().and_then(wgpu::PipelineCache::get_data) else { return Ok(None) };
        let hash = *blake3::hash(&data).as_bytes();
        if hash == kept.hash {
            return Ok(None);
        }
        std::fs::create_dir_all(folder)?;
        write_whole(&path, &[&hash[..], &data].concat())?;
        kept.hash = hash;
        Ok(Some(path))
    }

    pub(super) fn pipeline_cache(&self) -> Option<wgpu::PipelineCache> {
        self.0.kept.get().and_then(|k| lock(k).cache.clone())
    }
}

#[allow(unsafe_code)]
fn create(device: &wgpu::Device, data: Option<&[u8]>) -> wgpu::PipelineCache {
    let descriptor = wgpu::PipelineCacheDescriptor { label: Some("undiffuse"), data, fallback: true };
    // SAFETY: the data are what `get_data` gave, byte for byte: a hash in front of them says
    // so, and wgpu itself checks that they are of this adapter and driver.
    unsafe { device.create_pipeline_cache(&descriptor) }
}

/// What a file keeps; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let Some(bytes) = read_bounded(path, MOST_BYTES)? else { return Ok(None) };
    match bytes.split_at_checked(HASH) {
        Some((hash, data)) if blake3::hash(data).as_bytes() == hash => Ok(Some(data.to_vec())),
        _ => Err("it is damaged".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::Options;
    use crate::kernels::{fill, product, Needs};

    #[test]
    fn several_are_compiled_at_once_and_each_once() {
        let gpu = Gpu::open(&Options::default()).unwrap();
        let wanted: Vec<_> = [&fill::KERNEL, &product::KERNEL]
            .into_iter()
            .flat_map(|k: &'static Kernel| k.variants.iter().map(move |v| (k, v)))
            .collect();
        let twice = [&wanted[..], &wanted[..]].concat();
        gpu.compile(&twice).unwrap();
        assert_eq!(gpu.kernels_compiled(), wanted.len());
        gpu.compile(&wanted).unwrap();
        assert_eq!(gpu.kernels_compiled(), wanted.len());
        // What the device lacks is an error, whichever thread meets it.
        static NEEDY: &[Variant] =
            &[Variant { name: "needy", defines: &[], needs: Needs { subgroup: Some(1021), int64: false } }];
        let error = gpu.compile(&[wanted[0], (&fill::KERNEL, &NEEDY[0])]).unwrap_err();
        assert!(error.to_string().contains("needy"), "{error}");
    }

    #[test]
    fn pipelines_are_kept_and_a_damaged_file_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Gpu::open(&Options::default()).unwrap();
        let gpu = open();
        let Some(path) = gpu.pipelines_path(folder.path()) else {
            // Without the feature nothing is read and nothing is written.
            assert_eq!(gpu.load_pipelines(folder.path()), None);
            assert_eq!(gpu.keep_pipelines(folder.path()).unwrap(), None);
            return;
        };
        // Nothing was loaded: nothing is kept.
        assert_eq!(gpu.keep_pipelines(folder.path()).unwrap(), None);
        assert_eq!(gpu.load_pipelines(folder.path()), None);
        gpu.kernel(&fill::KERNEL, &fill::KERNEL.variants[0]).unwrap();
        let first = gpu.keep_pipelines(folder.path()).unwrap();
        if first.is_none() {
            return; // a driver that has the feature and nothing to say
        }
        assert_eq!(first.as_ref(), Some(&path));
        assert_eq!(gpu.keep_pipelines(folder.path()).unwrap(), None, "nothing is new");
        let good = std::fs::read(&path).unwrap();
        assert_eq!(open().load_pipelines(folder.path()), None);
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&good[..good.len() - 1], &flipped, b"short", b""] {
            std::fs::write(&path, bad).unwrap();
            let gpu = open();
            let warning = gpu.load_pipelines(folder.path()).unwrap_or_default();
            assert!(warning.contains("damaged") && warning.contains("pipelines-"), "{warning}");
            gpu.kernel(&fill::KERNEL, &fill::KERNEL.variants[0]).unwrap();
            assert_eq!(gpu.keep_pipelines(folder.path()).unwrap().as_ref(), Some(&path));
            assert_eq!(open().load_pipelines(folder.path()), None);
        }
    }
}
