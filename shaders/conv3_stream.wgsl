// 3 x 3 convolution of stride 1 that keeps the size, for processors that act as GPUs.
//
// As conv_stream.wgsl, but the pixels of a subgroup lie side by side, so each is
// loaded once for the three taps of a row: neighbours are passed from lane to lane,
// and only those outside of the subgroup's pixels are loaded beside.
// Each sum runs over rows of taps, blocks of 8 input channels, taps of the row,
// then channels, in order, whatever the batch.
//
// x      [n, h, w, ci], each pixel standing for 2^up x 2^up (nearest upsampling)
// weight [co / (8 OB)][3][ci / 8][3][OB][8 lanes][8], zero past co
// bias   [co], zero-padded to a multiple of 8 OB
// temb   [n, temb_stride]  channels from temb_at on added to each pixel, where p.flags & 1
// res    [n, oh, ow, co]  added, where p.flags & 2
// y      [n, oh, ow, co] = (x * weight + bias + temb + res) * scale
struct P {
  groups: u32, base: u32,
  n: u32, h: u32, w: u32, ci: u32, oh: u32, ow: u32, co: u32,
  up: u32, temb_stride: u32, temb_at: u32,
  flags: u32, scale: f32,
}
@group(0) @binding(0) var<storage, read> x: array<vec4<u64>>;
#include "weights8.wgsl"
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> temb: array<vec4<u64>>;
@group(0) @binding(4) var<storage, read> res: array<vec4<u64>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u64>>;
@group(0) @binding(6) var<uniform> p: P;
#include "dispatch.wgsl"

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let tiles = (p.co + {{8 * OB}}u - 1u) / {{8 * OB}}u;
  let tile = group % tiles;
  let pixels = p.n * p.oh * p.ow;
  let first = (group / tiles) * {{8 * PB}}u + lane;
#for B PB
  let pix{{B}} = first + {{8 * B}}u;
  let in{{B}} = pix{{B}} < pixels;
  let n{{B}} = pix{{B}} / (p.oh * p.ow);
  let top{{B}} = i32(pix{{B}} / p.ow % p.oh) - 1;
  let col{{B}} = pix{{B}} % p.ow;
#for O 8 * OB
  var a{{B}}_{{O}} = 0.0;
