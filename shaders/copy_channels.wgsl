// Copies channels of a tensor into channels of another: concatenation, split.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> src: array<T>; // [n * pixels, src_c]
@group(0) @binding(1) var<storage, read_write> dst: array<T>; // [n * pixels, dst_c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * pixels * c; channels in vectors where T is one
  c: u32, // channels that are copied
  src_c: u32,
  src_at: u32,
  dst_c: u32,
  dst_at: u32,
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

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
  let c = p.c;
  let src_c = p.src_c;
  let src_at = p.src_at;
  let dst_c = p.dst_c;
  let dst_at = p.dst_at;
  for (var i = group * 256u + lane; i < end; i += 64u) {
    let pixel = i / c;
    let channel = i % c;
    dst[pixel * dst_c + dst_at + channel] = src[pixel * src_c + src_at + channel];
  }
}
