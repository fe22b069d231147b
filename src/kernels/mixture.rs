//! What a perfect network would say of a mixture of Gaussians in the plane.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `mixture.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "mixture",
    check,
    source: include_str!("../../shaders/mixture.wgsl"),
    variants: &[
        Variant { name: "vp", defines: &[("PRESERVING", 1)], needs: Needs::NONE },
        Variant { name: "sub_vp", defines: &[("PRESERVING", 1), ("SUB", 1)], needs: Needs::NONE },
        Variant { name: "ve", defines: &[("EXPLODING", 1)], needs: Needs::NONE },
        Variant { name: "edm", defines: &[("EDM", 1)], needs: Needs::NONE },
        Variant { name: "vp_tangent", defines: &[("PRESERVING", 1), ("TANGENT", 1)], needs: Needs::NONE },
        Variant {
            name: "sub_vp_tangent",
            defines: &[("PRESERVING", 1), ("SUB", 1), ("TANGENT", 1)],
            needs: Needs::NONE,
        },
        Variant { name: "ve_tangent", defines: &[("EXPLODING", 1), ("TANGENT", 1)], needs: Needs::NONE },
        Variant { name: "edm_tangent", defines: &[("EDM", 1), ("TANGENT", 1)], needs: Needs::NONE },
    ],
};

/// The most components: a lane goes through all of them three times, and lavapipe ends the loops of
/// an invocation after 65535 iterations in all.
pub const MOST_COMPONENTS: usize = 1 << 14;

/// The process in which the network was trained, and so what it is told and what it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    /// Variance preserving with a linear beta, told `999 t`: the noise. Told 0, the chain's first
    /// timestep, it takes a half, as score_sde's chain has it ([`score_sde`](crate::diffusion::score_sde)).
    Vp {
        /// beta(0).
        beta_min: f64,
        /// beta(1).
        beta_max: f64,
    },
    /// Sub-VP, told `999 t`: the noise.
    SubVp {
        /// beta(0).
        beta_min: f64,
        /// beta(1).
        beta_max: f64,
    },
    /// Variance exploding, told sigma: the score.
    Ve,
    /// EDM's parametrisation: told `log(sigma) / 4`, given the state over `sqrt(sigma^2 + data^2)`, it
    /// says `F` (Karras et al. 2022, arXiv:2206.00364, table 1).
    Edm {
        /// The deviation of the data.
        data: f64,
    },
}

impl Form {
    /// The factors of image and noise where the network is told this.
    pub fn factors(self, told: f64) -> (f64, f64) {
        match self {
            Form::Vp { beta_min, beta_max } | Form::SubVp { beta_min, beta_max } => {
                let t = if told > 0.0 { told } else { 0.5 } / 999.0;
                let whole = t * (beta_min + 0.5 * t * (beta_max - beta_min));
                let lost = -(-whole).exp_m1();
                ((-0.5 * whole).exp(), if matches!(self, Form::Vp { .. }) { lost.sqrt() } else { lost })
            }
            Form::Ve => (1.0, told),
            Form::Edm { .. } => (1.0, (4.0 * told).exp()),
        }
    }

    const fn variant(self, tangent: bool) -> &'static str {
        match (self, tangent) {
            (Form::Vp { .. }, false) => "vp",
            (Form::SubVp { .. }, false) => "sub_vp",
            (Form::Ve, false) => "ve",
            (Form::Edm { .. }, false) => "edm",
            (Form::Vp { .. }, true) => "vp_tangent",
            (Form::SubVp { .. }, true) => "sub_vp_tangent",
            (Form::Ve, true) => "ve_tangent",
            (Form::Edm { .. }, true) => "edm_tangent",
        }
    }

    fn numbers(self) -> (f64, f64) {
        match self {
            Form::Vp { beta_min, beta_max } | Form::SubVp { beta_min, beta_max } => (beta_min, beta_max),
            Form::Ve => (0.0, 0.0),
            Form::Edm { data } => (data, 0.0),
        }
    }
}

