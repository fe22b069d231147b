// Convolution for processors that act as GPUs: no barrier, no workgroup memory.
//
// One workgroup is one subgroup of S lanes. A lane owns PB pixels and S * OB
// output channels of each. A step over 8 input channels of one tap takes one wide
// load a pixel and OB wide loads of weights; lane l then holds the weights of
// output channel l, which are spread by subgroupBroadcast from constant lanes.
// Each sum runs over taps, then input channels, in order, whatever the batch.
//
// x      [n, h, w, ci], each pixel standing for 2^up x 2^up (nearest upsampling); where STAGED
//        is, an image of texels.wgsl
// weight [co / (S OB)][kh kw][ci / 8][OB][S lanes][8], zero past ci and co
// bias   [co], zero-padded to a multiple of S OB
// temb   [n, temb_stride]  channels from temb_at on added to each pixel, where p.flags & 1
// res    [n, oh, ow, co]  added, where p.flags & 2
// y      [n, oh, ow, co] = (x * weight + bias + temb + res) * scale, then SiLU where SILU is
// res and y in texels of four where TO is
struct P {
  groups: u32, base: u32,
  n: u32, h: u32, w: u32, ci: u32, oh: u32, ow: u32, co: u32,
  kh: u32, kw: u32, stride: u32, pad_top: u32, pad_left: u32,
  up: u32, temb_stride: u32, temb_at: u32,
  flags: u32, scale: f32,
}
#if STAGED
@group(0) @binding(0) var x: texture_2d<f32>;
#else
#if IN8
@group(0) @binding(0) var<storage, read> x: array<vec4<u64>>;
#else
#if IN4
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
#endif
#endif
#endif
#include "weights8.wgsl"
@group(0) @binding(2) var<storage, read> bias: array<f32>;
#if OUT8
@group(0) @binding(3) var<storage, read> temb: array<vec4<u64>>;
#if TO
@group(0) @binding(4) var res: texture_2d<f32>;
@group(0) @binding(5) var y: texture_storage_2d<rgba32float, write>;
#else
@group(0) @binding(4) var<storage, read> res: array<vec4<u64>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<u64>>;
#endif
#else
#if OUT4
@group(0) @binding(3) var<storage, read> temb: array<vec4f>;
@group(0) @binding(4) var<storage, read> res: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
#else
@group(0) @binding(3) var<storage, read> temb: array<f32>;
@group(0) @binding(4) var<storage, read> res: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#endif
#endif
@group(0) @binding(6) var<uniform> p: P;
#include "dispatch.wgsl"
#include "silu.wgsl"

fn texel(i: u32) -> vec2u {
  return vec2u(i % 1024u, i / 1024u);
}

// Eight channels from c of the pixel whose first number is at `at`.
fn load_x(at: u32, c: u32, ok: bool) -> F8 {
#if STAGED
  let i = select(0u, (at + c) / 4u, ok);
  let lo = select(vec4f(), textureLoad(x, texel(i), 0), ok);
  return F8(lo, select(vec4f(), textureLoad(x, texel(i) + vec2u(1u, 0u), 0), ok));
#else
#if IN8
  let i = select(0u, (at + c) / 8u, ok);
  return unpack(select(vec4<u64>(), x[i], ok));
#else
#if IN4
  let ok_hi = ok && c + 4u < p.ci;
  let lo = select(vec4f(), x[select(0u, (at + c) / 4u, ok)], ok);
  let hi = select(vec4f(), x[select(0u, (at + c) / 4u + 1u, ok_hi)], ok_hi);
  return F8(lo, hi);
#else
  var r = F8(vec4f(), vec4f());
#for K 4
  if (ok && c + {{K}}u < p.ci) { r.lo[{{K}}] = x[at + c + {{K}}u]; }
  if (ok && c + {{K + 4}}u < p.ci) { r.hi[{{K}}] = x[at + c + {{K + 4}}u]; }
#endfor
  return r;
#endif
#endif
#endif
}

@compute @workgroup_size({{S}})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let tiles = (p.co + {{S * OB}}u - 1u) / {{S * OB}}u;
  let tile = group % tiles;
  let pixels = p.n * p.oh * p.ow;
  let first = (group / tiles) * {{S * PB}}u + lane;
#for B PB
  let pix{{B}} = first + {{B * S}}u;
  let in{{B}} = pix{{B}} < pixels;
  let n{{B}} = pix{{B}} / (p.oh * p.ow);
  let rest{{B}} = pix{{B}} % (p.oh * p.ow);
  let top{{B}} = i32((rest{{B}} / p.ow) * p.stride) - i32(p.pad_top);
  let left{{B}} = i32((rest{{B}} % p.ow) * p.stride) - i32(p.pad_left);
#for O S * OB
  var a{{B}}_{{O}} = 0.0;
#endfor
#endfor
  let blocks = (p.ci + 7u) / 8u;
#if STAGED
  let ci = blocks * 8u;
#else
  let ci = p.ci;
