// A sum over an image into a slot: of a^2, of a b, or of a weighted error
// (a / (atol + rtol max(|b|, |c|)))^2, or with the greater of both; or its root. One workgroup per image, a
// tree of fixed order.
@group(0) @binding(0) var<storage, read> a: array<f32>; // [n, len]
#if DOT
@group(0) @binding(1) var<storage, read> b: array<f32>; // [n, len]
#endif
#if ERROR
@group(0) @binding(1) var<storage, read> b: array<f32>; // [n, len]
@group(0) @binding(2) var<storage, read> c: array<f32>; // [n, len]
#endif
@group(0) @binding(3) var<storage, read_write> slots: array<f32>; // [slot, n]
struct P {
  groups: u32,
  base: u32,
  len: u32,
  first: u32, // slot * n
  scale: f32, // of the sum
  root: u32, // 1: the square root of it all
  atol: f32,
  rtol: f32,
  greater: u32, // 1: the greater of atol and the relative part, not their sum
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_sum: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let image = group_index(wg, nwg);
  if (image >= p.groups) {
    return;
  }
  var sum = 0.0;
  for (var i = lane; i < p.len; i += 256u) {
    let at = image * p.len + i;
#if SQUARES
    sum = fma(a[at], a[at], sum);
#endif
#if DOT
    sum = fma(a[at], b[at], sum);
#endif
#if ERROR
    let m = max(abs(b[at]), abs(c[at]));
    let e = a[at] / select(fma(p.rtol, m, p.atol), max(p.rtol * m, p.atol), p.greater == 1u);
    sum = fma(e, e, sum);
#endif
  }
  sh_sum[lane] = sum;
  workgroupBarrier();
  for (var half = 128u; half > 0u; half /= 2u) {
    if (lane < half) {
      sh_sum[lane] += sh_sum[lane + half];
    }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let total = sh_sum[0] * p.scale;
    slots[p.first + image] = select(total, sqrt(total), p.root == 1u);
  }
}
