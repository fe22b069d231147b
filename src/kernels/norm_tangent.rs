//! The tangent of a group norm, for derivatives in forward mode.

use super::check::{bits, compare, data, Case, TOLERANCE};
use super::{Call, Caps, Kernel, Needs, Reference, Variant};

/// `norm_tangent.wgsl`.
pub static KERNEL: Kernel = Kernel {
    name: "norm_tangent",
    check,
    source: include_str!("../../shaders/norm_tangent.wgsl"),
    variants: &[Variant { name: "plain", defines: &[], needs: Needs::NONE }],
};

/// On `[n, pixels, c]`, weight `[c]`.
#[derive(Clone, Copy, Debug)]
pub struct NormTangent {
    /// Images.
    pub n: usize,
    /// Pixels per image.
    pub pixels: usize,
    /// Channels.
    pub c: usize,
    /// Groups, which divide the channels.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
}

impl NormTangent {
    /// From the norm's input and its tangent.
    pub fn calls<B: Clone>(&self, caps: &Caps, x: B, dx: B, gamma: B, dst: B) -> Vec<Call<B>> {
        let params = vec![
            ("pixels", self.pixels.into()),
            ("c", self.c.into()),
            ("norm_groups", self.groups.into()),
            ("eps", self.eps.into()),
        ];
        let bindings = vec![("x", x), ("dx", dx), ("gamma", gamma), ("dst", dst)];
        Call::new(&KERNEL, KERNEL.pick(caps, |_| true), bindings, params, self.n * self.groups)
    }

    /// The exact values.
    pub fn reference(&self, x: &[f32], dx: &[f32], gamma: &[f32]) -> Reference {
        let width = self.c / self.groups;
        let len = (self.pixels * width) as f64;
        let mut out = Reference { value: vec![0.0; x.len()], magnitude: vec![0.0; x.len()] };
        for group in 0..self.n * self.groups {
            let (image, g) = (group / self.groups, group % self.groups);
            let at = |i: usize| (image * self.pixels + i / width) * self.c + g * width + i % width;
            let all = || (0..self.pixels * width).map(at);
            let (vx, vd) = (|i: usize| f64::from(x[i]), |i: usize| f64::from(dx[i]));
            let (mean, slope) = (all().map(vx).sum::<f64>() / len, all().map(vd).sum::<f64>() / len);
            let var = all().map(|i| (vx(i) - mean).powi(2)).sum::<f64>() / len;
            let cov = all().map(|i| (vx(i) - mean) * (vd(i) - slope)).sum::<f64>() / len;
            let r2 = 1.0 / (var + f64::from(self.eps));
            let size = all().map(|i| vd(i).abs()).fold(0.0, f64::max);
            for i in all() {
                let k = f64::from(gamma[i % self.c]) * r2.sqrt();
                out.value[i] = k * (vd(i) - slope - (vx(i) - mean) * r2 * cov);
                // Where all x are nearly equal, r makes much of their roundings.
                let rounding = r2.sqrt() * (mean.abs() + var.sqrt());
                out.magnitude[i] = k.abs() * size * (3.0 + 4.0 * rounding);
            }
        }
        out
    }
}

fn check(case: &mut Case<'_>) -> Result<(), String> {
    let pixels = if case.coin() { case.of(1..70) } else { case.of(900..1100) };
    let (n, groups, width, seed) = (case.of(1..4), case.of(1..34), case.of(1..9), case.word());
    let op = NormTangent { n, pixels, c: groups * width, groups, eps: 1e-5 };
    let len = n * pixels * op.c;
    let (x, dx, gamma) = (data(seed, len), data(seed ^ 1, len), data(seed ^ 2, op.c));
    let mut arrays = vec![bits(&x), bits(&dx), bits(&gamma), vec![0; len]];
    case.run(&op.calls(&case.caps(), 0, 1, 2, 3), &mut arrays)?;
    compare(&arrays[3], &op.reference(&x, &dx, &gamma), TOLERANCE)
}
