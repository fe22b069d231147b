// dst = act'(x) dx: the tangent of an activation. Formulas: lib/activation.wgsl.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;
struct P {
  groups: u32,
  base: u32,
  total: u32,
  alpha: f32, // of the activation
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

fn slope(x: f32, alpha: f32) -> f32 {
#if RELU
  return select(0.0, 1.0, x > 0.0);
#endif
#if SILU
  let y = clamp(x, -80.0, 80.0);
  let s = 1.0 / (1.0 + exp(-y));
  return s * fma(y, 1.0 - s, 1.0);
#endif
#if GELU
  // The normal distribution by Abramowitz and Stegun 7.1.26, and its density.
  let z = min(abs(x) * 0.70710678, 9.0);
  let t = 1.0 / fma(0.3275911, z, 1.0);
  let q = t * fma(t, fma(t, fma(t, fma(t, 1.061405429, -1.453152027), 1.421413741), -0.284496736), 0.254829592);
  let half = 0.5 * (1.0 - q * exp(-z * z));
  return 0.5 + select(-half, half, x > 0.0) + x * 0.39894228 * exp(-0.5 * min(x * x, 160.0));
#endif
#if GELU_TANH
  let y = clamp(x, -50.0, 50.0);
  let s = 1.0 / (1.0 + exp(-clamp(1.5957691216 * fma(0.044715 * y * y, y, y), -80.0, 80.0)));
  return s + y * s * (1.0 - s) * 1.5957691216 * fma(0.134145 * y, y, 1.0);
#endif
#if MISH
  // t = tanh(log(1 + e^x)), t' = (1 - t^2) sigmoid(x).
  let e = exp(clamp(x, -80.0, 20.0));
  let m = e * (e + 2.0);
  let t = m / (m + 2.0);
  // 1 - t without cancellation.
  let rest = 2.0 / (m + 2.0);
  return t + x * rest * (1.0 + t) * (e / (1.0 + e));
#endif
#if TANH
  let t = tanh(clamp(x, -9.02, 9.02));
  return 1.0 - t * t;
#endif
#if ELU
  return select(alpha * exp(min(x, 0.0)), 1.0, x > 0.0);
#endif
#if LEAKY
  return select(alpha, 1.0, x > 0.0);
#endif
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  dst[i] = slope(x[i], p.alpha) * dx[i];
}
