// How much arithmetic an adapter does at the most: multiply-adds in twelve chains that
// wait for nothing but themselves, and no memory until the end.
@group(0) @binding(0) var<storage, read_write> dst: array<f32>; // [n]
struct P {
  groups: u32,
  base: u32,
  n: u32,
  rounds: u32, // of eight multiply-adds in each chain
  a: f32,
  b: f32,
}
@group(0) @binding(1) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let i = group * 64u + lane;
  if (group >= p.groups || i >= p.n) {
    return;
  }
  let a = p.a;
  let b = p.b;
  let x = f32(i & 1023u);
#for C 12
  var v{{C}} = x + {{C}}.0;
#endfor
  for (var r = 0u; r < p.rounds; r++) {
#for K 8
#for C 12
    v{{C}} = fma(v{{C}}, a, b);
#endfor
#endfor
  }
  dst[i] = v0 + v1 + v2 + v3 + v4 + v5 + v6 + v7 + v8 + v9 + v10 + v11;
}
