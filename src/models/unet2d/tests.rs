//! Every golden case asks for exactly the tensors that diffusers has; bad configurations name their fault.

use super::*;
use crate::models::Labels;
use crate::weights::{Deterministic, Recorder};
use std::collections::BTreeSet;
use std::path::PathBuf;

fn cases() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/diffusers");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    cases
}

fn read(path: PathBuf) -> Json {
    Json::read(&path, 1 << 20).unwrap()
}

#[test]
fn asks_for_the_tensors_of_diffusers_and_no_others() {
    assert!(cases().len() >= 50);
    for case in cases() {
        let model = crate::models::open(&read(case.join("unet/config.json")), None).unwrap();
        let recorder = Recorder::new(&Deterministic);
        let network = model.build(&recorder, &mut Graph::new()).unwrap_or_else(|e| panic!("{case:?}: {e}"));
        assert_eq!(network.class_labels.is_some(), model.describe().labels != Labels::None, "{case:?}");
        let line = |(name, shape): &(String, Vec<usize>)| {
            let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
            format!("{name} {}", sizes.join("x"))
        };
        let asked: BTreeSet<String> = recorder.asked().iter().map(line).collect();
        let text = std::fs::read_to_string(case.join("unet/params.txt")).unwrap();
        let wanted: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        let difference: Vec<_> = wanted.symmetric_difference(&asked).collect();
        assert!(difference.is_empty(), "{case:?}: {difference:?}");
        assert!(model.notes().is_empty(), "{case:?}: {:?}", model.notes());
    }
}

#[test]
fn shapes_of_taps_and_outputs_are_those_of_the_goldens() {
    for case in cases() {
        let io = crate::weights::Safetensors::open(&case.join("io.safetensors")).unwrap();
        let mut graph = Graph::new();
        let model = crate::models::open(&read(case.join("unet/config.json")), None).unwrap();
        let network = model.build(&Deterministic, &mut graph).unwrap();
        let mut named = graph.taps().to_vec();
        named.extend([("sample".to_owned(), network.sample), ("output".to_owned(), network.output)]);
        for (name, tensor) in named {
            // The given cases leave some taps out.
            let Some(&[_, c, h, w]) = io.shape(&name) else { continue };
            assert_eq!(graph.shape(tensor), Shape::new(h, w, c), "{case:?} {name}");
        }
        let sample = model.describe().sample;
        assert_eq!(graph.shape(network.sample), sample);
        assert_eq!(graph.shape(network.output), sample.with_c(model.describe().out_channels));
    }
}

