//! From the name of a model to its files: embedded, a folder, the local cache of the
//! Hugging Face Hub, the zoo, or a toy. No network is opened.

use super::{Embedded, Model, PipelineError, Toy, EMBEDDED};
use crate::weights::json::CONFIG_LIMIT;
use crate::weights::{DiffusersFolder, Json, Safetensors, Weights};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A file of the cache that names a commit is not longer.
const REF_LIMIT: u64 = 256;
/// Folders of a zoo that are looked at.
const ZOO_LIMIT: usize = 500;
/// Folders above the program in which `models/` is looked for.
const UPWARD: usize = 6;

/// Where a model's files are.
#[derive(Clone, Debug)]
pub enum Found {
    /// In the library.
    Embedded(&'static Embedded),
    /// In a folder.
    Folder(PathBuf),
    /// A toy, by its name behind `toy/`: made when it is opened.
    Toy(String),
}

/// Why no model has the name.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// The name is neither a folder nor in the Hub's cache.
    #[error(
        "no folder `{name}`, and it is not in the Hugging Face cache ({}). Nothing is downloaded from here; \
         if it is a model of the Hub, this fetches it: hf download {name}",
        .cache.as_ref().map_or("no HOME is set".into(), |c| c.display().to_string())
    )]
    NotCached {
        /// `owner/name`.
        name: String,
        /// The cache.
        cache: Option<PathBuf>,
    },
    /// The cache holds a part of the model.
    #[error("{}: {what}; this mends it: hf download {name}", .path.display())]
    Cache {
        /// `owner/name`.
        name: String,
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A name of the zoo that is not there.
    #[error("no `zoo/{name}`{there}")]
    Zoo {
        /// The name without `zoo/`.
        name: String,
        /// What is there.
        there: String,
    },
    /// A name that could lead out of its folder.
    #[error(
        "`{name}` is not the name of a model: letters, digits, `.`, `_` and `-`, not beginning with a dot, \
         without `..`"
    )]
    BadName {
        /// The name.
        name: String,
    },
}

/// Folders in which models are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// The cache of the Hugging Face Hub.
    pub hub: Option<PathBuf>,
    /// The zoo: a folder of model folders.
    pub zoo: Option<PathBuf>,
}

impl Places {
    /// As the environment says: `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME` and the home
    /// folder as the Hub's own tools read them; `UNDIFFUSE_ZOO`, else `models/` here or
    /// above the program.
    pub fn of_environment() -> Places {
        let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let home = || var("HOME").or_else(|| var("USERPROFILE"));
        let hub = var("HF_HUB_CACHE")
            .or_else(|| var("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| var("HF_HOME").map(|p| p.join("hub")))
            .or_else(|| var("XDG_CACHE_HOME").map(|p| p.join("huggingface/hub")))
            .or_else(|| home().map(|p| p.join(".cache/huggingface/hub")));
        Places { hub, zoo: var("UNDIFFUSE_ZOO").or_else(zoo_nearby) }
    }

    /// Finds a model by name: an embedded one, a folder, `owner/name` of the Hub as its
    /// cache has it, `zoo/name`, or `toy/name`. A folder that is there comes before the Hub, the zoo and the toys.
    ///
    /// # Errors
    /// [`FindError`], or [`PipelineError::UnknownModel`] for a word that is nothing of these.
    pub fn find(&self, name: &str) -> Result<Found, PipelineError> {
        if let Some(embedded) = EMBEDDED.iter().find(|m| m.name == name) {
            return Ok(Found::Embedded(embedded));
        }
        let path = Path::new(name);
        if path.exists() {
            return Ok(Found::Folder(path.into()));
        }
        let parts: Vec<&str> = name.split('/').collect();
        match parts[..] {
            ["zoo", model] => self.of_zoo(model).map(Found::Folder),
            ["toy", toy] => Toy::find(toy).map(|_| Found::Toy(toy.into())),
            [owner, model]
                if !path.is_absolute() && !matches!(owner, "" | "." | "..") && !model.is_empty() =>
            {
                self.cached(name, owner, model).map(Found::Folder)
            }
            [word] if !word.contains(['\\', '.']) => Err(PipelineError::UnknownModel { name: name.into() }),
            // Whoever opens it says that it is not there.
            _ => Ok(Found::Folder(path.into())),
        }
    }

    fn cached(&self, name: &str, owner: &str, model: &str) -> Result<PathBuf, PipelineError> {
        if !plain(owner) || !plain(model) {
            return Err(FindError::BadName { name: name.into() }.into());
        }
        let missing = || FindError::NotCached { name: name.into(), cache: self.hub.clone() };
        let folder = self.hub.as_ref().map(|h| h.join(format!("models--{owner}--{model}")));
        let folder = folder.filter(|f| f.is_dir()).ok_or_else(missing)?;
        let bad = |path: &Path, what: &str| FindError::Cache {
            name: name.into(),
            path: path.into(),
            what: what.into(),
        };
        let main = folder.join("refs/main");
        let size = std::fs::metadata(&main).map_err(|_| bad(&main, "no such file"))?.len();
        if size > REF_LIMIT {
            return Err(bad(&main, &format!("{size} bytes, too long for the name of a commit")).into());
        }
        let commit = std::fs::read_to_string(&main).map_err(|e| bad(&main, &e.to_string()))?;
        let commit = commit.trim();
        if commit.is_empty() || commit.len() > 64 || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad(&main, "it does not hold the name of a commit").into());
        }
        let snapshot = folder.join("snapshots").join(commit);
        if !snapshot.is_dir() {
            return Err(bad(&snapshot, "no such folder, though refs/main names it").into());
        }
        Ok(snapshot)
    }

