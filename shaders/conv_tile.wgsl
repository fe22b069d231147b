// Convolution for GPUs: an implicit matrix product with workgroup tiles.
//
// A workgroup of LX x LY lanes makes TM pixels by TN output channels; a lane makes
// 4 RM pixels by 4 RN channels. KC input channels of one tap are staged at a time. With
// RM = RN = 2 each 16-byte read feeds 16 multiply-adds.
// Workgroup memory is nested arrays, as deep as it takes that every index is a constant or
// the same for all accesses of a kind: one address each, checked once, and no arithmetic
// between the multiply-adds. What a tap decides is decided outside of the loop over
// channels; in it inputs are masked and weights are not: behind the last channel the
// input is 0, whatever the weight is.
// Each sum runs over taps, then input channels, in order, whatever the batch.
//
// x      [n, h, w, ci], each pixel standing for 2^up x 2^up (nearest upsampling)
// weight [kh kw][ci][co padded to a multiple of 4]
// bias   [co], zero-padded to a multiple of TN
// temb   [n, temb_stride]  channels from temb_at on added to each pixel, where p.flags & 1
// res    [n, oh, ow, co]  added, where p.flags & 2
// y      [n, oh, ow, co] = (x * weight + bias + temb + res) * scale, then SiLU where SILU is
struct P {
  groups: u32, base: u32,
  n: u32, h: u32, w: u32, ci: u32, oh: u32, ow: u32, co: u32,
  kh: u32, kw: u32, stride: u32, pad_top: u32, pad_left: u32,
  up: u32, temb_stride: u32, temb_at: u32,
  flags: u32, scale: f32,
}
#if VEC4
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> temb: array<vec4f>;
@group(0) @binding(4) var<storage, read> res: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
#else
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> temb: array<f32>;
@group(0) @binding(4) var<storage, read> res: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
#endif
@group(0) @binding(6) var<uniform> p: P;
#include "dispatch.wgsl"
#include "silu.wgsl"

const TM: u32 = {{4 * LY * RM}}u;
const TN: u32 = {{4 * LX * RN}}u;

// [pass][row of the pass][vector of a lane][lane]
var<workgroup> sh_w: array<array<array<array<vec4f, {{LX}}>, {{RN}}>, {{ROWS}}>, {{WS}}>;
// [channel % 4][vector of a lane][half][channel / 4][lane][pixel % 4], padded so that lanes
// write to different banks.
var<workgroup> sh_x: array<array<array<array<array<array<f32, 4>, {{SLOTS + 1}}>, {{QS}}>, {{XH}}>, {{RM}}>, 4>;

// Four channels of a pixel from element `at` of x on, `left` of which there are.
fn load_x(at: u32, left: i32, ok: bool) -> vec4f {
#if VEC4
  return select(vec4f(), x[at], ok && left > 0);
#else
  let go = vec4<bool>(ok) & (vec4i(0, 1, 2, 3) < vec4i(left));
  let i = select(vec4u(), vec4u(at) + vec4u(0u, 1u, 2u, 3u), go);
  return select(vec4f(), vec4f(x[i.x], x[i.y], x[i.z], x[i.w]), go);
#endif
}

// Four channels from o on of a pixel.
fn store(pixel: u32, o: u32, sum: vec4f) {
  let at = pixel * p.co + o;
  let emb = pixel / (p.oh * p.ow) * p.temb_stride + p.temb_at + o;
#if VEC4
  if (o < p.co) {
    var v = sum + bias[o / 4u];
    if ((p.flags & 1u) != 0u) { v += temb[emb / 4u]; }
    if ((p.flags & 2u) != 0u) { v += res[at / 4u]; }
    y[at / 4u] = finish(v * p.scale);
  }
#else
#for Q 4
  if (o + {{Q}}u < p.co) {
    var v = sum[{{Q}}] + bias[o + {{Q}}u];
    if ((p.flags & 1u) != 0u) { v += temb[emb + {{Q}}u]; }
    if ((p.flags & 2u) != 0u) { v += res[at + {{Q}}u]; }
    y[at + {{Q}}u] = finish(vec4f(v * p.scale)).x;
  }
#endfor
#endif
}

