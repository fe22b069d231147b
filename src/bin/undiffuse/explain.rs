//! `undiffuse explain`: a sampler's program, and where it comes from.

use crate::grid_args::GridArgs;
use crate::solver::Solver;
use crate::Failure;
use serde_json::json;
use undiffuse::diffusion::guidance::Conditioning;
use undiffuse::diffusion::program::{Program, Step};
use undiffuse::diffusion::sampler::{Context, Sampler, SolverOptions};
use undiffuse::diffusion::{SchedulerConfig, System};
use undiffuse::pipeline::{Class, Model, Sample};
use undiffuse::shape::Shape;

/// A program of more steps is shown by its first and last ones.
const SHOWN: usize = 8;
const FIRST: usize = 3;
const LAST: usize = 2;

#[derive(clap::Args)]
pub struct Args {
    /// The sampler: ddpm, ddim, euler, dpmpp_2m ... (a wrong name lists all)
    #[arg(value_name = "SAMPLER")]
    sampler: Sampler,
    #[command(flatten)]
    grid: GridArgs,
    /// The model whose noise schedule and classes are taken, named as for `sample`
    /// [default: the schedule of DDPM: linear, 1000 times, images of 32x32x3]
    #[arg(long, value_name = "NAME|FOLDER|OWNER/NAME")]
    model: Option<String>,
    /// A class by name or number, `all`, or `none` for the empty class
    #[arg(long, value_name = "NAME|INDEX|all", allow_negative_numbers = true)]
    class: Option<Class>,
    /// Scale of classifier-free guidance; 1 is none
    #[arg(long, default_value_t = 1.0, value_name = "X", allow_negative_numbers = true)]
    guidance_scale: f64,
    /// DDIM's stochasticity, from 0 (none) to 1 (as DDPM)
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    eta: Option<f64>,
    #[command(flatten)]
    solver: Solver,
    /// Every step
    #[arg(long)]
    all: bool,
    /// The text of the sampler's own file in place of its head
    #[arg(long)]
    source: bool,
    /// Print one JSON object: the program in numbers and in words
    #[arg(long, conflicts_with_all = ["source", "all"])]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let (program, schedule) = program(args)?;
    let paper = args.sampler.paper();
    if args.json {
        let words =
            |s: &Step| s.instructions.iter().map(|i| program.explain(i).to_string()).collect::<Vec<_>>();
        let object = json!({
            "sampler": args.sampler.name(),
            "about": args.sampler.about(),
            "paper": paper,
            "schedule": schedule,
            "nfe": program.nfe(),
            "program": program,
            "words": program.steps.iter().map(words).collect::<Vec<_>>(),
        });
        say!(stdout, "{object}");
        return Ok(());
    }
    let head = if args.source { args.sampler.source() } else { &paper };
    say!(stdout, "{}\n", head.trim_end());
    say!(stdout, "On {schedule}:\n");
    say!(stdout, "{}", listing(&program, args.all).trim_end());
    Ok(())
}

/// The program, and whose noise schedule it follows.
fn program(args: &Args) -> Result<(Program, String), Failure> {
    if let Some(name) = &args.model {
        let model = Model::find(name)?;
        let options = Sample {
            sampler: args.sampler,
            eta: args.eta,
            solver: args.solver.over(SolverOptions::default()),
            class: args.class.clone().unwrap_or_default(),
            guidance_scale: args.guidance_scale,
            ..Default::default()
        };
        let options = args.grid.apply(options);
        let schedule = format!("the schedule of {}", model.name());
        let schedule = match model.label(&options.class, 0)? {
            Some(label) => format!("{schedule} (the slot class holds {label} for image 0)"),
            None => schedule,
        };
        return Ok((model.program(&options)?, schedule));
    }
    if let Some(Class::Name(name)) = &args.class {
        let text = format!("class: `{name}` is the name of a model's class: name the model with --model");
        return Err(Failure::Error(text.into()));
    }
    let shape = Shape::new(32, 32, 3);
    let system = System::example(args.sampler, shape)?;
    let mut config = SchedulerConfig { system, ..SchedulerConfig::default() };
    if let Some(system) = &config.system {
        config.num_train_timesteps = system.steps();
    }
    let train = config.num_train_timesteps;
    let options = args.grid.apply(Sample { sampler: args.sampler, ..Default::default() });
    let (config, steps) = options.steps_on(&config)?;
    let mut schedule = match config.system {
        Some(_) => format!("its paper's process ({train} steps)"),
        None => format!("the default schedule of DDPM (linear, {train} times)"),
    };
    let class = args.class.is_some() || args.guidance_scale != 1.0;
    let conditioning = match class {
        true => {
            schedule += " and a model with classes, of which 0 is the empty one";
            Conditioning::Class { null: Some(0.0) }
        }
        false => Conditioning::None,
    };
    let context = Context {
        conditioning,
        guidance_scale: args.guidance_scale,
        eta: args.eta,
        options: args.solver.over(SolverOptions::default()),
        single: true,
        ..Context::new(&config, shape, steps)
    };
    Ok((args.sampler.program(&context)?, schedule))
}

/// The program in words; of a long one the first and last steps, unless `all`.
fn listing(program: &Program, all: bool) -> String {
    let count = program.steps.len();
    if all || count <= SHOWN {
        return program.to_string();
    }
    let short = Program { steps: program.steps[..FIRST].to_vec(), ..program.clone() }.to_string();
    let head = format!("program {}: {count} steps, {} network evaluations", program.name, program.nfe());
    let rest = short.split_once('\n').map_or("", |(_, rest)| rest);
    let mut text = format!("{head}\n{rest}... {} steps (--all shows them)\n", count - FIRST - LAST);
    for step in &program.steps[count - LAST..] {
        text += &format!("{}\n", step.label);
        for instruction in &step.instructions {
            text += &format!("    {}\n", program.explain(instruction));
        }
    }
    text
}
