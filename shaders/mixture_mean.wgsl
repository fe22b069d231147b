// The mean of a mixture of discretised logistics over red, green and blue, in [-1, 1].
@group(0) @binding(0) var<storage, read> src: array<f32>; // [pixels, 10 k]: k logits, then for each colour k means, k log scales, k coefficients
@group(0) @binding(1) var<storage, read_write> dst: array<f32>; // [pixels, 3]
struct P {
  groups: u32,
  base: u32,
  pixels: u32,
  k: u32,
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let pixel = group * 64u + lane;
  if (group >= p.groups || pixel >= p.pixels) {
    return;
  }
  let at = pixel * 10u * p.k;
  var top = src[at];
  for (var i = 1u; i < p.k; i++) {
    top = max(top, src[at + i]);
  }
  var weight = 0.0;
  var mean = vec3f();
  var coef = vec3f();
  for (var i = 0u; i < p.k; i++) {
    let e = exp(src[at + i] - top);
    let m = at + p.k + i;
    weight += e;
    mean = fma(vec3f(e), vec3f(src[m], src[m + 3u * p.k], src[m + 6u * p.k]), mean);
    let c = vec3f(src[m + 2u * p.k], src[m + 5u * p.k], src[m + 8u * p.k]);
    coef = fma(vec3f(e), tanh(clamp(c, vec3f(-9.02), vec3f(9.02))), coef);
  }
  mean /= weight;
  coef /= weight;
  let r = clamp(mean.x, -1.0, 1.0);
  let g = clamp(fma(coef.x, r, mean.y), -1.0, 1.0);
  let b = clamp(fma(coef.z, g, fma(coef.y, r, mean.z)), -1.0, 1.0);
  dst[pixel * 3u] = r;
  dst[pixel * 3u + 1u] = g;
  dst[pixel * 3u + 2u] = b;
}