@compute @workgroup_size({{LX}}, {{LY}})
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(local_invocation_id) lane: vec3u,
  @builtin(local_invocation_index) flat: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let tiles = (p.co + TN - 1u) / TN;
  let tile = group % tiles;
  let first = (group / tiles) * TM;
  let pixels = p.n * p.oh * p.ow;
  let co4 = (p.co + 3u) / 4u;

  // What lane `flat` stages: channels 4 quad to 4 quad + 3 of XS pixels, and WS
  // vectors of weights.
  let quad = flat % {{QS}}u;
  let staged = flat / {{QS}}u;
#for I XS
  let pix{{I}} = first + staged + {{STEP * I}}u;
  let in{{I}} = pix{{I}} < pixels;
  let n{{I}} = pix{{I}} / (p.oh * p.ow);
  let rest{{I}} = pix{{I}} % (p.oh * p.ow);
  let top{{I}} = i32((rest{{I}} / p.ow) * p.stride) - i32(p.pad_top);
  let left{{I}} = i32((rest{{I}} % p.ow) * p.stride) - i32(p.pad_left);
#endfor
  let wrow = flat / (TN / 4u);
  let wcol = flat % (TN / 4u);
  let wat = wrow * co4 + min(tile * (TN / 4u) + wcol, co4 - 1u);
  let last = p.kh * p.kw * p.ci * co4 - 1u;
#for I 4 * RM
#for J RN
  var acc{{I}}_{{J}} = vec4f();
#endfor
#endfor
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
#for I XS
      let row{{I}} = top{{I}} + i32(ky);
      let col{{I}} = left{{I}} + i32(kx);
      let ok{{I}} = in{{I}} && row{{I}} >= 0 && row{{I}} < i32(p.h << p.up) && col{{I}} >= 0 && col{{I}} < i32(p.w << p.up);
      let from{{I}} = ((n{{I}} * p.h + (u32(row{{I}}) >> p.up)) * p.w + (u32(col{{I}}) >> p.up)) * p.ci;
      let at{{I}} = select(0u, from{{I}} / {{IN}}u, ok{{I}}) + {{QUAD}}u * quad;
#endfor
      let tap = (ky * p.kw + kx) * p.ci;
      for (var c = 0u; c < p.ci; c += {{KC}}u) {
        let left = i32(p.ci - c) - i32(4u * quad);
        // Read before the barrier: memory is slower than the lanes that still compute.
#for I XS
        let vx{{I}} = load_x(at{{I}} + c / {{IN}}u, left, ok{{I}});
#endfor
#for J WS
        let vw{{J}} = weight[min((tap + c + {{ROWS * J}}u) * co4 + wat, last)];
#endfor
        workgroupBarrier();
#for I XS
#for Q 4
        sh_x[{{Q}}][{{I}}u / {{XH}}u][{{I}}u % {{XH}}u][quad][staged / 4u][staged % 4u] = vx{{I}}[{{Q}}];
#endfor
#endfor
#for J WS
        sh_w[{{J}}][wrow][wcol / {{LX}}u][wcol % {{LX}}u] = vw{{J}};
#endfor
        workgroupBarrier();
#for K KC
        {
#for J RN
          let b{{J}} = sh_w[{{K}}u / {{ROWS}}u][{{K}}u % {{ROWS}}u][{{J}}][lane.x];
#endfor
#for I RM
#for Q 4
          let v{{I}}_{{Q}} = sh_x[{{K}}u % 4u][{{I}}][lane.y / {{SLOTS}}u][{{K}}u / 4u][lane.y % {{SLOTS}}u][{{Q}}];
#for J RN
          acc{{4 * I + Q}}_{{J}} = fma(vec4f(v{{I}}_{{Q}}), b{{J}}, acc{{4 * I + Q}}_{{J}});
#endfor
#endfor
#endfor
        }
#endfor
      }
    }
  }
#for I RM
#for Q 4
  {
    let pixel = first + 4u * (lane.y + {{LY * I}}u) + {{Q}}u;
    if (pixel < pixels) {
#for J RN
      store(pixel, tile * TN + 4u * (lane.x + {{LX * J}}u), acc{{4 * I + Q}}_{{J}});
#endfor
    }
  }
#endfor
#endfor
}
