// The step counter: counter[0] = counter[0] * keep + add.
@group(0) @binding(0) var<storage, read_write> counter: array<u32>; // the step
struct P {
  groups: u32,
  base: u32,
  keep: u32,
  add: u32,
}
@group(0) @binding(1) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u) {
  if (group_index(wg, nwg) >= p.groups) {
    return;
  }
  counter[0] = counter[0] * p.keep + p.add;
}
