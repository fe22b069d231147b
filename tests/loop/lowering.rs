//! Programs on the GPU against the interpreter in f64: every instruction kind, in
//! place and not, with other numbers at each step. The network is one affine map,
//! so that what is tested is the lowering.

use crate::open;
use undiffuse::diffusion::program::{
    Binary, Coef, Expr, Inputs, Instruction as I, Net, Output, Pointwise, Program, Reduce, Reg, Slot,
    SlotInit, Step, Table, Term, Time, Unary,
};
use undiffuse::engine::{Batch, Executable, NetGraph, Outputs};
use undiffuse::gpu::Gpu;
use undiffuse::graph::bind::WeightStore;
use undiffuse::graph::Graph;
use undiffuse::kernels::noise;
use undiffuse::shape::Shape;

const N: usize = 3;
const SEED: u64 = 7;
const FIRST: u64 = (1 << 32) + 5;

/// `2 x - 1` per channel, or `[2 x - 1, x]` of twice the channels.
fn net(shape: Shape, twice: bool) -> NetGraph {
    let mut graph = Graph::new();
    let x = graph.input("sample", shape).unwrap();
    let mut y = graph.affine(x, 2.0, -1.0).unwrap();
    if twice {
        y = graph.concat(y, x).unwrap();
    }
    graph.output("output", y);
    NetGraph { graph, images: vec!["sample".into()], time: None, label: None, output: "output".into() }
}

/// What [`net`] does, in f64.
fn net_f64(shape: Shape, x: &[f64], twice: bool) -> Vec<f64> {
    let mut out = Vec::new();
    for pixel in x.chunks_exact(shape.c) {
        out.extend(pixel.iter().map(|v| 2.0 * v - 1.0));
        if twice {
            out.extend(pixel);
        }
    }
    out
}

/// The network `t x + label`: time and class reach a network as they should.
fn conditional(shape: Shape) -> NetGraph {
    let mut graph = Graph::new();
    let x = graph.input("sample", shape).unwrap();
    let time = graph.input("time", Shape::vector(1)).unwrap();
    let label = graph.input("label", Shape::vector(1)).unwrap();
    // x / time, and the label on every channel by a linear map of ones.
    let ones = undiffuse::weights::Param::from_f32("ones", &[shape.c, 1], vec![1.0; shape.c]).unwrap();
    let wide = graph.linear(label, &ones, None).unwrap();
    let scaled = graph.div_image(x, time).unwrap();
    let y = graph.add(scaled, wide).unwrap();
    graph.output("output", y);
    NetGraph {
        graph,
        images: vec!["sample".into()],
        time: Some("time".into()),
        label: Some("label".into()),
        output: "output".into(),
    }
}

/// A program whose registers a to d are new noise at each step, with slots s and t
/// (free), k (the constant 0.75) and g (given, one number per image).
struct Maker {
    program: Program,
    shape: Shape,
    draw: u32,
}

const A: Reg = Reg(0);
const B: Reg = Reg(1);
const C: Reg = Reg(2);
const D: Reg = Reg(3);
/// Ones, and what a slot is copied to.
const ONES: Reg = Reg(4);
const PROBES: [Reg; 2] = [Reg(5), Reg(6)];
const S: Slot = Slot(0);
const T: Slot = Slot(1);
const K: Slot = Slot(2);
const G: Slot = Slot(3);

impl Maker {
    fn new(shape: Shape) -> Maker {
        let net = Net { name: "affine".into(), inputs: vec![shape], output: shape };
        let mut program = Program::new("test", shape, net);
        for name in ["b", "c", "d", "ones", "probe s", "probe t"] {
            program.register(name, shape);
        }
        program.slot("s", SlotInit::Unset);
        program.slot("t", SlotInit::Unset);
        program.slot("k", SlotInit::Const(0.75));
        program.slot("g", SlotInit::Input);
        program.tables.push(Table::uniform(
            "table",
            -0.5,
            0.25,
            vec![[1.0, 0.5, -0.25, 0.125], [1.375, -1.0, 0.5, 2.0], [2.875, 0.0, 0.0, 1.0]],
        ));
        program.tables.push(Table::uniform("second", 0.0, 2.0, vec![[3.0, -1.0, 0.0, 0.0]]));
        Maker { program, shape, draw: 0 }
    }

