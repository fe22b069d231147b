//! Weights made from their names: goldens and benchmarks need no checkpoint.
//!
//! Element `i` (row-major, from 0) of the tensor `name` is splitmix64 of
//! `fnv1a64(name) + (i + 1) * 0x9E3779B97F4A7C15`, its upper 24 bits taken as
//! `u` in `[0, 1)` and `s = 2u - 1`; then, in f32:
//!
//! | tensor | value |
//! | --- | --- |
//! | `class_embedding.weight` | `s` |
//! | two dimensions or more | `s * sqrt(3 / fan_in)`, fan_in the product of all sizes but the first |
//! | `time_proj.weight` of one dimension (Fourier) | `2 s` |
//! | another one-dimensional `*.weight` (norms), `*.running_var` | `1 + 0.2 s` |
//! | any other (biases) | `0.1 s` |
//!
//! `tests/goldens_make/deterministic.py` is the same in Python.

use super::{Param, Stored, Weights, WeightsError};

/// A source that has every tensor in every shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deterministic;

impl Weights for Deterministic {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        let (owned, sizes) = (name.to_owned(), shape.to_vec());
        Ok(Param::lazy(name, shape, move || tensor(&owned, &sizes)))
    }

    fn contains(&self, _name: &str) -> bool {
        true
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn stored(&self, _name: &str) -> Option<Stored<'_>> {
        None
    }
}

/// The numbers of the tensor `name` in `shape`, row-major.
pub fn tensor(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let fan_in: usize = shape.iter().skip(1).product();
    let (scale, add) = match shape.len() {
        _ if name == "class_embedding.weight" => (1.0, 0.0),
        2.. => ((3.0 / fan_in as f64).sqrt() as f32, 0.0),
        _ if name == "time_proj.weight" => (2.0, 0.0),
        _ if name.ends_with(".weight") || name.ends_with(".running_var") => (0.2, 1.0),
        _ => (0.1, 0.0),
    };
    let signed = uniform(name, count).map(|u| (2.0 * u - 1.0) as f32);
    signed.map(|s| scale * s + add).collect()
}

/// `count` numbers in `[0, 1)` from the stream `name`.
pub fn uniform(name: &str, count: usize) -> impl Iterator<Item = f64> {
    let hash = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3));
    (1..=count as u64).map(move |i| {
        let mut z = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f64 / f64::from(1u32 << 24)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_python_bit_for_bit() {
        let cases: [(&str, &[usize], [u32; 2]); 6] = [
            ("conv_in.weight", &[8, 3, 3, 3], [0x3d42_8f60, 0x3e82_d22b]),
            ("conv_in.bias", &[8], [0xbd53_569d, 0x3dae_8467]),
            ("conv_norm_out.weight", &[4], [0x3f64_b339, 0x3f84_7880]),
            ("class_embedding.weight", &[5, 2], [0xbdaf_86f0, 0xbf37_47cc]),
            ("time_proj.weight", &[4], [0x3f0a_95c4, 0x3e38_0eb0]),
            ("time_proj.weight", &[3, 4], [0x3e70_094b, 0x3d9f_65fb]),
        ];
        for (name, shape, first) in cases {
            let numbers = Deterministic.get(name, shape).unwrap().to_f32().unwrap();
            assert_eq!(numbers.len(), shape.iter().product::<usize>());
            assert_eq!([numbers[0].to_bits(), numbers[1].to_bits()], first, "{name} {shape:?}");
        }
    }

    #[test]
    fn variances_are_positive() {
        assert!(tensor("bn.running_var", &[64]).iter().all(|v| (0.8..1.2).contains(v)));
    }
}
