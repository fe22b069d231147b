// How many numbers of each image are infinite or NaN, by bits. One workgroup per image.
#if IMAGE
@group(0) @binding(0) var x: texture_2d<f32>; // [n, len] in texels of four, 1024 a row
#else
@group(0) @binding(0) var<storage, read> x: array<u32>; // [n, len], f32 as bits
#endif
@group(0) @binding(1) var<storage, read_write> count: array<u32>; // [n] from `at` on
struct P {
  groups: u32,
  base: u32,
  len: u32, // in texels where IMAGE is
  at: u32,
  add: u32, // to what is there, else in its place
}
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"
var<workgroup> sh_bad: atomic<u32>;

fn bad_at(i: u32) -> u32 {
#if IMAGE
  let v = bitcast<vec4u>(textureLoad(x, vec2u(i % 1024u, i / 1024u), 0)) & vec4u(0x7f800000u);
  let bad = select(vec4u(), vec4u(1u), v == vec4u(0x7f800000u));
  return bad.x + bad.y + bad.z + bad.w;
#else
  return select(0u, 1u, (x[i] & 0x7f800000u) == 0x7f800000u);
#endif
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let image = group_index(wg, nwg);
  if (image >= p.groups) {
    return;
  }
  if (lane == 0u) {
    atomicStore(&sh_bad, 0u);
  }
  workgroupBarrier();
  var bad = 0u;
  for (var i = lane; i < p.len; i += 256u) {
    bad += bad_at(image * p.len + i);
  }
  atomicAdd(&sh_bad, bad);
  workgroupBarrier();
  if (lane == 0u) {
    let before = select(0u, count[p.at + image], p.add != 0u);
    count[p.at + image] = before + atomicLoad(&sh_bad);
  }
}
