//! Configurations of the network and of its schedule.

use crate::model_folder::{put, Model};
use crate::refused;
use serde_json::{json, Value};

#[track_caller]
fn field(name: &str, value: Value, words: &[&str]) {
    let words = [&["config.json"], words].concat();
    refused(&words, |f| drop(Model::tiny().set(name, value).write(f)));
}

#[track_caller]
fn schedule(name: &str, value: Value, words: &[&str]) {
    let words = [&["scheduler_config.json", name], words].concat();
    refused(&words, |f| {
        let mut model = Model::tiny();
        model.scheduler = Some(json!({ name: value }));
        model.write(f);
    });
}

#[test]
fn another_class_or_block() {
    field("_class_name", json!("UNet2DConditionModel"), &["`UNet2DConditionModel`", "UNet2DModel"]);
    let blocks = json!(["DownBlock2D", "CrossAttnDownBlock2D"]);
    field("down_block_types", blocks, &["down_block_types", "`CrossAttnDownBlock2D`", "AttnDownBlock2D"]);
    field("up_block_types", json!(["UpBlock2D", "DownBlock2D"]), &["up_block_types", "`DownBlock2D`"]);
    field("mid_block_type", json!("Mid"), &["mid_block_type", "`Mid`", "UNetMidBlock2D"]);
    field("act_fn", json!("tanh"), &["act_fn", "`tanh`", "silu"]);
    field("time_embedding_type", json!("none"), &["time_embedding_type", "`none`", "fourier"]);
    field("class_embed_type", json!("projection"), &["class_embed_type", "timestep"]);
    field("resnet_time_scale_shift", json!("x"), &["resnet_time_scale_shift", "scale_shift"]);
    field("downsample_padding", json!(2), &["downsample_padding", "0, 1"]);
}

#[test]
fn a_file_of_another_system() {
    refused(&["config.json", "_class_name", "(none)", "supported: UNet2DModel"], |f| {
        let mut model = Model::tiny();
        model.config = json!({ "name": "ncsnpp", "ch_mult": "1,1,2,4" });
        model.write(f);
    });
}

#[test]
fn sizes_that_cannot_be() {
    for name in ["in_channels", "out_channels", "sample_size", "layers_per_block", "norm_num_groups"] {
        field(name, json!(0), &[name, "0"]);
        field(name, json!(-1), &["line", name]);
        field(name, json!(1_000_000_000_000u64), &[name, "1000000000000"]);
        field(name, json!(u64::MAX), &[name, "18446744073709551615"]);
        field(name, json!(1e30), &["line", name]);
        field(name, json!("3"), &["line", name]);
    }
    field("attention_head_dim", json!(0), &["attention_head_dim", "0"]);
    field("attention_head_dim", json!(u64::MAX), &["attention_head_dim", "18446744073709551615"]);
    field("sample_size", json!(1_000_000_000), &["sample_size", "1000000000", "possible"]);
    field("sample_size", json!([8, 0]), &["sample_size", "8 x 0"]);
    field("sample_size", json!([8, 8, 8]), &["sample_size", "[height, width]"]);
    field("sample_size", json!(7), &["sample_size", "multiples of 2"]);
    field("sample_size", Value::Null, &["sample_size", "height and width"]);
    for n in [0, 1_000_000_000_000u64, u64::MAX] {
        field("block_out_channels", json!([32, n]), &["block_out_channels", &n.to_string(), "possible"]);
    }
    field("block_out_channels", json!([]), &["block_out_channels", "0 levels"]);
    field("time_embedding_dim", json!(u64::MAX), &["time_embedding_dim", "at most"]);
    field("num_class_embeds", json!(0), &["num_class_embeds"]);
    field("num_class_embeds", json!(u64::MAX), &["num_class_embeds", "possible"]);
    field("norm_num_groups", json!(5), &["norm_num_groups", "5 groups do not divide 32"]);
    field("norm_eps", json!(-1.0), &["norm_eps", "-1"]);
    field("mid_block_scale_factor", json!(0.0), &["mid_block_scale_factor"]);
}

