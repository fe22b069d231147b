//! The tangents of activations, for derivatives in forward mode.

use super::activation::Activation;
use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{div_up, Call, Caps, Kernel, Needs, Reference, Variant};

/// `act_tangent.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "act_tangent",
    check,
    source: include_str!("../../shaders/act_tangent.wgsl"),
    variants: &[
        Variant { name: "relu", defines: &[("RELU", 1)], needs: Needs::NONE },
        Variant { name: "silu", defines: &[("SILU", 1)], needs: Needs::NONE },
        Variant { name: "gelu", defines: &[("GELU", 1)], needs: Needs::NONE },
        Variant { name: "gelu_tanh", defines: &[("GELU_TANH", 1)], needs: Needs::NONE },
        Variant { name: "mish", defines: &[("MISH", 1)], needs: Needs::NONE },
        Variant { name: "tanh", defines: &[("TANH", 1)], needs: Needs::NONE },
        Variant { name: "elu", defines: &[("ELU", 1)], needs: Needs::NONE },
        Variant { name: "leaky", defines: &[("LEAKY", 1)], needs: Needs::NONE },
    ],
};

/// `dst = act'(x) dx`. Not for the identity, whose tangent is `dx`.
#[derive(Clone, Copy, Debug)]
pub struct ActTangent {
    /// Numbers.
    pub len: usize,
    /// The activation.
    pub act: Activation,
}

impl ActTangent {
    /// All of `[len]`.
    pub fn calls<B: Clone>(&self, caps: &Caps, x: B, dx: B, dst: B) -> Vec<Call<B>> {
        let variant = KERNEL.pick(caps, |v| v.get(self.act.define()) == 1);
        let params = vec![("total", self.len.into()), ("alpha", self.act.alpha().into())];
        Call::new(&KERNEL, variant, vec![("x", x), ("dx", dx), ("dst", dst)], params, div_up(self.len, 64))
    }

    /// The exact values.
    pub fn reference(&self, x: &[f32], dx: &[f32]) -> Reference {
        let mut out = Reference::default();
        for (x, dx) in x.iter().zip(dx) {
            let (x, dx) = (f64::from(*x), f64::from(*dx));
            let slope = self.act.slope(x);
            out.push(slope * dx, dx.abs() * (slope.abs() + self.act.slack() * (1.0 + x.abs().min(20.0))));
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let (len, seed) = (case.of(1..400), case.word());
    let op = ActTangent { len, act: Activation::ALL[case.of(1..9)] };
    let x: Vec<f32> = data(seed, len).iter().map(|v| 3.0 * v).collect();
    let dx = data(seed ^ 1, len);
    let mut arrays = vec![bits(&x), bits(&dx), vec![0; len]];
    case.run(&op.calls(&case.caps(), 0, 1, 2), &mut arrays)?;
    compare(&arrays[2], &op.reference(&x, &dx), TOLERANCE)
}
