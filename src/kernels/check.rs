//! Checks of kernels against their twins: each kernel names one ([`Kernel::check`](super::Kernel)),
//! which draws a random case, runs it on whatever device it is given, and compares. Tests run
//! hundreds of cases of every kernel, `undiffuse doctor` some on a user's own driver.

use super::{Call, Caps, Reference};
use std::ops::Range;

/// Draws a case of a kernel, runs it and compares it with the twin; says what is wrong.
pub type Check = fn(&mut Case<'_>) -> Result<(), String>;

/// The tolerance that most kernels meet, relative to the sum of magnitudes.
pub const TOLERANCE: f64 = 1e-5;

/// What runs a check's calls: a call's resource is an index into the arrays, and the
/// results are written back to them.
pub type Runner<'a> = dyn FnMut(&[Call<usize>], &mut [Vec<u32>]) -> Result<(), String> + 'a;

/// A random case: numbers to draw from, and a device to run on.
pub struct Case<'a> {
    caps: Caps,
    here: Caps,
    state: u64,
    run: &'a mut Runner<'a>,
}

impl<'a> Case<'a> {
    /// Case `seed`, planned for `caps`, on a device that has `here`.
    pub fn new(caps: Caps, here: Caps, seed: u64, run: &'a mut Runner<'a>) -> Self {
        Self { caps, here, state: seed.wrapping_mul(0xD129_0D3B_3EB7_5A4D), run }
    }

    /// What the choice of variants may look at in this case.
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// Everything that the device has.
    pub fn here(&self) -> Caps {
        self.here
    }

    /// A random word.
    pub fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.state)
    }

    /// A whole number of the range.
    pub fn of(&mut self, range: Range<usize>) -> usize {
        let size = range.end.saturating_sub(range.start).max(1) as u64;
        range.start + (self.word() % size) as usize
    }

    /// A coin.
    pub fn coin(&mut self) -> bool {
        self.word() >> 63 == 1
    }

    /// A number between two others.
    pub fn real(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Runs calls over arrays.
    ///
    /// # Errors
    /// What the device says, or what was written out of range.
    pub fn run(&mut self, calls: &[Call<usize>], arrays: &mut [Vec<u32>]) -> Result<(), String> {
        (self.run)(calls, arrays)
    }
}

/// splitmix64's output.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Numbers from a small generator: about normal, now and then large or zero.
pub fn data(seed: u64, len: usize) -> Vec<f32> {
    let mut s = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ len as u64;
    let mut next = move || {
        s = s.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(s)
    };
    let mut out = Vec::with_capacity(len);
    for _ in 0..len {
        let (a, b) = (next(), next());
        let u = |x: u64| (x >> 40) as f32 / (1u64 << 24) as f32;
        let v = (u(a) + u(a << 24) + u(b) - 1.5) * 2.0;
        out.push(match b & 63 {
            0 => 0.0,
            1 => v * 16.0,
            _ => v,
        });
    }
    out
}

/// Numbers as words.
pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|v| v.to_bits()).collect()
}

/// Words as numbers.
pub fn floats(x: &[u32]) -> Vec<f32> {
    x.iter().map(|v| f32::from_bits(*v)).collect()
}

/// `|got - want| <= tolerance * magnitude` for each element.
///
/// # Errors
/// The first element that is not so, in words.
pub fn compare(got: &[u32], want: &Reference, tolerance: f64) -> Result<(), String> {
    if got.len() != want.value.len() || got.len() != want.magnitude.len() {
        return Err(format!("{} numbers, want {}", got.len(), want.value.len()));
    }
    for (i, g) in got.iter().enumerate() {
        let (g, w, m) = (f64::from(f32::from_bits(*g)), want.value[i], want.magnitude[i]);
        let error = (g - w).abs();
        let good = error <= tolerance * m + 1e-30;
        if !good {
            return Err(format!("element {i}: {g} for {w}, error {:.3e} of magnitude {m}", error / m));
        }
    }
    Ok(())
}

/// `got == want`, word for word.
///
/// # Errors
/// The first word that differs.
pub fn same(got: &[u32], want: &[u32]) -> Result<(), String> {
    match got.iter().zip(want).position(|(a, b)| a != b) {
        None if got.len() == want.len() => Ok(()),
        None => Err(format!("{} words, want {}", got.len(), want.len())),
        Some(i) => Err(format!("word {i}: {:08x} for {:08x}", got[i], want[i])),
    }
}
