//! Which variant is fastest here? Measured, shape by shape, for the convolutions and linear
//! layers of a network: they are nearly all of its time, and the only ops for which several
//! variants of a family take a shape.
//!
//! A candidate must first agree with the variant that is chosen without measuring. All are
//! then timed in turn, round after round, so that whatever else the machine does falls on
//! all alike; those far behind are dropped on the way. A win must be clear, and is confirmed.
//!
//! The shape that decides is that of one image: the winner holds for every batch, and an
//! image stays the same bits in all of them.

use super::EngineError;
use crate::gpu::{Cut, Gpu, Trial};
use crate::graph::plan::{Buf, Target};
use crate::graph::report::plan;
use crate::graph::Graph;
use crate::kernels::check::{bits, data};
use crate::kernels::choices::full_name;
use crate::kernels::conv::{Conv, ConvBuffers};
use crate::kernels::{texels, Caps, Choices, Kernel, Variant};
use std::collections::BTreeMap;

/// Rounds in which each candidate is timed.
const ROUNDS: usize = 5;
/// A candidate is dropped when its best is so many times that of the leader.
const BEHIND: f64 = 1.5;
/// A winner takes at most so much of the time of the one that is chosen without measuring.
const CLEAR: f64 = 0.97;
/// Seconds that a measurement should take: the clock's grain and the submission disappear.
const LEAST: f64 = 2e-3;
/// How far a candidate's numbers may be from the baseline's, relative to the largest.
const TOLERANCE: f64 = 1e-4;
/// Where the result lies in a trial's arrays.
const Y: usize = 5;

/// What was measured of a shape.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Tuned {
    /// [`Conv::shape_key`].
    pub shape: String,
    /// How many layers have it.
    pub layers: usize,
    /// Multiply-adds of the batch.
    pub macs: u64,
    /// What is chosen without measuring.
    pub baseline: String,
    /// What is fastest; the baseline where nothing is clearly faster.
    pub winner: String,
    /// Seconds of every candidate, medians.
    pub timings: BTreeMap<String, f64>,
    /// Candidates whose numbers are not the baseline's, and how they differ.
    pub wrong: BTreeMap<String, String>,
}

impl Tuned {
    /// The winner, where it is not the baseline.
    pub fn fastest(&self) -> Option<&str> {
        (self.winner != self.baseline).then_some(self.winner.as_str())
    }

    /// How many times faster the winner is.
    pub fn gain(&self) -> f64 {
        let time = |name| self.timings.get(name).copied().unwrap_or(f64::NAN);
        time(&self.baseline) / time(&self.winner)
    }
}

/// A shape of a network, and what is added where it is computed.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The shape.
    pub conv: Conv,
    /// Whether a time embedding and a residual are added.
    pub extras: (bool, bool),
    /// What is chosen without measuring.
    pub baseline: (&'static Kernel, &'static Variant),
    /// How many layers have it.
    pub layers: usize,
}

/// The convolutions of a network, each shape once, in the order in which they first run;
/// chosen by `caps`, but as if nothing had been measured.
///
/// # Errors
/// A batch of none, or one that the device cannot hold.
pub fn layers(gpu: &Gpu, graph: &Graph, n: usize) -> Result<Vec<Layer>, EngineError> {
    let caps = unmeasured(gpu);
    let target = Target { caps, limits: gpu.limits().clone(), name: gpu.info().name.clone() };
    let mut layers: Vec<Layer> = Vec::new();
    let calls = plan(graph, target, n)?.calls;
    let staged: Vec<Buf> = calls
        .iter()
        .filter(|c| c.call.kernel.name == texels::KERNEL.name)
        .flat_map(|c| c.call.bindings.iter().filter(|(name, _)| *name == "to").map(|b| b.1))
        .collect();
    for planned in &calls {
        let call = &planned.call;
        let Some((conv, extras)) = Conv::of_call(call) else { continue };
        // Its input lies in an image: brought there, or written there by the op before.
        let x = call.bindings.iter().find(|(name, _)| *name == "x").map(|b| b.1);
        let image = call.variant.get("STAGED") == 1 && x.is_some_and(|x| !staged.contains(&x));
        let conv = Conv { image, ..conv };
        let key = conv.shape_key();
        match layers.iter_mut().find(|l| l.conv.shape_key() == key) {
            Some(layer) => layer.layers += 1,
            None => layers.push(Layer { conv, extras, baseline: (call.kernel, call.variant), layers: 1 }),
        }
    }
    Ok(layers)
}

/// The device's means and what is wrong there, without what was measured.
fn unmeasured(gpu: &Gpu) -> Caps {
    let caps = gpu.caps();
    let bans = caps.choices.map(|c| Choices { banned: c.banned.clone(), ..Choices::default() });
    match bans {
        Some(bans) => gpu.with_choices(bans).caps(),
        None => caps,
    }
}

impl Layer {
    /// The layer's call of a variant over random numbers, ready to run and to be timed.
    ///
    /// # Errors
    /// An adapter without the means.
    pub fn trial(
        &self,
        gpu: &Gpu,
        (kernel, v): (&'static Kernel, &'static Variant),
    ) -> Result<Trial, EngineError> {
        let (conv, (temb, res)) = (&self.conv, self.extras);
        let pixels = conv.n * conv.oh * conv.ow * conv.co;
        let weight = data(2, conv.co * conv.ci * conv.kh * conv.kw);
        let arrays = vec![
            bits(&data(1, conv.n * conv.h * conv.w * conv.ci)),
            bits(&conv.pack(kernel, v, &weight)),
            bits(&conv.pack_bias(kernel, v, Some(&data(3, conv.co)))),
            bits(&data(4, conv.n * conv.temb.0)),
            bits(&data(5, if res { pixels } else { 8 })),
            vec![0; pixels],
            vec![0; 8],
            vec![0; conv.staging(v).map_or(8, |t| t.len())],
        ];
        let buffers = ConvBuffers {
            x: 0,
            weight: 1,
            bias: 2,
            temb: temb.then_some(3),
            res: res.then_some(4),
            y: Y,
            staged: Some(7),
            dummy: 6,
        };
        Ok(Trial::new(gpu, &conv.calls(&gpu.caps(), (kernel, v), buffers), &arrays, Cut::Whole)?)
    }
}