    /// A step: new noise, `instructions`, and the slots s and t seen in registers.
    fn step(&mut self, label: &str, instructions: Vec<I>) {
        let mut all = Vec::new();
        for dst in [A, B, C, D] {
            all.push(I::Noise { dst, draw: self.draw });
            self.draw += 1;
        }
        all.push(I::Pointwise { dst: ONES, f: Pointwise::Exp { scale: 0.0, bias: 0.0 }, srcs: vec![A] });
        for (slot, first) in [(S, 0.5), (T, -0.25)] {
            if self.program.steps.is_empty() {
                all.push(I::Scalar { slot, expr: Expr::Const(first) });
            }
        }
        all.extend(instructions);
        for (slot, dst) in [S, T].into_iter().zip(PROBES) {
            let probe = Term { coef: Coef::Slot(slot), src: ONES };
            all.push(I::Mix { dst, terms: vec![probe], clamp: None });
        }
        self.program.steps.push(Step { label: label.into(), instructions: all });
    }

    /// Runs both and compares every register after every step.
    fn compare(self, gpu: &Gpu, net: NetGraph, net_f64: impl Fn(&[f64], f64, f64) -> Vec<f64>) {
        let (program, shape) = (self.program, self.shape);
        program.validate().unwrap();
        let given: Vec<f32> = (0..N).map(|i| 0.5 + i as f32).collect();
        let mut wanted = vec![Vec::new(); program.steps.len()];
        let inputs: Vec<Inputs> =
            given.iter().map(|g| Inputs { slots: vec![(G, f64::from(*g))], ..Default::default() }).collect();
        let noise = |image, draw, shape: Shape| {
            let mut out = vec![0f32; shape.len()];
            noise::fill(SEED, FIRST + image as u64, draw, &mut out);
            out.into_iter().map(f64::from).collect()
        };
        let net_f64 = |_, call: undiffuse::diffusion::program::NetCall<'_>| {
            Ok(net_f64(call.inputs[0], call.time, call.label.unwrap_or(0.0)))
        };
        let keep = |_, s: &undiffuse::diffusion::program::Snapshot<'_>| {
            wanted[s.step].push(s.registers.to_vec());
        };
        program.interpret_batch(&inputs, net_f64, noise, keep).unwrap();
        let (nets, store) = ([net], WeightStore::default());
        let exe = Executable::new(gpu, &program, &nets, N, Outputs::none(), &store, |_, _| {});
        let exe = pollster::block_on(exe).unwrap();
        let batch = Batch { first_index: FIRST, seed: SEED, inputs: vec![(G, given)], ..Default::default() };
        exe.start(&batch).unwrap();
        for (k, step) in program.steps.iter().enumerate() {
            exe.run_step(k).unwrap();
            for (r, register) in program.registers.iter().enumerate() {
                let want: Vec<f64> = wanted[k].iter().flat_map(|image| image[r].iter().copied()).collect();
                if want.is_empty() {
                    continue;
                }
                let got = exe.read_register(r, N * register.shape.len()).unwrap();
                let scale = want.iter().fold(1.0f64, |m, v| m.max(v.abs()));
                for (i, (g, w)) in got.iter().zip(&want).enumerate() {
                    let ok = (f64::from(*g) - w).abs() <= 2e-5 * scale || (g.is_nan() && w.is_nan());
                    let at = (i / register.shape.len(), i % register.shape.len());
                    assert!(
                        ok,
                        "{shape}: `{}`, register {}, (image, element) {at:?}: {g}, wanted {w}",
                        step.label, register.name
                    );
                }
            }
        }
    }
}

fn mix(dst: Reg, terms: Vec<Term>) -> I {
    I::Mix { dst, terms, clamp: None }
}

fn slot_term(slot: Slot, src: Reg) -> Term {
    Term { coef: Coef::Slot(slot), src }
}

fn times(slot: Slot, factor: f64, src: Reg) -> Term {
    Term { coef: Coef::SlotTimes(slot, factor), src }
}

fn c(v: f64) -> Expr {
    Expr::Const(v)
}

/// Shapes of vectors of four and not; more than a workgroup, and one number.
const SHAPES: [Shape; 4] =
    [Shape::new(4, 4, 3), Shape::new(3, 5, 1), Shape::new(9, 9, 5), Shape::new(1, 1, 1)];

fn each_shape(fill: impl Fn(&mut Maker)) {
    let gpu = open(false);
    for shape in SHAPES {
        let mut m = Maker::new(shape);
        fill(&mut m);
        m.compare(&gpu, net(shape, false), |x, _, _| net_f64(shape, x, false));
    }
}