/// The exact prediction for data that are `k` Gaussians of one variance: with `x = a m + ...` of
/// weight `w` and variance `v = a^2 variance + s^2`, the score is `(a mean - x) / v`, where `mean` is
/// that of the components' by their weights in `x`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    /// Images.
    pub n: usize,
    /// Points of an image.
    pub points: usize,
    /// Components.
    pub k: usize,
    /// The variance of a component.
    pub variance: f64,
    /// What is told and said.
    pub form: Form,
}

/// A component as a point sees it.
struct Part {
    m: [f64; 2],
    /// The log of its weight there.
    log: f64,
    /// How far rounding moves that: of the square and of what is squared.
    loose: f64,
}

/// The components as the point `x` sees them, where the image's factor is `a` and a component's
/// variance `v`.
fn parts(components: &[f32], a: f64, v: f64, x: [f64; 2]) -> Vec<Part> {
    let part = |c: &[f32]| {
        let (m, log) = ([f64::from(c[0]), f64::from(c[1])], f64::from(c[2]));
        let d = [x[0] - a * m[0], x[1] - a * m[1]];
        let far = (d[0] * d[0] + d[1] * d[1]) / (2.0 * v);
        let size = (x[0].abs() + a * m[0].abs()).hypot(x[1].abs() + a * m[1].abs());
        Part { m, log: log - far, loose: far + log.abs() + d[0].hypot(d[1]) * size / v }
    };
    components.chunks_exact(3).map(part).collect()
}

impl Mixture {
    /// From points `x` `[n, points, 2]` and times `t` `[n]`; `components` as [`Mixture::pack`] makes them.
    pub fn calls<B: Clone>(&self, caps: &Caps, inputs: [B; 3], dst: B) -> Vec<Call<B>> {
        self.emit(caps, inputs, None, dst)
    }

    /// The derivative along `dx`, of the shape of `x`.
    pub fn calls_tangent<B: Clone>(&self, caps: &Caps, inputs: [B; 3], dx: B, dst: B) -> Vec<Call<B>> {
        self.emit(caps, inputs, Some(dx), dst)
    }

    fn emit<B: Clone>(&self, caps: &Caps, [x, t, components]: [B; 3], dx: Option<B>, dst: B) -> Vec<Call<B>> {
        let (low, high) = self.form.numbers();
        let split = div_up(self.points, 256);
        let params = vec![
            ("points", self.points.into()),
            ("split", split.into()),
            ("k", self.k.into()),
            ("variance", (self.variance as f32).into()),
            ("low", (low as f32).into()),
            ("high", (high as f32).into()),
        ];
        let variant = KERNEL.pick(caps, |v| v.name == self.form.variant(dx.is_some()));
        let mut bindings = vec![("x", x), ("t", t), ("components", components)];
        bindings.extend(dx.map(|dx| ("dx", dx)));
        bindings.push(("dst", dst));
        Call::new(&KERNEL, variant, bindings, params, self.n * split)
    }

    /// From `[k, 3]`, mean and log of the weight, to what the kernel reads.
    pub fn pack(components: &[f32]) -> Vec<f32> {
        components.chunks_exact(3).flat_map(|c| [c[0], c[1], c[2], 0.0]).collect()
    }