#endif
  var wi = tile * p.kh * p.kw * blocks * {{S * OB}}u + lane;
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
#for B PB
      let row{{B}} = top{{B}} + i32(ky);
      let col{{B}} = left{{B}} + i32(kx);
      let ok{{B}} = in{{B}} && row{{B}} >= 0 && row{{B}} < i32(p.h << p.up) && col{{B}} >= 0 && col{{B}} < i32(p.w << p.up);
      let at{{B}} = ((n{{B}} * p.h + (u32(row{{B}}) >> p.up)) * p.w + (u32(col{{B}}) >> p.up)) * ci;
#endfor
      for (var c = 0u; c < p.ci; c += 8u) {
#for B PB
        let x{{B}} = load_x(at{{B}}, c, ok{{B}});
#endfor
#for G OB
        let w{{G}} = load_w(wi + {{G * S}}u);
#for L S
#for B PB
        var s{{G}}_{{L}}_{{B}} = a{{B}}_{{G * S + L}};
#endfor
#for K 4
        let l{{G}}_{{L}}_{{K}} = subgroupBroadcast(w{{G}}.lo[{{K}}], {{L}}u);
#for B PB
        s{{G}}_{{L}}_{{B}} = fma(x{{B}}.lo[{{K}}], l{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for K 4
        let h{{G}}_{{L}}_{{K}} = subgroupBroadcast(w{{G}}.hi[{{K}}], {{L}}u);
#for B PB
        s{{G}}_{{L}}_{{B}} = fma(x{{B}}.hi[{{K}}], h{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for B PB
        a{{B}}_{{G * S + L}} = s{{G}}_{{L}}_{{B}};
#endfor
#endfor
#endfor
        wi += {{S * OB}}u;
      }
    }
  }
  let o = tile * {{S * OB}}u;
#for O S * OB
  let b{{O}} = bias[o + {{O}}u];
#endfor
#for B PB
  if (in{{B}}) {
    let out = pix{{B}} * p.co + o;
    let emb = n{{B}} * p.temb_stride + p.temb_at + o;
#if OUT8
#for G OB
    if (o + {{G * S}}u < p.co) {
      var lo = vec4f(a{{B}}_{{G * 8}}, a{{B}}_{{G * 8 + 1}}, a{{B}}_{{G * 8 + 2}}, a{{B}}_{{G * 8 + 3}})
        + vec4f(b{{G * 8}}, b{{G * 8 + 1}}, b{{G * 8 + 2}}, b{{G * 8 + 3}});
      var hi = vec4f(a{{B}}_{{G * 8 + 4}}, a{{B}}_{{G * 8 + 5}}, a{{B}}_{{G * 8 + 6}}, a{{B}}_{{G * 8 + 7}})
        + vec4f(b{{G * 8 + 4}}, b{{G * 8 + 5}}, b{{G * 8 + 6}}, b{{G * 8 + 7}});
      if ((p.flags & 1u) != 0u) {
        let t = unpack(temb[emb / 8u + {{G}}u]);
        lo += t.lo;
        hi += t.hi;
      }
      if ((p.flags & 2u) != 0u) {
#if TO
        lo += textureLoad(res, texel(out / 4u + {{2 * G}}u), 0);
        hi += textureLoad(res, texel(out / 4u + {{2 * G + 1}}u), 0);
#else
        let r = unpack(res[out / 8u + {{G}}u]);
        lo += r.lo;
        hi += r.hi;
#endif
      }
      lo = finish(lo * p.scale);
      hi = finish(hi * p.scale);
#if TO
      textureStore(y, texel(out / 4u + {{2 * G}}u), lo);
      textureStore(y, texel(out / 4u + {{2 * G + 1}}u), hi);
#else
      y[out / 8u + {{G}}u] = packed(lo, hi);
#endif
    }
#endfor
#else
#if OUT4
#for Q QUADS
    if (o + {{Q * 4}}u < p.co) {
      var v = vec4f(a{{B}}_{{Q * 4}}, a{{B}}_{{Q * 4 + 1}}, a{{B}}_{{Q * 4 + 2}}, a{{B}}_{{Q * 4 + 3}})
        + vec4f(b{{Q * 4}}, b{{Q * 4 + 1}}, b{{Q * 4 + 2}}, b{{Q * 4 + 3}});
      if ((p.flags & 1u) != 0u) { v += temb[emb / 4u + {{Q}}u]; }
      if ((p.flags & 2u) != 0u) { v += res[out / 4u + {{Q}}u]; }
      y[out / 4u + {{Q}}u] = finish(v * p.scale);
    }
#endfor
#else
#for O S * OB
    if (o + {{O}}u < p.co) {
      var v = a{{B}}_{{O}} + b{{O}};
      if ((p.flags & 1u) != 0u) { v += temb[emb + {{O}}u]; }
      if ((p.flags & 2u) != 0u) { v += res[out + {{O}}u]; }
      y[out + {{O}}u] = finish(vec4f(v * p.scale)).x;
    }
#endfor
#endif
#endif
  }
#endfor
}
