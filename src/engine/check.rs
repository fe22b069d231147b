//! Checking mode: which op, at which step, first made a value that is no number.

use super::executable::{Batch, Executable};
use super::EngineError;
use crate::gpu::{Parameters, Slice};
use crate::kernels::gate::Mode;
use crate::kernels::pack::CountBad;
use std::collections::HashMap;
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
    pub async fn find_bad(&self, batch: &Batch, image: usize) -> Result<BadOrigin, EngineError> {
        self.start(batch)?;
        for (step, segments) in self.steps().iter().enumerate() {
            if let Some(origin) = self.find_bad_in(step, segments, image).await? {
                return Ok(origin);
            }
        }
        let step = "no step: it is not there when the batch is run again (a driver fault)".to_string();
        Ok(BadOrigin { op: "unknown".into(), step })
    }

    /// In a step: its loop is run pass by pass until the device says that it is done.
    async fn find_bad_in(
        &self,
        step: usize,
        segments: &[usize],
        image: usize,
    ) -> Result<Option<BadOrigin>, EngineError> {
        let Some(l) = self.repeat(step) else {
            return self.find_bad_among(step, segments, image, [None; 2]).await;
        };
        let parts = [&segments[..l.range.start], &segments[l.range.clone()], &segments[l.range.end..]];
        let found = self.find_bad_among(step, parts[0], image, [None, Some(Mode::Enter)]).await?;
        if found.is_some() {
            return Ok(found);
        }
        for _ in 0..l.at_most {
            let found = self.find_bad_among(step, parts[1], image, [None, Some(Mode::Pass)]).await?;
            if found.is_some() {
                return Ok(found);
            }
            if self.gpu().read_async(self.state().1, 4).await? != [0; 4] {
                break;
            }
        }
        self.find_bad_among(step, parts[2], image, [Some(Mode::Leave), None]).await
    }

    /// In a list of segments, between two of the loop's gates.
    async fn find_bad_among(
        &self,
        step: usize,
        segments: &[usize],
        image: usize,
        gates: [Option<Mode>; 2],
    ) -> Result<Option<BadOrigin>, EngineError> {
        use wgpu::BufferUsages as U;
        let gpu = self.gpu();
        let calls: Vec<usize> = segments.iter().flat_map(|&s| self.plan().calls(s)).collect();
        let words = (calls.len() * self.n()) as u64;
        let counts = gpu.buffer("bad counts", words.max(1) * 4, U::STORAGE | U::COPY_SRC)?;
        let all = Slice { buffer: counts.clone(), offset: 0, size: words.max(1) * 4 };
        let mut after = Vec::new();
        for (i, &call) in calls.iter().enumerate() {
            let Some((result, len)) = self.plan().call(call).2 else { continue };
            let image = result.slice().is_none();
            let count = CountBad { n: self.n(), len: *len, at: i * self.n(), add: false, image };
            let calls = count.calls(&gpu.caps(), result.clone(), all.clone().into());
            after.extend(calls.into_iter().map(|c| (i, c)));
        }
        let mut parameters = Parameters::new(gpu, after.iter().map(|(_, c)| c))?;
        let mut bound = HashMap::new();
        for (i, c) in &after {
            bound.insert(*i, gpu.bind(c, &mut parameters)?);
        }
        parameters.upload(gpu);
        let mut encoder = gpu.encoder();
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        let gate = |mode: Option<Mode>, pass: &mut wgpu::ComputePass<'_>| {
            self.repeat(step).into_iter().zip(mode).for_each(|(l, mode)| l.record(mode, pass));
        };
        gate(gates[0], &mut pass);
        for (i, call) in calls.iter().enumerate() {
            self.plan().call(*call).0.record(&mut pass);
            if let Some(count) = bound.get(&i) {
                count.record(&mut pass);
            }
        }
        gate(gates[1], &mut pass);
        drop(pass);
        gpu.submit(encoder)?;
        if words == 0 {
            return Ok(None);
        }
        let read = gpu.read_async(&counts, words * 4).await?;
        let found = read.chunks_exact(4).skip(image).step_by(self.n()).position(|w| w != [0; 4]);
        Ok(found.map(|i| {
            let op = self.plan().call(calls[i]).1.to_string();
            let label = self.step_label(step);
            BadOrigin { op, step: format!("step {} ({label})", step + 1) }
        }))
    }
}