#[test]
fn absent_fields_take_the_values_of_diffusers() {
    let config = Config::parse(&Json::new("c", "{}")).unwrap();
    assert_eq!(config, Config { origin: "c".into(), ..Config::default() });
    let size = Some((64, 64));
    let model = crate::models::open(&Json::new("c", "{}"), size).unwrap();
    assert_eq!(model.describe().sample, Shape::new(64, 64, 3));
    assert!(crate::models::open(&Json::new("c", "{}"), None)
        .unwrap_err()
        .to_string()
        .contains("sample_size"));
    let json = Json::new("c", r#"{"sample_size": 8, "future_field": 1, "_diffusers_version": "9"}"#);
    let notes = crate::models::open(&json, None).unwrap().notes();
    assert!(notes.len() == 1 && notes[0].contains("future_field"), "{notes:?}");
}

#[test]
fn bad_configurations_name_field_value_and_what_is_accepted() {
    let base = r#""sample_size":8,"block_out_channels":[32,64],"down_block_types":["DownBlock2D","AttnDownBlock2D"],"up_block_types":["AttnUpBlock2D","UpBlock2D"]"#;
    let skip = r#""sample_size":8,"block_out_channels":[32,64],"norm_num_groups":null,"down_block_types":["SkipDownBlock2D","SkipDownBlock2D"],"up_block_types":["SkipUpBlock2D","SkipUpBlock2D"]"#;
    let plain = r#""sample_size":8,"block_out_channels":[32,64],"down_block_types":["DownBlock2D","DownBlock2D"],"up_block_types":["UpBlock2D","UpBlock2D"]"#;
    let cases: &[(&str, &str, &[&str])] = &[
        (base, r#""_class_name":"UNet2DConditionModel""#, &["UNet2DConditionModel", "UNet2DModel"]),
        (base, r#""in_channels":0"#, &["in_channels", "0"]),
        (base, r#""out_channels":99999999"#, &["out_channels", "99999999"]),
        (base, r#""in_channels":-1"#, &["line", "-1"]),
        (base, r#""in_channels":"three""#, &["line 1", "three"]),
        (base, r#""layers_per_block":0"#, &["layers_per_block"]),
        (base, r#""act_fn":"tanh""#, &["act_fn", "tanh", "mish"]),
        (base, r#""attention_head_dim":0"#, &["attention_head_dim", "0"]),
        (base, r#""attention_head_dim":65"#, &["attention_head_dim", "65", "64 channels"]),
        (base, r#""norm_num_groups":5"#, &["norm_num_groups", "5 groups", "32 channels"]),
        (base, r#""norm_num_groups":0"#, &["norm_num_groups"]),
        (base, r#""norm_num_groups":null"#, &["norm_num_groups", "null", "DownBlock2D"]),
        (base, r#""attn_norm_num_groups":7"#, &["mid_block", "7 groups"]),
        (base, r#""norm_eps":-1.0"#, &["norm_eps"]),
        (
            base,
            r#""mid_block_type":"UNetMidBlock2DCrossAttn""#,
            &["mid_block_type", "UNetMidBlock2DCrossAttn", "null"],
        ),
        (base, r#""mid_block_scale_factor":0"#, &["mid_block_scale_factor"]),
        (
            base,
            r#""resnet_time_scale_shift":"spatial""#,
            &["resnet_time_scale_shift", "spatial", "scale_shift"],
        ),
        (base, r#""time_embedding_type":"rotary""#, &["time_embedding_type", "rotary", "fourier"]),
        (base, r#""time_embedding_type":"learned""#, &["num_train_timesteps"]),
        (base, r#""time_embedding_dim":99999999"#, &["time_embedding_dim"]),
        (base, r#""freq_shift":16"#, &["freq_shift"]),
        (base, r#""class_embed_type":"projection""#, &["class_embed_type", "projection", "identity"]),
        (base, r#""num_class_embeds":0"#, &["num_class_embeds"]),
        (base, r#""downsample_type":"magic""#, &["up_block_types"; 0]),
        (base, r#""upsample_type":"magic""#, &["upsample_type", "magic", "resnet"]),
        (base, r#""downsample_padding":2"#, &["downsample_padding", "2"]),
        (plain, r#""add_attention":1"#, &["line"]),
        ("", r#""block_out_channels":[]"#, &["block_out_channels"]),
        ("", r#""sample_size":8,"block_out_channels":[32]"#, &["down_block_types", "4 blocks", "1 levels"]),
        ("", r#""sample_size":12"#, &["sample_size", "12 x 12", "multiples of 8"]),
        ("", r#""sample_size":[8,0]"#, &["sample_size"]),
        ("", r#""sample_size":"big""#, &["sample_size"]),
        ("", r#""sample_size":[1,2,3]"#, &["sample_size"]),
        (skip, r#""in_channels":1"#, &["down_block_types", "3 channels"]),
        (skip, r#""out_channels":6"#, &["up_block_types", "3 channels"]),
        (
            "",
            r#""sample_size":8,"block_out_channels":[32],"down_block_types":["CrossAttnDownBlock2D"],"up_block_types":["UpBlock2D"]"#,
            &["CrossAttnDownBlock2D", "AttnSkipDownBlock2D"],
        ),
        (
            "",
            r#""sample_size":8,"block_out_channels":[32],"down_block_types":["UpBlock2D"],"up_block_types":["UpBlock2D"]"#,
            &["down_block_types", "`UpBlock2D`"],
        ),
        (
            "",
            r#""sample_size":8,"block_out_channels":[32,32],"down_block_types":["DownBlock2D","DownBlock2D"],"up_block_types":["SkipUpBlock2D","UpBlock2D"]"#,
            &["up_blocks.1"],
        ),
    ];
    for (base, field, says) in cases {
        let comma = if base.is_empty() { "" } else { "," };
        let json = Json::new("model/config.json", format!("{{{base}{comma}{field}}}"));
        let result = crate::models::open(&json, None);
        if says.is_empty() {
            // A type that no block of this network reads.
            assert!(result.is_ok(), "{field}: {result:?}");
            continue;
        }
        let text = result.err().unwrap_or_else(|| panic!("{field} is accepted")).to_string();
        assert!(text.contains("model/config.json"), "{text}");
        for word in *says {
            assert!(text.contains(word), "{field}: `{text}` lacks `{word}`");
        }
    }
}

#[test]
fn a_foreign_checkpoint_is_refused_with_names_and_shapes() {
    let case = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("models/emoji32");
    let folder = crate::weights::DiffusersFolder::open(&case).unwrap();
    let model = crate::models::open(&folder.config, None).unwrap();
    let recorder = Recorder::new(folder.weights());
    model.build(&recorder, &mut Graph::new()).unwrap();
    assert_eq!(recorder.unused(), [""; 0]);
    assert_eq!(model.describe().labels, Labels::Class { classes: 11 });
    assert_eq!(folder.index.null_class, Some(10));

    let mut config = Config::parse(&folder.config).unwrap();
    config.num_class_embeds = Some(12);
    let text = build(&config, folder.weights(), &mut Graph::new()).unwrap_err().to_string();
    assert!(text.contains("class_embedding.weight") && text.contains("[12, 128]"), "{text}");
    config.num_class_embeds = None;
    config.layers_per_block = 2;
    let text = build(&config, folder.weights(), &mut Graph::new()).unwrap_err().to_string();
    assert!(text.contains("down_blocks.0.resnets.1") && text.contains("near"), "{text}");
}
