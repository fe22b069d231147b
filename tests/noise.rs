//! The noise as a distribution: what the table of integers gives, on the host.

use undiffuse::kernels::noise::{fill, gaussian, noise_hash, philox, quantile};

/// The normal distribution's upper tail: Marsaglia's series (2004), then the
/// continued fraction where the series cancels.
fn tail(x: f64) -> f64 {
    let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 2.5 {
        let (mut sum, mut term, mut k) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            k += 2.0;
            term *= x * x / k;
            sum += term;
        }
        return 0.5 - density * sum;
    }
    let mut f = x;
    for k in (1..=200).rev() {
        f = x + f64::from(k) / f;
    }
    density / f
}

/// Known answers of Random123 for philox4x32-10.
#[test]
fn philox_known_answers() {
    assert_eq!(philox([0; 4], 0), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
    assert_eq!(philox([u32::MAX; 4], u64::MAX), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
    let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
    assert_eq!(philox(pi, 0x299f_31d0_a409_3822), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
}

/// Pinned: a change of these bits changes every image of every seed.
#[test]
fn hashes_are_pinned() {
    assert_eq!(noise_hash(0), HASH_0);
    assert_eq!(noise_hash(7), HASH_7);
}
const HASH_0: u64 = 0xaaf2_d3d8_3e80_1a80;
const HASH_7: u64 = 0x95f4_cf09_357d_c1f2;

/// The error of the table against the exact quantile, in units of 2^-29, over
/// every `by`-th word.
fn worst_error(by: usize) -> f64 {
    let mut worst = 0.0f64;
    for m in (0..1u32 << 31).step_by(by).chain(0..4096).chain((1 << 31) - 4096..1 << 31) {
        let x = f64::from(quantile(m)) / f64::from(1u32 << 29);
        let u = (f64::from(m) + 0.5) / 4294967296.0;
        // One Newton step from x towards the exact quantile.
        let density = (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        worst = worst.max(((tail(x) - u) / density * f64::from(1u32 << 29)).abs());
    }
    worst
}

/// Moments 2, 4, 6, 8 over every `by`-th of the 2^31 magnitudes, and whether
/// the magnitude falls as the word grows (but for two units between segments). Odd moments are 0: signs pair off.
fn moments(by: usize) -> ([f64; 4], bool) {
    let (mut sums, mut falls, mut last, mut count) = ([0.0f64; 4], true, u32::MAX, 0u32);
    for chunk in 0..1u32 << 11 {
        let mut part = [0.0f64; 4];
        for m in ((chunk << 20)..((chunk + 1) << 20)).step_by(by) {
            let q = quantile(m);
            falls &= q <= last.saturating_add(2);
            last = q;
            let x2 = f64::from(gaussian(m)).powi(2);
            let mut power = 1.0;
            for p in &mut part {
                power *= x2;
                *p += power;
            }
            count += 1;
        }
        for (s, p) in sums.iter_mut().zip(part) {
            *s += p;
        }
    }
    (sums.map(|s| s / f64::from(count)), falls)
}

/// (Kolmogorov-Smirnov distance times sqrt(n), mean, variance, largest) of draws.
fn draws(n: usize, seed: u64) -> [f64; 4] {
    const BINS: usize = 1 << 16;
    let mut histogram = vec![0u64; BINS];
    let (mut sum, mut squares, mut largest) = (0.0, 0.0, 0.0f64);
    let mut x = vec![0.0f32; 1 << 16];
    for image in 0..(n >> 16) {
        fill(seed, image as u64, 0, &mut x);
        for v in &x {
            let v = f64::from(*v);
            histogram[((v + 8.0) * 4096.0) as usize] += 1;
            sum += v;
            squares += v * v;
            largest = largest.max(v.abs());
        }
    }
    let n = ((n >> 16) << 16) as f64;
    let (mut below, mut distance) = (0, 0.0f64);
    for (i, h) in histogram.iter().enumerate() {
        let edge = i as f64 / 4096.0 - 8.0;
        let cdf = if edge < 0.0 { tail(-edge) } else { 1.0 - tail(edge) };
        distance = distance.max((below as f64 / n - cdf).abs());
        below += h;
    }
    [distance * n.sqrt(), sum / n, squares / n - (sum / n).powi(2), largest]
}

#[test]
fn gaussian_in_brief() {
    assert!(worst_error(100_003) < 2.5, "{}", worst_error(100_003));
    let (m, falls) = moments(997);
    assert!(falls);
    for (got, want) in m.into_iter().zip([1.0, 3.0, 15.0, 105.0]) {
        assert!((got / want - 1.0).abs() < 2e-2, "{got} for {want}");
    }
    let [ks, mean, variance, largest] = draws(4 << 20, 1);
    assert!(ks < 1.63, "Kolmogorov-Smirnov {ks}"); // 1 % level
    assert!(mean.abs() < 4.0 / 2048.0 && (variance - 1.0).abs() < 4.0 * 1.5 / 2048.0 && largest > 4.5);
    // The two ends of the table.
    assert!((f64::from(gaussian(0)) - 6.337958).abs() < 1e-3 && gaussian(u32::MAX >> 1).abs() < 1e-8);
}

/// All 2^32 words and 1e8 draws; prints the facts that `kernels::noise` reports.
#[test]
#[ignore = "a minute: all words"]
fn gaussian_in_full() {
    println!("hashes: {:#x} {:#x}", noise_hash(0), noise_hash(7));
    println!("worst error: {:.3} units of 2^-29", worst_error(1009));
    let (m, falls) = moments(1);
    println!("moments 2, 4, 6, 8: {m:?}, monotone: {falls}");
    println!("ends: {} {:e}", gaussian(0), gaussian(u32::MAX >> 1));
    println!("1e8 draws: KS sqrt(n), mean, variance, largest: {:?}", draws(100_000_000, 1));
    assert!(falls);
}
