// dst = a b or a exp(b): b a tensor of the same shape, or a vector of each image.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> a: array<T>; // [n, pixels, c]
@group(0) @binding(1) var<storage, read> b: array<T>; // [n, pixels, c], or [n, c]
@group(0) @binding(2) var<storage, read_write> dst: array<T>; // [n, pixels, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * len; this and all lengths in vectors where T is one
  len: u32, // pixels * c
  c: u32,
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
#if VECTOR
  let factor = b[i / p.len * p.c + i % p.c];
#else
  let factor = b[i];
#endif
#if EXP
  dst[i] = a[i] * exp(min(factor, T(88.0)));
#else
  dst[i] = a[i] * factor;
#endif
}
