//! SDEdit (Meng et al. 2022, arXiv:2108.01073): a picture is noised as far as a timestep of the chain and
//! drawn anew from there. What the noise hides may change, what it leaves stays.

use super::program::{Instruction, Program, Term};
use super::{Error, Sampler, Schedule};

/// A picture to begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// Its numbers, `[h, w, c]` of the state, in the model's range.
    pub picture: Vec<f32>,
    /// The part of the chain that is gone through, above 0 (a breath of noise) to 1 (all of it).
    pub strength: f64,
}

impl Start {
    /// The timesteps of so many steps, descending from where the picture is noised to.
    ///
    /// # Errors
    /// A strength that is none, or more steps than timesteps in it.
    pub fn timesteps(&self, train: usize, steps: usize) -> Result<Vec<usize>, Error> {
        if !(self.strength > 0.0 && self.strength <= 1.0) {
            let need = "choose more than 0 (0 is the picture itself), at most 1 (nothing of it)";
            return Err(Error::option("strength", self.strength, need));
        }
        let all = ((train as f64 * self.strength).round() as usize).clamp(1, train);
        if steps == 0 || steps > all {
            let need = format!("at strength {} there are 1 to {all}", self.strength);
            return Err(Error::option("steps", steps, need));
        }
        Ok((0..steps).map(|k| (all * (steps - k)).div_ceil(steps) - 1).collect())
    }

    /// The program of a sampler by timesteps that begins at `from`, from the picture: the input register
    /// `y`.
    ///
    /// # Errors
    /// A sampler whose state is not `sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps`, or a picture of another size.
    pub fn begin(
        &self,
        mut program: Program,
        sampler: Sampler,
        schedule: &Schedule,
        from: usize,
    ) -> Result<Program, Error> {
        if !matches!(sampler, Sampler::Ddim | Sampler::Ddpm) {
            let need = "a picture is drawn anew by ddim or ddpm";
            return Err(Error::option("sampler", sampler.name(), need));
        }
        let x = program.output;
        let shape = program.registers[x.0 as usize].shape;
        if self.picture.len() != shape.len() || !self.picture.iter().all(|v| v.is_finite()) {
            let need = format!("finite numbers of an image of {shape} are wanted");
            return Err(Error::option("picture", format!("{} numbers", self.picture.len()), need));
        }
        let alpha_bar = schedule.alpha_bar().get(from).copied().unwrap_or(0.0);
        let y = program.input("y", shape);
        let noised = vec![Term::new((1.0 - alpha_bar).sqrt(), x), Term::new(alpha_bar.sqrt(), y)];
        if let Some(first) = program.steps.first_mut() {
            // Behind the initial noise.
            first.instructions.insert(1, Instruction::Mix { dst: x, terms: noised, clamp: None });
        }
        program.validate()?;
        Ok(program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::program::{Inputs, NetCall};
    use crate::diffusion::sampler::Context;
    use crate::diffusion::timesteps::Steps;
    use crate::diffusion::SchedulerConfig;
    use crate::shape::Shape;

    /// Of one known picture, a perfect network leads back to it, however little of the chain is gone
    /// through; of another picture, the given one shows through as far as the noise leaves it.
    #[test]
    fn pictures_come_back_as_far_as_the_network_knows_them() {
        let config = SchedulerConfig { clip_sample: false, ..Default::default() };
        let schedule = Schedule::new(&config).unwrap();
        let shape = Shape::new(1, 3, 1);
        let known = [0.3, -0.8, 0.5];
        for strength in [0.05, 0.5, 1.0] {
            let start = Start { picture: vec![0.3, -0.8, 0.1], strength };
            let times = start.timesteps(1000, 10).unwrap();
            assert_eq!((times.len(), times[0]), (10, (1000.0 * strength) as usize - 1));
            assert!(times.windows(2).all(|p| p[0] > p[1]));
            let context = Context::new(&config, shape, Steps::At(times.clone()));
            let program = Sampler::Ddim.program(&context).unwrap();
            let program = start.begin(program, Sampler::Ddim, &schedule, times[0]).unwrap();
            let y = program.find_register("y").unwrap();
            let picture = start.picture.iter().map(|v| f64::from(*v)).collect();
            let inputs = Inputs { registers: vec![(y, picture)], ..Inputs::default() };
            let net = |call: NetCall<'_>| {
                let a = schedule.alpha_bar()[call.time as usize];
                let eps = |(x, k): (&f64, &f64)| (x - a.sqrt() * k) / (1.0 - a).sqrt();
                Ok(call.inputs[0].iter().zip(&known).map(eps).collect())
            };
            let noise = |_, _| vec![0.4, -1.2, 0.7];
            let image = program.interpret(&inputs, net, noise, |_| ()).unwrap();
            let far = image.iter().zip(&known).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-9, "{strength}: {image:?}");
        }
    }

    #[test]
    fn what_cannot_be_begun_is_refused() {
        let start = |strength| Start { picture: vec![0.0; 3], strength };
        for bad in [0.0, -0.5, 1.5, f64::NAN] {
            assert!(start(bad).timesteps(1000, 4).unwrap_err().to_string().contains("strength"));
        }
        assert!(start(0.01).timesteps(1000, 50).unwrap_err().to_string().contains("1 to 10"));
        let config = SchedulerConfig::default();
        let schedule = Schedule::new(&config).unwrap();
        let begin = |sampler: Sampler, shape| {
            let program = sampler.program(&Context::new(&config, shape, 4)).unwrap();
            start(0.5).begin(program, sampler, &schedule, 499)
        };
        assert!(begin(Sampler::Euler, Shape::new(1, 3, 1)).unwrap_err().to_string().contains("euler"));
        assert!(begin(Sampler::Ddim, Shape::new(1, 2, 1)).unwrap_err().to_string().contains("3 numbers"));
    }
}