#[test]
#[should_panic(expected = "`one`, register b")]
fn a_planted_error_is_noticed() {
    let shape = SHAPES[0];
    let mut m = Maker::new(shape);
    let outs = vec![Output { dst: B, channels: 0..shape.c }];
    m.step("one", vec![I::Eval { net: 0, inputs: vec![A], time: 1.0.into(), label: None, outs }]);
    m.compare(&open(false), net(shape, false), |x, _, _| {
        let mut out = net_f64(shape, x, false);
        out[17] += 1e-3;
        out
    });
}

#[test]
fn sums_in_place_and_not() {
    each_shape(|m| {
        let t = Term::new;
        for x in [0.5, -1.25] {
            m.step("copy", vec![mix(A, vec![t(x, B)])]);
            m.step("scale in place", vec![mix(A, vec![t(x, A)])]);
            m.step("add in place", vec![mix(A, vec![t(x, A), t(2.0, B)])]);
            m.step("add in place, last", vec![mix(A, vec![t(x, B), t(3.0, C), t(-1.0, A)])]);
            m.step("twice itself", vec![mix(A, vec![t(x, A), t(2.0, A), t(0.5, B)])]);
            m.step("four", vec![mix(A, vec![t(1.0, B), t(x, C), t(3.0, D), t(4.0, ONES)])]);
            m.step(
                "four and itself",
                vec![mix(A, vec![t(1.0, B), t(x, C), t(3.0, D), t(4.0, ONES), t(x, A)])],
            );
            let five = vec![slot_term(K, A), t(1.0, B), t(x, C), t(3.0, D), t(4.0, ONES)];
            m.step("four and itself by a slot", vec![mix(A, five.clone())]);
            let six = [&[t(x, A)], &five[..]].concat();
            m.step("four and itself twice", vec![mix(A, six.clone())]);
            m.step("the same, clamped", vec![I::Mix { dst: A, terms: six, clamp: Some((-0.5, x.abs())) }]);
            m.step("clamped", vec![I::Mix { dst: A, terms: vec![t(x, B)], clamp: Some((-x.abs(), 0.25)) }]);
            let terms = vec![t(x, A), t(1.0, B)];
            m.step("clamped in place", vec![I::Mix { dst: A, terms, clamp: Some((-1.0, 1.0)) }]);
            m.step("slots", vec![mix(A, vec![slot_term(G, B), times(K, x, C), t(x, D)])]);
            m.step("slot in place", vec![mix(A, vec![times(G, x, A), t(1.0, B)])]);
            m.step("slot alone in place", vec![mix(A, vec![slot_term(G, A)])]);
            // One structure twice in a step: two sets of numbers.
            m.step("twice", vec![mix(A, vec![t(x, A), t(1.0, B)]), mix(A, vec![t(-2.0, A), t(x, B)])]);
        }
    });
}

#[test]
fn functions_in_place_and_not() {
    each_shape(|m| {
        for x in [0.5, -1.0] {
            for (dst, a) in [(A, A), (A, B)] {
                let point = |f, srcs| I::Pointwise { dst, f, srcs };
                m.step("mul", vec![point(Pointwise::Mul, vec![a, C])]);
                m.step("mul, second", vec![point(Pointwise::Mul, vec![C, a])]);
                m.step("square", vec![point(Pointwise::Mul, vec![a, a])]);
                m.step("exp", vec![point(Pointwise::Exp { scale: x, bias: 0.25 - x }, vec![a])]);
                m.step("tanh", vec![mix(a, vec![Term::new(4.0, a)]), point(Pointwise::Tanh, vec![a])]);
                m.step("sqrt", vec![point(Pointwise::Sqrt, vec![a])]);
                m.step("clamp by g", vec![point(Pointwise::Clamp(G), vec![a])]);
                m.step("clamp by k", vec![point(Pointwise::Clamp(K), vec![a])]);
            }
        }
    });
}

