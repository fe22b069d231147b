//! The command line: one file per verb, no mathematics.

/// Prints a line; a reader that has gone away is no error.
macro_rules! say {
    (stdout, $($text:tt)*) => { let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))); };
    ($($text:tt)*) => { let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*))); };
}

mod compare;
mod draw;
mod explain;
mod forward;
mod grid_args;
mod info;
mod input;
mod inspect;
mod like;
mod output;
mod progress;
mod recipes;
mod reproduce;
mod sample;
mod solver;
mod tensors;
mod text;

use clap::{Parser, Subcommand};
use std::process::ExitCode;
#[cfg(unix)]
use std::sync::{atomic::AtomicBool, Arc};

/// Diffusion models run backwards on any GPU.
#[derive(Parser)]
#[command(name = "undiffuse", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Draw pictures with a model
    Sample(Box<sample::Args>),
    /// Look inside a model: graph, fusions, plan, memory, predicted times; no device is needed
    Inspect(inspect::Args),
    /// Print a sampler's program with its coefficients, and where it comes from
    Explain(explain::Args),
    /// Draw with many samplers and numbers of steps from the same noise: a sheet, and a plot of
    /// their distance to the converged solution
    Compare(compare::Args),
    /// Draw what the forward process does to a picture: from the image to noise
    Forward(forward::Args),
    /// List the published checkpoints that can be opened by name
    Recipes(recipes::Args),
    /// Bring a published checkpoint into a folder that `--model` takes: safetensors, smaller, mapped
    Import(recipes::Import),
    /// Run a published checkpoint as its authors did, image by image into a folder; goes on where it
    /// stopped
    Reproduce(reproduce::Args),
    /// List the adapters of this machine, the embedded models and the zoo
    Info(info::Args),
}

/// How a run ends other than well.
enum Failure {
    /// Something is wrong with what was asked or found: exit code 2.
    Error(Box<dyn std::error::Error>),
    /// The user stopped it: exit code 130.
    Cancelled,
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Error(e.into())
    }
}

fn main() -> ExitCode {
    // A layer of Mesa looks for a Wayland display and complains on stderr where a
    // machine without screen has none. No thread runs yet.
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && std::env::var_os("NODEVICE_SELECT").is_none() {
        std::env::set_var("NODEVICE_SELECT", "1");
    }
    let filter = tracing_subscriber::EnvFilter::try_from_env("UNDIFFUSE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error,undiffuse=warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
    // A file past the limit on its size is an error of the write, not the end of the process.
    #[cfg(unix)]
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::<AtomicBool>::default());
    let result = match Cli::parse().verb {
        Verb::Sample(args) => sample::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Explain(args) => explain::run(&args),
        Verb::Compare(args) => compare::run(&args),
        Verb::Forward(args) => forward::run(&args),
        Verb::Recipes(args) => recipes::run(&args),
        Verb::Import(args) => recipes::import(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Info(args) => info::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Cancelled) => {
            say!("undiffuse: stopped; what was finished is written, nothing is half-written");
            ExitCode::from(130)
        }
        Err(Failure::Error(e)) => {
            say!("undiffuse: {}", undiffuse::pipeline::chain(&*e));
            ExitCode::from(2)
        }
    }
}
