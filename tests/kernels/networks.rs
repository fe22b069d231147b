//! Kernels of the networks of the published systems.

use super::harness::{bits, compare, data, twin, TOLERANCE};
use proptest::prelude::*;
use undiffuse::kernels::activation::Activation;
use undiffuse::kernels::axis::{self, Axis};
use undiffuse::kernels::depthwise::{self, Depthwise};
use undiffuse::kernels::mixture::{self, Form, Mixture};
use undiffuse::kernels::mixture_mean::{self, MixtureMean};
use undiffuse::kernels::pixel_norm::{self, PixelNorm};
use undiffuse::kernels::product::{self, Factor, Product};
use undiffuse::shape::Shape;

#[test]
fn depthwise_matches() {
    let image = (1usize..4, 1usize..12, 1usize..12, 1usize..6, any::<bool>());
    let filter = (1usize..6, 1usize..6, 1usize..4, [0usize..4, 0usize..4, 0usize..4, 0usize..4]);
    let s = (image, filter, any::<bool>(), any::<u64>());
    twin(&[&depthwise::KERNEL], 250, s, |t, caps, &(image, (kh, kw, stride, padding), silu, seed)| {
        let (n, h, w, c, fours) = image;
        let from = Shape::new(h, w, if fours { 4 * c } else { c });
        let activation = if silu { Activation::Silu } else { Activation::Identity };
        let op = Depthwise { kh, kw, stride, padding, activation };
        let Some(out) = op.out(from) else { return Ok(()) };
        let x = data(seed, n * from.len());
        let weight = data(seed ^ 1, from.c * kh * kw);
        let bias = data(seed ^ 2, from.c);
        let mut arrays = vec![bits(&x), bits(&op.pack(&weight)), bits(&bias), vec![0; n * out.len()]];
        t.run(&op.calls(caps, (n, from), (0, 1, 2), 3), &mut arrays)?;
        compare(&arrays[3], &op.reference(n, from, &x, &weight, &bias), TOLERANCE)
    });
}

#[test]
fn product_matches() {
    let s = (1usize..4, 1usize..40, 1usize..9, any::<bool>(), 0usize..3, any::<u64>());
    twin(&[&product::KERNEL], 200, s, |t, caps, &(n, pixels, c, fours, factor, seed)| {
        let factor = [Factor::Same, Factor::Exp, Factor::Vector][factor];
        let op = Product { n, pixels, c: if fours { 4 * c } else { c }, factor };
        let a = data(seed, n * pixels * op.c);
        let b = data(seed ^ 1, if factor == Factor::Vector { n * op.c } else { a.len() });
        let mut arrays = vec![bits(&a), bits(&b), vec![0; a.len()]];
        t.run(&op.calls(caps, 0, 1, 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(&a, &b), TOLERANCE)
    });
}

#[test]
fn pixel_norm_matches() {
    let s = (1usize..200, 1usize..130, any::<u64>());
    twin(&[&pixel_norm::KERNEL], 150, s, |t, caps, &(rows, c, seed)| {
        let op = PixelNorm { rows, c, eps: 1e-8 };
        let x = data(seed, rows * c);
        let mut arrays = vec![bits(&x), vec![0; x.len()]];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        compare(&arrays[1], &op.reference(&x), TOLERANCE)
    });
}

#[test]
fn mixture_mean_matches() {
    let s = (1usize..150, 1usize..12, any::<u64>());
    twin(&[&mixture_mean::KERNEL], 150, s, |t, caps, &(pixels, k, seed)| {
        let op = MixtureMean { pixels, k };
        let x = data(seed, pixels * 10 * k);
        let mut arrays = vec![bits(&x), vec![0; pixels * 3]];
        t.run(&op.calls(caps, 0, 1), &mut arrays)?;
        compare(&arrays[1], &op.reference(&x), TOLERANCE)
    });
}

#[test]
fn mixture_matches() {
    let s = (1usize..4, 1usize..600, 1usize..60, 0usize..4, 0.01f64..0.5, 0.0f64..1.0, any::<u64>());
    twin(&[&mixture::KERNEL], 200, s, |t, caps, &(n, points, k, form, std, when, seed)| {
        // From the image, where the network is told least, to noise alone.
        let told = |i: usize| when + (1.0 - when) * i as f64 / n as f64;
        let form = [
            Form::Vp { beta_min: 0.1, beta_max: 20.0 },
            Form::SubVp { beta_min: 0.1, beta_max: 20.0 },
            Form::Ve,
            Form::Edm { data: 0.5 },
        ][form];
        let scaled = |u: f64| match form {
            Form::Vp { .. } | Form::SubVp { .. } => 999.0 * u,
            Form::Ve => 0.01 * 1000f64.powf(u),
            Form::Edm { .. } => 0.25 * (0.002 * 40_000f64.powf(u)).ln(),
        };
        let times: Vec<f32> = (0..n).map(|i| scaled(told(i)) as f32).collect();
        let op = Mixture { n, points, k, variance: std * std, form };
        let components = data(seed, 3 * k);
        // Where the points are at such times: the noise times its factor, and something of the image.
        let noise = data(seed ^ 1, 2 * n * points);
        let x: Vec<f32> = (noise.iter().enumerate())
            .map(|(i, z)| {
                let (a, s) = form.factors(f64::from(times[i / (2 * points)]));
                let by = if matches!(form, Form::Edm { .. }) { s.hypot(0.5) } else { 1.0 };
                ((a * f64::from(components[i % 2]) + s * f64::from(*z)) / by) as f32
            })
            .collect();
        let mut arrays = vec![bits(&x), bits(&times), bits(&Mixture::pack(&components)), vec![0; x.len()]];
        t.run(&op.calls(caps, [0, 1, 2], 3), &mut arrays)?;
        compare(&arrays[3], &op.reference(&x, &times, &components), TOLERANCE)
    });
}

#[test]
fn axis_matches() {
    let s = (1usize..6, 1usize..40, 1usize..40, 1usize..20, any::<u64>());
    twin(&[&axis::KERNEL], 200, s, |t, caps, &(outer, from, to, inner, seed)| {
        let op = Axis { outer, from, to, inner };
        let x = data(seed, outer * from * inner);
        let matrix = data(seed ^ 1, to * from);
        let mut arrays = vec![bits(&x), bits(&matrix), vec![0; outer * to * inner]];
        t.run(&op.calls(caps, 0, 1, 2), &mut arrays)?;
        compare(&arrays[2], &op.reference(&x, &matrix), TOLERANCE)
    });
}