    /// The exact values.
    pub fn reference(&self, x: &[f32], t: &[f32], components: &[f32]) -> Reference {
        let mut out = Reference::default();
        for (i, point) in x.chunks_exact(2).enumerate() {
            let (a, s) = self.form.factors(f64::from(t[i / self.points]));
            let v = a * a * self.variance + s * s;
            let scale = if let Form::Edm { data } = self.form { s.hypot(data) } else { 1.0 };
            let point = [0, 1].map(|d| f64::from(point[d]) * scale);
            let parts = parts(components, a, v, point);
            let top = parts.iter().map(|p| p.log).fold(f64::NEG_INFINITY, f64::max);
            let whole: f64 = parts.iter().map(|p| (p.log - top).exp()).sum();
            for (d, x) in point.into_iter().enumerate() {
                let weigh = |values: &mut dyn Iterator<Item = f64>| {
                    parts.iter().zip(values).map(|(p, v)| (p.log - top).exp() / whole * v).sum::<f64>()
                };
                let mean = weigh(&mut parts.iter().map(|p| p.m[d]));
                // The weights' errors move the mean among the components.
                let moved = parts.iter().map(|p| (p.m[d] - mean).abs() * (4.0 + p.loose));
                let loose = weigh(&mut moved.into_iter()) + mean.abs();
                let (value, size) = match self.form {
                    Form::Vp { .. } | Form::SubVp { .. } => {
                        (s / v * (x - a * mean), s / v * (x.abs() + a * loose))
                    }
                    Form::Ve => ((mean - x) / v, (x.abs() + loose) / v),
                    Form::Edm { data } => {
                        let lean = (self.variance - data * data) / (scale * scale);
                        let by = s * scale / (data * v);
                        let size = (self.variance + data * data) / (scale * scale) * x.abs();
                        (by * (lean * x + mean), by * (size + loose))
                    }
                };
                out.push(value, size);
            }
        }
        out
    }
}

