// dst = a where the image's slot is not 0, else b: a true select, so that what
// is not chosen may be infinite or NaN.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> a: array<T>; // [n, len]
@group(0) @binding(1) var<storage, read> b: array<T>; // [n, len]
@group(0) @binding(2) var<storage, read> slots: array<f32>; // [slot, n]
@group(0) @binding(3) var<storage, read_write> dst: array<T>; // [n, len]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * len, in vectors where T is one
  len: u32,
  first: u32, // slot * n
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let on = (bitcast<u32>(slots[p.first + i / p.len]) & 0x7fffffffu) != 0u;
  dst[i] = select(b[i], a[i], on);
}
