// y = x / sqrt(mean(x^2) + eps) over the channels of a pixel.
@group(0) @binding(0) var<storage, read> src: array<f32>; // [rows, c]
@group(0) @binding(1) var<storage, read_write> dst: array<f32>; // [rows, c]
struct P {
  groups: u32,
  base: u32,
  rows: u32,
  c: u32,
  eps: f32,
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let row = group * 64u + lane;
  if (group >= p.groups || row >= p.rows) {
    return;
  }
  let at = row * p.c;
  var sum = 0.0;
  for (var i = 0u; i < p.c; i++) {
    sum = fma(src[at + i], src[at + i], sum);
  }
  let root = sqrt(sum / f32(p.c) + p.eps);
  for (var i = 0u; i < p.c; i++) {
    dst[at + i] = src[at + i] / root;
  }
}
