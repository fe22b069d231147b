//! What stands in the loops of AMD machine code.

use std::collections::HashMap;

/// Instructions of one innermost loop, by what they occupy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    /// Multiply-adds.
    pub fma: u32,
    /// Other vector arithmetic.
    pub valu: u32,
    /// Reads of workgroup memory.
    pub lds_read: u32,
    /// Writes of workgroup memory.
    pub lds_write: u32,
    /// Accesses of memory.
    pub memory: u32,
    /// Scalar instructions but waits.
    pub scalar: u32,
}

impl Loop {
    fn add(&mut self, op: &str) {
        let is = |heads: &[&str]| heads.iter().any(|h| op.starts_with(h));
        // Of two operations issued as one, each is counted by its own name.
        if is(&["v_fma", "v_fmac", "v_pk_fma", "v_mad_f", "v_mac_f", "v_dual_fma"]) {
            self.fma += 1;
        } else if op.starts_with("v_") {
            self.valu += 1;
        } else if is(&["ds_read", "ds_load"]) {
            self.lds_read += 1;
        } else if op.starts_with("ds_") {
            self.lds_write += 1;
        } else if is(&["buffer_", "global_", "flat_", "scratch_"]) {
            self.memory += 1;
        } else if op.starts_with("s_") && !is(&["s_waitcnt", "s_barrier", "s_delay", "s_nop"]) {
            self.scalar += 1;
        }
    }

    /// Multiply-adds among vector instructions, in percent.
    pub fn share(&self) -> f64 {
        100.0 * f64::from(self.fma) / f64::from((self.fma + self.valu).max(1))
    }
}

/// The innermost loops in the order of the text: from a label to a branch back to
/// it that holds no other such branch.
pub fn loops(text: &str) -> Vec<Loop> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let labels: HashMap<&str, usize> =
        lines.iter().enumerate().filter_map(|(i, l)| Some((l.split_once(':')?.0, i))).collect();
    let back: Vec<(usize, usize)> = lines
        .iter()
        .enumerate()
        .filter_map(|(end, line)| {
            let mut words = line.split_whitespace();
            words.next().filter(|op| op.starts_with("s_cbranch") || *op == "s_branch")?;
            let start = *labels.get(words.next()?)?;
            (start <= end).then_some((start, end))
        })
        .collect();
    let inner = |&(s, e): &(usize, usize)| !back.iter().any(|&(t, f)| (t, f) != (s, e) && t >= s && f <= e);
    back.iter()
        .copied()
        .filter(inner)
        .map(|(start, end)| {
            let mut l = Loop::default();
            for line in &lines[start..=end] {
                // A second operation follows `::` on chips that issue two.
                let parts = line.split("::");
                parts.filter_map(|p| p.split_whitespace().next()).for_each(|op| l.add(op));
            }
            l
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn innermost_loops_are_counted() {
        let text = "BB1:\n v_mov_b32 v0, v1\nBB2:\n v_fma_f32 v0, v1, v2, v0\n ds_read_b128 v[0:3], v9\n\
            v_dual_fmac_f32 v0, v1, v2 :: v_dual_fmac_f32 v3, v1, v4\n v_add_u32 v5, v6, v7\n s_waitcnt lgkmcnt(0)\n\
            s_cbranch_scc1 BB2\n s_cbranch_scc0 BB1\n s_endpgm";
        let found = loops(text);
        assert_eq!(found, [Loop { fma: 3, valu: 1, lds_read: 1, scalar: 1, ..Loop::default() }]);
        assert_eq!(found[0].share(), 75.0);
    }
}
