// Pixels of a convolution by Winograd from its products: each (M + 2) x (M + 2) patch m
// becomes the M x M pixels of A^T m A. Last of three dispatches. A lane takes a tile and
// 8 output channels.
//
// m    [(M + 2)^2][co / 4][all] texels of four output channels (winograd_product)
// bias [co]
// temb [n, temb_stride]  channels from temb_at on added to each pixel, where p.flags & 1
// res  [n, oh, ow, co]  added, where p.flags & 2
// y    [n, oh, ow, co] = (pixels + bias + temb + res) * scale
// res and y in texels of four where TO is
struct P {
  groups: u32, base: u32,
  n: u32, oh: u32, ow: u32, co: u32, rows: u32, columns: u32, all: u32,
  temb_stride: u32, temb_at: u32, flags: u32, scale: f32,
}
@group(0) @binding(0) var m: texture_2d<f32>;
@group(0) @binding(1) var<storage, read> bias: array<vec4f>;
@group(0) @binding(2) var<storage, read> temb: array<vec4<u64>>;
#if TO
@group(0) @binding(3) var res: texture_2d<f32>;
@group(0) @binding(4) var y: texture_storage_2d<rgba32float, write>;
#else
@group(0) @binding(3) var<storage, read> res: array<vec4<u64>>;
@group(0) @binding(4) var<storage, read_write> y: array<vec4<u64>>;
#endif
@group(0) @binding(5) var<uniform> p: P;
#include "dispatch.wgsl"
#include "f8.wgsl"
#include "winograd.wgsl"

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let blocks = p.co / 8u;
  let block = group % blocks;
  let tile = group / blocks * 8u + lane;
  if (tile >= p.n * p.rows * p.columns) { return; }
  let image = tile / (p.rows * p.columns);
  let top = tile / p.columns % p.rows * {{M}}u;
  let left = tile % p.columns * {{M}}u;
  let step = p.co / 4u * p.all;
  let at = 2u * block * p.all + tile;
#for R A
#for C A
  let l{{R}}_{{C}} = textureLoad(m, texel(at + {{A * R + C}}u * step), 0);
  let h{{R}}_{{C}} = textureLoad(m, texel(at + {{A * R + C}}u * step + p.all), 0);
#endfor
#endfor
#if FOUR
#for C A
  let lo{{C}} = output(l0_{{C}}, l1_{{C}}, l2_{{C}}, l3_{{C}}, l4_{{C}}, l5_{{C}});
  let hi{{C}} = output(h0_{{C}}, h1_{{C}}, h2_{{C}}, h3_{{C}}, h4_{{C}}, h5_{{C}});
#endfor
#for R M
  let l{{R}} = output(lo0.t{{R}}, lo1.t{{R}}, lo2.t{{R}}, lo3.t{{R}}, lo4.t{{R}}, lo5.t{{R}});
  let h{{R}} = output(hi0.t{{R}}, hi1.t{{R}}, hi2.t{{R}}, hi3.t{{R}}, hi4.t{{R}}, hi5.t{{R}});
#endfor
#else
#for C A
  let lo{{C}} = output(l0_{{C}}, l1_{{C}}, l2_{{C}}, l3_{{C}});
  let hi{{C}} = output(h0_{{C}}, h1_{{C}}, h2_{{C}}, h3_{{C}});
#endfor
#for R M
  let l{{R}} = output(lo0.t{{R}}, lo1.t{{R}}, lo2.t{{R}}, lo3.t{{R}});
  let h{{R}} = output(hi0.t{{R}}, hi1.t{{R}}, hi2.t{{R}}, hi3.t{{R}});
#endfor
#endif
  var lo_add = bias[2u * block];
  var hi_add = bias[2u * block + 1u];
  if ((p.flags & 1u) != 0u) {
    let t = unpack(temb[(image * p.temb_stride + p.temb_at) / 8u + block]);
    lo_add += t.lo;
    hi_add += t.hi;
  }
#for R M
#for C M
  if (top + {{R}}u < p.oh && left + {{C}}u < p.ow) {
    let out = ((image * p.oh + top + {{R}}u) * p.ow + left + {{C}}u) * blocks + block;
    var lo = l{{R}}.t{{C}} + lo_add;
    var hi = h{{R}}.t{{C}} + hi_add;
    if ((p.flags & 2u) != 0u) {
#if TO
      lo += textureLoad(res, texel(2u * out), 0);
      hi += textureLoad(res, texel(2u * out + 1u), 0);
#else
      let r = unpack(res[out]);
      lo += r.lo;
      hi += r.hi;
#endif
    }
#if TO
    textureStore(y, texel(2u * out), lo * p.scale);
    textureStore(y, texel(2u * out + 1u), hi * p.scale);
#else
    y[out] = packed(lo * p.scale, hi * p.scale);
#endif
  }
#endfor
#endfor
}
