//! Programs: structure and numbers, and the kinds of instruction.

use std::collections::{HashMap, HashSet};

use super::super::guidance::Conditioning;
use super::super::program::*;
use super::super::sampler::{Context, Sampler};
use super::super::SchedulerConfig;
use crate::shape::Shape;

pub(super) const SHAPE: Shape = Shape::new(2, 2, 1);

pub(super) fn mix(dst: Reg, terms: Vec<Term>) -> Instruction {
    Instruction::Mix { dst, terms, clamp: None }
}

/// Registers x, y (same shape), wide (two channels); slots s (unset), one; and
/// the given instructions after one that fills x.
pub(super) fn program(instructions: Vec<Instruction>) -> Program {
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
fn every_kind_computes_what_it_says() {
    let (x, y) = (Reg(0), Reg(1));
    let (s, one) = (Slot(0), Slot(1));
    let at = |v: f64| Expr::Table { table: 0, at: Box::new(Expr::Const(v)) };
    let run = |instructions: Vec<Instruction>| {
        let mut p = program(instructions);
        p.tables.push(Table::uniform("alpha", 1.0, 0.5, vec![[1.0, 2.0, 3.0, 4.0], [10.0, 1.0, 0.0, 0.0]]));
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
    assert_eq!(scalar(at(2.5)), 11.0, "beyond the end: the value there");
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
    let eval = |time: f64, label| Instruction::Eval {
        net: 0,
        inputs: vec![x],
        time: time.into(),
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
