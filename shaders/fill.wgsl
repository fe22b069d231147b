// One number per image: from the table of the step, from a slot, or both multiplied.
@group(0) @binding(0) var<storage, read_write> dst: array<f32>; // numbers at .. at + n len
#if SLOT
@group(0) @binding(1) var<storage, read> slots: array<f32>; // [slot, n]
#endif
#if NUMBER
@group(0) @binding(2) var<storage, read> counter: array<u32>; // the step
@group(0) @binding(3) var<storage, read> numbers: array<f32>; // a row per step
#endif
struct P {
  groups: u32,
  base: u32,
  n: u32,
  len: u32,
  at: u32,
#if SLOT
  slot: u32,
#endif
#if NUMBER
  stride: u32,
  offset: u32,
#endif
}
@group(0) @binding(4) var<uniform> p: P;
#include "dispatch.wgsl"
#if NUMBER
#include "numbers.wgsl"
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.n * p.len) {
    return;
  }
  var value = 1.0;
#if SLOT
  value = slots[p.slot * p.n + i / p.len];
#endif
#if NUMBER
  value *= number(0u);
#endif
  dst[p.at + i] = value;
}
