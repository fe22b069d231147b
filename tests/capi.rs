//! The C interface: its header is that of the source, and C programs use it.

#[path = "capi/c_programs.rs"]
mod c_programs;
#[path = "capi/header.rs"]
mod header;
#[path = "capi/threads.rs"]
mod threads;
