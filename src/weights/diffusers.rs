//! A model folder as diffusers saves it.
//!
//! Two layouts: `unet/` and `scheduler/` below the folder, or everything flat in it
//! (`config.json`, `scheduler_config.json`, weights). Weights are safetensors, one file
//! or several with an index. `model_index.json` is optional; `id2label` and
//! `null_class` in it are ours.

use super::json::CONFIG_LIMIT;
use super::{Bytes, Deterministic, Fingerprint, Json, Safetensors, Sharded, Weights, WeightsError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names that weights may have, in the order of preference.
const WEIGHTS: [&str; 7] = [
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.fp16.safetensors",
    "diffusion_pytorch_model.safetensors.index.fp16.json",
    "diffusion_pytorch_model.fp16.safetensors.index.json",
    "model.safetensors",
    "model.safetensors.index.json",
];

/// What is read of a `model_index.json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelIndex {
    /// Names of the classes by label.
    pub id2label: BTreeMap<u32, String>,
    /// The label that stands for no class, for guidance.
    pub null_class: Option<u32>,
    /// Parts of the pipeline that are not used, as `name (class)`.
    pub unused: Vec<String>,
}

/// An opened model folder: texts of its configurations, and its weights, mapped.
pub struct DiffusersFolder {
    /// The network's `config.json`.
    pub config: Json,
    /// The `scheduler_config.json`, where there is one.
    pub scheduler: Option<Json>,
    /// From `model_index.json`; empty where there is none.
    pub index: ModelIndex,
    /// What the user may want to know: nothing here is an error.
    pub notes: Vec<String>,
    weights: Arc<dyn Weights>,
}

impl DiffusersFolder {
    /// Opens a model folder, or the `unet` folder alone.
    ///
    /// # Errors
    /// [`WeightsError::NotFound`] for a missing folder, config or weights; [`WeightsError::Unsupported`]
    /// where the only weights are pickles; those of [`Json`], [`Safetensors`] and [`Sharded`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let root = path.as_ref();
        if !root.is_dir() {
            let what = if root.exists() { "not a folder; name the folder" } else { "no such folder" };
            let what = format!("{what} (wanted: a model folder as diffusers saves it)");
            return Err(WeightsError::NotFound { path: root.to_owned(), what });
        }
        let nested = root.join("unet");
        let network = if nested.is_dir() { nested } else { root.to_owned() };
        let config = network.join("config.json");
        if !config.is_file() {
            let what = "no such file (wanted: unet/config.json or config.json in the model's folder)";
            return Err(WeightsError::NotFound { path: config, what: what.to_owned() });
        }
        let mut notes = Vec::new();
        let config = Json::read(&config, CONFIG_LIMIT)?;
        let scheduler = [root.join("scheduler/scheduler_config.json"), root.join("scheduler_config.json")]
            .iter()
            .find(|p| p.is_file())
            .map(|p| Json::read(p, CONFIG_LIMIT))
            .transpose()?;
        if scheduler.is_none() {
            notes.push("no scheduler_config.json: the noise schedule must be given".to_owned());
        }
        let index = root.join("model_index.json");
        let index = match index.is_file() {
            true => ModelIndex::parse(&Json::read(&index, CONFIG_LIMIT)?)?,
            false => ModelIndex::default(),
        };
        notes.extend(index.unused.iter().map(|part| format!("model_index.json: {part} is not used")));
        let weights = open_weights(&network)?;
        Ok(Self { config, scheduler, index, notes, weights })
    }

    /// A model whose files are in memory, such as one embedded in the program.
    /// `origin` is what errors call it.
    ///
    /// # Errors
    /// [`WeightsError::Json`] for a bad `index`, [`WeightsError::Damaged`] for bad `weights`.
    pub fn from_bytes(
        origin: &str,
        config: &str,
        scheduler: Option<&str>,
        index: Option<&str>,
        weights: impl Into<Bytes>,
    ) -> Result<Self, WeightsError> {
        let json = |file: &str, text: &str| Json::new(format!("{origin}/{file}"), text);
        let index = index.map(|text| ModelIndex::parse(&json("model_index.json", text))).transpose()?;
        Ok(Self {
            config: json("unet/config.json", config),
            scheduler: scheduler.map(|text| json("scheduler/scheduler_config.json", text)),
            index: index.unwrap_or_default(),
            notes: Vec::new(),
            weights: Arc::new(Safetensors::from_bytes(format!("{origin}/unet/{}", WEIGHTS[0]), weights)?),
        })
    }

    /// A configuration alone, with [`Deterministic`] weights: to measure speed and memory of a
    /// network that nobody has trained. What it draws means nothing.
    ///
    /// # Errors
    /// None here; a configuration that is wrong shows when the model is opened.
    pub fn synthetic(config: Json) -> Self {
        Self {
            config,
            scheduler: None,
            index: ModelIndex::default(),
            notes: vec!["the weights are synthetic: what is drawn means nothing".to_owned()],
            weights: Arc::new(Deterministic),
        }
    }

    /// A configuration and tensors that were opened on their own.
    pub fn with_weights(config: Json, weights: Arc<dyn Weights>) -> Self {
        Self { config, scheduler: None, index: ModelIndex::default(), notes: Vec::new(), weights }
    }

    /// The network's tensors.
    pub fn weights(&self) -> &dyn Weights {
        self.weights.as_ref()
    }

    /// What tells this model from every other; nothing is read before it is asked.
    pub fn fingerprint(&self) -> Fingerprint {
        let texts = [Some(&self.config), self.scheduler.as_ref()].map(|j| j.map(|j| j.text.as_str()));
        let labels =
            serde_json::json!({ "id2label": self.index.id2label, "null_class": self.index.null_class });
        Fingerprint::new(texts[0].unwrap_or_default(), texts[1], &labels, self.weights.clone())
    }
}

