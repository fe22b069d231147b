// Convolution for GPUs: an implicit matrix product with workgroup tiles.
//
// A workgroup of 16 x 16 lanes makes TM pixels by TN output channels; a lane
// makes TM/16 x TN/16 of them. 16 input channels of one tap are staged at a time
// as nested arrays indexed [k][lane], so that index checks stay out of the loop.
// Each sum runs over taps, then input channels, in order, whatever the batch.
//
// x      [n, h, w, ci]
// weight [kh kw][ci][co padded to a multiple of 4]
// bias   [co], zero-padded
// temb   [n, co]  added to each pixel, where p.flags & 1
// res    [n, oh, ow, co]  added, where p.flags & 2
// y      [n, oh, ow, co] = (x * weight + bias + temb + res) * scale
struct P {
  groups: u32, base: u32,
  n: u32, h: u32, w: u32, ci: u32, oh: u32, ow: u32, co: u32,
  kh: u32, kw: u32, stride: u32, pad_top: u32, pad_left: u32,
  flags: u32, scale: f32,
}
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> temb: array<f32>;
@group(0) @binding(4) var<storage, read> res: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> p: P;
#include "dispatch.wgsl"

const RM: u32 = {{RM}}u; // pixels of a lane
const TM: u32 = {{16 * RM}}u;
const TN: u32 = {{64 * RN}}u; // output channels of the tile: RN vec4 a lane

var<workgroup> sh_x: array<array<f32, TM>, 16>;
var<workgroup> sh_w: array<array<vec4f, {{16 * RN}}>, 16>;

@compute @workgroup_size(16, 16)
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

  // Lane `flat` stages channel k = flat % 16 of pixels flat / 16 + 16 i.
  let k = flat % 16u;
#for I RM
  let pix{{I}} = first + flat / 16u + {{16 * I}}u;
  let in{{I}} = pix{{I}} < pixels;
  let n{{I}} = pix{{I}} / (p.oh * p.ow);
  let rest{{I}} = pix{{I}} % (p.oh * p.ow);
  let top{{I}} = i32((rest{{I}} / p.ow) * p.stride) - i32(p.pad_top);
  let left{{I}} = i32((rest{{I}} % p.ow) * p.stride) - i32(p.pad_left);
#for J RN
  var acc{{I}}_{{J}} = vec4f();
#endfor
#endfor
  for (var ky = 0u; ky < p.kh; ky++) {
    for (var kx = 0u; kx < p.kw; kx++) {
#for I RM
      let row{{I}} = top{{I}} + i32(ky);
      let col{{I}} = left{{I}} + i32(kx);
      let ok{{I}} = in{{I}} && row{{I}} >= 0 && row{{I}} < i32(p.h) && col{{I}} >= 0 && col{{I}} < i32(p.w);
      let at{{I}} = ((n{{I}} * p.h + u32(row{{I}})) * p.w + u32(col{{I}})) * p.ci;
#endfor
      let tap = (ky * p.kw + kx) * p.ci;
      for (var c = 0u; c < p.ci; c += 16u) {
        workgroupBarrier();
#for I RM
        let go{{I}} = ok{{I}} && c + k < p.ci;
        sh_x[k][flat / 16u + {{16 * I}}u] = select(0.0, x[select(0u, at{{I}} + c + k, go{{I}})], go{{I}});
#endfor
#for J RN
        // Row flat / 16 of the weights, vec4 flat % 16.
        let wrow{{J}} = c + flat / 16u;
        let wcol{{J}} = tile * {{16 * RN}}u + flat % 16u + {{16 * J}}u;
        let wok{{J}} = wrow{{J}} < p.ci && wcol{{J}} < co4;
        let wat{{J}} = select(0u, (tap + wrow{{J}}) * co4 + wcol{{J}}, wok{{J}});
        sh_w[flat / 16u][flat % 16u + {{16 * J}}u] = select(vec4f(), weight[wat{{J}}], wok{{J}});
#endfor
        workgroupBarrier();
#for K 16
        {
#for J RN
          let b{{J}} = sh_w[{{K}}][lane.x + {{16 * J}}u];
#endfor
#for I RM
          let v{{I}} = sh_x[{{K}}][lane.y + {{16 * I}}u];
#for J RN
          acc{{I}}_{{J}} = fma(vec4f(v{{I}}), b{{J}}, acc{{I}}_{{J}});
#endfor
#endfor
        }
#endfor
      }
    }
  }
#for I RM
  {
    let pixel = first + lane.y + {{16 * I}}u;
    if (pixel < pixels) {
      let image = pixel / (p.oh * p.ow);
#for J RN
      {
        let o = tile * TN + (lane.x + {{16 * J}}u) * 4u;
        for (var q = 0u; q < 4u; q++) {
          if (o + q < p.co) {
            var v = acc{{I}}_{{J}}[q] + bias[o + q];
            if ((p.flags & 1u) != 0u) { v += temb[image * p.co + o + q]; }
            if ((p.flags & 2u) != 0u) { v += res[pixel * p.co + o + q]; }
            y[pixel * p.co + o + q] = v * p.scale;
          }
        }
      }
#endfor
    }
  }
#endfor
}
