//! A checkpoint cut into several safetensors files, with an index of which tensor is where.

use super::json::INDEX_LIMIT;
use super::names::{near, new_attention_name, old_attention_name};
use super::{Json, Param, Safetensors, Stored, Weights, WeightsError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The tensors of all files of an index.
#[derive(Clone, Debug)]
pub struct Sharded {
    origin: PathBuf,
    shards: Vec<Safetensors>,
    places: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Sharded {
    /// Opens `*.safetensors.index.json` and every file that it names; they lie beside it.
    ///
    /// # Errors
    /// [`WeightsError::Json`], [`WeightsError::Damaged`] where a file would lie outside the folder or
    /// lacks a tensor that the index gives it, [`WeightsError::NotFound`] for a missing file.
    pub fn open(index: &Path) -> Result<Self, WeightsError> {
        let map = Json::read(index, INDEX_LIMIT)?.parse::<Index>()?.weight_map;
        let folder = index.parent().unwrap_or(Path::new("."));
        let damaged = |what| WeightsError::Damaged { path: index.to_owned(), what };
        let (mut files, mut shards, mut places) =
            (BTreeMap::new(), Vec::<Safetensors>::new(), BTreeMap::new());
        for (tensor, file) in map {
            let shard = match files.get(&file) {
                Some(&shard) => shard,
                None => {
                    if !plain_name(&file) {
                        return Err(damaged(format!("`{file}` is not the name of a file in this folder")));
                    }
                    let path = folder.join(&file);
                    if !path.is_file() {
                        let what = format!("named by {} and not there", index.display());
                        return Err(WeightsError::NotFound { path, what });
                    }
                    shards.push(Safetensors::open(&path)?);
                    files.insert(file.clone(), shards.len() - 1);
                    shards.len() - 1
                }
            };
            if !shards.get(shard).is_some_and(|s| s.contains(&tensor)) {
                return Err(damaged(format!("tensor `{tensor}` is not in {file}")));
            }
            places.insert(tensor, shard);
        }
        Ok(Self { origin: index.to_owned(), shards, places })
    }

    fn shard(&self, name: &str) -> Option<&Safetensors> {
        let place = self.places.get(name).or_else(|| self.places.get(&old_attention_name(name)?))?;
        self.shards.get(*place)
    }
}

/// Whether `file` is one plain name: no folder, no `..`, no drive.
fn plain_name(file: &str) -> bool {
    let mut parts = Path::new(file).components();
    let plain = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    plain && !file.contains(['/', '\\', ':'])
}

impl Weights for Sharded {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Param, WeightsError> {
        match self.shard(name) {
            Some(shard) => shard.get(name, shape),
            None => Err(WeightsError::Missing {
                name: name.to_owned(),
                origin: self.origin.display().to_string(),
                near: near(name, self.places.keys().map(String::as_str)),
            }),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.shard(name).is_some()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.places.keys().map(|n| new_attention_name(n)).collect();
        names.sort();
        names
    }

    fn stored(&self, name: &str) -> Option<Stored<'_>> {
        self.shard(name)?.stored(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_files_of_the_folder() {
        assert!(plain_name("diffusion_pytorch_model-00001-of-00002.safetensors"));
        for bad in ["", ".", "..", "../x", "a/b", "/x", "a\\b", "C:x"] {
            assert!(!plain_name(bad), "{bad}");
        }
    }
}