#[test]
fn numbers_of_whole_registers() {
    each_shape(|m| {
        for x in [0.25, 0.995] {
            let reduce = |slot, kind, srcs| I::Reduce { slot, kind, srcs };
            m.step("squares", vec![reduce(S, Reduce::SumSquares, vec![A])]);
            m.step("dot", vec![reduce(T, Reduce::Dot, vec![A, B])]);
            m.step("dot with itself", vec![reduce(S, Reduce::Dot, vec![C, C])]);
            let error = Reduce::WeightedError { atol: x, rtol: 0.1 };
            m.step("error", vec![reduce(S, error, vec![A, B, C])]);
            let greater = Reduce::GreaterError { atol: x, rtol: 0.1 };
            m.step("greater error", vec![reduce(S, greater, vec![A, B, C])]);
            m.step("error of one", vec![reduce(S, error, vec![A, A, A])]);
            m.step("quantile", vec![reduce(T, Reduce::QuantileAbs(x), vec![D])]);
            // Dynamic thresholding, as the samplers do it.
            let s = Expr::Slot(S).binary(Binary::Max, c(1.0)).binary(Binary::Min, c(1.0 + x));
            m.step(
                "threshold",
                vec![
                    reduce(S, Reduce::QuantileAbs(x), vec![A]),
                    I::Scalar { slot: S, expr: s },
                    I::Pointwise { dst: A, f: Pointwise::Clamp(S), srcs: vec![A] },
                    I::Scalar { slot: T, expr: c(1.0).binary(Binary::Div, Expr::Slot(S)) },
                    mix(A, vec![slot_term(T, A)]),
                ],
            );
        }
        m.step("median", vec![I::Reduce { slot: S, kind: Reduce::QuantileAbs(0.5), srcs: vec![A] }]);
        m.step("least", vec![I::Reduce { slot: S, kind: Reduce::QuantileAbs(0.0), srcs: vec![A] }]);
        m.step("largest", vec![I::Reduce { slot: S, kind: Reduce::QuantileAbs(1.0), srcs: vec![A] }]);
    });
}

#[test]
fn arithmetic_of_slots() {
    each_shape(|m| {
        let g = || Expr::Slot(G);
        for x in [0.75, 1.5] {
            let put = |expr: Expr| vec![I::Scalar { slot: S, expr }];
            for f in [Unary::Neg, Unary::Abs, Unary::Sqrt, Unary::Exp, Unary::Log, Unary::Floor] {
                m.step(&format!("{f:?}"), put(g().unary(f)));
                m.step(&format!("{f:?} of an expression"), put(g().binary(Binary::Mul, c(x)).unary(f)));
            }
            m.step("Abs of less", put(c(-x).unary(Unary::Abs)));
            m.step("Sqrt of less", put(c(-x).unary(Unary::Sqrt)));
            for f in [
                Binary::Add,
                Binary::Sub,
                Binary::Mul,
                Binary::Div,
                Binary::Min,
                Binary::Max,
                Binary::Less,
                Binary::LessEqual,
            ] {
                m.step(&format!("g {f:?} x"), put(g().binary(f, c(x))));
                m.step(&format!("x {f:?} g"), put(c(x).binary(f, g())));
                m.step(&format!("g {f:?} g"), put(g().binary(f, g())));
            }
            // What is not taken may be infinite.
            let infinite = || c(1.0).binary(Binary::Div, g().binary(Binary::Sub, g()));
            for above in [0.0, 1.0, 9.0] {
                let less = || g().binary(Binary::Less, c(above));
                m.step("select", put(less().select(g(), c(x))));
                m.step("select of infinity", put(c(1.0).select(less(), infinite())));
            }
            let deep = (0..6).fold(g(), |e, i| {
                let side = c(0.5 + f64::from(i)).binary(Binary::Sub, e.clone().binary(Binary::Mul, c(x)));
                e.binary(Binary::Add, side).binary(Binary::Div, c(2.0 + x)).unary(Unary::Abs)
            });
            m.step("deep", put(deep));
            m.step("from itself", put(Expr::Slot(S).binary(Binary::Mul, c(0.5)).binary(Binary::Add, g())));
            for (table, at) in
                [(0, -2.0), (0, -0.5), (0, -0.3), (0, 0.1), (0, 0.25), (0, 3.0), (1, 1.5), (1, 9.0)]
            {
                let at = g().binary(Binary::Mul, c(0.1)).binary(Binary::Add, c(at));
                m.step("table", put(Expr::Table { table, at: Box::new(at) }));
            }
            // The second slot's code may not touch the first one's intermediate values.
            m.step(
                "two",
                [
                    put(g().binary(Binary::Add, c(x))),
                    vec![I::Scalar {
                        slot: T,
                        expr: Expr::Slot(S).binary(Binary::Mul, Expr::Slot(S).binary(Binary::Sub, c(x))),
                    }],
                ]
                .concat(),
            );
        }
    });
}

