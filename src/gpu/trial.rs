//! Kernel calls by themselves, over arrays of the host: to compare kernels with their
//! twins and to time them, outside of any plan.

use super::{BoundDispatch, Gpu, GpuError, Parameters, Part, Resource, Slice};
use crate::clock::Instant;
use crate::kernels::reflect::{reflection, IMAGE_ROW};
use crate::kernels::Call;
use std::collections::BTreeMap;

/// Words of a guard band: a multiple of every adapter's alignment.
pub const GUARD: usize = 64;
/// What guard bands hold: a NaN that no kernel makes.
const SENTINEL: u32 = 0x7fb1_5afe;

/// Calls bound to arrays, each of which lies between two guard bands; the one behind is
/// inside the binding.
#[derive(Debug)]
pub struct Trial {
    gpu: Gpu,
    buffers: Vec<wgpu::Buffer>,
    lens: Vec<usize>,
    images: BTreeMap<usize, wgpu::TextureView>,
    dispatches: Vec<BoundDispatch>,
}

/// Whether the dispatches of a trial are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// As they are: to time them.
    Whole,
    /// Each in two and folded, as long ones are: to find faults.
    Folded,
}

impl Trial {
    /// Binds the calls; a call's resource is an index into `arrays`. An array that a
    /// shader reads as an image is given as one, with ones behind it; one that a shader
    /// writes as an image is zeros at first.
    ///
    /// # Errors
    /// A call that does not fit its kernel, or an adapter without the means.
    pub fn new(gpu: &Gpu, calls: &[Call<usize>], arrays: &[Vec<u32>], cut: Cut) -> Result<Trial, GpuError> {
        use wgpu::BufferUsages as U;
        let mut buffers = Vec::with_capacity(arrays.len());
        for a in arrays {
            let mut words = vec![SENTINEL; GUARD];
            words.extend_from_slice(a);
            words.resize(words.len() + GUARD, SENTINEL);
            let usage = U::STORAGE | U::COPY_DST | U::COPY_SRC;
            let buffer = gpu.buffer("an array of a trial", words.len() as u64 * 4, usage)?;
            gpu.write(&buffer, 0, bytemuck::cast_slice(&words));
            buffers.push(buffer);
        }
        let missing = |array: usize| GpuError::Internal(format!("a trial has no array {array}"));
        // Images that the calls write.
        let mut scratch: BTreeMap<usize, wgpu::TextureView> = BTreeMap::new();
        for call in calls {
            let shader = reflection(call.kernel, call.variant)?;
            for b in shader.storage.iter().filter(|b| b.image && b.writable) {
                for (_, array) in call.bindings.iter().filter(|(name, _)| *name == b.name) {
                    let bytes = arrays.get(*array).ok_or_else(|| missing(*array))?.len() as u64 * 4;
                    if !scratch.contains_key(array) {
                        scratch.insert(*array, gpu.scratch_image("an image of a trial", bytes)?);
                    }
                }
            }
        }
        let resource = |image: bool, array: usize| -> Result<Resource, GpuError> {
            if let Some(view) = scratch.get(&array).filter(|_| image) {
                return Ok(Resource::Image(view.clone()));
            }
            if image {
                let row = IMAGE_ROW * 4;
                let mut words = arrays.get(array).ok_or_else(|| missing(array))?.clone();
                words.resize(words.len().next_multiple_of(row).max(row), 1f32.to_bits());
                return Ok(Resource::Image(
                    gpu.image("an image of a trial", bytemuck::cast_slice(&words))?.0,
                ));
            }
            let buffer = buffers.get(array).ok_or_else(|| missing(array))?.clone();
            let offset = GUARD as u64 * 4;
            Ok(Slice { size: buffer.size() - offset, buffer, offset }.into())
        };
        let mut whole = Vec::with_capacity(calls.len());
        for call in calls {
            let shader = reflection(call.kernel, call.variant)?;
            let image = |name: &str| shader.storage.iter().any(|b| b.name == name && b.image);
            let bindings =
                call.bindings.iter().map(|(name, array)| Ok((*name, resource(image(name), *array)?)));
            whole.push(Call {
                kernel: call.kernel,
                variant: call.variant,
                bindings: bindings.collect::<Result<Vec<_>, GpuError>>()?,
                params: call.params.clone(),
                groups: call.groups,
            });
        }
        let mut parameters = Parameters::new(gpu, whole.iter().flat_map(|c| [c, c]))?;
        let limit = gpu.limits().max_compute_workgroups_per_dimension;
        let mut dispatches = Vec::new();
        for call in &whole {
            let groups = u32::try_from(call.groups)
                .map_err(|_| GpuError::Internal(format!("{}: too many workgroups", call.kernel.name)))?;
            let middle = if cut == Cut::Folded { (u64::from(groups) * 2 / 3) as u32 } else { groups };
            for (base, end) in [(0, middle), (middle, groups)] {
                if base == end {
                    continue;
                }
                let count = end - base;
                let fold = if cut == Cut::Folded && count >= 3 { count.div_ceil(2) } else { count };
                let part = Part { base, groups: count };
                dispatches.push(gpu.bind_part(call, part, fold.min(limit), &mut parameters)?);
            }
        }
        parameters.upload(gpu);
        let lens = arrays.iter().map(Vec::len).collect();
        Ok(Trial { gpu: gpu.clone(), buffers, lens, images: scratch, dispatches })
    }

