//! RePaint, inpainting by resampling (Lugmayr et al. 2022, arXiv:2201.09865, algorithm 1).
//!
//! Every step draws the unknown pixels from the model and the known ones from the picture, noised:
//!
//! ```text
//! unknown = sqrt(alpha_bar_s) x0 + sqrt(1 - alpha_bar_s - sigma^2) eps + sigma z    (DDIM's, eta 1 by default)
//! known   = sqrt(alpha_bar_s) y + sqrt(1 - alpha_bar_s) z
//! ```
//!
//! So that both agree, the chain goes back up by `jump_length` steps (noise is added) and down again, `jump_n_sample` times
//! in all at every `jump_length`-th level (appendix B: 10 and 10). The last step leads to the picture itself where it is
//! known. The noise added by several steps up is drawn at once.

use super::super::linear::Operator;
use super::super::program::{Instruction, Program, Term};
use super::super::Error;
use super::ddim::renewed;
use super::{Context, Sampler, Setup};

/// The paper's jumps and samplings.
const JUMPS: (usize, usize) = (10, 10);
/// More evaluations are asked for by mistake.
const MOST: usize = 1 << 20;

/// The levels that are visited, of so many: 0 is the lowest that has noise, `None` the image. Every
/// `length`-th level below the last `length` is come to `samples` times in all.
///
/// # Errors
/// No jumps at all, or too many.
pub fn visits(levels: usize, length: usize, samples: usize) -> Result<Vec<Option<usize>>, Error> {
    if length == 0 || samples == 0 {
        let (name, value) = if length == 0 { ("jump-length", length) } else { ("jump-n-sample", samples) };
        return Err(Error::option(name, value, "choose 1 or more (jump-n-sample 1 resamples nothing)"));
    }
    let mut left: Vec<usize> = (0..levels)
        .map(|at| if at % length == 0 && at + length < levels { samples - 1 } else { 0 })
        .collect();
    let all = left.iter().try_fold(levels, |sum, n| sum.checked_add(n.checked_mul(length)?));
    if all.is_none_or(|all| all > MOST) {
        return Err(Error::option("jump-n-sample", samples, format!("more than {MOST} evaluations")));
    }
    let (mut at, mut list) = (levels, Vec::new());
    while at > 0 {
        at -= 1;
        list.push(Some(at));
        while left[at] > 0 {
            left[at] -= 1;
            list.extend((1..=length).map(|up| Some(at + up)));
            at += length;
        }
    }
    list.push(None);
    Ok(list)
}

/// The program of RePaint.
pub fn program(context: &Context<'_>, sampler: Sampler) -> Result<Program, Error> {
    let task = context.task(sampler)?;
    let Operator::Diagonal { .. } = task.degradation.operator() else {
        let need = "repaint fills what a mask hides; choose ddnm or ddrm";
        return Err(Error::option("degradation", task.degradation.name(), need));
    };
    task.noiseless(sampler)?;
    let eta = context.eta.unwrap_or(1.0);
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::option("eta", eta, "choose 0 (no fresh noise) to 1 (as stochastic as DDPM)"));
    }
    let mut s = Setup::new(context, sampler, false)?;
    let (x, x0, out) = (s.x, s.denoise.x0, s.model.out());
    let p = &mut s.program;
    let y = p.input("y", context.shape);
    let [z, rest, of_known] = ["z", "rest", "of known"].map(|name| p.register(name, context.shape));
    let known = p.operator("known", task.degradation.operator());
    let o = &context.options;
    let jumps = (o.jump_length.unwrap_or(JUMPS.0), o.jump_n_sample.unwrap_or(JUMPS.1));
    let levels = s.times.len();
    let visits = visits(levels, jumps.0, jumps.1)?;
    let time = |at: usize| s.times[levels - 1 - at];
    let mix = |dst, terms| Instruction::Mix { dst, terms, clamp: None };
    let (mut draws, mut up) = (1, Vec::new());
    let mut noise = || {
        draws += 1;
        Instruction::Noise { dst: z, draw: draws - 1 }
    };
    // Where the state was before the steps up.
    let mut low = None;
    let mut steps = Vec::new();
    for pair in visits.windows(2) {
        let [Some(from), to] = pair else { continue };
        if to.is_some_and(|to| to > *from) {
            low.get_or_insert(*from);
            continue;
        }
        if let Some(low) = low.take() {
            let ratio = s.alpha_bar(time(*from)) / s.alpha_bar(time(low));
            up.push(noise());
            up.push(mix(x, vec![Term::new(ratio.sqrt(), x), Term::new((1.0 - ratio).max(0.0).sqrt(), z)]));
        }
        let (t, prev) = (time(*from), to.map(time));
        let (views, alpha_bar) = (s.views(t)?, s.alpha_bar_prev(t, prev, 1.0)?);
        let left = (1.0 - alpha_bar).max(0.0);
        let sigma2 = eta * eta * left * renewed(s.alpha_bar(t), alpha_bar);
        let mut list = std::mem::take(&mut up);
        list.extend(s.model.instructions(x, t as f64));
        list.extend(s.denoise.instructions(views, x, out));
        list.push(noise());
        let mut unknown = vec![Term::new(alpha_bar.sqrt(), x0)];
        unknown.extend(s.denoise.eps_terms(views, (left - sigma2).max(0.0).sqrt(), x, out));
        unknown.push(Term::new(sigma2.sqrt(), z));
        list.push(mix(x, unknown));
        let known_terms = [Term::new(alpha_bar.sqrt(), y), Term::new(left.sqrt(), z), Term::new(-1.0, x)];
        list.extend([
            mix(rest, known_terms.to_vec()),
            Instruction::Apply { dst: of_known, operator: known, src: rest },
            mix(x, vec![Term::new(1.0, x), Term::new(1.0, of_known)]),
        ]);
        steps.push((t, list));
    }
    steps.into_iter().for_each(|(t, list)| s.push(t, list));
    Ok(s.program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_visited_as_the_paper_has_it() {
        let go = |levels, length, samples| -> Vec<i64> {
            let list = visits(levels, length, samples).unwrap();
            list.iter().map(|at| at.map_or(-1, |at| at as i64)).collect()
        };
        assert_eq!(go(4, 10, 10), [3, 2, 1, 0, -1]);
        assert_eq!(go(5, 1, 1), [4, 3, 2, 1, 0, -1]);
        assert_eq!(go(6, 2, 2), [5, 4, 3, 2, 3, 4, 3, 2, 1, 0, 1, 2, 1, 0, -1]);
        assert_eq!(go(4, 1, 3), [3, 2, 3, 2, 3, 2, 1, 2, 1, 2, 1, 0, 1, 0, 1, 0, -1]);
        // 250 levels, 10 jumps of 10: as many evaluations as the authors' schedule has, which is 4,570 moves.
        let whole = go(250, 10, 10);
        let down = whole.windows(2).filter(|p| p[1] < p[0]).count();
        assert_eq!((whole.len(), down), (250 + 1 + 2 * 24 * 9 * 10, 250 + 24 * 9 * 10));
        assert!(visits(10, 0, 1).is_err() && visits(10, 1, 0).is_err());
        assert!(visits(1000, 1, usize::MAX).is_err());
    }
}
