// dst = f(a), f(a, b) or f(a, slot of the image), element by element.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> a: array<T>; // [n, len]
#if BINARY
@group(0) @binding(1) var<storage, read> b: array<T>; // [n, len]
#endif
#if SLOTTED
@group(0) @binding(1) var<storage, read> slots: array<f32>; // [slot, n]
#endif
#if EXP
@group(0) @binding(1) var<storage, read> counter: array<u32>; // the step
@group(0) @binding(3) var<storage, read> numbers: array<f32>; // a row per step: scale, bias
#endif
@group(0) @binding(2) var<storage, read_write> dst: array<T>; // [n, len]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * len, in vectors where T is one
  len: u32,
  first: u32, // slot * n
#if EXP
  stride: u32,
  offset: u32,
#endif
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
#if EXP
#include "numbers.wgsl"
#endif

fn f(x: T, y: T) -> T {
#if MUL
  return x * y;
#endif
#if DIV
  return x / y;
#endif
#if EXP
  return exp(min(fma(x, T(number(0u)), T(number(1u))), T(88.7))); // NaN passes below
#endif
#if TANH
  return tanh(clamp(x, T(-9.02), T(9.02)));
#endif
#if SQRT
  return sqrt(max(x, T(0.0)));
#endif
#if CLAMP
  return clamp(x, -y, y);
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
  let x = a[i];
#if BINARY
  let y = b[i];
#else
#if SLOTTED
  let y = T(slots[p.first + i / p.len]);
#else
  let y = T();
#endif
#endif
  // NaN stays, whatever clamp and max make of it.
  dst[i] = select(f(x, y), x, is_nan(x));
}
