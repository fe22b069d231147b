//! DDNM, restoration by the null space (Wang, Yu & Zhang 2022, arXiv:2212.00490, algorithm 1).
//!
//! A picture `y = A x` is restored by drawing what `A` cannot see and keeping what it can: after
//! every prediction of the image,
//!
//! ```text
//! x0^ = x0 + A^+ (y - A x0)
//! x_s = sqrt(alpha_bar_s) x0^ + sqrt(1 - alpha_bar_s) (sqrt(1 - eta^2) eps + eta z)
//! ```
//!
//! `A x0^ = y` for every measurement that `A` can make, and the last step leads to `x0^` itself.
//! eta is 0.85, as in the authors' code; 0 is deterministic beside the first noise.

use super::super::program::{Instruction, Program, Term};
use super::super::timesteps::{strides_by_list, strides_by_ratio, Steps, Stride};
use super::super::Error;
use super::{Context, Sampler, Setup};

/// The authors' eta.
const ETA: f64 = 0.85;

/// The program of DDNM.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let Some(task) = context.restoration else {
        let need = "it restores a degraded picture: give one, as the verbs inpaint and superres do";
        return Err(Error::option("sampler", sampler.name(), need));
    };
    task.check(context.shape)?;
    let eta = context.eta.unwrap_or(ETA);
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::option("eta", eta, "choose 0 (no fresh noise) to 1 (all of it fresh)"));
    }
    let mut s = Setup::new(context, sampler, false)?;
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let (a, inverse) = (task.degradation.operator(), task.degradation.pseudo_inverse());
    let p = &mut s.program;
    let y = p.register("y", a.to());
    p.registers[y.0 as usize].input = true;
    let (seen, rest) = (p.register("A x0", a.to()), p.register("A+ rest", context.shape));
    let (a, inverse) = (p.operator("A", a), p.operator("A+", inverse));
    let z = (eta > 0.0).then(|| p.register("z", context.shape));
    let strides = match &context.steps {
        Steps::Count(_) => strides_by_ratio(&s.times, context.config.num_train_timesteps),
        _ => strides_by_list(&s.times),
    };
    let mix = |dst, terms| Instruction::Mix { dst, terms, clamp: None };
    for (k, Stride { t, prev }) in strides.into_iter().enumerate() {
        let views = s.views(t)?;
        // Whatever the file says of its end: only at the image itself is `A x = y`.
        let alpha_bar = s.alpha_bar_prev(t, prev, 1.0)?;
        let noise = (1.0 - alpha_bar).max(0.0).sqrt();
        let mut list = s.model.instructions(x, t as f64);
        list.extend(s.denoise.instructions(views, x, out));
        list.extend([
            Instruction::Apply { dst: seen, operator: a, src: x0 },
            mix(seen, vec![Term::new(-1.0, seen), Term::new(1.0, y)]),
            Instruction::Apply { dst: rest, operator: inverse, src: seen },
            mix(x0, vec![Term::new(1.0, x0), Term::new(1.0, rest)]),
        ]);
        let mut terms = vec![Term::new(alpha_bar.sqrt(), x0)];
        if noise > 0.0 {
            terms.extend(s.denoise.eps_terms(views, noise * (1.0 - eta * eta).max(0.0).sqrt(), x, out));
            if let Some(z) = z {
                list.push(Instruction::Noise { dst: z, draw: k as u32 + 1 });
                terms.push(Term::new(noise * eta, z));
            }
        }
        list.push(mix(x, terms));
        s.push(t, list);
    }
    Ok(s.program)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::linear::{Axes, Degradation, Mask, Restoration};
    use crate::diffusion::SchedulerConfig;
    use crate::shape::Shape;
    use std::sync::Arc;

    fn restored(degradation: Arc<dyn Degradation>, shape: Shape, eta: Option<f64>) -> (Vec<f64>, Vec<f64>) {
        let picture: Vec<f64> = (0..shape.len()).map(|i| (i as f64 * 0.7).sin() * 0.8).collect();
        let measured: Vec<f32> = degradation.operator().apply(&picture).iter().map(|v| *v as f32).collect();
        let task = Restoration { degradation, measured: measured.clone() };
        let config = SchedulerConfig { set_alpha_to_one: false, ..Default::default() };
        let context = Context { restoration: Some(&task), eta, ..Context::new(&config, shape, 20) };
        let program = Sampler::Ddnm.program(&context).unwrap();
        let y = program.find_register("y").unwrap();
        let inputs = crate::diffusion::program::Inputs {
            registers: vec![(y, measured.iter().map(|v| f64::from(*v)).collect())],
            ..Default::default()
        };
        // A network that knows nothing of pictures.
        let net = |call: crate::diffusion::program::NetCall<'_>| {
            Ok(call.inputs[0].iter().map(|x| 0.3 * x.sin()).collect())
        };
        let noise = |draw: u32, shape: Shape| {
            (0..shape.len()).map(|i| (i as f64 * 1.3 + f64::from(draw)).sin()).collect()
        };
        (
            program.interpret(&inputs, net, noise, |_| ()).unwrap(),
            measured.iter().map(|v| f64::from(*v)).collect(),
        )
    }

    /// Whatever the network says, the result degraded again is the measurement.
    #[test]
    fn results_agree_with_the_measurement() {
        let shape = Shape::new(8, 8, 3);
        let known: Vec<bool> = (0..64).map(|i| i % 3 != 0).collect();
        let all: [Arc<dyn Degradation>; 5] = [
            Arc::new(Mask::new(shape, &known).unwrap()),
            Arc::new(Axes::average(shape, 4).unwrap()),
            Arc::new(Axes::bicubic(shape, 2).unwrap()),
            Arc::new(Axes::grey(shape).unwrap()),
            Arc::new(Axes::gaussian_blur(shape, 0.6).unwrap()),
        ];
        for degradation in all {
            for eta in [None, Some(0.0), Some(1.0)] {
                let (image, measured) = restored(degradation.clone(), shape, eta);
                // Of a blur, in what its inverse brings back.
                let (a, inverse) = (degradation.operator(), degradation.pseudo_inverse());
                let seen = |y: &[f64]| a.apply(&inverse.apply(y));
                let (again, wanted) = (seen(&a.apply(&image)), seen(&measured));
                let far = again.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(far < 1e-5, "{}: {far}", degradation.name());
            }
        }
    }

    #[test]
    fn what_is_missing_is_asked_for() {
        let config = SchedulerConfig::default();
        let shape = Shape::new(8, 8, 3);
        let none = Sampler::Ddnm.program(&Context::new(&config, shape, 5)).unwrap_err().to_string();
        assert!(none.contains("ddnm") && none.contains("inpaint"), "{none}");
        let task =
            Restoration { degradation: Arc::new(Axes::average(shape, 2).unwrap()), measured: vec![0.0; 48] };
        let context = Context { restoration: Some(&task), ..Context::new(&config, shape, 5) };
        assert!(Sampler::Ddnm.program(&context).is_ok());
        let eta = Context { eta: Some(1.5), ..context.clone() };
        assert!(Sampler::Ddnm.program(&eta).unwrap_err().to_string().contains("eta"));
        let other = Sampler::Ddim.program(&context).unwrap_err().to_string();
        assert!(other.contains("ddim") && other.contains("ddnm"), "{other}");
    }
}
