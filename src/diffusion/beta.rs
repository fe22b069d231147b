//! Quantiles of the Beta distribution (the Beta schedule's noise levels).

/// The x at which the Beta(a, b) distribution reaches the probability `p`.
pub(super) fn quantile(p: f64, a: f64, b: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 {
        return p.clamp(0.0, 1.0);
    }
    let whole = integral(1.0, a, b) + integral(1.0, b, a);
    // From the nearer end, so that x near 1 keeps its digits.
    let lower = integral(1.0, a, b) / whole;
    match p <= lower {
        true => solve(p * whole, a, b),
        false => 1.0 - solve((1.0 - p) * whole, b, a),
    }
}

/// The integral of `t^(a-1) (1-t)^(b-1)` from 0 to `share / 2`.
///
/// With `t = u^(1/a)` the integrand is `(1 - u^(1/a))^(b-1) / a`, smooth enough on
/// the lower half for Gauss-Legendre panels.
fn integral(share: f64, a: f64, b: f64) -> f64 {
    const NODES: [(f64, f64); 4] = [
        (0.183_434_642_495_649_8, 0.362_683_783_378_362),
        (0.525_532_409_916_329, 0.313_706_645_877_887_3),
        (0.796_666_477_413_626_7, 0.222_381_034_453_374_48),
        (0.960_289_856_497_536_3, 0.101_228_536_290_376_26),
    ];
    const PANELS: usize = 16;
    let end = (share / 2.0).powf(a);
    let width = end / PANELS as f64;
    let f = |u: f64| (1.0 - u.powf(1.0 / a)).powf(b - 1.0) / a;
    let panel = |i: usize| {
        let middle = (i as f64 + 0.5) * width;
        NODES
            .iter()
            .map(|(x, w)| w * (f(middle + 0.5 * width * x) + f(middle - 0.5 * width * x)))
            .sum::<f64>()
    };
    (0..PANELS).map(panel).sum::<f64>() * 0.5 * width
}

/// The end in [0, 1/2] at which the integral from 0 has this value, by bisection.
fn solve(value: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        match integral(2.0 * middle, a, b) < value {
            true => low = middle,
            false => high = middle,
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_known_distributions() {
        // Beta(1/2, 1/2) is the arcsine distribution, Beta(2, 1) has the density 2x.
        for p in [1e-6, 0.01, 0.3, 0.5, 0.77, 0.999] {
            let arcsine = (std::f64::consts::FRAC_PI_2 * p).sin().powi(2);
            assert!((quantile(p, 0.5, 0.5) - arcsine).abs() < 1e-9, "{p}");
            assert!((quantile(p, 2.0, 1.0) - p.sqrt()).abs() < 1e-9, "{p}");
        }
        assert_eq!((quantile(0.0, 0.6, 0.6), quantile(1.0, 0.6, 0.6)), (0.0, 1.0));
    }
}
