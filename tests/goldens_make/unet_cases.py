"""The networks: what UNet2DModel accepts, each option in at least one small case."""

DOWN, ATTN_DOWN = "DownBlock2D", "AttnDownBlock2D"
UP, ATTN_UP = "UpBlock2D", "AttnUpBlock2D"
SKIP_DOWN, ATTN_SKIP_DOWN = "SkipDownBlock2D", "AttnSkipDownBlock2D"
SKIP_UP, ATTN_SKIP_UP = "SkipUpBlock2D", "AttnSkipUpBlock2D"
RES_DOWN, RES_UP = "ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"
SQRT2 = 1.4142135623730951

BASE = dict(
    sample_size=8, in_channels=3, out_channels=3, block_out_channels=[8, 16], layers_per_block=1,
    norm_num_groups=4, attention_head_dim=8,
    down_block_types=[DOWN, ATTN_DOWN], up_block_types=[ATTN_UP, UP],
)
PLAIN = dict(down_block_types=[DOWN, DOWN], up_block_types=[UP, UP], add_attention=False)
SKIP = dict(
    block_out_channels=[16, 16, 32], norm_num_groups=None, norm_eps=1e-6, mid_block_scale_factor=SQRT2,
    down_block_types=[SKIP_DOWN] * 3, up_block_types=[SKIP_UP] * 3,
)

