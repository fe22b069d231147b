//! The command line as a user types it: the program is run, its output looked at.

#[path = "cli/flow.rs"]
mod flow;
#[path = "cli/info.rs"]
mod info;
#[path = "cli/interrupt.rs"]
mod interrupt;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/same_bytes.rs"]
mod same_bytes;
#[path = "cli/steps.rs"]
mod steps;

#[path = "support/command.rs"]
mod command;
#[path = "support/model_folder.rs"]
mod model_folder;
