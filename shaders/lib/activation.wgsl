// Activations, chosen by a define; `T` from vector.wgsl. Arguments are clamped so
// that exp and tanh never overflow; a NaN argument gives NaN through the product
// or the caller's check. `alpha` is for ELU and the leaky ReLU.
fn activate(x: T, alpha: f32) -> T {
#if RELU
  return max(x, T());
#endif
#if SILU
  let y = max(x, T(-80.0));
  return y / (T(1.0) + exp(-y));
#endif
#if GELU
  // erf by Abramowitz and Stegun 7.1.26, absolute error 1.5e-7.
  let z = min(abs(x) * 0.70710678, T(9.0));
  let t = T(1.0) / fma(T(0.3275911), z, T(1.0));
  let q = t * fma(t, fma(t, fma(t, fma(t, T(1.061405429), T(-1.453152027)), T(1.421413741)), T(-0.284496736)), T(0.254829592));
  return fma(0.5 * abs(x), T(1.0) - q * exp(-z * z), 0.5 * x);
#endif
#if GELU_TANH
  // (1 + tanh u) / 2 = 1 / (1 + exp(-2 u)); below -50 there is nothing left.
  let y = max(x, T(-50.0));
  let u = 1.5957691216 * fma(0.044715 * y * y, y, y);
  return y / (T(1.0) + exp(-clamp(u, T(-80.0), T(80.0))));
#endif
#if MISH
  // tanh(log(1 + e)) = e (e + 2) / (e (e + 2) + 2)
  let e = exp(min(x, T(20.0)));
  let m = e * (e + 2.0);
  return x * (m / (m + 2.0));
#endif
#if TANH
  return tanh(clamp(x, T(-9.02), T(9.02)));
#endif
#if ELU
  return select(alpha * (exp(min(x, T())) - 1.0), x, x > T());
#endif
#if LEAKY
  return select(alpha * x, x, x > T());
#endif
#if IDENTITY
  return x;
#endif
}
