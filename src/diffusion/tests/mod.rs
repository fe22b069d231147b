//! Tests of the whole floor: against diffusers, analytic solutions, and the
//! validator against broken programs.

mod analytic;
mod continuous;
mod custom;
mod flow;
mod golden;
mod options;
mod orders;
mod process;
mod programs;
mod reference;
mod restoring;
mod systems;
mod validator;
