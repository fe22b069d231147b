// A slot's mean over the batch, into another slot of every image. One workgroup,
// a tree of fixed order.
@group(0) @binding(0) var<storage, read_write> slots: array<f32>; // [slot, n]
struct P {
  groups: u32,
  base: u32,
  n: u32,
  first: u32, // slot * n of the source
  dst: u32, // slot * n of the destination
}
@group(0) @binding(1) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_sum: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  if (group_index(wg, nwg) >= p.groups) {
    return;
  }
  var sum = 0.0;
  for (var i = lane; i < p.n; i += 64u) {
    sum += slots[p.first + i];
  }
  sh_sum[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) {
      sh_sum[lane] += sh_sum[lane + half];
    }
    workgroupBarrier();
  }
  let mean = sh_sum[0] / f32(p.n);
  for (var i = lane; i < p.n; i += 64u) {
    slots[p.dst + i] = mean;
  }
}
