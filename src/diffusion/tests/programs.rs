//! Programs: the validator against broken ones, structure and numbers, guidance,
//! the kinds that no sampler uses yet, and refused options.

use std::collections::{HashMap, HashSet};

use super::super::guidance::Conditioning;
use super::super::program::*;
use super::super::sampler::{Context, Sampler};
use super::super::{Error, Prediction, SchedulerConfig};
use crate::shape::Shape;

const SHAPE: Shape = Shape::new(2, 2, 1);

fn mix(dst: Reg, terms: Vec<Term>) -> Instruction {
    Instruction::Mix { dst, terms, clamp: None }
}

/// Registers x, y (same shape), wide (two channels); slots s (unset), one; and
/// the given instructions after one that fills x.
fn program(instructions: Vec<Instruction>) -> Program {
    let net = Net { name: "model".into(), inputs: vec![SHAPE], output: SHAPE.with_c(2) };
    let mut p = Program::new("test", SHAPE, net);
    p.register("y", SHAPE);
    p.register("wide", SHAPE.with_c(2));
    p.slot("s", SlotInit::Unset);
    p.slot("one", SlotInit::Const(1.0));
    let first = Instruction::Noise { dst: Reg(0), draw: 0 };
    p.steps.push(Step { label: "t = 9".into(), instructions: vec![first] });
    p.steps.push(Step { label: "t = 4".into(), instructions });
    p
}

