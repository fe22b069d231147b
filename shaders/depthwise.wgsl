// Depthwise convolution: each channel with a filter of its own, plus a bias, then an activation.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> src: array<T>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read> weight: array<T>; // [kh, kw, c]
@group(0) @binding(2) var<storage, read> bias: array<T>; // [c]
@group(0) @binding(3) var<storage, read_write> dst: array<T>; // [n, dst_h, dst_w, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * dst_h * dst_w * c; c in vectors where T is one
  h: u32,
  w: u32,
  dst_h: u32,
  dst_w: u32,
  c: u32,
  kh: u32,
  kw: u32,
  step: u32,
  pad_top: u32,
  pad_left: u32,
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
#include "activation.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  let channel = i % p.c;
  let pixel = i / p.c;
  let x0 = pixel % p.dst_w * p.step;
  let y0 = pixel / p.dst_w % p.dst_h * p.step;
  let image = pixel / (p.dst_w * p.dst_h) * p.h;
  var sum = bias[channel];
  for (var a = 0u; a < p.kh; a++) {
    // Rows and columns before the image wrap to large numbers: one comparison for both ends.
    let y = y0 + a - p.pad_top;
    if (y >= p.h) {
      continue;
    }
    for (var b = 0u; b < p.kw; b++) {
      let x = x0 + b - p.pad_left;
      if (x < p.w) {
        sum = fma(weight[(a * p.kw + b) * p.c + channel], src[((image + y) * p.w + x) * p.c + channel], sum);
      }
    }
  }
  dst[i] = select(activate(sum, 0.0), sum, is_nan(sum));
}
