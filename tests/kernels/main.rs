//! Every kernel, every variant that the adapter here meets, against its twin.
//! A new family: a module here with a test that calls `harness::twin`.

mod attention;
mod batch;
mod conv;
mod graph;
mod harness;
mod networks;
mod noise;
mod resize;
mod sampler;
mod self_test;
mod tangent;