#[test]
fn large_sizes_that_could_be_end_at_the_weights_or_the_adapter() {
    // Nothing of this is allocated.
    let model = |name: &str, value: Value, words: &[&str]| {
        refused(words, |f| drop(Model::tiny().set(name, value).write(f)));
    };
    let widest = json!([65536, 65536]);
    model("block_out_channels", widest, &["time_embedding.linear_1.weight", "[262144, 65536]", "[128, 32]"]);
    model("num_class_embeds", json!(1 << 24), &["no tensor `class_embedding.weight`"]);
    model("sample_size", json!(32768), &["empty or too large", "sample_size"]);
    model("sample_size", json!(2048), &["conv2d", "max_storage_buffer_binding_size = 536870912", "--batch"]);
}

#[test]
fn lists_of_unequal_length() {
    field("down_block_types", json!(["DownBlock2D"]), &["down_block_types", "1 blocks", "2 levels"]);
    field(
        "up_block_types",
        json!(["UpBlock2D", "UpBlock2D", "UpBlock2D"]),
        &["up_block_types", "3 blocks", "2 levels"],
    );
    field("block_out_channels", json!([32]), &["blocks", "1 levels"]);
    field("block_out_channels", json!(vec![32; 40]), &["block_out_channels", "40 levels"]);
}

#[test]
fn text_that_is_not_json() {
    let text = |file: &'static str, text: &str, words: &[&str]| {
        let words = [&[file], words].concat();
        refused(&words, |f| {
            Model::tiny().write(f);
            put(f, file, text.as_bytes());
        });
    };
    text("unet/config.json", "{\n\"in_channels\": 3,\n}", &["line 3"]);
    text("unet/config.json", "", &["line 1"]);
    text("unet/config.json", "[1, 2]", &["line 1"]);
    text("unet/config.json", "{\n\n\"sample_size\": nan}", &["line 3"]);
    // Python's own NaN is taken as null, and a null size is refused as such.
    text("unet/config.json", "{\n\n\"sample_size\": NaN}", &["sample_size: null"]);
    text("unet/config.json", &"[".repeat(100_000), &["line 1"]);
    text("unet/config.json", &format!("{{{}}}", " ".repeat(2 << 20)), &["bytes, more than"]);
    text("scheduler/scheduler_config.json", "{\n\"beta_start\":", &["JSON", "line 2"]);
    text("model_index.json", "{\n\"id2label\": {\"a\": \"b\"}}", &["id2label", "\"a\""]);
    text("model_index.json", "{\n\"null_class\": -1}", &["null_class", "-1"]);
    text("model_index.json", "{", &["line 1"]);
    refused(&["unet/config.json", "utf-8"], |f| {
        Model::tiny().write(f);
        put(f, "unet/config.json", &[0xff, 0xfe, 0]);
    });
}

#[test]
fn schedules_that_cannot_be() {
    schedule("num_train_timesteps", json!(0), &["0"]);
    schedule("num_train_timesteps", json!(1_000_000_000_000u64), &["1 to"]);
    schedule("num_train_timesteps", json!(-5), &["-5", "not negative"]);
    schedule("beta_start", json!(-0.1), &["-0.1", "[0, 1]"]);
    schedule("beta_end", json!(7), &["7", "[0, 1]"]);
    schedule("beta_end", json!("x"), &["must be a number"]);
    schedule("beta_schedule", json!("spline"), &["spline", "linear", "squaredcos_cap_v2"]);
    schedule("prediction_type", json!("flow"), &["flow", "epsilon", "v_prediction"]);
    schedule("variance_type", json!("huge"), &["huge", "fixed_small"]);
    schedule("timestep_spacing", json!("none"), &["none", "leading"]);
    schedule("trained_betas", json!([0.1, 0.2]), &["2 betas", "1000"]);
    schedule("trained_betas", json!([0.1, "x"]), &["list"]);
    schedule("clip_sample_range", json!(0), &["positive"]);
    schedule("dynamic_thresholding_ratio", json!(2), &["[0, 1]"]);
    schedule("steps_offset", json!(1000), &["less than"]);
    schedule("clip_sample", json!("yes"), &["true or false"]);
}