impl ModelIndex {
    /// Reads a `model_index.json`.
    ///
    /// # Errors
    /// [`WeightsError::Json`], also where `id2label` or `null_class` are not what they should be.
    pub fn parse(json: &Json) -> Result<Self, WeightsError> {
        let map: Map<String, Value> = json.parse()?;
        let bad = |what: String| WeightsError::Json { path: json.path.clone(), line: 0, column: 0, what };
        let mut index = ModelIndex::default();
        for (key, value) in &map {
            match (key.as_str(), value) {
                ("id2label", Value::Object(labels)) => {
                    for (id, label) in labels {
                        let (Ok(id), Some(label)) = (id.parse(), label.as_str()) else {
                            return Err(bad(format!("id2label: \"{id}\": {label} is not number: name")));
                        };
                        index.id2label.insert(id, label.to_owned());
                    }
                }
                ("null_class", value) if value.as_u64().is_some() || value.is_null() => {
                    index.null_class = value.as_u64().and_then(|v| u32::try_from(v).ok());
                }
                ("id2label" | "null_class", value) => {
                    return Err(bad(format!("{key}: {value} is neither an object nor a label")));
                }
                ("unet" | "scheduler", _) => {}
                (part, Value::Array(names)) => {
                    if let Some(class) = names.get(1).and_then(Value::as_str) {
                        index.unused.push(format!("{part} ({class})"));
                    }
                }
                _ => {}
            }
        }
        Ok(index)
    }
}

fn open_weights(folder: &Path) -> Result<Arc<dyn Weights>, WeightsError> {
    for name in WEIGHTS {
        let path = folder.join(name);
        if path.is_file() {
            return match name.ends_with(".json") {
                true => Ok(Arc::new(Sharded::open(&path)?)),
                false => Ok(Arc::new(Safetensors::open(&path)?)),
            };
        }
    }
    let files = list(folder)?;
    let has = |ends: &[&str]| files.iter().find(|f| ends.iter().any(|e| f.ends_with(e))).cloned();
    let wanted = format!("supported are {}", WEIGHTS.join(", "));
    if let Some(pickle) = has(&[".bin", ".pth", ".pt", ".ckpt", ".pkl", ".msgpack", ".h5", ".onnx"]) {
        let what =
            format!("weights of this kind are not read in a diffusers folder: save as safetensors; {wanted}");
        return Err(WeightsError::Unsupported { path: folder.join(pickle), what });
    }
    let other = has(&[".safetensors"]).map(|f| format!("; `{f}` has another name")).unwrap_or_default();
    Err(WeightsError::NotFound { path: folder.to_owned(), what: format!("no weights{other}; {wanted}") })
}