    fn of_zoo(&self, model: &str) -> Result<PathBuf, PipelineError> {
        if !plain(model) {
            return Err(FindError::BadName { name: format!("zoo/{model}") }.into());
        }
        if let Some(folder) = self.zoo.as_ref().map(|z| z.join(model)).filter(|f| f.is_dir()) {
            return Ok(folder);
        }
        let there = match &self.zoo {
            None => ": there is no zoo; name its folder with UNDIFFUSE_ZOO".to_string(),
            Some(zoo) if !zoo.is_dir() => {
                format!(": {} (UNDIFFUSE_ZOO) is no folder", zoo.display())
            }
            Some(zoo) => match &names(zoo)[..] {
                [] => format!(" in {}: no model is there", zoo.display()),
                names => format!(" in {}; there are {}", zoo.display(), names.join(", ")),
            },
        };
        Err(FindError::Zoo { name: model.into(), there }.into())
    }

    /// What lies in the zoo, by name.
    pub fn zoo_models(&self) -> Vec<ZooModel> {
        let Some(zoo) = &self.zoo else { return Vec::new() };
        names(zoo).into_iter().map(|name| ZooModel::look(&zoo.join(&name), name)).collect()
    }
}

/// Finds a model by name where the environment says; see [`Places::find`].
///
/// # Errors
/// As [`Places::find`].
pub fn find(name: &str) -> Result<Found, PipelineError> {
    Places::of_environment().find(name)
}

impl Model {
    /// Opens a model by any name that [`find`] knows.
    ///
    /// # Errors
    /// As [`Places::find`] and [`Model::open`].
    pub fn find(name: &str) -> Result<Model, PipelineError> {
        match find(name)? {
            Found::Embedded(embedded) => Model::from_folder(name, &embedded.folder()?),
            Found::Folder(path) => Model::from_folder(name, &DiffusersFolder::open(path)?),
            Found::Toy(name) => Model::toy(&name),
        }
    }

    /// A model by its name, of whose folder only the configuration is read: its weights are made from
    /// their names ([`DiffusersFolder::synthetic`]), for measuring.
    ///
    /// # Errors
    /// As [`Model::find`]; a model that is no folder, a folder without a configuration.
    pub fn synthetic(name: &str) -> Result<Model, PipelineError> {
        let wrong = |what: String| PipelineError::Option { option: "synthetic-weights", what };
        let Found::Folder(folder) = find(name)? else {
            return Err(wrong(format!(
                "{name} has weights; this is for a folder with a configuration alone"
            )));
        };
        let files = ["unet/config.json", "config.json"].map(|f| folder.join(f));
        let Some(config) = files.iter().find(|p| p.is_file()) else {
            let what = format!("{}: no config.json or unet/config.json in it", folder.display());
            return Err(wrong(what));
        };
        Model::from_folder(name, &DiffusersFolder::synthetic(Json::read(config, CONFIG_LIMIT)?))
    }
}

