// Numbers that change from step to step: row `counter[0]` of a table of floats,
// from `p.offset` on. The step counter lives on the GPU (`advance.wgsl`).
fn number(i: u32) -> f32 {
  return numbers[counter[0] * p.stride + p.offset + i];
}
