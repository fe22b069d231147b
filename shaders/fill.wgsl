// One number per image: from the table of the step, or from a slot.
@group(0) @binding(0) var<storage, read_write> dst: array<f32>; // numbers at .. at + n
#if SLOT
@group(0) @binding(1) var<storage, read> slots: array<f32>; // [slot, n]
#else
@group(0) @binding(1) var<storage, read> counter: array<u32>; // the step
@group(0) @binding(2) var<storage, read> numbers: array<f32>; // a row per step
#endif
struct P {
  groups: u32,
  base: u32,
  n: u32,
  at: u32,
#if SLOT
  slot: u32,
#else
  stride: u32,
  offset: u32,
#endif
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"
#if SLOT
#else
#include "numbers.wgsl"
#endif

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.n) {
    return;
  }
#if SLOT
  dst[p.at + i] = slots[p.slot * p.n + i];
#else
  dst[p.at + i] = number(0u);
#endif
}