/// Measures every convolution of a network for batches of `n` images. `progress` is told
/// how many of how many shapes are done, and returns whether to go on.
///
/// # Errors
/// An adapter without the means, a timeout, a lost device.
pub fn tune(
    gpu: &Gpu,
    graph: &Graph,
    n: usize,
    mut progress: impl FnMut(usize, usize) -> bool,
) -> Result<Vec<Tuned>, EngineError> {
    let all = layers(gpu, graph, n)?;
    let mut tuned = Vec::with_capacity(all.len());
    for (i, layer) in all.iter().enumerate() {
        if !progress(i, all.len()) {
            break;
        }
        tuned.push(measure(gpu, layer)?);
    }
    progress(tuned.len(), all.len());
    Ok(tuned)
}

/// A candidate in the race.
struct Runner {
    name: String,
    trial: Trial,
    repeats: usize,
    times: Vec<f64>,
}

impl Runner {
    fn time(&mut self) -> Result<f64, EngineError> {
        let t = self.trial.seconds(self.repeats)?;
        self.times.push(t);
        Ok(t)
    }

    fn best(&self) -> f64 {
        self.times.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn measure(gpu: &Gpu, layer: &Layer) -> Result<Tuned, EngineError> {
    let caps = unmeasured(gpu);
    let baseline = full_name(layer.baseline.0, layer.baseline.1);
    let mut tuned = Tuned {
        shape: layer.conv.shape_key(),
        layers: layer.layers,
        macs: layer.conv.macs(),
        baseline: baseline.clone(),
        winner: baseline.clone(),
        timings: BTreeMap::new(),
        wrong: BTreeMap::new(),
    };
    let mut candidates = vec![layer.baseline];
    candidates.extend(layer.conv.candidates(&caps).into_iter().filter(|c| full_name(c.0, c.1) != baseline));
    let (mut field, mut wanted): (Vec<Runner>, Vec<u32>) = (Vec::new(), Vec::new());
    for candidate in candidates {
        let (name, trial) = (full_name(candidate.0, candidate.1), layer.trial(gpu, candidate)?);
        trial.run()?;
        let read = trial.read()?;
        let got = read.arrays.into_iter().nth(Y).unwrap_or_default();
        if field.is_empty() {
            wanted = got;
        } else if let Some(what) = read.outside.or_else(|| differs(&got, &wanted)) {
            tuned.wrong.insert(name, what);
            continue;
        }
        let once = trial.seconds(1)?;
        let repeats = (LEAST / once.max(1e-7)).ceil().clamp(1.0, 1000.0) as usize;
        field.push(Runner { name, trial, repeats, times: Vec::new() });
    }
    for _ in 0..ROUNDS {
        for runner in &mut field {
            runner.time()?;
        }
        let leader = field.iter().map(Runner::best).fold(f64::INFINITY, f64::min);
        for out in field.extract_if(1.., |r| r.best() > BEHIND * leader) {
            tuned.timings.insert(out.name, median(&out.times));
        }
    }
    let (first, rest) = match field.split_first_mut() {
        Some(split) => split,
        None => return Ok(tuned),
    };
    if let Some(best) = rest.iter_mut().min_by(|a, b| median(&a.times).total_cmp(&median(&b.times))) {
        // By the median and by the least: the machine may have been busy with other things.
        let clear = median(&best.times) < CLEAR * median(&first.times);
        if clear && best.best() < CLEAR * first.best() {
            let mut won = 0;
            for _ in 0..3 {
                let (a, b) = (first.time()?, best.time()?);
                won += usize::from(b < CLEAR * a);
            }
            if won >= 2 {
                tuned.winner.clone_from(&best.name);
            }
        }
    }
    tuned.timings.extend(field.iter().map(|r| (r.name.clone(), median(&r.times))));
    Ok(tuned)
}

/// How numbers differ from those wanted, where they do.
fn differs(got: &[u32], wanted: &[u32]) -> Option<String> {
    let number = |w: &u32| f64::from(f32::from_bits(*w));
    let largest = wanted.iter().map(|w| number(w).abs()).fold(0.0, f64::max);
    let bad = |(g, w): (&u32, &u32)| {
        let error = (number(g) - number(w)).abs();
        error > TOLERANCE * largest || error.is_nan()
    };
    let at = got.iter().zip(wanted).position(bad)?;
    Some(format!("element {at}: {} for {}", number(&got[at]), number(&wanted[at])))
}

/// The median of measurements; not a number where there are none.
pub fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_differences() {
        assert_eq!([median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])], [2.0, 2.5]);
        assert!(median(&[]).is_nan());
        let words = |x: &[f32]| bits(x);
        assert_eq!(differs(&words(&[1.0, 100.0]), &words(&[1.001, 100.0])), None);
        assert!(
            differs(&words(&[1.0, 101.0]), &words(&[1.0, 100.0])).is_some_and(|d| d.contains("element 1"))
        );
        assert!(differs(&words(&[f32::NAN]), &words(&[1.0])).is_some());
    }
}
