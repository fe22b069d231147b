// y = act(a ca + b cb + d): b a tensor of the same shape, a vector of each image,
// a number of each image (which may divide), or absent; or a scale and a shift.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> a: array<T>; // [n, pixels, c]
#if TENSOR
@group(0) @binding(1) var<storage, read> b: array<T>; // [n, pixels, c], or [n, b_stride] from b_at on
#endif
#if IMAGE
@group(0) @binding(1) var<storage, read> b: array<f32>; // [n]
#endif
@group(0) @binding(2) var<storage, read_write> dst: array<T>; // [n, pixels, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * len; this and all lengths in vectors where T is one
  len: u32,
  c: u32,
  b_stride: u32,
  b_at: u32,
  ca: f32,
  cb: f32,
  d: f32,
  alpha: f32, // of the activation
  divide: u32, // a ca / b + d
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"
#include "activation.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  if (group >= p.groups) {
    return;
  }
  // Several a lane, and parameters before the loop: on some adapters they cost as
  // much to load as numbers do.
  let end = min(p.total, (group + 1u) * 256u);
  let ca = p.ca;
  let cb = T(p.cb);
  let d = p.d;
  let alpha = p.alpha;
  for (var i = group * 256u + lane; i < end; i += 64u) {
    var v = ca * a[i];
#if SAME
    v = fma(cb, b[i], v);
#endif
#if VECTOR
    v = fma(cb, b[i / p.len * p.b_stride + p.b_at + i % p.c], v);
#endif
#if SCALE_SHIFT
    let at = i / p.len * p.b_stride + p.b_at + i % p.c;
    v = fma(v, T(1.0) + b[at], b[at + p.c]);
#endif
#if IMAGE
    let s = b[i / p.len];
    v = select(fma(cb, T(s), v), v / s, p.divide != 0u);
#endif
    v += d;
    dst[i] = select(activate(v, alpha), v, is_nan(v));
  }
}
