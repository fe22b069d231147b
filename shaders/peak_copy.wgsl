// How much memory an adapter moves at the most: one array to another, in the widest
// pieces that it loads at once.
#if WIDE
alias T = vec4<u64>;
#else
alias T = vec4f;
#endif
@group(0) @binding(0) var<storage, read> src: array<T>; // [n]
@group(0) @binding(1) var<storage, read_write> dst: array<T>; // [n]
struct P {
  groups: u32,
  base: u32,
  n: u32,
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  if (group >= p.groups) {
    return;
  }
  let end = min(p.n, (group + 1u) * 1024u);
  for (var i = group * 1024u + lane; i < end; i += 64u) {
    dst[i] = src[i];
  }
}
