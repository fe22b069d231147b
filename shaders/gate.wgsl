// The gate of a loop: shuts its dispatches once all images are done, by setting the
// `groups` of their parameters to 0 (src/kernels/gate.rs says why and when). One
// workgroup.
@group(0) @binding(0) var<storage, read> slots: array<f32>; // [slot, n]
@group(0) @binding(1) var<storage, read_write> status: array<u32>; // done, passes
@group(0) @binding(2) var<storage, read> places: array<u32>; // (word of a dispatch's groups, their number or 0)
@group(0) @binding(3) var<storage, read_write> parameters: array<u32>;
struct P {
  groups: u32,
  base: u32,
  n: u32,
  first: u32, // slot * n
  count: u32, // of places
  mode: u32, // 0 pass, 1 again, 2 enter, 3 leave
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_left: array<u32, 64>; // whether a lane saw an image that is not done

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  if (group_index(wg, nwg) >= p.groups) {
    return;
  }
  let was = status[0];
  let passes = status[1];
  var left = 0u;
  for (var i = lane; i < p.n; i += 64u) {
    left |= u32((bitcast<u32>(slots[p.first + i]) & 0x7fffffffu) == 0u);
  }
  sh_left[lane] = left;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half /= 2u) {
    if (lane < half) {
      sh_left[lane] |= sh_left[lane + half];
    }
    workgroupBarrier();
  }
  var shut = was != 0u;
  var next = passes;
  if (p.mode == 0u && !shut) {
    shut = sh_left[0] == 0u;
    next = passes + 1u;
  }
  if (p.mode >= 2u) {
    shut = false;
    next = select(passes, 0u, p.mode == 2u);
  }
  if (lane == 0u) {
    status[0] = u32(shut);
    status[1] = next;
  }
  if (shut || p.mode >= 2u) {
    for (var i = lane; i < p.count; i += 64u) {
      // Places of parts, whose number is the host's to say, are never opened.
      if (shut || places[2u * i + 1u] != 0u) {
        parameters[places[2u * i]] = select(places[2u * i + 1u], 0u, shut);
      }
    }
  }
}
