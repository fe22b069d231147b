//! Every kernel, every variant that the adapter here meets, against its twin; what random
//! cases seldom meet; and that all this notices errors.

mod attention;
mod batch;
mod doctor;
mod graph;
mod harness;
mod noise;
mod resize;
mod self_test;
mod twins;