    /// Overwrites a word of an array, counted from the guard band in front of it: the
    /// way in which tests plant errors.
    pub fn spoil(&self, array: usize, word: usize) {
        if let Some(buffer) = self.buffers.get(array) {
            self.gpu.write(buffer, word as u64 * 4, &[1, 2, 3, 4]);
        }
    }

    /// Runs the calls once and waits.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn run(&self) -> Result<(), GpuError> {
        let mut encoder = self.gpu.encoder();
        self.record(1, &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        self.gpu.wait(&self.gpu.submit(encoder)?)
    }

    /// Seconds that the calls take, the mean of `repeats` in one submission: by the
    /// device's clock, where it has one.
    ///
    /// # Errors
    /// Timeout or a lost device.
    pub fn seconds(&self, repeats: usize) -> Result<f64, GpuError> {
        let repeats = repeats.max(1);
        let mut encoder = self.gpu.encoder();
        if let Some(watch) = self.gpu.stopwatch(1)? {
            self.record(repeats, &mut watch.pass(&mut encoder, 0));
            return Ok(watch.submit(encoder)?.iter().sum::<f64>() / repeats as f64);
        }
        self.record(repeats, &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        let start = Instant::now();
        self.gpu.wait(&self.gpu.submit(encoder)?)?;
        Ok(start.elapsed().as_secs_f64() / repeats as f64)
    }

    fn record(&self, repeats: usize, pass: &mut wgpu::ComputePass<'_>) {
        for _ in 0..repeats {
            self.dispatches.iter().for_each(|d| d.record(pass));
        }
    }

    /// The arrays as they are now, in one map.
    ///
    /// # Errors
    /// A lost device.
    pub fn read(&self) -> Result<Arrays, GpuError> {
        use wgpu::BufferUsages as U;
        let texels = self.images.values().map(|v| u64::from(v.texture().height()) * IMAGE_ROW as u64 * 16);
        let total: u64 = self.buffers.iter().map(wgpu::Buffer::size).chain(texels).sum::<u64>() + 16;
        let staging = self.gpu.buffer("readback", total, U::MAP_READ | U::COPY_DST)?;
        let mut encoder = self.gpu.encoder();
        let mut at = 0;
        for b in &self.buffers {
            encoder.copy_buffer_to_buffer(b, 0, &staging, at, b.size());
            at += b.size();
        }
        // Copies begin at whole texels; a row of them is a multiple of 256 bytes, as they want.
        at = at.next_multiple_of(16);
        let images_at = at as usize / 4;
        for view in self.images.values() {
            let size = view.texture().size();
            let layout = wgpu::TexelCopyBufferLayout {
                offset: at,
                bytes_per_row: Some(size.width * 16),
                rows_per_image: Some(size.height),
            };
            let to = wgpu::TexelCopyBufferInfo { buffer: &staging, layout };
            encoder.copy_texture_to_buffer(view.texture().as_image_copy(), to, size);
            at += u64::from(size.width) * u64::from(size.height) * 16;
        }
        let readback = self.gpu.read_on_submit(&encoder, &staging, total);
        self.gpu.wait(&self.gpu.submit(encoder)?)?;
        let words: Vec<u32> = bytemuck::pod_collect_to_vec(&readback.take()?);
        let (mut rest, mut texels) = words.split_at(images_at);
        let mut out = Arrays { arrays: Vec::new(), outside: None };
        for (k, &len) in self.lens.iter().enumerate() {
            let (mine, next) = rest.split_at(len + 2 * GUARD);
            rest = next;
            for (guard, side) in [(&mine[..GUARD], "before"), (&mine[GUARD + len..], "behind")] {
                if let Some(i) = guard.iter().position(|&w| w != SENTINEL) {
                    let what = format!("array {k}: guard word {i} {side} it was written");
                    out.outside.get_or_insert(what);
                }
            }
            out.arrays.push(mine[GUARD..GUARD + len].to_vec());
        }
        for (k, view) in &self.images {
            let size = view.texture().size();
            let (mine, next) = texels.split_at(size.width as usize * size.height as usize * 4);
            texels = next;
            out.arrays[*k].copy_from_slice(&mine[..self.lens[*k]]);
        }
        Ok(out)
    }
}

/// What a [`Trial`] left behind.
#[derive(Clone, Debug)]
pub struct Arrays {
    /// The arrays, without their guard bands.
    pub arrays: Vec<Vec<u32>>,
    /// What was written outside of them.
    pub outside: Option<String>,
}
