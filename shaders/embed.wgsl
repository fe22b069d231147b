// A row of a table for each image: class embeddings.
#include "vector.wgsl"
@group(0) @binding(0) var<storage, read> label: array<f32>; // [n], whole; beyond the table: its last row
@group(0) @binding(1) var<storage, read> table: array<T>; // [rows, c]
@group(0) @binding(2) var<storage, read_write> dst: array<T>; // [n, c]
struct P {
  groups: u32,
  base: u32,
  total: u32, // n * c; c in vectors where T is one
  c: u32,
  rows: u32,
}
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.total) {
    return;
  }
  dst[i] = table[u32(clamp(label[i / p.c], 0.0, f32(p.rows - 1u))) * p.c + i % p.c];
}
