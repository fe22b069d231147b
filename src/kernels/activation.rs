//! Activations that kernels apply where they store (`shaders/lib/activation.wgsl`).

/// A function of one number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Activation {
    /// `x`.
    #[default]
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x sigmoid(x)`, also called swish.
    Silu,
    /// `x (1 + erf(x / sqrt 2)) / 2`, within 1e-6.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// `x tanh(log(1 + exp x))`.
    Mish,
    /// `tanh x`.
    Tanh,
    /// `x`, below 0 `alpha (exp x - 1)`.
    Elu(f32),
    /// `x`, below 0 `alpha x`.
    Leaky(f32),
}

impl Activation {
    /// Each once, with usual parameters.
    pub const ALL: [Activation; 9] = [
        Activation::Identity,
        Activation::Relu,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Mish,
        Activation::Tanh,
        Activation::Elu(1.0),
        Activation::Leaky(0.2),
    ];

    /// The define that selects it in WGSL.
    pub fn define(self) -> &'static str {
        match self {
            Activation::Identity => "IDENTITY",
            Activation::Relu => "RELU",
            Activation::Silu => "SILU",
            Activation::Gelu => "GELU",
            Activation::GeluTanh => "GELU_TANH",
            Activation::Mish => "MISH",
            Activation::Tanh => "TANH",
            Activation::Elu(_) => "ELU",
            Activation::Leaky(_) => "LEAKY",
        }
    }

    /// The parameter that WGSL calls `alpha`.
    pub fn alpha(self) -> f32 {
        match self {
            Activation::Elu(a) | Activation::Leaky(a) => a,
            _ => 0.0,
        }
    }

    /// The exact value.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Activation::Identity => x,
            Activation::Relu => x.max(0.0),
            Activation::Silu => x / (1.0 + (-x).exp()),
            Activation::Gelu => x * normal(x),
            Activation::GeluTanh => {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh())
            }
            Activation::Mish => x * x.exp().ln_1p().min(x.abs() + 1.0).tanh(),
            Activation::Tanh => x.tanh(),
            Activation::Elu(a) => x.max(0.0) + f64::from(a) * x.min(0.0).exp_m1(),
            Activation::Leaky(a) => x.max(0.0) + f64::from(a) * x.min(0.0),
        }
    }

    /// The derivative (of ReLU and its relatives at 0, that from below).
    pub fn slope(self, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let step = |below: f64| if x > 0.0 { 1.0 } else { below };
        match self {
            Activation::Identity => 1.0,
            Activation::Relu => step(0.0),
            Activation::Silu => sigmoid(x) * (1.0 + x * sigmoid(-x)),
            Activation::Gelu => normal(x) + x * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt(),
            Activation::GeluTanh => {
                let c = (8.0 / std::f64::consts::PI).sqrt();
                let s = sigmoid(c * (x + 0.044715 * x * x * x));
                s + x * s * (1.0 - s) * c * (1.0 + 0.134145 * x * x)
            }
            Activation::Mish => {
                let t = x.exp().ln_1p().min(x.abs() + 1.0).tanh();
                t + x * (1.0 - t * t) * sigmoid(x)
            }
            Activation::Tanh => 1.0 - x.tanh().powi(2),
            Activation::Elu(a) => step(f64::from(a) * x.exp()),
            Activation::Leaky(a) => step(f64::from(a)),
        }
    }

    /// What a result's magnitude gains: exp and tanh are good to an absolute error.
    pub fn slack(self) -> f64 {
        match self {
            Activation::Identity | Activation::Relu | Activation::Leaky(_) => 0.0,
            _ => 0.2,
        }
    }
}

/// The normal distribution function, by Marsaglia's series.
fn normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return if x > 0.0 { 1.0 } else { 0.0 };
    }
    let (mut sum, mut term, mut k) = (x, x, 1.0);
    while term.abs() > 1e-18 * sum.abs() {
        k += 2.0;
        term *= x * x / k;
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::Activation;

    /// torch.nn.functional in float64 at 1.3 and -0.7.
    #[test]
    fn known_values() {
        let want = [
            (Activation::Silu, 1.021645, -0.232270),
            (Activation::Gelu, 1.174161, -0.169375),
            (Activation::GeluTanh, 1.174216, -0.169498),
            (Activation::Mish, 1.186010, -0.266680),
            (Activation::Elu(1.0), 1.3, -0.503415),
        ];
        for (f, a, b) in want {
            assert!((f.apply(1.3) - a).abs() < 2e-3 && (f.apply(-0.7) - b).abs() < 2e-3, "{f:?}");
        }
        assert!((Activation::Mish.apply(800.0) - 800.0).abs() < 1e-9);
        for f in Activation::ALL {
            for x in [-6.0, -1.3, -0.2, 0.4, 2.0, 7.5] {
                let h = 1e-5;
                let slope = (f.apply(x + h) - f.apply(x - h)) / (2.0 * h);
                assert!((f.slope(x) - slope).abs() < 1e-8, "{f:?} at {x}: {} for {slope}", f.slope(x));
            }
        }
    }
}
