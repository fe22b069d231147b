// The tangent of a group norm y = (x - mean) r gamma + beta, r = 1 / sqrt(var + eps):
//   dy = gamma r (dx - mean(dx) - (x - mean) r^2 mean((x - mean) dx))
// One workgroup per image and group, sums by trees of fixed order.
@group(0) @binding(0) var<storage, read> x: array<f32>; // [n, pixels, c]
@group(0) @binding(1) var<storage, read> dx: array<f32>; // [n, pixels, c]
@group(0) @binding(2) var<storage, read> gamma: array<f32>; // [c]
@group(0) @binding(3) var<storage, read_write> dst: array<f32>; // [n, pixels, c]
struct P {
  groups: u32,
  base: u32,
  pixels: u32,
  c: u32,
  norm_groups: u32,
  eps: f32,
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_sum: array<vec2f, 64>;

fn total(lane: u32, own: vec2f) -> vec2f {
  workgroupBarrier();
  sh_sum[lane] = own;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) {
      sh_sum[lane] += sh_sum[lane + half];
    }
    workgroupBarrier();
  }
  return sh_sum[0];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  // A group past the end has no work, but must meet the barriers.
  let real = group < p.groups;
  let image = group / p.norm_groups;
  let width = p.c / p.norm_groups;
  let first = image * p.pixels * p.c + group % p.norm_groups * width;
  let len = select(0u, p.pixels * width, real);
  let inverse = 1.0 / f32(p.pixels * width);
  var sum = vec2f();
  for (var i = lane; i < len; i += 64u) {
    let at = first + i / width * p.c + i % width;
    sum += vec2f(x[at], dx[at]);
  }
  let mean = total(lane, sum) * inverse;
  sum = vec2f();
  for (var i = lane; i < len; i += 64u) {
    let at = first + i / width * p.c + i % width;
    let v = x[at] - mean.x;
    sum = fma(vec2f(v), vec2f(v, dx[at] - mean.y), sum);
  }
  let moments = total(lane, sum) * inverse;
  let r = inverseSqrt(moments.x + p.eps);
  let pull = r * r * moments.y;
  for (var i = lane; i < len; i += 64u) {
    let at = first + i / width * p.c + i % width;
    let channel = group % p.norm_groups * width + i % width;
    dst[at] = gamma[channel] * r * (dx[at] - mean.y - (x[at] - mean.x) * pull);
  }
}
