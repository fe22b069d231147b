// A matrix along one axis of a tensor.
@group(0) @binding(0) var<storage, read> src: array<f32>; // [outer, columns, inner]
@group(0) @binding(1) var<storage, read> matrix: array<f32>; // [rows, columns]
@group(0) @binding(2) var<storage, read_write> dst: array<f32>; // [outer, rows, inner]
struct P {
  groups: u32,
  base: u32,
  total: u32, // outer * rows * inner
  rows: u32,
  columns: u32,
  inner: u32,
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
  let row = i / p.inner % p.rows;
  let first = i / (p.inner * p.rows) * p.columns * p.inner + i % p.inner;
  var sum = 0.0;
  for (var c = 0u; c < p.columns; c++) {
    sum = fma(matrix[row * p.columns + c], src[first + c * p.inner], sum);
  }
  dst[i] = sum;
}
