//! Model folders written for tests: a tiny `UNet2DModel` with weights made from
//! their names, to be broken in one place each.
#![allow(dead_code)] // each test binary uses its part

use safetensors::tensor::{serialize, Dtype, TensorView};
use serde_json::{json, Value};
use std::path::{Path, PathBuf};
use undiffuse::graph::Graph;
use undiffuse::models;
use undiffuse::weights::{Deterministic, Json, Recorder, Weights};

/// A tensor by name, shape and numbers.
pub type Tensor = (String, Vec<usize>, Vec<f32>);

/// What is written into a folder.
#[derive(Clone)]
pub struct Model {
    pub config: Value,
    pub scheduler: Option<Value>,
    pub index: Option<Value>,
    pub tensors: Vec<Tensor>,
}

/// Two blocks of 32 channels, images of 8 x 8.
pub fn config() -> Value {
    json!({
        "_class_name": "UNet2DModel",
        "sample_size": 8,
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
        "block_out_channels": [32, 32],
        "layers_per_block": 1,
        "norm_num_groups": 8,
        "attention_head_dim": 8,
    })
}

impl Model {
    /// The model of [`config`], with DDPM's own schedule.
    pub fn tiny() -> Model {
        Model::of(config())
    }

    /// A model of any configuration that is accepted.
    pub fn of(config: Value) -> Model {
        let recorder = Recorder::new(&Deterministic);
        let json = Json::new("config.json", config.to_string());
        let model = models::open(&json, None).expect("a good configuration");
        model.build(&recorder, &mut Graph::new()).expect("a network");
        let numbers = |name: &str, shape: &[usize]| Deterministic.get(name, shape).unwrap().to_f32().unwrap();
        let tensors = recorder.asked().into_iter().map(|(name, shape)| {
            let numbers = numbers(&name, &shape);
            (name, shape, numbers)
        });
        let tensors = tensors.collect();
        let scheduler = json!({ "_class_name": "DDPMScheduler", "clip_sample": true });
        Model { config, scheduler: Some(scheduler), index: None, tensors }
    }

    /// With three named classes and, behind them, an empty one.
    pub fn with_classes() -> Model {
        let mut config = config();
        config["num_class_embeds"] = json!(4);
        let mut model = Model::of(config);
        model.index = Some(json!({ "id2label": { "0": "cat", "1": "dog", "2": "duck" }, "null_class": 3 }));
        model
    }

    /// One field of `config.json` replaced.
    pub fn set(mut self, field: &str, value: Value) -> Model {
        self.config[field] = value;
        self
    }

    /// The tensor `name`.
    pub fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|t| t.0 == name).expect("a tensor of the model")
    }

    /// The safetensors file.
    pub fn weights(&self) -> Vec<u8> {
        weights(&self.tensors)
    }

    /// Writes the folder as diffusers does.
    pub fn write(&self, folder: &Path) -> PathBuf {
        self.write_with(folder, &self.weights())
    }

    /// [`Model::write`] with other bytes for the weights.
    pub fn write_with(&self, folder: &Path, weights: &[u8]) -> PathBuf {
        put(folder, "unet/config.json", format!("{:#}", self.config).as_bytes());
        put(folder, "unet/diffusion_pytorch_model.safetensors", weights);
        if let Some(scheduler) = &self.scheduler {
            put(folder, "scheduler/scheduler_config.json", format!("{scheduler:#}").as_bytes());
        }
        if let Some(index) = &self.index {
            put(folder, "model_index.json", index.to_string().as_bytes());
        }
        folder.to_path_buf()
    }
}

/// A safetensors file of f32 tensors.
pub fn weights(tensors: &[Tensor]) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|t| t.2.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (
            name.as_str(),
            TensorView::new(Dtype::F32, shape.clone(), bytes).expect("numbers that fill the shape"),
        )
    });
    serialize(views, None).expect("a file")
}

/// A safetensors file of any header.
pub fn raw_file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

/// Writes a file and the folders above it.
pub fn put(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join(file);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a writable temporary folder");
    std::fs::write(path, bytes).expect("a writable temporary folder");
}