#[test]
fn choices_per_image() {
    each_shape(|m| {
        for x in [1.0, 2.0] {
            for (dst, a, b) in [(A, B, C), (A, A, C), (A, B, A), (A, A, A)] {
                let cond = I::Scalar { slot: S, expr: Expr::Slot(G).binary(Binary::Less, c(x)) };
                m.step("select", vec![cond, I::Select { dst, cond: S, a, b }]);
            }
            // What is not chosen may be infinite or NaN.
            let huge = I::Pointwise { dst: B, f: Pointwise::Exp { scale: 0.0, bias: 80.0 }, srcs: vec![B] };
            let bad = vec![
                huge,
                I::Pointwise { dst: B, f: Pointwise::Mul, srcs: vec![B, B] },
                I::Scalar { slot: S, expr: c(0.0) },
                I::Select { dst: A, cond: S, a: B, b: C },
                mix(B, vec![Term::new(x, C)]),
            ];
            m.step("select beside infinity", bad);
        }
    });
}

#[test]
fn networks_and_ranges_of_their_channels() {
    let gpu = open(false);
    for shape in SHAPES {
        let eval = |input, time, label, outs: Vec<(Reg, std::ops::Range<usize>)>| I::Eval {
            net: 0,
            inputs: vec![input],
            time: Time::from(time),
            label,
            outs: outs.into_iter().map(|(dst, channels)| Output { dst, channels }).collect(),
        };
        // The whole output, and twice with other times in a step.
        let mut m = Maker::new(shape);
        for time in [2.0, 0.5] {
            m.step("one", vec![eval(A, time, Some(G), vec![(B, 0..shape.c)])]);
            let two = |t| eval(A, t, Some(G), vec![(B, 0..shape.c)]);
            m.step("two times", vec![two(time), mix(C, vec![Term::new(1.0, B)]), two(3.0)]);
            m.step(
                "labels",
                vec![
                    eval(A, time, Some(G), vec![(B, 0..shape.c)]),
                    eval(A, time, Some(K), vec![(C, 0..shape.c)]),
                ],
            );
        }
        m.compare(&gpu, conditional(shape), |x, t, label| x.iter().map(|v| v / t + label).collect());
        // Two halves: a mean and a variance.
        let mut m = Maker::new(shape);
        m.program.nets[0].output = shape.with_c(2 * shape.c);
        let c = shape.c;
        m.step("halves", vec![eval(A, 1.0, None, vec![(B, 0..c), (C, c..2 * c)])]);
        m.step("crossed", vec![eval(D, 1.0, None, vec![(B, c..2 * c), (C, 0..c)])]);
        m.step("second half", vec![eval(A, 1.0, None, vec![(B, c..2 * c)])]);
        m.compare(&gpu, net(shape, true), |x, _, _| net_f64(shape, x, true));
    }
}

/// Each image goes on until its own number of passes is over; a pass more changes nothing
/// ([`Executable::run_step`] runs one with the gate shut).
#[test]
fn loops_end_when_every_image_is_done() {
    let gpu = open(false);
    for shape in SHAPES {
        for x in [0.5, 3.0] {
            let mut m = Maker::new(shape);
            let eval = |time: Time, dst| I::Eval {
                net: 0,
                inputs: vec![A],
                time,
                label: Some(G),
                outs: vec![Output { dst, channels: 0..shape.c }],
            };
            let scalar = |slot, expr| I::Scalar { slot, expr };
            m.step("before", vec![scalar(S, c(0.0)), scalar(T, c(0.0)), eval(c_time(2.0), B)]);
            // Image i has g = i + 0.5: passes until t + 1 > 2 g. A network is told 1 + t.
            let done = (Expr::Slot(G) * 2.0).binary(Binary::Less, Expr::Slot(T) + 1.0);
            let body = vec![
                scalar(S, (Expr::Slot(T) + 1.0) * x),
                eval(Time::Slot(S), B),
                scalar(T, Expr::Slot(T) + 1.0 - Expr::Slot(DONE)),
                mix(C, vec![Term::new(0.5, B), times(T, 0.25, A)]),
                eval(Time::Slot(T), D),
                I::Scalar { slot: DONE, expr: done },
                I::Scalar { slot: S, expr: Expr::Slot(T) },
                I::Mean { slot: S, src: S },
            ];
            let start = I::Scalar { slot: DONE, expr: c(0.0) };
            let repeat = I::Loop { body, until: DONE, at_most: 9 };
            m.program.slot("done", SlotInit::Const(0.0));
            // A network of the loop is also one of the steps around it: the gate must open.
            m.step("loop", vec![start, repeat, eval(c_time(x), D), mix(A, vec![Term::new(1.0, D)])]);
            m.step("after", vec![eval(c_time(3.0), B)]);
            m.compare(&gpu, conditional(shape), |x, t, label| x.iter().map(|v| v / t + label).collect());
        }
    }
}

const DONE: Slot = Slot(4);

fn c_time(t: f64) -> Time {
    Time::Const(t)
}
