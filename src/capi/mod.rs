//! The library for C and whatever speaks C: `include/undiffuse.h` is made from
//! this module. Feature `capi`, off by default.
//!
//! Every function checks what C can check: NULL, text that is not UTF-8, lengths,
//! the size of a struct. None lets a panic out. What it cannot check is a contract,
//! the same for all: a pointer that is not NULL points to what its type says, handles
//! come from this library and are not used after they were freed, text ends with 0.
#![allow(non_camel_case_types, clippy::missing_safety_doc)] // C's names; the contract is above

mod arguments;
mod gpu;
mod job;
mod options;
mod pipeline;
mod status;
mod version;

pub use gpu::*;
pub use job::*;
pub use options::*;
pub use pipeline::*;
pub use status::*;
pub use version::*;
