// Group norm, second step: merges chunks and channels of a group (Chan's formula)
// and folds gamma, beta and an embedding into a scale and a shift per channel.
@group(0) @binding(0) var<storage, read> part: array<f32>; // [n, chunks, 2, c] of norm_stats
@group(0) @binding(1) var<storage, read> gamma: array<f32>; // [c]
@group(0) @binding(2) var<storage, read> beta: array<f32>; // [c]
@group(0) @binding(3) var<storage, read_write> coef: array<f32>; // [n, 2, c]: scale, shift
#if EMB
@group(0) @binding(4) var<storage, read> emb: array<f32>; // [n, emb_stride]: scale - 1 [c], shift [c] from emb_at on
#endif
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * norm groups
  pixels: u32,
  c: u32,
  size: u32, // channels per norm group
  chunks: u32,
  chunk: u32,
  eps: f32,
  emb_stride: u32,
  emb_at: u32,
}
@group(0) @binding(5) var<uniform> p: P;
#include "dispatch.wgsl"
#if TREE
var<workgroup> sh_sum: array<f32, 64>;

// The sum over the workgroup, for all its lanes.
fn total(lane: u32, v: f32) -> f32 {
  sh_sum[lane] = v;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) {
      sh_sum[lane] += sh_sum[lane + half];
    }
    workgroupBarrier();
  }
  let s = sh_sum[0];
  workgroupBarrier();
  return s;
}
#else
fn total(lane: u32, v: f32) -> f32 {
  return v;
}
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
#if TREE
  let i = group; // a workgroup per norm group
  let first = lane;
  let pace = 64u;
  if (group >= p.groups) {
    return;
  }
#else
  let i = group * 64u + lane; // a lane per norm group
  let first = 0u;
  let pace = 1u;
  if (group >= p.groups || i >= p.total) {
    return;
  }
#endif
  let per_image = p.c / p.size;
  let image = i / per_image;
  let channel = i % per_image * p.size;
  let parts = p.chunks * p.size;
  var sum = 0.0;
  for (var k = first; k < parts; k += pace) {
    let chunk = k / p.size;
    let count = f32(min(p.chunk, p.pixels - chunk * p.chunk));
    sum = fma(count, part[(image * p.chunks + chunk) * 2u * p.c + channel + k % p.size], sum);
  }
  let numbers = f32(p.pixels) * f32(p.size);
  let mean = total(lane, sum) / numbers;
  sum = 0.0;
  for (var k = first; k < parts; k += pace) {
    let chunk = k / p.size;
    let count = f32(min(p.chunk, p.pixels - chunk * p.chunk));
    let at = (image * p.chunks + chunk) * 2u * p.c + channel + k % p.size;
    let d = part[at] - mean;
    sum += fma(count * d, d, part[at + p.c]);
  }
  let scale = 1.0 / sqrt(total(lane, sum) / numbers + p.eps);
  for (var k = first; k < p.size; k += pace) {
    let ch = channel + k;
    var s = gamma[ch] * scale;
    var t = fma(-mean, s, beta[ch]);
#if EMB
    let e = image * p.emb_stride + p.emb_at + ch;
    s *= 1.0 + emb[e];
    t = fma(t, 1.0 + emb[e], emb[e + p.c]);
#endif
    coef[image * 2u * p.c + ch] = s;
    coef[(image * 2u + 1u) * p.c + ch] = t;
  }
}