# name: (overrides of BASE, how to run it)
CASES = {
    # defaults and names
    "defaults_absent": (dict(block_out_channels=[32, 32]), dict(raw=["norm_num_groups", "attention_head_dim", "layers_per_block", "in_channels", "out_channels"])),
    "legacy_names": (dict(down_block_types=["UNetResDownBlock2D", "UNetResAttnDownBlock2D"], up_block_types=["UNetResAttnUpBlock2D", "UNetResUpBlock2D"]), dict(raw=[])),
    # attention
    "attn_everywhere": (dict(down_block_types=[ATTN_DOWN] * 2, up_block_types=[ATTN_UP] * 2, layers_per_block=2, attention_head_dim=None), {}),
    "attn_inner_narrower": (dict(block_out_channels=[12, 20], down_block_types=[ATTN_DOWN] * 2, up_block_types=[ATTN_UP] * 2), {}),
    "attn_heads_of_one": (dict(block_out_channels=[4, 8], attention_head_dim=1), {}),
    "attn_one_pixel": (dict(sample_size=4, block_out_channels=[8, 8, 16], down_block_types=[DOWN, ATTN_DOWN, ATTN_DOWN], up_block_types=[ATTN_UP, ATTN_UP, UP]), {}),
    "attn_17x15": (dict(sample_size=[17, 15], block_out_channels=[16], down_block_types=[ATTN_DOWN], up_block_types=[ATTN_UP]), {}),
    # up and down
    "resnet_blocks": (dict(down_block_types=[RES_DOWN] * 2, up_block_types=[RES_UP] * 2), {}),
    "resnet_blocks_scale_shift": (dict(block_out_channels=[8, 12, 16], down_block_types=[RES_DOWN, RES_DOWN, DOWN], up_block_types=[UP, RES_UP, RES_UP], resnet_time_scale_shift="scale_shift"), {}),
    "attn_resnet_sampling": (dict(block_out_channels=[8, 8, 16], down_block_types=[ATTN_DOWN] * 3, up_block_types=[ATTN_UP] * 3, downsample_type="resnet", upsample_type="resnet"), {}),
    "attn_conv_and_resnet": (dict(down_block_types=[ATTN_DOWN, DOWN], up_block_types=[ATTN_UP, UP], downsample_type="conv", upsample_type="resnet"), {}),
    "padding_0": (dict(block_out_channels=[8, 8, 16], down_block_types=[DOWN, ATTN_DOWN, DOWN], up_block_types=[UP, ATTN_UP, UP], downsample_padding=0), {}),
    # time bias
    "scale_shift_attn_norm": (dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=2), {}),
    "scale_shift_no_attn_norm": (dict(resnet_time_scale_shift="scale_shift"), {}),
    "attn_norm_groups": (dict(attn_norm_num_groups=8), {}),
    # middle
    "mid_null": (dict(mid_block_type=None), {}),
    "mid_no_attention": (dict(add_attention=False), {}),
    "mid_scale": (dict(mid_block_scale_factor=2.5), {}),
    # skip blocks
    "skip": (dict(SKIP, time_embedding_type="fourier"), {}),
    "skip_attn": (dict(SKIP, block_out_channels=[32, 32, 64], down_block_types=[ATTN_SKIP_DOWN, SKIP_DOWN, ATTN_SKIP_DOWN], up_block_types=[ATTN_SKIP_UP, SKIP_UP, ATTN_SKIP_UP], sample_size=[16, 8]), {}),
    "skip_groups_given": (dict(SKIP, norm_num_groups=8, layers_per_block=2), {}),
    "skip_scale_shift": (dict(SKIP, resnet_time_scale_shift="scale_shift", norm_eps=1e-5, center_input_sample=True, act_fn="relu"), {}),
    "skip_then_plain": (dict(down_block_types=[SKIP_DOWN, DOWN], up_block_types=[UP, SKIP_UP], block_out_channels=[16, 16]), {}),
    # time embedding
    "fourier_plain": (dict(time_embedding_type="fourier"), {}),
    "learned_time": (dict(time_embedding_type="learned", num_train_timesteps=40), dict(timestep=[0, 39])),
    "time_sin_first": (dict(PLAIN, flip_sin_to_cos=False, freq_shift=1, time_embedding_dim=20), {}),
    "time_cos_first_shift": (dict(PLAIN, flip_sin_to_cos=True, freq_shift=1), {}),
    "time_odd_width": (dict(PLAIN, block_out_channels=[15, 10], norm_num_groups=5, flip_sin_to_cos=False), {}),
    "time_fractional": (dict(PLAIN), dict(timestep=[0.5, 333.25])),
    # classes
    "class_table": (dict(num_class_embeds=5), dict(labels=[4, 0])),
    "class_timestep": (dict(PLAIN, class_embed_type="timestep"), dict(labels=[7, 123])),
    "class_timestep_fourier": (dict(PLAIN, class_embed_type="timestep", time_embedding_type="fourier"), dict(labels=[7.5, 0.25])),
    "class_timestep_learned": (dict(PLAIN, class_embed_type="timestep", time_embedding_type="learned", num_train_timesteps=10), dict(timestep=[9, 3], labels=[2, 0])),
    "class_identity": (dict(PLAIN, class_embed_type="identity", time_embedding_dim=12), dict(labels="vector")),
    # activations
    "act_swish": (dict(act_fn="swish"), {}),
    "act_mish": (dict(act_fn="mish"), {}),
    "act_gelu": (dict(act_fn="gelu"), {}),
    "act_relu": (dict(act_fn="ReLU", norm_eps=1e-3, dropout=0.3), {}),
    # images and channels
    "center_input": (dict(PLAIN, center_input_sample=True), {}),
    "wide_5_to_2": (dict(sample_size=[8, 12], in_channels=5, out_channels=2), {}),
    "learned_variance_1_to_2": (dict(sample_size=[12, 8], in_channels=1, out_channels=2), {}),
    "two_to_one": (dict(in_channels=2, out_channels=1, block_out_channels=[4, 4], norm_num_groups=1, attention_head_dim=2), {}),
    "layers_3": (dict(layers_per_block=3), {}),
    "levels_4_odd_bottom": (dict(sample_size=[24, 40], block_out_channels=[4, 8, 8, 12], down_block_types=[DOWN, DOWN, DOWN, ATTN_DOWN], up_block_types=[ATTN_UP, UP, UP, UP], attention_head_dim=4), {}),
    "one_level_7x5": (dict(sample_size=[7, 5], block_out_channels=[10], norm_num_groups=5, down_block_types=[DOWN], up_block_types=[UP], attention_head_dim=5), {}),
}

# Networks that carry scheduler cases too: (overrides, how to run).
CASES["sampled"] = (dict(PLAIN, mid_block_scale_factor=2), {})
CASES["sampled_6_channels"] = (dict(PLAIN, mid_block_scale_factor=2, out_channels=6), {})
CASES["solved"] = (dict(PLAIN, sample_size=4), {})
