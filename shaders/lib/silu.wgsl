// What a product does last, where SILU is: x sigmoid(x), with its argument clamped
// so that exp never overflows. NaN stays NaN.
fn finish(x: vec4f) -> vec4f {
#if SILU
  return x / (vec4f(1.0) + exp(-max(x, vec4f(-80.0))));
#else
  return x;
#endif
}
