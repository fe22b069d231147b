//! Weights that are damaged, lie, or belong to another model.

use crate::model_folder::{put, raw_file, Model, Tensor};
use crate::{refused, refused_with};
use undiffuse::engine::EngineError;
use undiffuse::gpu::{Gpu, Options};
use undiffuse::pipeline::{Pipeline, PipelineError, Sample};

const FILE: &str = "diffusion_pytorch_model.safetensors";

/// Of the tiny model with other bytes for the weights.
#[track_caller]
fn file(bytes: &[u8], words: &[&str]) {
    refused(words, |f| drop(Model::tiny().write_with(f, bytes)));
}

/// Of the tiny model with one tensor changed.
#[track_caller]
fn tensor(name: &str, words: &[&str], change: impl FnOnce(&mut Tensor)) -> String {
    refused(words, |f| {
        let mut model = Model::tiny();
        change(model.tensor(name));
        model.write(f);
    })
}

#[test]
fn truncated_at_any_length() {
    let whole = Model::tiny().weights();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    file(&[], &[FILE, "empty"]);
    file(&whole[..1], &[FILE, "damaged", "1 bytes"]);
    file(&whole[..7], &[FILE, "damaged", "7 bytes"]);
    for at in [8, 9, header - 1, header, header + 1, whole.len() / 2, whole.len() - 4, whole.len() - 1] {
        file(&whole[..at], &[FILE, "damaged: truncated", &at.to_string()]);
    }
    let mut longer = whole;
    longer.push(0);
    file(&longer, &[FILE, "damaged", "beyond the last tensor"]);
}

#[test]
fn headers_that_lie() {
    file(&[&u64::MAX.to_le_bytes()[..], b"{}"].concat(), &[FILE, "a header of 18446744073709551615 bytes"]);
    file(&[&(1u64 << 40).to_le_bytes()[..], b"{}"].concat(), &[FILE, "a header of 1099511627776 bytes"]);
    file(&raw_file("{", 0), &[FILE, "header", "line 1"]);
    file(&raw_file("\u{fffd}", 4), &[FILE, "header"]);
    let one = |shape: &str, offsets: &str| {
        format!(r#"{{"conv_in.bias":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (shape, offsets, words) in [
        ("[32]", "[0,1280]", "`conv_in.bias`: shape [32] of F32 needs 128 bytes"),
        ("[32]", "[64,192]", "truncated"),
        ("[32]", "[64,128]", "conv_in.bias"),
        ("[16]", "[64,128]", "conv_in.bias"),
        ("[32]", "[128,0]", "`conv_in.bias`"),
        ("[32]", "[0,18446744073709551615]", "`conv_in.bias`"),
        ("[33]", "[0,128]", "conv_in.bias"),
        ("[18446744073709551615,2]", "[0,128]", "conv_in.bias"),
        ("[4294967296,4294967296,16]", "[0,128]", "more than can be counted"),
        ("[-32]", "[0,128]", "header"),
    ] {
        file(&raw_file(&one(shape, offsets), 128), &[FILE, "damaged", words]);
    }
    let overlap = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    file(&raw_file(overlap, 12), &[FILE, "damaged", "b"]);
}

#[test]
fn integers_are_no_weights() {
    refused(&["`conv_in.bias`", "I64", "F32, F16 or BF16"], |f| {
        let header = r#"{"conv_in.weight":{"dtype":"F32","shape":[32,3,3,3],"data_offsets":[0,3456]},
            "conv_in.bias":{"dtype":"I64","shape":[32],"data_offsets":[3456,3712]},
            "time_embedding.linear_1.weight":{"dtype":"F32","shape":[128,32],"data_offsets":[3712,20096]},
            "time_embedding.linear_1.bias":{"dtype":"F32","shape":[128],"data_offsets":[20096,20608]},
            "time_embedding.linear_2.weight":{"dtype":"F32","shape":[128,128],"data_offsets":[20608,86144]},
            "time_embedding.linear_2.bias":{"dtype":"F32","shape":[128],"data_offsets":[86144,86656]}}"#;
        Model::tiny().write_with(f, &raw_file(header, 86656));
    });
}