#[test]
fn the_validator_names_step_and_instruction() {
    let (x, y, wide, none) = (Reg(0), Reg(1), Reg(2), Reg(9));
    let eval = |net, inputs, time, label, outs| Instruction::Eval { net, inputs, time, label, outs };
    let out = |dst, channels| Output { dst, channels };
    let clamped =
        |low, high| Instruction::Mix { dst: y, terms: vec![Term::new(1.0, x)], clamp: Some((low, high)) };
    let pointwise = |f, srcs| Instruction::Pointwise { dst: y, f, srcs };
    let reduce = |kind, srcs| Instruction::Reduce { slot: Slot(0), kind, srcs };
    let scalar = |expr| Instruction::Scalar { slot: Slot(0), expr };
    let times = |slot, c| mix(y, vec![Term { coef: Coef::SlotTimes(slot, c), src: x }]);
    let broken = [
        (mix(y, vec![Term::new(1.0, none)]), "no register 9"),
        (mix(none, vec![Term::new(1.0, x)]), "no register 9"),
        (Instruction::Noise { dst: none, draw: 1 }, "no register 9"),
        (mix(x, vec![Term::new(1.0, y)]), "register y is read before"),
        (mix(wide, vec![Term::new(1.0, x)]), "register x has shape [n, 2, 2, 1], but [n, 2, 2, 2]"),
        (mix(y, vec![Term::new(f64::NAN, x)]), "the coefficient of x is NaN"),
        (times(Slot(1), f64::INFINITY), "the coefficient of x is inf"),
        (times(Slot(0), 1.0), "slot s is read before"),
        (times(Slot(7), 1.0), "no slot 7"),
        (mix(y, vec![]), "0"),
        (mix(y, vec![Term::new(1.0, x); 5]), "1 to 4 terms"),
        (clamped(1.0, -1.0), "bounds 1 and -1 are out of order"),
        (clamped(f64::NAN, 1.0), "lower bound is NaN"),
        (eval(1, vec![x], 4.0, None, vec![out(y, 0..1)]), "no network 1"),
        (eval(0, vec![], 4.0, None, vec![out(y, 0..1)]), "0 sources are given, but 1"),
        (eval(0, vec![x], f64::NAN, None, vec![out(y, 0..1)]), "time is NaN"),
        (eval(0, vec![x], 4.0, Some(Slot(0)), vec![out(y, 0..1)]), "slot s is read before"),
        (eval(0, vec![x], 4.0, None, vec![out(y, 1..3)]), "channels 1..3"),
        (eval(0, vec![x], 4.0, None, vec![out(y, 1..1)]), "channels 1..1"),
        (eval(0, vec![x], 4.0, None, vec![out(y, 0..2)]), "register y has shape"),
        (eval(0, vec![x], 4.0, None, vec![out(x, 0..1)]), "register x is an output"),
        (eval(0, vec![x], 4.0, None, vec![out(y, 0..1), out(y, 1..2)]), "register y is an output"),
        (eval(0, vec![x], 4.0, None, vec![]), "0 sources"),
        (pointwise(Pointwise::Mul, vec![x]), "1 sources are given, but 2"),
        (pointwise(Pointwise::Exp { scale: f64::INFINITY, bias: 0.0 }, vec![x]), "scale is inf"),
        (pointwise(Pointwise::Clamp(Slot(0)), vec![x]), "slot s is read before"),
        (reduce(Reduce::Dot, vec![x]), "1 sources are given, but 2"),
        (reduce(Reduce::QuantileAbs(1.5), vec![x]), "q = 1.5"),
        (reduce(Reduce::WeightedError { atol: 0.0, rtol: 0.1 }, vec![x, x, x]), "atol = 0"),
        (Instruction::Reduce { slot: Slot(5), kind: Reduce::SumSquares, srcs: vec![x] }, "no slot 5"),
        (scalar(Expr::Const(f64::NAN)), "a constant is NaN"),
        (scalar(Expr::Slot(Slot(0)).unary(Unary::Sqrt)), "slot s is read before"),
        (scalar(Expr::Table { table: 0, at: Box::new(Expr::Const(1.0)) }), "no table 0"),
        (Instruction::Select { dst: y, cond: Slot(0), a: x, b: x }, "slot s is read before"),
        (Instruction::Select { dst: wide, cond: Slot(1), a: x, b: x }, "register x has shape"),
    ];
    let good = mix(y, vec![Term::new(0.5, x)]);
    assert_eq!(program(vec![good]).validate(), Ok(()));
    for (instruction, needle) in broken {
        // After a good instruction, so that the index is told from the default.
        let p = program(vec![Instruction::Noise { dst: x, draw: 1 }, instruction.clone()]);
        let message = p.validate().expect_err(needle).to_string();
        for part in
            ["program test", "step 1 (t = 4)", "instruction 1", &p.explain(&instruction).to_string(), needle]
        {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
        assert!(p.interpret(&Default::default(), |_| Ok(vec![]), |_, _| vec![], |_| ()).is_err());
    }
}

#[test]
fn the_validator_checks_declarations() {
    let good = || program(vec![]);
    let mut cases: Vec<(Program, &str)> = Vec::new();
    for (change, needle) in [
        ((|p| p.steps.clear()) as fn(&mut Program), "no steps"),
        (|p| p.registers[1].shape = Shape::new(0, 2, 1), "register y has the empty"),
        (|p| p.registers[1].shape = Shape::new(usize::MAX, 2, 1), "register y has the empty"),
        (|p| p.nets[0].output.c = 0, "register model has the empty"),
        (|p| p.slots[1].init = SlotInit::Const(f64::NAN), "slot one is NaN"),
        (|p| p.output = Reg(1), "register y is read before"),
        (|p| p.output = Reg(8), "no register 8"),
        (
            |p| p.tables.push(Table { name: "a".into(), start: 0.0, step: 0.0, cubics: vec![[0.0; 4]] }),
            "table a",
        ),
        (|p| p.tables.push(Table { name: "a".into(), start: 0.0, step: 1.0, cubics: vec![] }), "table a"),
    ] {
        let mut p = good();
        change(&mut p);
        cases.push((p, needle));
    }
    assert_eq!(good().validate(), Ok(()));
    for (p, needle) in cases {
        let message = p.validate().expect_err(needle).to_string();
        assert!(message.contains(needle) && message.contains("program test"), "{message}");
    }
}

#[test]
fn every_kind_computes_what_it_says() {
    let (x, y) = (Reg(0), Reg(1));
    let (s, one) = (Slot(0), Slot(1));
    let at = |v: f64| Expr::Table { table: 0, at: Box::new(Expr::Const(v)) };
    let run = |instructions: Vec<Instruction>| {
        let mut p = program(instructions);
        p.tables.push(Table {
            name: "alpha".into(),
            start: 1.0,
            step: 0.5,
            cubics: vec![[1.0, 2.0, 3.0, 4.0], [10.0, 1.0, 0.0, 0.0]],
        });
        let (mut slots, mut y) = (vec![], vec![]);
        p.interpret(
            &Default::default(),
            |_| Ok(vec![]),
            |_, _| vec![-3.0, 1.0, 2.0, -0.5],
            |after| (slots, y) = (after.slots.to_vec(), after.registers[1].clone()),
        )
        .unwrap();
        (slots[0], y)
    };
    let reduce =
        |kind: Reduce| run(vec![Instruction::Reduce { slot: s, kind, srcs: vec![x; kind.arity()] }]).0;
    assert_eq!(reduce(Reduce::SumSquares), 14.25);
    assert_eq!(reduce(Reduce::Dot), 14.25);
    assert_eq!(reduce(Reduce::QuantileAbs(0.5)), 1.5);
    assert_eq!(reduce(Reduce::QuantileAbs(0.9)), 2.7);
    assert_eq!(reduce(Reduce::QuantileAbs(1.0)), 3.0);
    assert_eq!(reduce(Reduce::WeightedError { atol: 1e-300, rtol: 2.0 }), 0.5);
    let scalar = |expr: Expr| run(vec![Instruction::Scalar { slot: s, expr }]).0;
    assert_eq!(scalar(at(1.25)), 1.0 + 0.5 * (2.0 + 0.5 * (3.0 + 0.5 * 4.0)));
    assert_eq!(scalar(at(1.5)), 10.0);
    assert_eq!(scalar(at(2.5)), 12.0);
    let c = Expr::Const;
    for (f, want) in [
        (Binary::Add, 5.0),
        (Binary::Sub, -1.0),
        (Binary::Mul, 6.0),
        (Binary::Div, 2.0 / 3.0),
        (Binary::Min, 2.0),
        (Binary::Max, 3.0),
        (Binary::Less, 1.0),
        (Binary::LessEqual, 1.0),
    ] {
        assert_eq!(scalar(c(2.0).binary(f, c(3.0))), want, "{f:?}");
    }
    for (f, want) in [(Unary::Neg, 4.0), (Unary::Abs, 4.0), (Unary::Sqrt, 0.0), (Unary::Exp, (-4f64).exp())] {
        assert_eq!(scalar(c(-4.0).unary(f)), want, "{f:?}");
    }
    let pointwise =
        |f: Pointwise| run(vec![Instruction::Pointwise { dst: y, f, srcs: vec![x; f.arity()] }]).1;
    assert_eq!(pointwise(Pointwise::Mul), [9.0, 1.0, 4.0, 0.25]);
    assert_eq!(pointwise(Pointwise::Clamp(one)), [-1.0, 1.0, 1.0, -0.5]);
    assert_eq!(pointwise(Pointwise::Sqrt), [0.0, 1.0, 2f64.sqrt(), 0.0]);
    assert_eq!(pointwise(Pointwise::Tanh)[1], 1f64.tanh());
    assert_eq!(pointwise(Pointwise::Exp { scale: 2.0, bias: 1.0 })[0], (-5f64).exp());
    // A rejected state may be NaN.
    let bad = Instruction::Pointwise { dst: y, f: Pointwise::Exp { scale: 1e9, bias: 0.0 }, srcs: vec![x] };
    assert_eq!(
        run(vec![bad, Instruction::Select { dst: y, cond: one, a: x, b: y }]).1,
        [-3.0, 1.0, 2.0, -0.5]
    );
}

fn contexts(config: &SchedulerConfig) -> Vec<(Sampler, Context<'_>)> {
    let class = Conditioning::Class { null: Some(10.0) };
    let base = Context { conditioning: class, guidance_scale: 3.0, ..Context::new(config, SHAPE, 1000) };
    let ddim = Context { eta: Some(0.5), ..base.clone() };
    vec![(Sampler::Ddpm, Context { out_channels: 2, ..base }), (Sampler::Ddim, ddim)]
}

#[test]
fn a_thousand_steps_have_few_structures() {
    for name in ["fixed_small", "learned_range"] {
        let text = format!(r#"{{"variance_type": "{name}", "thresholding": true}}"#);
        let config = SchedulerConfig::from_json(&text).unwrap();
        for (sampler, context) in contexts(&config) {
            let p = sampler.program(&context).unwrap();
            let mut lengths: HashMap<Structure, HashSet<usize>> = HashMap::new();
            for i in p.instructions() {
                lengths.entry(i.structure()).or_default().insert(i.numbers().len());
            }
            assert!(lengths.len() <= 15, "{sampler:?}: {}", lengths.len());
            assert!(lengths.values().all(|l| l.len() == 1));
            assert_eq!(p.nfe(), 2000);
        }
    }
}

#[test]
fn structure_and_numbers_separate() {
    let (x, y) = (Reg(0), Reg(1));
    let eval = |time, label| Instruction::Eval {
        net: 0,
        inputs: vec![x],
        time,
        label,
        outs: vec![Output { dst: y, channels: 0..1 }],
    };
    let clamp = |v: f64| Instruction::Mix { dst: y, terms: vec![Term::new(v, x)], clamp: Some((-v, v)) };
    let plain = |v: f64| mix(y, vec![Term::new(v, x)]);
    let exp =
        |v: f64| Instruction::Pointwise { dst: y, f: Pointwise::Exp { scale: v, bias: v }, srcs: vec![x] };
    let noise = |draw| Instruction::Noise { dst: x, draw };
    let expr = |v: f64| Instruction::Scalar {
        slot: Slot(0),
        expr: Expr::Const(v).binary(Binary::Add, Expr::Slot(Slot(1))),
    };
    let flipped = Instruction::Scalar {
        slot: Slot(0),
        expr: Expr::Slot(Slot(1)).binary(Binary::Add, Expr::Const(1.0)),
    };
    let pairs = [
        (eval(1.0, None), eval(2.0, None)),
        (clamp(1.0), clamp(2.0)),
        (plain(1.0), plain(2.0)),
        (exp(1.0), exp(2.0)),
        (noise(1), noise(2)),
        (expr(1.0), expr(2.0)),
    ];
    for (a, b) in &pairs {
        assert_eq!(a.structure(), b.structure());
        assert_ne!(a.numbers(), b.numbers());
        assert_eq!(a.numbers().len(), b.numbers().len());
    }
    let slots = |coef| mix(y, vec![Term { coef, src: x }]);
    let mut all: Vec<Instruction> = pairs.into_iter().map(|(a, _)| a).collect();
    all.extend([flipped, eval(1.0, Some(Slot(0))), eval(1.0, Some(Slot(1)))]);
    all.extend([
        slots(Coef::Slot(Slot(0))),
        slots(Coef::Slot(Slot(1))),
        slots(Coef::SlotTimes(Slot(0), 1.0)),
    ]);
    let distinct: HashSet<Structure> = all.iter().map(|i| i.structure()).collect();
    assert_eq!(distinct.len(), all.len());
    assert_eq!(clamp(2.0).numbers(), [2.0, -2.0, 2.0]);
}

#[test]
fn guidance_acts_on_the_output_of_the_network() {
    let config = SchedulerConfig { prediction_type: Prediction::V, clip_sample: false, ..Default::default() };
    let class = Conditioning::Class { null: Some(10.0) };
    let run = |conditioning, guidance_scale| {
        let context = Context { conditioning, guidance_scale, ..Context::new(&config, SHAPE, 5) };
        let p = Sampler::Ddim.program(&context).unwrap();
        let slots = p.find_slot("class").map(|s| (s, 3.0)).into_iter().collect();
        let inputs = Inputs { registers: vec![], slots };
        let mut labels = vec![];
        let image = p.interpret(
            &inputs,
            |call| {
                labels.push(call.label);
                Ok(call.inputs[0].iter().map(|x| 0.1 * x * call.label.unwrap_or(0.0)).collect())
            },
            |_, shape| vec![0.7; shape.len()],
            |_| (),
        );
        (image.unwrap(), labels, p.nfe())
    };
    let (one, labels, nfe) = run(class, 1.0);
    assert_eq!((labels, nfe), (vec![Some(3.0); 5], 5));
    assert_eq!(run(class, 0.0).1, vec![Some(10.0); 5]);
    let (two, labels, nfe) = run(class, 2.0);
    assert_eq!((&labels[..2], nfe), (&[Some(3.0), Some(10.0)][..], 10));
    assert_ne!(one, two);
    // 10 + 2 (3 - 10) = -4: the network is linear in its label here.
    let p = Sampler::Ddim.program(&Context::new(&config, SHAPE, 5)).unwrap();
    let minus_four = p.interpret(
        &Default::default(),
        |call| Ok(call.inputs[0].iter().map(|x| -0.4 * x).collect()),
        |_, shape| vec![0.7; shape.len()],
        |_| (),
    );
    for (a, b) in two.iter().zip(minus_four.unwrap()) {
        assert!((a - b).abs() < 1e-12);
    }
}

#[test]
fn options_that_cannot_be_are_refused_in_words() {
    let config = SchedulerConfig::default();
    let base = Context::new(&config, SHAPE, 10);
    let class = |null| Conditioning::Class { null };
    let cases = [
        (Sampler::Ddim, Context { eta: Some(1.01), ..base.clone() }, "eta = 1.01"),
        (Sampler::Ddim, Context { eta: Some(-0.1), ..base.clone() }, "eta = -0.1"),
        (Sampler::Ddim, Context { eta: Some(f64::NAN), ..base.clone() }, "eta = NaN"),
        (Sampler::Ddpm, Context { eta: Some(0.0), ..base.clone() }, "ddpm has no eta"),
        (Sampler::Ddim, Context { guidance_scale: 2.0, ..base.clone() }, "no classes"),
        (
            Sampler::Ddim,
            Context { guidance_scale: 2.0, conditioning: class(None), ..base.clone() },
            "no label",
        ),
        (
            Sampler::Ddim,
            Context { guidance_scale: f64::NAN, conditioning: class(Some(0.0)), ..base.clone() },
            "finite",
        ),
        (Sampler::Ddim, Context { out_channels: 3, ..base.clone() }, "out_channels = 3"),
        (Sampler::Ddim, Context { shape: Shape::new(0, 1, 1), ..base.clone() }, "at least one number"),
    ];
    for (sampler, context, needle) in cases {
        let message = sampler.program(&context).expect_err(needle).to_string();
        assert!(message.contains(needle), "{message}");
    }
    for (text, needle) in [
        (r#"{"variance_type": "learned"}"#, "needs 2 output channels"),
        (
            r#"{"rescale_betas_zero_snr": true, "timestep_spacing": "trailing"}"#,
            "predicts epsilon cannot start",
        ),
    ] {
        let config = SchedulerConfig::from_json(text).unwrap();
        let message = Sampler::Ddpm.program(&Context::new(&config, SHAPE, 10)).expect_err(needle).to_string();
        assert!(message.contains(needle), "{message}");
    }
    assert!("ddpm2".parse::<Sampler>().expect_err("").to_string().contains("ddpm, ddim"));
}

#[test]
fn configurations_that_cannot_be_are_refused_in_words() {
    for (text, parts) in [
        (r#"{"beta_schedule": "cosine"}"#, ["beta_schedule", "\"cosine\"", "squaredcos_cap_v2, sigmoid"]),
        (r#"{"prediction_type": "flow"}"#, ["prediction_type", "flow", "epsilon, sample, v_prediction"]),
        (r#"{"timestep_spacing": 3}"#, ["timestep_spacing", "3", "linspace, leading, trailing"]),
        (r#"{"variance_type": "big"}"#, ["variance_type", "big", "fixed_small_log"]),
        (r#"{"num_train_timesteps": 0}"#, ["num_train_timesteps", "0", "1 to 100000"]),
        (r#"{"num_train_timesteps": 1e3}"#, ["num_train_timesteps", "1000.0", "whole"]),
        (r#"{"num_train_timesteps": 4000000000000}"#, ["num_train_timesteps", "4000000000000", "100000"]),
        (r#"{"num_train_timesteps": "many"}"#, ["num_train_timesteps", "many", "whole number"]),
        (r#"{"beta_start": -0.1}"#, ["beta_start", "-0.1", "[0, 1]"]),
        (r#"{"beta_end": 1.5}"#, ["beta_end", "1.5", "[0, 1]"]),
        (r#"{"beta_end": null}"#, ["beta_end", "null", "number"]),
        (r#"{"beta_end": NaN}"#, ["JSON", "line 1", "column"]),
        (r#"{"clip_sample": "yes"}"#, ["clip_sample", "yes", "true or false"]),
        (r#"{"clip_sample_range": 0}"#, ["clip_sample_range", "0", "positive"]),
        (r#"{"sample_max_value": -1}"#, ["sample_max_value", "-1", "positive"]),
        (r#"{"dynamic_thresholding_ratio": 2}"#, ["dynamic_thresholding_ratio", "2", "[0, 1]"]),
        (r#"{"steps_offset": -1}"#, ["steps_offset", "-1", "not negative"]),
        (r#"{"steps_offset": 1000}"#, ["steps_offset", "1000", "less than"]),
        (r#"{"trained_betas": [0.1, 0.2]}"#, ["trained_betas", "2 betas", "1000"]),
        (
            r#"{"trained_betas": [0.1, 2], "num_train_timesteps": 2}"#,
            ["trained_betas", "2 at t = 1", "[0, 1]"],
        ),
        (r#"{"trained_betas": 7}"#, ["trained_betas", "7", "list"]),
        (r#"[1]"#, ["JSON", "object", ""]),
    ] {
        let message = SchedulerConfig::from_json(text).expect_err(text).to_string();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message:?}");
        }
    }
    let nan = SchedulerConfig { beta_end: f64::NAN, ..Default::default() };
    assert!(matches!(nan.check(), Err(Error::Config { field: "beta_end", .. })));
    let flat = SchedulerConfig {
        beta_end: 0.0,
        beta_start: 0.0,
        rescale_betas_zero_snr: true,
        ..Default::default()
    };
    assert!(super::super::Schedule::new(&flat).is_err());
    let other = r#"{"_class_name": "PNDMScheduler", "skip_prk_steps": true, "clip_sample": null, "trained_betas": null}"#;
    assert!(!SchedulerConfig::from_json(other).unwrap().clip_sample);
}

#[test]
fn programs_print_their_mathematics() {
    let config = SchedulerConfig::default();
    let text = Sampler::Ddpm.program(&Context::new(&config, SHAPE, 2)).unwrap().to_string();
    for line in [
        "program ddpm: 2 steps, 2 network evaluations",
        "out[0..1] = model(x; t = 500)",
        "z = noise(1)",
        "; -1, 1)",
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
    // Nothing is drawn at t = 0.
    assert!(!text.contains("noise(2)"), "{text}");
}
