//! The autoregressive flows of NVAE's posterior (Kingma et al. 2016, arXiv:1606.04934; Vahdat and
//! Kautz 2020, arXiv:2007.03898, section 3.2.1): `z - mu(z)`, where `mu` of a number depends on
//! those before it alone, first in raster order, then in its mirror image. The map is inverted
//! number by number, so that only encoders have it; its volume does not change.

use super::fold::weight_norm;
use super::{Builder, Result};
use crate::graph::{Act, Tensor};
use crate::weights::Param;

/// How much wider the map is within.
const EXPAND: usize = 6;

/// What of its own pixel a masked convolution sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Own {
    /// The channels before its own.
    Before,
    /// Those and its own.
    UpTo,
    /// It is depthwise and has one.
    One,
}

/// The taps of `weight`, `[out, in, k, k]`, that a number may depend on.
fn masked(weight: Param, own: Own, mirrored: bool) -> Param {
    let shape = weight.shape().to_vec();
    let &[out, input, k, _] = &shape[..] else { return weight };
    Param::fold("masked", &shape.clone(), vec![weight], move |parts| {
        let least = out.min(input).max(1);
        let sees = |i: usize| {
            let (tap, c, o) = (i % (k * k), i / (k * k) % input, i / (k * k) / input);
            let tap = if mirrored { k * k - 1 - tap } else { tap };
            // Channels in as many groups on both sides.
            let (of_out, of_in) = (o * least / out, c * least / input);
            tap < k * k / 2
                || tap == k * k / 2
                    && match own {
                        Own::Before => of_in < of_out,
                        Own::UpTo => of_in <= of_out,
                        Own::One => true,
                    }
        };
        let all = parts.into_iter().flatten().enumerate();
        all.map(|(i, w)| if sees(i) { w } else { 0.0 }).collect()
    })
}

impl Builder<'_> {
    /// The pair of flows `name` (`cell1`, then `cell2`, mirrored): `[n, h, w, z]` to the same.
    ///
    /// # Errors
    /// Missing weights, shapes that do not fit.
    pub fn autoregressive_pair(&mut self, name: &str, z: Tensor) -> Result<Tensor> {
        self.scope(name, |b| {
            let z = b.scope("cell1", |b| b.autoregressive(z, false))?;
            b.scope("cell2", |b| b.autoregressive(z, true))
        })
    }

    fn autoregressive(&mut self, z: Tensor, mirrored: bool) -> Result<Tensor> {
        let c = self.graph.shape(z).c;
        let wide = c.saturating_mul(EXPAND);
        let weight = self.masked_weight("conv.convz.0", [wide, c, 3, 3], Own::Before, mirrored)?;
        let h = self.graph.conv2d(z, &weight, None, 1, [1; 4])?;
        let h = self.graph.act(h, Act::Elu(1.0))?;
        let weight = self.masked_weight("conv.convz.2", [wide, 1, 5, 5], Own::One, mirrored)?;
        let none = crate::weights::derived::zeros(wide);
        let h = self.graph.depthwise(h, (&weight, &none), 1, [2; 4], Act::Identity)?;
        let h = self.graph.act(h, Act::Elu(1.0))?;
        let weight = self.masked_weight("mu.conv_0", [c, wide, 1, 1], Own::UpTo, mirrored)?;
        let bias = self.scope("mu.conv_0", |b| b.param("bias", &[c]))?;
        let mu = self.graph.conv2d(h, &weight, Some(&bias), 1, [0; 4])?;
        let minus = self.graph.affine(mu, -1.0, 0.0)?;
        self.graph.add(minus, z)
    }

    /// Weight norm is of what the mask leaves.
    fn masked_weight(&mut self, name: &str, shape: [usize; 4], own: Own, mirrored: bool) -> Result<Param> {
        self.scope(name, |b| {
            let weight = masked(b.param("weight", &shape)?, own, mirrored);
            Ok(weight_norm(weight, b.param("log_weight_norm", &[shape[0], 1, 1, 1])?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(shape: [usize; 4], own: Own, mirrored: bool) -> Vec<f32> {
        let ones = Param::from_f32("w", &shape, vec![1.0; shape.iter().product()]).unwrap();
        masked(ones, own, mirrored).to_f32().unwrap()
    }

    #[test]
    fn a_number_sees_what_is_before_it() {
        let row = [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let with = |own: f32| row.iter().enumerate().map(move |(i, v)| if i == 4 { own } else { *v });
        let wide: Vec<f32> = [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0].iter().flat_map(|v| with(*v)).collect();
        assert_eq!(mask([4, 2, 3, 3], Own::Before, false), wide);
        let narrow = mask([2, 4, 1, 1], Own::UpTo, true);
        assert_eq!(narrow, [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        let mut mirrored: Vec<f32> = with(1.0).collect();
        mirrored.reverse();
        assert_eq!(mask([1, 1, 3, 3], Own::One, true), mirrored);
    }
}