#endfor
#endfor
  // The neighbour outside: to the left of lane 0's first pixel, to the right of lane 7's last.
  let left = lane == 0u && col0 > 0u;
  let right = lane == 7u && in{{MORE}} && col{{MORE}} + 1u < p.ow;
  let n_out = select(n{{MORE}}, n0, lane == 0u);
  let top_out = select(top{{MORE}}, top0, lane == 0u);
  let col_out = select(col{{MORE}} + 1u, col0 - 1u, lane == 0u);
  let blocks = p.ci / 8u;
  var wi = tile * 9u * blocks * {{8 * OB}}u + lane;
  for (var ky = 0; ky < 3; ky++) {
#for B PB
    let row{{B}} = top{{B}} + ky;
    let ok{{B}} = in{{B}} && row{{B}} >= 0 && row{{B}} < i32(p.oh);
    let at{{B}} = ((n{{B}} * p.h + (u32(row{{B}}) >> p.up)) * p.w + (col{{B}} >> p.up)) * blocks;
#endfor
    let row_out = top_out + ky;
    let ok_out = (left || right) && row_out >= 0 && row_out < i32(p.oh);
    let at_out = ((n_out * p.h + (u32(row_out) >> p.up)) * p.w + (col_out >> p.up)) * blocks;
    for (var c = 0u; c < blocks; c++) {
#for B PB
      var x{{B}} = F8();
      if (ok{{B}}) { x{{B}} = unpack(x[at{{B}} + c]); }
#endfor
      var out = F8();
      if (ok_out) { out = unpack(x[at_out + c]); }
      for (var kx = 0u; kx < 3u; kx++) {
        let neighbour = (lane + kx + 7u) % 8u;
        let head = lane == 0u && kx == 0u;
        let tail = lane == 7u && kx == 2u;
#for B PB
        let seen{{B}} = (kx != 0u || col{{B}} > 0u) && (kx != 2u || col{{B}} + 1u < p.ow);
#for K 4
        let m{{B}}_{{K}} = subgroupShuffle(x{{B}}.lo[{{K}}], neighbour);
        let m{{B}}_{{K + 4}} = subgroupShuffle(x{{B}}.hi[{{K}}], neighbour);
#endfor
#endfor
#for K 4
        var v0_{{K}} = select(m0_{{K}}, out.lo[{{K}}], head);
        var v0_{{K + 4}} = select(m0_{{K + 4}}, out.hi[{{K}}], head);
#endfor
#for B MORE
#for K 8
        var v{{B + 1}}_{{K}} = select(m{{B + 1}}_{{K}}, m{{B}}_{{K}}, head);
        v{{B}}_{{K}} = select(v{{B}}_{{K}}, m{{B + 1}}_{{K}}, tail);
#endfor
#endfor
#for K 4
        v{{MORE}}_{{K}} = select(v{{MORE}}_{{K}}, out.lo[{{K}}], tail);
        v{{MORE}}_{{K + 4}} = select(v{{MORE}}_{{K + 4}}, out.hi[{{K}}], tail);
#endfor
#for B PB
#for K 8
        v{{B}}_{{K}} = select(0.0, v{{B}}_{{K}}, seen{{B}});
#endfor
#endfor
#for G OB
        let w{{G}} = load_w(wi + {{G * 8}}u);
#for L 8
#for B PB
        var s{{G}}_{{L}}_{{B}} = a{{B}}_{{G * 8 + L}};
#endfor
#for K 4
        let l{{G}}_{{L}}_{{K}} = subgroupBroadcast(w{{G}}.lo[{{K}}], {{L}}u);
#for B PB
        s{{G}}_{{L}}_{{B}} = fma(v{{B}}_{{K}}, l{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for K 4
        let h{{G}}_{{L}}_{{K}} = subgroupBroadcast(w{{G}}.hi[{{K}}], {{L}}u);
#for B PB
        s{{G}}_{{L}}_{{B}} = fma(v{{B}}_{{K + 4}}, h{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for B PB
        a{{B}}_{{G * 8 + L}} = s{{G}}_{{L}}_{{B}};
#endfor
#endfor
#endfor
        wi += {{8 * OB}}u;
      }
    }
  }
  let o = tile * {{8 * OB}}u;
#for O 8 * OB
  let b{{O}} = bias[o + {{O}}u];
#endfor
#for B PB
  if (in{{B}}) {
    let out = (pix{{B}} * p.co + o) / 8u;
    let emb = (n{{B}} * p.temb_stride + p.temb_at + o) / 8u;
#for G OB
    if (o + {{G * 8}}u < p.co) {
      var lo = vec4f(a{{B}}_{{G * 8}}, a{{B}}_{{G * 8 + 1}}, a{{B}}_{{G * 8 + 2}}, a{{B}}_{{G * 8 + 3}})
        + vec4f(b{{G * 8}}, b{{G * 8 + 1}}, b{{G * 8 + 2}}, b{{G * 8 + 3}});
      var hi = vec4f(a{{B}}_{{G * 8 + 4}}, a{{B}}_{{G * 8 + 5}}, a{{B}}_{{G * 8 + 6}}, a{{B}}_{{G * 8 + 7}})
        + vec4f(b{{G * 8 + 4}}, b{{G * 8 + 5}}, b{{G * 8 + 6}}, b{{G * 8 + 7}});
      if ((p.flags & 1u) != 0u) {
        let t = unpack(temb[emb + {{G}}u]);
        lo += t.lo;
        hi += t.hi;
      }
      if ((p.flags & 2u) != 0u) {
        let r = unpack(res[out + {{G}}u]);
        lo += r.lo;
        hi += r.hi;
      }
      lo *= p.scale;
      hi *= p.scale;
      y[out + {{G}}u] = packed(lo, hi);
    }
#endfor
  }
#endfor
}
