// The patches of a 3 x 3 convolution as Winograd's F({{M}} x {{M}}, 3 x 3) sees them: each
// (M + 2) x (M + 2) patch d becomes B^T d B. First of three dispatches (winograd_product,
// winograd_output), for processors that act as GPUs and load texels fastest. A lane
// takes a tile of M x M pixels and 8 channels.
//
// x [n, h, w, ci], each pixel standing for 2^up x 2^up (nearest upsampling); in texels of
//   four where FROM is
// v [(M + 2)^2][ci / 8][all][8] in texels of four, `all` being the tiles of the batch,
//   rounded up for winograd_product; what stands for no tile is not written
struct P {
  groups: u32, base: u32,
  n: u32, h: u32, w: u32, ci: u32, rows: u32, columns: u32, up: u32, all: u32,
}
#if FROM
@group(0) @binding(0) var x: texture_2d<f32>;
#else
@group(0) @binding(0) var<storage, read> x: array<vec4<u64>>;
#endif
@group(0) @binding(1) var v: texture_storage_2d<rgba32float, write>;
@group(0) @binding(2) var<uniform> p: P;
#include "dispatch.wgsl"
#if FROM
struct F8 { lo: vec4f, hi: vec4f }
#else
#include "f8.wgsl"
#endif
#include "winograd.wgsl"

// Eight channels of a pixel.
fn load(i: u32) -> F8 {
#if FROM
  let at = texel(2u * i);
  return F8(textureLoad(x, at, 0), textureLoad(x, at + vec2u(1u, 0u), 0));
#else
  return unpack(x[i]);
#endif
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let blocks = p.ci / 8u;
  let block = group % blocks;
  let tile = group / blocks * 8u + lane;
  if (tile >= p.n * p.rows * p.columns) { return; }
  let image = tile / (p.rows * p.columns);
  let top = i32(tile / p.columns % p.rows * {{M}}u) - 1;
  let left = i32(tile % p.columns * {{M}}u) - 1;
#for R A
  let row{{R}} = top + {{R}};
  let in{{R}} = row{{R}} >= 0 && row{{R}} < i32(p.h << p.up);
  let at{{R}} = (image * p.h + (u32(row{{R}}) >> p.up)) * p.w;
#for C A
  let col{{R}}_{{C}} = left + {{C}};
  var d{{R}}_{{C}} = F8();
  if (in{{R}} && col{{R}}_{{C}} >= 0 && col{{R}}_{{C}} < i32(p.w << p.up)) {
    d{{R}}_{{C}} = load((at{{R}} + (u32(col{{R}}_{{C}}) >> p.up)) * blocks + block);
  }
#endfor
#endfor
  let step = 2u * blocks * p.all;
  let to = 2u * (block * p.all + tile);
#if FOUR
#for C A
  let lo{{C}} = input(d0_{{C}}.lo, d1_{{C}}.lo, d2_{{C}}.lo, d3_{{C}}.lo, d4_{{C}}.lo, d5_{{C}}.lo);
  let hi{{C}} = input(d0_{{C}}.hi, d1_{{C}}.hi, d2_{{C}}.hi, d3_{{C}}.hi, d4_{{C}}.hi, d5_{{C}}.hi);
#endfor
#for R A
  let l{{R}} = input(lo0.t{{R}}, lo1.t{{R}}, lo2.t{{R}}, lo3.t{{R}}, lo4.t{{R}}, lo5.t{{R}});
  let h{{R}} = input(hi0.t{{R}}, hi1.t{{R}}, hi2.t{{R}}, hi3.t{{R}}, hi4.t{{R}}, hi5.t{{R}});
#endfor
#else
#for C A
  let lo{{C}} = input(d0_{{C}}.lo, d1_{{C}}.lo, d2_{{C}}.lo, d3_{{C}}.lo);
  let hi{{C}} = input(d0_{{C}}.hi, d1_{{C}}.hi, d2_{{C}}.hi, d3_{{C}}.hi);
#endfor
#for R A
  let l{{R}} = input(lo0.t{{R}}, lo1.t{{R}}, lo2.t{{R}}, lo3.t{{R}});
  let h{{R}} = input(hi0.t{{R}}, hi1.t{{R}}, hi2.t{{R}}, hi3.t{{R}});
#endfor
#endif
#for R A
#for C A
  textureStore(v, texel(to + {{A * R + C}}u * step), l{{R}}.t{{C}});
  textureStore(v, texel(to + {{A * R + C}}u * step + 1u), h{{R}}.t{{C}});
#endfor
#endfor
}
