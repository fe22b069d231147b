//! The validator against programs that break each rule.

use super::super::program::*;
use super::programs::{mix, program};
use crate::shape::Shape;

#[test]
fn the_validator_names_step_and_instruction() {
    let (x, y, wide, none) = (Reg(0), Reg(1), Reg(2), Reg(9));
    let eval = |net, inputs, time: f64, label, outs| Instruction::Eval {
        net,
        inputs,
        time: time.into(),
        label,
        outs,
    };
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
        (mix(y, vec![]), "this one has 0"),
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
        (eval(0, vec![x], 4.0, None, vec![out(x, 0..1)]), "register x is a result"),
        (eval(0, vec![x], 4.0, None, vec![out(y, 0..1), out(y, 1..2)]), "register y is a result"),
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
        (Instruction::Apply { dst: y, operator: 0, src: x }, "no operator 0"),
        (Instruction::Apply { dst: y, operator: 0, src: y }, "register y is read before"),
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
        (|p| p.tables.push(Table::uniform("a", 0.0, 0.0, vec![[0.0; 4]])), "table a"),
        (|p| p.tables.push(Table::uniform("a", 0.0, 1.0, vec![])), "table a"),
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
fn operators_fit_their_registers() {
    use crate::diffusion::linear::Operator;
    let shape = Shape::new(2, 2, 1);
    let with = |map: Operator, dst: Reg, src: Reg| {
        let mut p = program(vec![Instruction::Noise { dst: Reg(0), draw: 1 }]);
        let operator = p.operator("A", map);
        p.steps[0].instructions.push(Instruction::Noise { dst: Reg(0), draw: 2 });
        p.steps[0].instructions.push(Instruction::Apply { dst, operator, src });
        p.validate().map_err(|e| e.to_string())
    };
    let half = |factors: usize| Operator::Diagonal { shape, factors: vec![0.5; factors] };
    assert_eq!(with(half(4), Reg(1), Reg(0)), Ok(()));
    assert!(with(half(3), Reg(1), Reg(0)).unwrap_err().contains("operator 0 do not fit"));
    assert!(with(half(4), Reg(0), Reg(0))
        .unwrap_err()
        .contains("x is a result of this instruction and also"));
    assert!(with(half(4), Reg(2), Reg(0)).unwrap_err().contains("has shape"));
    let nan = Operator::Diagonal { shape, factors: vec![f64::NAN; 4] };
    assert!(with(nan, Reg(1), Reg(0)).unwrap_err().contains("not finite"));
}
