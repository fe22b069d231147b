// Winograd's minimal filtering in one dimension (Lavin and Gray 2015): B^T of a patch and
// A^T of products. Two outputs at the points 0, 1, -1; four at 0, A, -A, B, -B with A = 5/8
// and B = 3/2, which lose a third of what the usual 1 and 2 lose.
// Texels lie in images of 1024 a row.
fn texel(i: u32) -> vec2u {
  return vec2u(i % 1024u, i / 1024u);
}

#if FOUR
const PA = 0.625;
const PB = 1.5;
const PA2 = PA * PA;
const PB2 = PB * PB;
const SUM = PA2 + PB2;
const PRODUCT = PA2 * PB2;

struct Input { t0: vec4f, t1: vec4f, t2: vec4f, t3: vec4f, t4: vec4f, t5: vec4f }
struct Output { t0: vec4f, t1: vec4f, t2: vec4f, t3: vec4f }

fn input(d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f, d4: vec4f, d5: vec4f) -> Input {
  let a = d4 - PB2 * d2;
  let b = PA * (d3 - PB2 * d1);
  let c = d4 - PA2 * d2;
  let d = PB * (d3 - PA2 * d1);
  return Input(PRODUCT * d0 - SUM * d2 + d4, a + b, a - b, c + d, c - d, PRODUCT * d1 - SUM * d3 + d5);
}

fn output(m0: vec4f, m1: vec4f, m2: vec4f, m3: vec4f, m4: vec4f, m5: vec4f) -> Output {
  let a = m1 + m2;
  let b = PA * (m1 - m2);
  let c = m3 + m4;
  let d = PB * (m3 - m4);
  return Output(m0 + a + c, b + d, PA2 * a + PB2 * c, PA2 * b + PB2 * d + m5);
}
#else
struct Input { t0: vec4f, t1: vec4f, t2: vec4f, t3: vec4f }
struct Output { t0: vec4f, t1: vec4f }

fn input(d0: vec4f, d1: vec4f, d2: vec4f, d3: vec4f) -> Input {
  return Input(d0 - d2, d1 + d2, d2 - d1, d1 - d3);
}

fn output(m0: vec4f, m1: vec4f, m2: vec4f, m3: vec4f) -> Output {
  return Output(m0 + m1 + m2, m1 - m2 - m3);
}
#endif
