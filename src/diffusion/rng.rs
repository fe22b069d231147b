//! Whose random numbers the noise is made of.
//!
//! [`Rng::Torch`] repeats PyTorch's generator for the CPU, so that a run can be compared
//! with one of PyTorch image by image: image i is what a pipeline draws that is given
//! `torch.Generator("cpu").manual_seed(seed + i)` for it. The numbers agree to f32
//! rounding (PyTorch's own differ in the last bits between processors).

use std::str::FromStr;

use super::Error;
use crate::shape::Shape;

/// A source of noise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rng {
    /// Philox 4x32-10 on the device: the same bits on every adapter.
    #[default]
    Philox,
    /// PyTorch's generator for the CPU, on the host, sent to the device before the loop.
    Torch,
}

impl Rng {
    /// Every source.
    pub const ALL: [Rng; 2] = [Self::Philox, Self::Torch];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Philox => "philox",
            Self::Torch => "torch",
        }
    }
}

impl FromStr for Rng {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|r| r.name() == name);
        known.ok_or_else(|| Error::option("rng", name, "choose philox or torch"))
    }
}

const N: usize = 624;

/// PyTorch's generator for the CPU: MT19937 (Matsumoto & Nishimura 1998) and Box and
/// Muller's method, as `torch.manual_seed(seed)` starts it.
#[derive(Clone, Debug)]
pub struct TorchGenerator {
    state: Vec<u32>,
    next: usize,
    /// The second of a pair of normal numbers, of which one was asked for.
    spare: Option<f64>,
}

impl TorchGenerator {
    /// The generator after `manual_seed(seed)`. MT19937 takes the lower 32 bits.
    pub fn new(seed: u64) -> Self {
        let mut state = vec![seed as u32; N];
        for i in 1..N {
            let last = state[i - 1];
            state[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self { state, next: N, spare: None }
    }

    fn twist(&mut self) {
        let m = &mut self.state;
        for k in 0..N {
            let y = (m[k] & 0x8000_0000) | (m[(k + 1) % N] & 0x7fff_ffff);
            m[k] = m[(k + 397) % N] ^ (y >> 1) ^ if y & 1 == 1 { 0x9908_b0df } else { 0 };
        }
        self.next = 0;
    }

    fn word(&mut self) -> u32 {
        if self.next >= N {
            self.twist();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    /// In [0, 1), of 24 bits.
    fn single(&mut self) -> f64 {
        f64::from(self.word() & 0x00ff_ffff) / f64::from(1u32 << 24)
    }

    /// In [0, 1), of 53 bits.
    fn double(&mut self) -> f64 {
        let (high, low) = (u64::from(self.word()), u64::from(self.word()));
        (((high << 32) | low) & ((1 << 53) - 1)) as f64 / (1u64 << 53) as f64
    }

    /// `torch.randn(n)`: fewer than 16 numbers are made one by one in f64, more in
    /// blocks of 16 in f32, of which the last is made anew where 16 does not divide n.
    pub fn randn(&mut self, n: usize) -> Vec<f32> {
        if n < 16 {
            return (0..n).map(|_| self.one() as f32).collect();
        }
        let mut values: Vec<f64> = (0..n).map(|_| self.single()).collect();
        values.chunks_exact_mut(16).for_each(box_muller);
        if !n.is_multiple_of(16) {
            let last = &mut values[n - 16..];
            last.iter_mut().for_each(|v| *v = self.single());
            box_muller(last);
        }
        values.into_iter().map(|v| v as f32).collect()
    }

    fn one(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let (u1, u2) = (self.double(), self.double());
        let radius = (-2.0 * (-u2).ln_1p()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * u1).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// `torch.randn(1, c, h, w)` as `[h, w, c]`.
    pub fn image(&mut self, shape: Shape) -> Vec<f32> {
        let planes = self.randn(shape.len());
        let pixels = shape.pixels();
        (0..pixels).flat_map(|p| (0..shape.c).map(move |c| c * pixels + p)).map(|i| planes[i]).collect()
    }
}

/// Sixteen numbers in [0, 1) as normal ones: number j with number j + 8.
fn box_muller(block: &mut [f64]) {
    for j in 0..8 {
        let radius = (-2.0 * (1.0 - block[j]).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * block[j + 8]).sin_cos();
        (block[j], block[j + 8]) = (radius * cos, radius * sin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last of `torch.randn(n)` for n = 3, 5, 16, 17, 40, 1, 3072 in this order
    /// after `torch.manual_seed(seed)` (PyTorch 2.15, on an x86-64 processor with AVX2).
    #[test]
    fn numbers_are_pytorchs() {
        let sizes = [3, 5, 16, 17, 40, 1, 3072];
        for (seed, want) in TORCH {
            let mut generator = TorchGenerator::new(seed);
            for (n, (first, last)) in sizes.into_iter().zip(want) {
                let got = generator.randn(n);
                assert_eq!(got.len(), n);
                assert!((got[0] - first).abs() < 1e-5, "{seed} {n}: {} for {first}", got[0]);
                assert!((got[n - 1] - last).abs() < 1e-5, "{seed} {n}: {} for {last}", got[n - 1]);
            }
        }
    }

    #[test]
    fn an_image_has_its_channels_last() {
        let shape = Shape::new(2, 3, 4);
        let (planes, image) = (TorchGenerator::new(5).randn(24), TorchGenerator::new(5).image(shape));
        for (p, c) in (0..6).flat_map(|p| (0..4).map(move |c| (p, c))) {
            assert_eq!(image[p * 4 + c], planes[c * 6 + p]);
        }
    }

    const TORCH: [(u64, [(f32, f32); 7]); 4] = [
        (
            0,
            [
                (1.541, -2.17879),
                (0.568431, 0.838026),
                (-1.35265, -0.843677),
                (-0.613583, -1.32533),
                (0.919971, -0.622698),
                (0.137975, 0.137975),
                (-0.6661, 0.675829),
            ],
        ),
        (
            7,
            [
                (-0.146795, 0.946822),
                (-1.11434, 1.23239),
                (-1.58266, -1.35977),
                (-0.0835282, 0.690124),
                (0.182545, -0.815971),
                (-0.90651, -0.90651),
                (0.110632, 1.16396),
            ],
        ),
        (
            4294967301,
            [
                (-0.486781, -0.558096),
                (0.667524, -0.762557),
                (2.77986, 1.74703),
                (-0.261668, 1.55846),
                (1.56327, -0.156398),
                (0.128852, 0.128852),
                (-2.03443, 1.09571),
            ],
        ),
        (
            9223372036854775819,
            [
                (0.737629, -0.699542),
                (-1.3023, 0.483925),
                (0.24788, 1.12674),
                (-0.225541, -0.757195),
                (0.558226, 0.388999),
                (-1.34648, -1.34648),
                (-0.905254, 0.658598),
            ],
        ),
    ];
}
