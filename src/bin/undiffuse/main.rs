//! The command line: one file per verb, no mathematics.

/// Prints a line; a reader that has gone away is no error.
macro_rules! say {
    (stdout, $($text:tt)*) => { let _ = std::io::Write::write_fmt(&mut std::io::stdout(), format_args!("{}\n", format_args!($($text)*))); };
    ($($text:tt)*) => { let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($text)*))); };
}

mod arrays;
mod bench;
mod compare;
mod decode;
mod device;
mod doctor;
mod draw;
mod draw_args;
mod edit;
mod encode;
mod energy;
mod evaluate;
mod explain;
mod features;
mod flow_args;
mod forward;
mod grid_args;
mod info;
mod input;
mod inspect;
mod interpolate;
mod like;
mod likelihood;
mod merge;
mod numbers;
mod output;
mod points;
mod progress;
mod recipes;
mod reproduce;
mod restore;
mod sample;
mod sets;
mod shard;
mod solver;
mod sums;
mod tensors;
mod text;
mod trilemma;
mod tune;
mod work;

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
    /// Find the latents of pictures by the probability-flow ODE: exact, and `decode` brings them back
    Encode(encode::Args),
    /// Draw the pictures of latents by the probability-flow ODE
    Decode(decode::Args),
    /// Measure how likely pictures are under a model, in bits per dimension
    Likelihood(likelihood::Args),
    /// Fill the unknown part of a picture
    Inpaint(restore::Inpaint),
    /// Make a small picture larger
    Superres(restore::Superres),
    /// Give a grey picture colours
    Colorize(restore::Colorize),
    /// Take a blur away
    Deblur(restore::Deblur),
    /// Draw a picture anew, near to it
    Edit(edit::Args),
    /// Go from one picture to another through the latent space: an animated PNG
    Interpolate(interpolate::Args),
    /// List the published checkpoints that can be opened by name
    Recipes(recipes::Args),
    /// Bring a published checkpoint into a folder that `--model` takes: safetensors, smaller, mapped
    Import(recipes::Import),
    /// Measure kernels, networks, sampling loops and starts on the adapters of this machine
    Bench(Box<bench::Args>),
    /// Compare every kernel with its twin on this machine's drivers; what is wrong is banned, and the
    /// exit status is 1
    Doctor(doctor::Args),
    /// Measure which kernels are fastest for a model on this machine, and remember it
    Tune(tune::Args),
    /// Run a published checkpoint as its authors did, image by image into a folder; goes on where it
    /// stopped
    Reproduce(reproduce::Args),
    /// Say how good a model's samples are, or pictures that are there: quality, coverage, modes, likelihood
    /// and speed, each with its interval; goes on where it stopped
    Evaluate(Box<evaluate::Args>),
    /// Measure models x samplers x steps, and write a report of quality, coverage and speed against each
    /// other; goes on where it stopped
    Trilemma(trilemma::Args),
    /// Write the features of pictures: of a classifier, or of a block of a diffusion model at a time
    Features(features::Args),
    /// Join what parts of a job wrote: pictures, features or statistics
    Merge(merge::Args),
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
        Verb::Encode(args) => encode::run(&args),
        Verb::Decode(args) => decode::run(&args),
        Verb::Likelihood(args) => likelihood::run(&args),
        Verb::Inpaint(args) => restore::inpaint(&args),
        Verb::Superres(args) => restore::superres(&args),
        Verb::Colorize(args) => restore::colorize(&args),
        Verb::Deblur(args) => restore::deblur(&args),
        Verb::Edit(args) => edit::run(&args),
        Verb::Interpolate(args) => interpolate::run(&args),
        Verb::Recipes(args) => recipes::run(&args),
        Verb::Import(args) => recipes::import(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Tune(args) => tune::run(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Evaluate(args) => evaluate::run(&args),
        Verb::Trilemma(args) => trilemma::run(&args),
        Verb::Features(args) => features::run(&args),
        Verb::Merge(args) => merge::run(&args),
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
