// Nearest neighbours at any size (source row floor(y h / dst_h)), means of k x k
// pixels, or linear between neighbours with corner upon corner.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> src: array<T>; // [n, h, w, c]
@group(0) @binding(1) var<storage, read_write> dst: array<T>; // [n, dst_h, dst_w, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * dst_h * dst_w * c; c in vectors where T is one
  h: u32,
  w: u32,
  dst_h: u32,
  dst_w: u32,
  c: u32,
  k: u32, // side of the square that is averaged
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

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
  let x = pixel % p.dst_w;
  let y = pixel / p.dst_w % p.dst_h;
  let image = pixel / (p.dst_w * p.dst_h);
#if POOL
  var sum = T();
  for (var a = 0u; a < p.k; a++) {
    for (var b = 0u; b < p.k; b++) {
      sum += src[((image * p.h + y * p.k + a) * p.w + x * p.k + b) * p.c + channel];
    }
  }
  dst[i] = sum / f32(p.k * p.k);
#else
#if LINEAR
  // Row y (h - 1) / (dst_h - 1): whole part and rest are exact.
  let rows = max(p.dst_h, 2u) - 1u;
  let cols = max(p.dst_w, 2u) - 1u;
  let y0 = y * (p.h - 1u) / rows;
  let x0 = x * (p.w - 1u) / cols;
  let fy = f32(y * (p.h - 1u) % rows) / f32(rows);
  let fx = f32(x * (p.w - 1u) % cols) / f32(cols);
  let top = (image * p.h + y0) * p.w;
  let bottom = (image * p.h + min(y0 + 1u, p.h - 1u)) * p.w;
  let x1 = min(x0 + 1u, p.w - 1u);
  let a = mix(src[(top + x0) * p.c + channel], src[(top + x1) * p.c + channel], fx);
  let b = mix(src[(bottom + x0) * p.c + channel], src[(bottom + x1) * p.c + channel], fx);
  dst[i] = mix(a, b, fy);
#else
  dst[i] = src[((image * p.h + y * p.h / p.dst_h) * p.w + x * p.w / p.dst_w) * p.c + channel];
#endif
#endif
}
