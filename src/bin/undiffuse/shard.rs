//! A part of the work: `--shard 3/16`, or what a job scheduler says.

use crate::Failure;
use std::ops::Range;
use std::str::FromStr;

/// One of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

#[derive(clap::Args, Clone)]
pub struct ShardArgs {
    /// Do part I of N, from 1/N to N/N: the images of an index range. `auto` asks the scheduler: a Slurm array
    /// (SLURM_ARRAY_TASK_ID and its _MIN, _COUNT), or a Kubernetes indexed job (JOB_COMPLETION_INDEX, and
    /// UNDIFFUSE_SHARDS for how many there are)
    #[arg(long, value_name = "I/N|auto")]
    shard: Option<String>,
}

impl ShardArgs {
    /// What the flag means, if it is given.
    pub fn read(&self) -> Result<Option<Shard>, Failure> {
        let var = |name: &str| std::env::var(name).ok();
        match self.shard.as_deref() {
            None => Ok(None),
            Some("auto") => Ok(Some(scheduled(&var)?)),
            Some(text) => Ok(Some(text.parse()?)),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let bad = || format!("--shard {text}: wanted is a part as 3/16, from 1/16 to 16/16");
        let (part, of) = text.split_once('/').ok_or_else(bad)?;
        let (part, of) = (part.parse().map_err(|_| bad())?, of.parse().map_err(|_| bad())?);
        match (1..=of).contains(&part) {
            true => Ok(Shard { part, of }),
            false => Err(bad()),
        }
    }
}

/// The part that the scheduler gives this process.
fn scheduled(var: &dyn Fn(&str) -> Option<String>) -> Result<Shard, String> {
    let number = |name: &str| -> Result<Option<u64>, String> {
        let Some(text) = var(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| format!("--shard auto: {name} is `{text}`, no number"))
    };
    let found = if let Some(task) = number("SLURM_ARRAY_TASK_ID")? {
        let least = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let of = number("SLURM_ARRAY_TASK_COUNT")?
            .or(number("UNDIFFUSE_SHARDS")?)
            .ok_or("--shard auto: SLURM_ARRAY_TASK_ID is there, SLURM_ARRAY_TASK_COUNT is not")?;
        let place = task.checked_sub(least).ok_or("--shard auto: the task is below SLURM_ARRAY_TASK_MIN")?;
        Shard { part: place / step + 1, of }
    } else if let Some(index) = number("JOB_COMPLETION_INDEX")? {
        let of = number("UNDIFFUSE_SHARDS")?.ok_or(
            "--shard auto: JOB_COMPLETION_INDEX is there; set UNDIFFUSE_SHARDS to the job's completions",
        )?;
        Shard { part: index.saturating_add(1), of }
    } else {
        return Err(
            "--shard auto: neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set: this is no task \
                    of an array; name the part, as --shard 3/16"
                .into(),
        );
    };
    match (1..=found.of).contains(&found.part) {
        true => Ok(found),
        false => Err(format!("--shard auto: part {} of {} does not exist", found.part, found.of)),
    }
}

impl Shard {
    /// Its places among `count`: the parts are as equal as can be, in order, without a gap.
    pub fn range(self, count: u64) -> Range<u64> {
        let at = |part: u64| (u128::from(count) * u128::from(part) / u128::from(self.of)) as u64;
        at(self.part - 1)..at(self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_and_meet() {
        for (count, of) in [(10, 3), (3, 16), (1, 1), (2000, 16), (u64::MAX, 7)] {
            let mut at = 0;
            for part in 1..=of {
                let range = Shard { part, of }.range(count);
                assert_eq!(range.start, at);
                assert!(range.end - range.start <= count / of + 1);
                at = range.end;
            }
            assert_eq!(at, count);
        }
        for bad in ["", "3", "0/4", "5/4", "a/b", "1/0", "-1/4", "1/4/2"] {
            assert!(bad.parse::<Shard>().unwrap_err().contains("1/16 to 16/16"), "{bad}");
        }
    }

    #[test]
    fn schedulers_say_which() {
        let of = |vars: &[(&str, &str)]| {
            let vars: Vec<(String, String)> =
                vars.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            scheduled(&|name| vars.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
        };
        let slurm = |id, min, count| {
            of(&[
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ])
        };
        assert_eq!(slurm("0", "0", "4"), Ok(Shard { part: 1, of: 4 }));
        assert_eq!(slurm("4", "1", "4"), Ok(Shard { part: 4, of: 4 }));
        assert!(slurm("9", "0", "4").is_err());
        assert!(slurm("x", "0", "4").unwrap_err().contains("SLURM_ARRAY_TASK_ID is `x`"));
        let indexed = of(&[("JOB_COMPLETION_INDEX", "2"), ("UNDIFFUSE_SHARDS", "3")]);
        assert_eq!(indexed, Ok(Shard { part: 3, of: 3 }));
        assert!(of(&[("JOB_COMPLETION_INDEX", "2")]).unwrap_err().contains("UNDIFFUSE_SHARDS"));
        assert!(of(&[]).unwrap_err().contains("no task of an array"));
    }
}