fn list(folder: &Path) -> Result<Vec<String>, WeightsError> {
    let io = |source| WeightsError::Io { path: PathBuf::from(folder), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        names.push(entry.map_err(io)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn put(folder: &Path, file: &str, bytes: &[u8]) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn tensor_file(name: &str) -> Vec<u8> {
        let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(2.5f32.to_le_bytes());
        bytes
    }

    fn error(folder: &Path) -> String {
        DiffusersFolder::open(folder).err().unwrap().to_string()
    }

    #[test]
    fn opens_both_layouts_and_reads_the_index() {
        let root = tempfile::tempdir().unwrap();
        let (nested, flat) = (root.path().join("n"), root.path().join("f"));
        put(&nested, "unet/config.json", b"{}");
        put(&nested, "unet/diffusion_pytorch_model.fp16.safetensors", &tensor_file("a"));
        put(&nested, "scheduler/scheduler_config.json", b"{}");
        let index = br#"{"_class_name":"LDMPipeline","unet":["diffusers","UNet2DModel"],"vqvae":["diffusers","VQModel"],"id2label":{"3":"cat"},"null_class":10}"#;
        put(&nested, "model_index.json", index);
        let model = DiffusersFolder::open(&nested).unwrap();
        assert_eq!(model.index.id2label[&3], "cat");
        assert_eq!(model.index.null_class, Some(10));
        assert_eq!(model.notes, ["model_index.json: vqvae (VQModel) is not used"]);
        assert!(model.scheduler.is_some());
        assert_eq!(model.weights().get("a", &[1]).unwrap().to_f32().unwrap(), [2.5]);

        put(&flat, "config.json", b"{}");
        put(&flat, "model.safetensors", &tensor_file("b"));
        let model = DiffusersFolder::open(&flat).unwrap();
        assert_eq!(model.notes.len(), 1);
        assert!(model.weights().contains("b"));
    }

    #[test]
    fn opens_shards_and_checks_the_index() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        put(folder, "config.json", b"{}");
        put(folder, "one.safetensors", &tensor_file("a"));
        put(folder, "two.safetensors", &tensor_file("b"));
        let index = "diffusion_pytorch_model.safetensors.index.json";
        put(folder, index, br#"{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}"#);
        let model = DiffusersFolder::open(folder).unwrap();
        assert_eq!(model.weights().names(), ["a", "b"]);
        assert!(model.weights().get("b", &[1]).is_ok());
        assert!(model.weights().get("c", &[1]).unwrap_err().to_string().contains("`c`"));
        for (bad, says) in [
            (r#"{"weight_map":{"a":"../one.safetensors"}}"#, "not the name of a file"),
            (r#"{"weight_map":{"a":"three.safetensors"}}"#, "not there"),
            (r#"{"weight_map":{"z":"one.safetensors"}}"#, "`z` is not in one.safetensors"),
            (r#"{"weight_map":7}"#, "line 1"),
        ] {
            put(folder, index, bad.as_bytes());
            let text = error(folder);
            assert!(text.contains(says), "{text}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path();
        assert!(error(&folder.join("nowhere")).contains("no such folder"));
        assert!(error(folder).contains("unet/config.json or config.json"));
        put(folder, "config.json", b"{}");
        assert!(error(folder).contains("no weights; supported are diffusion_pytorch_model.safetensors"));
        put(folder, "diffusion_pytorch_model.bin", b"x");
        assert!(error(folder).contains("diffusion_pytorch_model.bin: weights of this kind"));
        put(folder, "diffusion_pytorch_model.safetensors", b"");
        assert!(error(folder).contains("empty"));
        put(folder, "model_index.json", b"{\n \"unet\": [,]\n}");
        assert!(error(folder).contains("line 2"));
        put(folder, "model_index.json", br#"{"id2label":{"x":"y"}}"#);
        assert!(error(folder).contains("id2label"));
        put(folder, "model_index.json", &vec![b' '; CONFIG_LIMIT as usize + 1]);
        assert!(error(folder).contains("1048577 bytes"));
        put(folder, "model_index.json", &[0xff]);
        assert!(error(folder).contains("utf-8"));
    }
}
