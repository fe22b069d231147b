//! The loop: nothing is looked at between a batch's first dispatch and its last,
//! and an image does not know in what company it is drawn.

#[path = "loop/flow.rs"]
mod flow;
#[path = "loop/jobs.rs"]
mod jobs;
#[path = "loop/lowering.rs"]
mod lowering;

#[path = "support/model_folder.rs"]
mod model_folder;

use undiffuse::gpu::{Gpu, Options};

fn open(core_only: bool) -> Gpu {
    Gpu::open(&Options { core_only, ..Options::default() }).expect("an adapter")
}
