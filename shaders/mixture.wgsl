// What a perfect network would say of points in the plane that are distributed as a mixture of
// Gaussians of one variance: the posterior mean over its components, in the form of the process;
// with TANGENT, its derivative along a direction: that of the mean is a / v times the components'
// covariance by their weights.
@group(0) @binding(0) var<storage, read> x: array<vec2f>; // [n, points]
@group(0) @binding(1) var<storage, read> t: array<f32>; // [n], what the network is told of time
@group(0) @binding(2) var<storage, read> components: array<vec4f>; // [k]: mean, log of the weight, 0
#if TANGENT
@group(0) @binding(3) var<storage, read> dx: array<vec2f>; // [n, points]
#endif
@group(0) @binding(4) var<storage, read_write> dst: array<vec2f>; // [n, points]
struct P {
  groups: u32,
  base: u32,
  points: u32, // of an image
  split: u32, // groups of an image
  k: u32,
  variance: f32, // of a component
  low: f32, // beta_min (VP, sub-VP), the deviation of the data (EDM)
  high: f32, // beta_max
}
@group(0) @binding(5) var<uniform> p: P;
#include "dispatch.wgsl"

// The factors of image and noise at a time.
fn factors(told: f32) -> vec2f {
#if EXPLODING
  return vec2f(1.0, told);
#endif
#if EDM
  return vec2f(1.0, exp(4.0 * told));
#endif
#if PRESERVING
  let time = select(0.5, told, told > 0.0) / 999.0; // the chain's first timestep is this far from the image
  let whole = time * fma(0.5 * time, p.high - p.low, p.low); // the integral of beta
  let a = exp(-0.5 * whole);
  // 1 - exp(-whole): of small ones the series, which does not cancel.
  var rest = 1.0;
  for (var i = 8u; i > 1u; i--) {
    rest = fma(-whole / f32(i), rest, 1.0);
  }
  let lost = select(1.0 - a * a, whole * rest, whole < 0.5);
#if SUB
  return vec2f(a, lost);
#else
  return vec2f(a, sqrt(lost));
#endif
#endif
}

// The weights of a component for four points, but for their common factor.
fn far(component: vec4f, xs: vec4f, ys: vec4f, a: f32, rate: f32) -> vec4f {
  let dx = fma(vec4f(-a), vec4f(component.x), xs);
  let dy = fma(vec4f(-a), vec4f(component.y), ys);
  return fma(vec4f(rate), fma(dx, dx, dy * dy), vec4f(component.z));
}

// Four points of an image a lane: a component is loaded once for all of them.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(num_workgroups) nwg: vec3u,
        @builtin(local_invocation_index) lane: u32) {
  let group = group_index(wg, nwg);
  let image = group / p.split;
  let first = group % p.split * 256u + lane;
  if (group >= p.groups || first >= p.points) {
    return;
  }
  let level = factors(t[image]);
  let a = level.x;
  let s = level.y;
  let v = fma(a * a, p.variance, s * s);
  let at = image * p.points;
  // Behind the last point, the last again.
  let last = p.points - 1u;
#for I 4
  let i{{I}} = at + min(first + {{64 * I}}u, last);
  let x{{I}} = x[i{{I}}];
#endfor
  var xs = vec4f(x0.x, x1.x, x2.x, x3.x);
  var ys = vec4f(x0.y, x1.y, x2.y, x3.y);
#if EDM
  let scale = sqrt(fma(s, s, p.low * p.low)); // the network's input is divided by it
  xs *= scale;
  ys *= scale;
#endif
  let rate = -0.5 / v;
  var top = vec4f(-3.0e38);
  for (var c = 0u; c < p.k; c++) {
    top = max(top, far(components[c], xs, ys, a, rate));
  }
  var weight = vec4f();
  var mx = vec4f();
  var my = vec4f();
  for (var c = 0u; c < p.k; c++) {
    let component = components[c];
    let e = exp(far(component, xs, ys, a, rate) - top);
    weight += e;
    mx = fma(e, vec4f(component.x), mx);
    my = fma(e, vec4f(component.y), my);
  }
  mx /= weight;
  my /= weight;
#if TANGENT
#for I 4
  let d{{I}} = dx[i{{I}}];
#endfor
  let us = vec4f(d0.x, d1.x, d2.x, d3.x);
  let vs = vec4f(d0.y, d1.y, d2.y, d3.y);
  var cx = vec4f();
  var cy = vec4f();
  for (var c = 0u; c < p.k; c++) {
    let component = components[c];
    let e = exp(far(component, xs, ys, a, rate) - top);
    let fx = vec4f(component.x) - mx;
    let fy = vec4f(component.y) - my;
    let along = e * fma(fx, us, fy * vs);
    cx = fma(along, fx, cx);
    cy = fma(along, fy, cy);
  }
#if EDM
  let steep = a * scale / v;
  xs = us * scale;
  ys = vs * scale;
#else
  let steep = a / v;
  xs = us;
  ys = vs;
#endif
  mx = cx / weight * steep;
  my = cy / weight * steep;
#endif
#if PRESERVING
  let ox = s / v * fma(vec4f(-a), mx, xs); // the noise
  let oy = s / v * fma(vec4f(-a), my, ys);
#endif
#if EXPLODING
  let ox = (mx - xs) / v; // the score
  let oy = (my - ys) / v;
#endif
#if EDM
  // (x0 - c_skip x) / c_out, without the difference of what is nearly equal.
  let lean = vec4f((p.variance - p.low * p.low) / (scale * scale));
  let by = s * scale / (p.low * v);
  let ox = by * fma(lean, xs, mx);
  let oy = by * fma(lean, ys, my);
#endif
#for I 4
  if (first + {{64 * I}}u <= last) {
    dst[i{{I}}] = vec2f(ox[{{I}}], oy[{{I}}]);
  }
#endfor
}
