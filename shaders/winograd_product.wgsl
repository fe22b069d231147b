// The products of a convolution by Winograd: for each of the places of a transformed
// patch, a matrix product over input channels. Second of three dispatches.
//
// One workgroup is one subgroup; a lane owns PB tiles and 8 OB output channels of each.
// As in conv_stream.wgsl, lane l holds the weights of output channel l, which are spread by
// subgroupBroadcast from constant lanes. Each sum runs over input channels, in order.
//
// v [places][ci / 8][all][8] in texels of four (winograd_input)
// u [places][co / (8 OB)][ci / 8][OB][8 lanes][8], transformed weights, zero past co
// m [places][co / 4][all] texels of four output channels
struct P {
  groups: u32, base: u32,
  ci: u32, co: u32, all: u32,
}
@group(0) @binding(0) var v: texture_2d<f32>;
@group(0) @binding(1) var u: texture_2d<f32>;
@group(0) @binding(2) var m: texture_storage_2d<rgba32float, write>;
@group(0) @binding(3) var<uniform> p: P;
#include "dispatch.wgsl"

fn texel(i: u32) -> vec2u {
  return vec2u(i % 1024u, i / 1024u);
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) id: vec3u,
  @builtin(num_workgroups) count: vec3u,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let group = group_index(id, count);
  if (group >= p.groups) { return; }
  let parts = (p.co + {{8 * OB}}u - 1u) / {{8 * OB}}u;
  let part = group % parts;
  let runs = p.all / {{8 * PB}}u;
  let first = group / parts % runs * {{8 * PB}}u + lane;
  let place = group / (parts * runs);
  let blocks = p.ci / 8u;
  var at = 2u * (place * blocks * p.all + first);
  var w = 2u * ((place * parts + part) * blocks * {{8 * OB}}u + lane);
#for B PB
#for O 8 * OB
  var a{{B}}_{{O}} = 0.0;
#endfor
#endfor
  for (var c = 0u; c < blocks; c++) {
#for B PB
    let t{{B}} = texel(at + {{16 * B}}u);
    let lo{{B}} = textureLoad(v, t{{B}}, 0);
    let hi{{B}} = textureLoad(v, t{{B}} + vec2u(1u, 0u), 0);
#endfor
#for G OB
    let at{{G}} = vec2u((w + {{16 * G}}u) % 1024u, (w + {{16 * G}}u) / 1024u);
    let wl{{G}} = textureLoad(u, at{{G}}, 0);
    let wh{{G}} = textureLoad(u, at{{G}} + vec2u(1u, 0u), 0);
#for L 8
#for B PB
    var s{{G}}_{{L}}_{{B}} = a{{B}}_{{G * 8 + L}};
#endfor
#for K 4
    let l{{G}}_{{L}}_{{K}} = subgroupBroadcast(wl{{G}}[{{K}}], {{L}}u);
#for B PB
    s{{G}}_{{L}}_{{B}} = fma(lo{{B}}[{{K}}], l{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for K 4
    let h{{G}}_{{L}}_{{K}} = subgroupBroadcast(wh{{G}}[{{K}}], {{L}}u);
#for B PB
    s{{G}}_{{L}}_{{B}} = fma(hi{{B}}[{{K}}], h{{G}}_{{L}}_{{K}}, s{{G}}_{{L}}_{{B}});
#endfor
#endfor
#for B PB
    a{{B}}_{{G * 8 + L}} = s{{G}}_{{L}}_{{B}};
#endfor
#endfor
#endfor
    at += 2u * p.all;
    w += {{16 * OB}}u;
  }
  let o = part * {{8 * OB}}u;
#for Q 2 * OB
  if (o + {{4 * Q}}u < p.co) {
    let to{{Q}} = (place * p.co / 4u + o / 4u + {{Q}}u) * p.all + first;
#for B PB
    textureStore(m, texel(to{{Q}} + {{8 * B}}u), vec4f(a{{B}}_{{4 * Q}}, a{{B}}_{{4 * Q + 1}}, a{{B}}_{{4 * Q + 2}}, a{{B}}_{{4 * Q + 3}}));
#endfor
  }
#endfor
}