#[test]
fn a_tensor_that_is_not_there() {
    let name = "up_blocks.0.attentions.1.to_k.weight";
    refused(&["no tensor", "to_k.weight", FILE, "near: ", "config and weights"], |f| {
        let mut model = Model::tiny();
        model.tensors.retain(|t| t.0 != name);
        model.write(f);
    });
    file(&raw_file("{}", 0), &["no tensor `", FILE]);
}

#[test]
fn a_tensor_of_another_shape() {
    let words = ["`conv_out.weight`", "[3, 32, 3, 3]", "[3, 32, 1, 9]", FILE];
    tensor("conv_out.weight", &words, |t| t.1 = vec![3, 32, 1, 9]);
}

#[test]
fn numbers_that_are_none() {
    let name = "down_blocks.1.resnets.0.conv1.weight";
    for (value, word) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        tensor(name, &[name, word, "index 1000", "checkpoint is broken"], |t| t.2[1000] = value);
    }
}

#[test]
fn numbers_that_overflow_name_op_step_and_image() {
    // Finite in the file; the sum over 9 * 32 inputs is not.
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::tiny();
    for (i, v) in model.tensor("mid_block.resnets.0.conv1.weight").2.iter_mut().enumerate() {
        *v = if i % 2 == 0 { 3e38 } else { -3e38 };
    }
    model.write(&dir.path().join("model"));
    for sampler in ["ddim", "ddpm"] {
        let options = ["--sampler", sampler, "--first-index", "5"];
        let words = ["image 5", "mid_block.resnets.0.conv1", "step 1 (", "NaN or infinite", "weights"];
        refused_with(dir.path(), &options, &words);
    }
}

#[test]
fn folders_without_usable_weights() {
    let config = Model::tiny().config.to_string();
    let folder = |files: &[&str], words: &[&str]| {
        refused(words, |f| {
            put(f, "unet/config.json", config.as_bytes());
            files.iter().for_each(|file| put(f, file, b"x"));
        })
    };
    folder(&[], &["no weights", "unet", FILE]);
    folder(&["unet/diffusion_pytorch_model.bin"], &["diffusion_pytorch_model.bin", "safetensors"]);
    folder(&["unet/ema.safetensors"], &["no weights", "`ema.safetensors`", FILE]);
    folder(&["unet/diffusion_pytorch_model.safetensors.index.json"], &["index.json, line 1"]);
    let index = r#"{"weight_map":{"conv_in.weight":"part.safetensors"}}"#;
    refused(&["part.safetensors", "not there"], |f| {
        put(f, "unet/config.json", config.as_bytes());
        put(f, "unet/diffusion_pytorch_model.safetensors.index.json", index.as_bytes());
    });
    refused(&["`../../secret`", "not the name of a file"], |f| {
        put(f, "unet/config.json", config.as_bytes());
        let index = index.replace("part.safetensors", "../../secret");
        put(f, "unet/diffusion_pytorch_model.safetensors.index.json", index.as_bytes());
    });
    refused(&["config.json", "wanted"], |f| put(f, "readme.txt", b"x"));
    refused(&["model", "no such folder"], |_| ());
    refused(&["model", "name the folder"], |f| std::fs::write(f, b"x").unwrap());
}

#[test]
fn one_bad_image_of_a_later_batch_is_the_one_named() {
    let gpu = Gpu::open(&Options::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::with_classes();
    let (_, shape, numbers) = model.tensor("class_embedding.weight");
    let width = shape[1];
    numbers[2 * width..3 * width].fill(3e38);
    let pipeline = Pipeline::open(&gpu, model.write(dir.path())).unwrap();
    for batch in [2, 4] {
        let options = Sample { count: 4, batch: Some(batch), steps: Some(2), ..Sample::default() };
        let mut job = pipeline.sample(&options).unwrap();
        let error = job.finish().expect_err("image 2 is of the class 2");
        let PipelineError::Engine(EngineError::NotFinite { image, origin, .. }) = &error else {
            panic!("{error}");
        };
        assert_eq!(*image, 2, "{error}");
        assert!(origin.step.starts_with("step 1 "), "{error}");
        assert!(origin.op.contains("resnets.0"), "{error}");
        // Batches before it are kept.
        assert_eq!(job.take().len(), if batch == 2 { 2 } else { 0 });
    }
}
