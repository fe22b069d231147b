//! Samplers that an application brings, and noise that it brings.

use super::super::program::{Instruction, Program};
use super::super::sampler::{Context, Draft, Sampler};
use super::super::{Error, SchedulerConfig};
use crate::shape::Shape;

const SHAPE: Shape = Shape::new(2, 1, 1);

/// Euler's method in `y = x / alpha`, which DDIM is at eta 0 (Song et al. 2020, section 4.3).
fn euler(context: &Context<'_>) -> Result<Program, Error> {
    let mut d = Draft::new(context, "euler_of_a_test")?;
    let times = d.times().to_vec();
    for (k, &t) in times.iter().enumerate() {
        let (here, next) = (d.level(t), d.level_after(k));
        let mut step = d.predict(t)?;
        let factors =
            [(next.alpha / here.alpha, d.x()), (next.alpha * (next.sigma() - here.sigma()), d.eps())];
        step.push(d.mix(d.x(), &factors));
        d.push(t, step);
    }
    d.finish()
}

fn run(program: &Program) -> Vec<f64> {
    let net = |call: super::super::program::NetCall<'_>| {
        Ok(call.inputs[0].iter().map(|x| (x * 0.7 + call.time * 1e-3).sin()).collect())
    };
    program.interpret(&Default::default(), net, |draw, _| vec![0.3, f64::from(draw) - 0.6], |_| ()).unwrap()
}

#[test]
fn a_registered_sampler_is_known_by_name_and_right() {
    let sampler = Sampler::register("euler_of_a_test", "Euler", 10, euler).unwrap();
    assert_eq!("euler_of_a_test".parse::<Sampler>().unwrap(), sampler);
    assert_eq!(
        (sampler.name(), sampler.about(), sampler.default_steps(1000)),
        ("euler_of_a_test", "Euler", 10)
    );
    let again = Sampler::register("euler_of_a_test", "", 1, euler).unwrap_err().to_string();
    assert!(again.contains("euler_of_a_test") && again.contains("choose another"), "{again}");
    assert!(Sampler::register("ddim", "", 1, euler).is_err());

    let config = SchedulerConfig {
        clip_sample: false,
        timestep_spacing: super::super::timesteps::Spacing::Trailing,
        ..Default::default()
    };
    let context = Context::new(&config, SHAPE, 10);
    let (own, ddim) = (sampler.program(&context).unwrap(), Sampler::Ddim.program(&context).unwrap());
    for (a, b) in run(&own).iter().zip(run(&ddim)) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
}

#[test]
fn a_broken_program_names_the_instruction() {
    let broken = |context: &Context<'_>| {
        let mut d = Draft::new(context, "broken")?;
        let t = d.times()[0];
        let z = d.register("z");
        let step = vec![d.mix(d.x(), &[(1.0, d.x()), (1.0, z)])];
        d.push(t, step);
        d.finish()
    };
    let sampler = Sampler::register("broken", "", 1, broken).unwrap();
    let config = SchedulerConfig::default();
    let said = sampler.program(&Context::new(&config, SHAPE, 1)).unwrap_err().to_string();
    assert!(
        said.contains("broken") && said.contains("x = 1 x + 1 z") && said.contains("register z"),
        "{said}"
    );
}

/// What a draft cannot do is told under the name of its own sampler.
#[test]
fn errors_within_a_draft_name_its_sampler() {
    let write = |context: &Context<'_>| {
        let d = super::super::sampler::Draft::new(context, "mine")?;
        d.predict(d.times()[0])?;
        d.finish()
    };
    let sampler = Sampler::register("mine", "", 1, write).unwrap();
    // epsilon says nothing of the image where nothing is left of it.
    let config = SchedulerConfig {
        rescale_betas_zero_snr: true,
        timestep_spacing: super::super::timesteps::Spacing::Trailing,
        ..SchedulerConfig::default()
    };
    let said = sampler.program(&Context::new(&config, SHAPE, 4)).unwrap_err().to_string();
    assert!(said.contains("mine") && said.contains("zero terminal SNR") && !said.contains("ddim"), "{said}");
}

/// A draw within a loop is the same in every pass, and so is the register that takes its place.
#[test]
fn given_noise_reaches_into_loops() {
    let net = super::super::program::Net { name: "model".into(), inputs: vec![SHAPE], output: SHAPE };
    let mut p = Program::new("loop", SHAPE, net);
    let (x, z) = (p.output, p.register("z", SHAPE));
    let done = p.slot("done", super::super::program::SlotInit::Unset);
    let body = vec![
        Instruction::Noise { dst: z, draw: 1 },
        Instruction::Scalar { slot: done, expr: super::super::program::Expr::Const(1.0) },
    ];
    let instructions =
        vec![Instruction::Noise { dst: x, draw: 0 }, Instruction::Loop { body, until: done, at_most: 3 }];
    p.steps.push(super::super::program::Step { label: "loop".into(), instructions });
    p.validate().unwrap();
    let given = p.with_given_noise();
    given.validate().unwrap();
    assert_eq!(given.given_noise.iter().map(|(draw, _)| *draw).collect::<Vec<_>>(), [0, 1]);
    let text = given.to_string();
    assert!(!text.contains("noise(") && text.contains("z = 1 noise 1"), "{text}");
}

#[test]
fn given_noise_takes_the_place_of_draws() {
    let config = SchedulerConfig::default();
    let program = Sampler::Ddpm.program(&Context::new(&config, SHAPE, 4)).unwrap();
    let draws = program.instructions().filter(|i| matches!(i, Instruction::Noise { .. })).count();
    let given = program.clone().with_given_noise();
    assert_eq!(given.given_noise.len(), draws);
    assert!(given.instructions().all(|i| !matches!(i, Instruction::Noise { .. })));
    let noise = |draw: u32| vec![0.3, f64::from(draw) - 0.6];
    let registers = given.given_noise.iter().map(|(draw, reg)| (*reg, noise(*draw))).collect();
    let inputs = super::super::program::Inputs { registers, ..Default::default() };
    let net = |call: super::super::program::NetCall<'_>| {
        Ok(call.inputs[0].iter().map(|x| (x * 0.7 + call.time * 1e-3).sin()).collect())
    };
    let image = given.interpret(&inputs, net, |_, _| unreachable!(), |_| ()).unwrap();
    assert_eq!(image, run(&program));
}
