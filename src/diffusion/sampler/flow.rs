//! The probability flow between images and noise, either way (Song et al. 2021,
//! arXiv:2011.13456, section 4.3 and appendix D): an image has one latent, and a latent one
//! image. What is known of the noise's density is then known of the image's, by the
//! instantaneous change of variables (eq. 39)
//!
//! ```text
//! log p_0(x(0)) = log p_T(x(T)) + integral of div f(x(t), t) over t = 0 .. T,
//! div f = E[v . J v],  v = +-1 (Skilling 1989, Hutchinson 1990)
//! ```
//!
//! with one probe `v` for the whole solution, which makes the integrand smooth. `J v` is
//! the network's derivative in forward mode. The integral is a part of the state: an
//! adaptive solver's error is that of both.

use super::super::process::Process;
use super::super::program::{Coef, Expr, Instruction, Program, Reduce, Reg, Slot, SlotInit, Step, Term};
use super::super::Error;
use super::equation::{label, At, Equation, Units};
use super::solve::mix;
use super::view::Model;
use super::{rk4, rk45, Context, Sampler};
use crate::shape::Shape;

/// What is sought by the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flow {
    /// An image's latent: from the model's first time to its last.
    Encode,
    /// A latent's image: the way back, without the last denoising step of samplers.
    Decode,
    /// An image's log-density.
    Likelihood,
}

impl Flow {
    /// The name in programs and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encode => "encode",
            Self::Decode => "decode",
            Self::Likelihood => "likelihood",
        }
    }

    /// The program, whose input register `x` is the image (or the latent) and whose output
    /// is the latent (or the image), by [`rk45`] or by so many steps of [`rk4`].
    ///
    /// That of [`Flow::Likelihood`] takes the probe `v` in the input register `probe`, and its
    /// output is a single number, the log-density in nats; its network is the one that also
    /// gives its derivative ([`Guided::along`](super::super::guidance::Guided::along)).
    ///
    /// # Errors
    /// Options and configurations that the solvers cannot follow, 0 steps, or guidance of two
    /// evaluations where a derivative is needed.
    pub fn program(self, context: &Context<'_>, steps: Option<usize>) -> Result<Program, Error> {
        let solver = if steps.is_some() { Sampler::Rk4 } else { Sampler::Rk45 };
        solver.check_system(context)?;
        solver.check_options(context)?;
        let mut way = Way::new(self, context, solver)?;
        match steps {
            Some(0) => return Err(Error::option("steps", 0, "choose at least 1")),
            Some(steps) => rk4::integrate(&mut way, steps)?,
            None => {
                let tolerances = context.options.tolerances(rk45::TOLERANCES.0, rk45::TOLERANCES.1)?;
                rk45::integrate(&mut way, tolerances, context.options.error_control)?;
            }
        }
        let mut program = way.model.program;
        program.name = self.name().into();
        program.validate()?;
        Ok(program)
    }
}

/// A way along the flow.
struct Way {
    model: Model,
    flow: Flow,
    density: Option<Density>,
}

/// What the log-density needs.
struct Density {
    /// The probe and the network's derivative along it.
    probe: Reg,
    derivative: Reg,
    /// The integral of the divergence, `[1]`.
    integral: Reg,
    product: Slot,
    divergence: Slot,
}

/// Where the flow begins of a process that has no first timestep: `eps` of score_sde's
/// likelihood.
const FIRST: f64 = 1e-5;

const NUMBER: Shape = Shape::vector(1);

impl Way {
    fn new(flow: Flow, context: &Context<'_>, solver: Sampler) -> Result<Self, Error> {
        let mut model = Model::new(context, solver)?;
        if matches!(model.view.process, Process::VpLinear { .. } | Process::SubVp { .. } | Process::Ve { .. })
        {
            model.view.end = FIRST;
        }
        let x = model.x;
        model.program.registers[x.0 as usize].input = true;
        let mut density = None;
        if flow == Flow::Likelihood {
            let (probe, derivative) = (model.register("probe"), model.register("derivative"));
            model.along(probe, derivative)?;
            let p = &mut model.program;
            p.registers[probe.0 as usize].input = true;
            let integral = p.register("log_density", NUMBER);
            p.output = integral;
            let product = p.slot("probe . derivative", SlotInit::Unset);
            let divergence = p.slot("divergence", SlotInit::Unset);
            density = Some(Density { probe, derivative, integral, product, divergence });
        }
        Ok(Self { model, flow, density })
    }

    /// Numbers of the state.
    fn len(&self) -> f64 {
        self.model.program.registers[self.model.x.0 as usize].shape.len() as f64
    }
}

impl Equation for Way {
    fn interval(&self) -> (f64, f64) {
        let (noise, image) = self.model.interval();
        match self.flow {
            Flow::Decode => (noise, image),
            Flow::Encode | Flow::Likelihood => (image, noise),
        }
    }

    fn whole(&self) -> bool {
        self.model.whole()
    }

    fn state(&self) -> Vec<Reg> {
        [self.model.x].into_iter().chain(self.density.iter().map(|d| d.integral)).collect()
    }

    fn program(&mut self) -> &mut Program {
        self.model.program()
    }

    fn tabulate(&mut self, units: Units) -> Result<(), Error> {
        self.model.tabulate(units)
    }

    fn slope(&self, at: At, state: &[Reg], into: &[Reg]) -> Vec<Instruction> {
        let mut list = self.model.slope(at, &state[..1], &into[..1]);
        if let Some(d) = &self.density {
            let (of_x, of_out) = self.model.factors(at);
            // v . v is the length of the state.
            let expr = of_x * self.len() + of_out * d.product;
            list.extend([
                Instruction::Reduce { slot: d.product, kind: Reduce::Dot, srcs: vec![d.probe, d.derivative] },
                Instruction::Scalar { slot: d.divergence, expr },
                Instruction::Fill { dst: into[1], value: Coef::Slot(d.divergence) },
            ]);
        }
        list
    }

    fn push(&mut self, label: String, mut instructions: Vec<Instruction>) {
        let p = &mut self.model.program;
        if let (true, Some(d)) = (p.steps.is_empty(), &self.density) {
            instructions.insert(0, Instruction::Fill { dst: d.integral, value: Coef::Const(0.0) });
        }
        p.steps.push(Step { label, instructions });
    }

    /// The density of the noise, `N(0, std^2)`.
    fn push_last(&mut self) -> Result<(), Error> {
        let Some(d) = &self.density else { return Ok(()) };
        let std = self.model.view.prior();
        let constant = -self.len() * (0.5 * std::f64::consts::TAU.ln() + std.ln());
        let (x, end) = (self.model.x, self.model.view.start);
        let (integral, product) = (d.integral, d.product);
        let p = &mut self.model.program;
        let prior = p.register("log_prior", NUMBER);
        let expr = Expr::Slot(product) * (-0.5 / (std * std)) + constant;
        let list = vec![
            Instruction::Reduce { slot: product, kind: Reduce::SumSquares, srcs: vec![x] },
            Instruction::Scalar { slot: product, expr },
            Instruction::Fill { dst: prior, value: Coef::Slot(product) },
            mix(integral, vec![Term::new(1.0, integral), Term::new(1.0, prior)]),
        ];
        self.push(format!("the density at {}", label(end)), list);
        Ok(())
    }
}