impl Mixture {
    /// The exact derivatives along `dx`.
    pub fn reference_tangent(&self, x: &[f32], t: &[f32], components: &[f32], dx: &[f32]) -> Reference {
        let mut out = Reference::default();
        for (i, (point, u)) in x.chunks_exact(2).zip(dx.chunks_exact(2)).enumerate() {
            let (a, s) = self.form.factors(f64::from(t[i / self.points]));
            let v = a * a * self.variance + s * s;
            let scale = if let Form::Edm { data } = self.form { s.hypot(data) } else { 1.0 };
            let point = [0, 1].map(|d| f64::from(point[d]) * scale);
            let u = [0, 1].map(|d| f64::from(u[d]) * scale);
            let parts = parts(components, a, v, point);
            let top = parts.iter().map(|p| p.log).fold(f64::NEG_INFINITY, f64::max);
            let whole: f64 = parts.iter().map(|p| (p.log - top).exp()).sum();
            let weigh = |f: &dyn Fn(&Part) -> f64| {
                parts.iter().map(|p| (p.log - top).exp() / whole * f(p)).sum::<f64>()
            };
            let mean = [0, 1].map(|d| weigh(&|p| p.m[d]));
            let from = |p: &Part| [p.m[0] - mean[0], p.m[1] - mean[1]];
            for d in 0..2 {
                let turned = a / v
                    * weigh(&|p| {
                        let f = from(p);
                        f[d] * (f[0] * u[0] + f[1] * u[1])
                    });
                // The weights' errors, and the mean's, move what is summed.
                let loose = a / v
                    * weigh(&|p| {
                        let f = from(p);
                        let far = f[0].hypot(f[1]);
                        (4.0 + p.loose)
                            * (far * far + far * (mean[0].hypot(mean[1]) + 1.0) * 1e-1)
                            * u[0].hypot(u[1])
                    });
                let (value, size) = match self.form {
                    Form::Vp { .. } | Form::SubVp { .. } => {
                        (s / v * (u[d] - a * turned), s / v * (u[d].abs() + a * loose))
                    }
                    Form::Ve => ((turned - u[d]) / v, (u[d].abs() + loose) / v),
                    Form::Edm { data } => {
                        let lean = (self.variance - data * data) / (scale * scale);
                        let by = s * scale / (data * v);
                        let size = (self.variance + data * data) / (scale * scale) * u[d].abs();
                        (by * (lean * u[d] + turned), by * (size + loose))
                    }
                };
                out.push(value, size);
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (n, points, k, seed) = (case.of(1..4), case.of(1..600), case.of(1..60), case.word());
    let (std, when) = (case.real(0.01, 0.5), case.real(0.0, 1.0));
    // From the image, where the network is told least, to noise alone.
    let told = |i: usize| when + (1.0 - when) * i as f64 / n as f64;
    let form = match case.of(0..4) {
        0 => Form::Vp { beta_min: 0.1, beta_max: 20.0 },
        1 => Form::SubVp { beta_min: 0.1, beta_max: 20.0 },
        2 => Form::Ve,
        _ => Form::Edm { data: 0.5 },
    };
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
    let at = |(i, z): (usize, &f32)| {
        let (a, s) = form.factors(f64::from(times[i / (2 * points)]));
        let by = if matches!(form, Form::Edm { .. }) { s.hypot(0.5) } else { 1.0 };
        ((a * f64::from(components[i % 2]) + s * f64::from(*z)) / by) as f32
    };
    let x: Vec<f32> = noise.iter().enumerate().map(at).collect();
    let along = data(seed ^ 2, x.len());
    let mut arrays =
        vec![bits(&x), bits(&times), bits(&Mixture::pack(&components)), vec![0; x.len()], bits(&along)];
    case.run(&op.calls(&case.caps(), [0, 1, 2], 3), &mut arrays)?;
    compare(&arrays[3], &op.reference(&x, &times, &components), TOLERANCE)?;
    case.run(&op.calls_tangent(&case.caps(), [0, 1, 2], 4, 3), &mut arrays)?;
    compare(&arrays[3], &op.reference_tangent(&x, &times, &components, &along), TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log density of the state, unnormalised, by its definition.
    fn log_density(op: &Mixture, (a, s): (f64, f64), components: &[f32], x: [f64; 2]) -> f64 {
        let v = a * a * op.variance + s * s;
        let part = |c: &[f32]| {
            let d = [x[0] - a * f64::from(c[0]), x[1] - a * f64::from(c[1])];
            f64::from(c[2]).exp() * (-(d[0] * d[0] + d[1] * d[1]) / (2.0 * v)).exp()
        };
        components.chunks_exact(3).map(part).sum::<f64>().ln()
    }

    #[test]
    fn predictions_are_the_gradient_of_the_log_density() {
        let components = [0.5, -0.25, -1.0, -0.5, 0.75, -0.5, 0.0, 0.25, -2.0f32];
        for (form, told) in [
            (Form::Vp { beta_min: 0.1, beta_max: 20.0 }, 350.0),
            (Form::SubVp { beta_min: 0.1, beta_max: 20.0 }, 350.0),
            (Form::Ve, 0.75),
            (Form::Edm { data: 0.5 }, -0.0625),
        ] {
            let op = Mixture { n: 1, points: 1, k: 3, variance: 0.04, form };
            let (a, s) = form.factors(told);
            let x = [0.375f32, 0.125];
            let said = op.reference(&x, &[told as f32], &components).value;
            let scale = if let Form::Edm { data } = form { s.hypot(data) } else { 1.0 };
            for d in 0..2 {
                let at = |by: f64| {
                    let mut x = x.map(|v| f64::from(v) * scale);
                    x[d] += by;
                    log_density(&op, (a, s), &components, x)
                };
                let score = (at(1e-5) - at(-1e-5)) / 2e-5;
                let state = f64::from(x[d]) * scale;
                let want = match form {
                    Form::Vp { .. } | Form::SubVp { .. } => -s * score,
                    Form::Ve => score,
                    // x0 = x + s^2 score = c_skip x + c_out F.
                    Form::Edm { data } => {
                        let (skip, out) = (data * data / (scale * scale), s * data / scale);
                        (state + s * s * score - skip * state) / out
                    }
                };
                assert!((said[d] - want).abs() < 1e-7 * want.abs().max(1.0), "{form:?}: {} {want}", said[d]);
            }
            // The derivative, by differences of the prediction (whose input is f32).
            let u = [0.5f32, -0.75];
            let slope = op.reference_tangent(&x, &[told as f32], &components, &u).value;
            let h = 1.0 / 1024.0;
            let moved =
                |h: f32| op.reference(&[x[0] + h * u[0], x[1] + h * u[1]], &[told as f32], &components).value;
            for ((got, up), down) in slope.iter().zip(moved(h)).zip(moved(-h)) {
                let want = (up - down) / f64::from(2.0 * h);
                assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{form:?}: {got} {want}");
            }
        }
    }
}
