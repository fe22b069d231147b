//! The flags that say in which order a network's products may be summed, and what files and
//! `--json` tell of it.

use serde_json::{json, Value};
use undiffuse::kernels::Summation;
use undiffuse::pipeline::Report;

#[derive(clap::Args, Clone, Copy)]
pub struct Sums {
    /// Sum each layer as it is defined: convolutions without Winograd's algorithm (which only
    /// software adapters use). Slower, and rounded a little less
    #[arg(long, global = true)]
    exact: bool,
    /// Let the order of sums follow the batch where that is faster (software adapters): an image
    /// then depends, in its last bits, on how many are drawn at once
    #[arg(long, global = true, conflicts_with = "exact")]
    fastest: bool,
}

impl Sums {
    /// What the flags say.
    pub fn order(self) -> Summation {
        self.given().unwrap_or_default()
    }

    /// What they say, where they say anything.
    pub fn given(self) -> Option<Summation> {
        match (self.exact, self.fastest) {
            (true, _) => Some(Summation::Exact),
            (_, true) => Some(Summation::Fastest),
            _ => None,
        }
    }
}

/// Whose kernels made something, and whether the batch had a part in it.
pub fn kernels(report: &Report) -> Value {
    json!({ "adapter": report.adapter, "kernel_set": report.kernel_set, "batch_invariant": report.batch_invariant })
}
