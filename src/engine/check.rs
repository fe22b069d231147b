//! Checking mode: which op, at which step, first made a value that is no number.

use super::run::{Batch, Executable};
use super::EngineError;
use crate::gpu::{Slice, DEADLINE};
use crate::kernels::pack::CountBad;
use std::fmt;

/// Where the first value that is NaN or infinite came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadOrigin {
    /// The op and its place in the model or sampler.
    pub op: String,
    /// The step: its number and the sampler's word for it.
    pub step: String,
}

impl fmt::Display for BadOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "The first came from `{}` at {}: the model's weights do not suit these options, \
             or the file is damaged; try other --steps, --guidance-scale or --sampler",
            self.op, self.step
        )
    }
}

impl Executable {
    /// Runs a batch again (it is deterministic), counting bad values after each op,
    /// until the image `image` of the batch has one.
    ///
    /// # Errors
    /// A lost device.
    pub fn find_bad(&self, batch: &Batch, image: usize) -> Result<BadOrigin, EngineError> {
        use wgpu::BufferUsages as U;
        let gpu = self.gpu();
        self.start(batch)?;
        for (step, segments) in self.steps().iter().enumerate() {
            let calls: Vec<usize> = segments.iter().flat_map(|&s| self.plan().calls(s)).collect();
            let words = (calls.len() * self.n()) as u64;
            let counts = gpu.buffer("bad counts", words * 4, U::STORAGE | U::COPY_SRC)?;
            let back = gpu.buffer("bad counts readback", words * 4, U::MAP_READ | U::COPY_DST)?;
            let uniform_size = 256 * (calls.len() as u64 + 1);
            let uniform = gpu.buffer("parameters", uniform_size, U::UNIFORM | U::COPY_DST)?;
            let mut uniforms = Vec::new();
            let mut encoder = gpu.encoder();
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            let mut bound = Vec::new();
            for (i, &call) in calls.iter().enumerate() {
                let (dispatch, _, result) = self.plan().call(call);
                dispatch.record(&mut pass);
                let Some((slice, len)) = result else { continue };
                let all = Slice { buffer: counts.clone(), offset: 0, size: words * 4 };
                let count = CountBad { n: self.n(), len: *len, at: i * self.n(), add: false };
                for c in count.calls(&gpu.caps(), slice.clone(), all) {
                    let dispatch = gpu.bind(&c, &uniform, &mut uniforms)?;
                    dispatch.record(&mut pass);
                    bound.push(dispatch);
                }
            }
            drop(pass);
            encoder.copy_buffer_to_buffer(&counts, 0, &back, 0, words * 4);
            uniforms.resize(uniforms.len().next_multiple_of(4), 0);
            gpu.write(&uniform, 0, &uniforms);
            let index = gpu.submit(encoder)?;
            gpu.wait(index, DEADLINE)?;
            let read = gpu.read(&back, words * 4)?;
            let found = read.chunks_exact(4).skip(image).step_by(self.n()).position(|w| w != [0; 4]);
            if let Some(i) = found {
                let op = self.plan().call(calls[i]).1.to_string();
                let label = self.step_label(step);
                return Ok(BadOrigin { op, step: format!("step {} ({label})", step + 1) });
            }
        }
        let step = "no step: it is not there when the batch is run again (a driver fault)".to_string();
        Ok(BadOrigin { op: "unknown".into(), step })
    }
}