/// A folder of the zoo.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ZooModel {
    /// Its name, for `zoo/name`.
    pub name: String,
    /// The `_class_name` of its network, where it says one.
    pub kind: Option<String>,
    /// Numbers in its weights, where they can be read.
    pub parameters: Option<u64>,
    /// The image, in pixels and channels, and the classes, for a model that can be sampled.
    pub about: String,
    /// Why it cannot be sampled; `None` where it can.
    pub not_sampled: Option<String>,
}

impl ZooModel {
    fn look(path: &Path, name: String) -> ZooModel {
        let kind = config(path).and_then(|json| {
            let map: serde_json::Map<String, serde_json::Value> = json.parse().ok()?;
            Some(map.get("_class_name")?.as_str()?.to_string())
        });
        let mut model = ZooModel { name, kind, parameters: None, about: String::new(), not_sampled: None };
        match Model::open(path) {
            Ok(opened) => {
                let shape = opened.image;
                model.not_sampled.clone_from(&opened.unsampled);
                model.kind = Some(opened.about.architecture.into());
                model.parameters = Some(opened.parameters());
                let channels = if shape.c == 1 { "grey".into() } else { format!("{} channels", shape.c) };
                let _ = write!(model.about, "{} x {}, {channels}", shape.h, shape.w);
                match opened.classes().len() {
                    0 => {}
                    n => _ = write!(model.about, ", {n} classes"),
                }
            }
            Err(PipelineError::Model(crate::models::ModelError::Class { found, .. })) => {
                model.parameters = stored(path);
                let classifier = found.ends_with("Classifier");
                let why = if classifier { "a classifier" } else { "not a network known here" };
                model.not_sampled = Some(why.into());
            }
            Err(e) => model.not_sampled = Some(e.to_string()),
        }
        model
    }
}

/// A name that is one folder and no other: neither hidden, nor a way out, nor an option.
fn plain(name: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    (1..=96).contains(&name.len())
        && name.bytes().all(known)
        && !name.starts_with(['.', '-'])
        && !name.contains("..")
        && !name.contains("--")
}

/// The network's configuration in a model folder.
fn config(folder: &Path) -> Option<Json> {
    let files = ["unet/config.json", "config.json"];
    let file = files.iter().map(|f| folder.join(f)).find(|p| p.is_file())?;
    Json::read(&file, CONFIG_LIMIT).ok()
}

/// Numbers in the weights of a folder, whatever network they are for.
fn stored(folder: &Path) -> Option<u64> {
    let files = ["model.safetensors", "diffusion_pytorch_model.safetensors"];
    let file = files.iter().map(|f| folder.join(f)).find(|p| p.is_file())?;
    let weights = Safetensors::open(&file).ok()?;
    let numbers = |name: &String| weights.shape(name).map_or(0, |s| s.iter().product::<usize>() as u64);
    Some(weights.names().iter().map(numbers).sum())
}

/// The models of a folder of models, sorted.
fn names(zoo: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(zoo) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .take(ZOO_LIMIT)
        .filter_map(Result::ok)
        .filter(|e| {
            ["model_index.json", "config.json", "unet/config.json"].iter().any(|f| e.path().join(f).is_file())
        })
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// `models/` here, or beside or above the program.
fn zoo_nearby() -> Option<PathBuf> {
    let here = PathBuf::from("models");
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|p| p.ancestors().skip(1).take(UPWARD)).map(|f| f.join("models"));
    let mut places: Vec<PathBuf> = std::iter::once(here).chain(above).collect();
    if cfg!(debug_assertions) {
        places.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("models"));
    }
    places.into_iter().find(|p| !names(p).is_empty())
}
