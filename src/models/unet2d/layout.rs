//! What a configuration amounts to: every block with its numbers, all of them checked.

use super::{Config, ModelError, SampleSize};
use crate::graph::Act;
use crate::models::Labels;
use crate::nn::{AttentionBlock, Resample, ResnetBlock, TimeBias, TimeProjection};

mod blocks;

/// Levels, layers, channels and sizes that no model comes near; past them a file is broken.
const MOST: (usize, usize, usize, usize) = (16, 64, 1 << 16, 1 << 15);

/// Rows of a table of classes or times: what f32 counts exactly.
const MOST_ROWS: usize = 1 << 24;

/// The network as a list of blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// Height and width of the image.
    pub size: (usize, usize),
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Map the input from `[0, 1]` to `[-1, 1]`.
    pub center: bool,
    /// The time's vector.
    pub time: TimeProjection,
    /// Width of the time embedding.
    pub time_width: usize,
    /// What a label is.
    pub labels: Labels,
    /// The activation in residual blocks; elsewhere it is SiLU.
    pub act: Act,
    /// Channels after `conv_in` and before `conv_out`.
    pub channels: usize,
    /// From the image down.
    pub down: Vec<Block>,
    /// The middle, where there is one.
    pub mid: Option<Mid>,
    /// Up to the image.
    pub up: Vec<Block>,
    /// Groups of `conv_norm_out`.
    pub groups_out: usize,
    /// The norms' epsilon.
    pub eps: f64,
}

/// A down or an up block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Residual blocks.
    pub resnets: Vec<ResnetBlock>,
    /// Attention: none, one after each residual block, or one after all.
    pub attentions: Vec<AttentionBlock>,
    /// The change of resolution at the end; none at the last level.
    pub sampler: Option<Sampler>,
    /// Whether the block carries a small image beside the hidden state (NCSN++).
    pub skip: bool,
}

/// How a block changes the resolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampler {
    /// A strided convolution with this padding, or repetition and a convolution.
    Conv {
        /// 1 on all sides, or 0 for right and bottom.
        padding: usize,
    },
    /// A residual block that resamples.
    Resnet(ResnetBlock),
    /// A residual block that resamples, and the small image with its own filter;
    /// up blocks norm with these groups before they add to the small image.
    Skip(ResnetBlock, usize),
}

/// The middle: residual block, attention, residual block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mid {
    /// Both residual blocks.
    pub resnet: ResnetBlock,
    /// The attention between them.
    pub attention: Option<AttentionBlock>,
}

impl Layout {
    /// Checks a configuration.
    ///
    /// # Errors
    /// [`ModelError::Config`] with the field, what it says and what is accepted.
    pub fn new(config: &Config) -> Result<Layout, ModelError> {
        let c = config;
        check_lists(c)?;
        let size = size(c)?;
        let channels = c.block_out_channels[0];
        let (time, time_width) = time(c)?;
        let shared = blocks::Shared {
            config: c,
            act: act(c)?,
            bias: match c.resnet_time_scale_shift.as_str() {
                "default" => TimeBias::Add,
                "scale_shift" => TimeBias::ScaleShift,
                other => return Err(unknown(c, "resnet_time_scale_shift", other, "default, scale_shift")),
            },
        };
        if !(c.norm_eps.is_finite() && c.norm_eps >= 0.0) {
            return Err(c.error("norm_eps", format!("{} is not a small positive number", c.norm_eps)));
        }
        let groups_out = c.norm_num_groups.unwrap_or_else(|| (channels / 4).min(32));
        blocks::divides(c, "conv_norm_out", groups_out, channels)?;
        Ok(Layout {
            size,
            in_channels: c.in_channels,
            out_channels: c.out_channels,
            center: c.center_input_sample,
            time,
            time_width,
            labels: labels(c, time_width)?,
            act: shared.act,
            channels,
            down: shared.down()?,
            mid: shared.mid()?,
            up: shared.up()?,
            groups_out,
            eps: c.norm_eps,
        })
    }
}

fn unknown(c: &Config, field: &'static str, found: &str, accepted: &str) -> ModelError {
    c.error(field, format!("`{found}` is not supported; accepted: {accepted}"))
}

fn check_lists(c: &Config) -> Result<(), ModelError> {
    let (levels, layers, channels, _) = MOST;
    let count = c.block_out_channels.len();
    if count == 0 || count > levels {
        return Err(c.error("block_out_channels", format!("{count} levels; 1 to {levels} are possible")));
    }
    for (field, list) in [("down_block_types", &c.down_block_types), ("up_block_types", &c.up_block_types)] {
        if list.len() != count {
            let what = format!("{} blocks for the {count} levels of block_out_channels", list.len());
            return Err(c.error(field, what));
        }
    }
    if c.layers_per_block == 0 || c.layers_per_block > layers {
        return Err(
            c.error("layers_per_block", format!("{}; 1 to {layers} are possible", c.layers_per_block))
        );
    }
    let widths = c.block_out_channels.iter().map(|&n| ("block_out_channels", n));
    for (field, n) in widths.chain([("in_channels", c.in_channels), ("out_channels", c.out_channels)]) {
        if n == 0 || n > channels {
            return Err(c.error(field, format!("{n} channels; 1 to {channels} are possible")));
        }
    }
    // The largest kernel: 3 x 3 from two concatenated levels to one, in bytes.
    let widest = c.block_out_channels.iter().copied().max().unwrap_or(1);
    if widest.checked_mul(widest).and_then(|n| n.checked_mul(2 * 9 * 4)).is_none() {
        return Err(c.error(
            "block_out_channels",
            format!("{widest} channels: kernels beyond this machine's memory"),
        ));
    }
    Ok(())
}

fn size(c: &Config) -> Result<(usize, usize), ModelError> {
    let (h, w) = match c.sample_size {
        Some(SampleSize::One(n)) => (n, n),
        Some(SampleSize::Both([h, w])) => (h, w),
        None => return Err(c.error("sample_size", "null: give height and width")),
    };
    let (.., most) = MOST;
    if h == 0 || w == 0 || h > most || w > most {
        return Err(c.error("sample_size", format!("{h} x {w}; 1 to {most} are possible")));
    }
    let step = 1 << (c.block_out_channels.len() - 1);
    if h % step != 0 || w % step != 0 {
        let what = format!("{h} x {w}: {} levels need multiples of {step}", c.block_out_channels.len());
        return Err(c.error("sample_size", what));
    }
    Ok((h, w))
}

fn act(c: &Config) -> Result<Act, ModelError> {
    match c.act_fn.to_lowercase().as_str() {
        "silu" | "swish" => Ok(Act::Silu),
        "mish" => Ok(Act::Mish),
        "gelu" => Ok(Act::Gelu),
        "relu" => Ok(Act::Relu),
        _ => Err(unknown(c, "act_fn", &c.act_fn, "silu, swish, mish, gelu, relu")),
    }
}

fn time(c: &Config) -> Result<(TimeProjection, usize), ModelError> {
    let dim = c.block_out_channels[0];
    let width = c.time_embedding_dim.filter(|&n| n > 0).unwrap_or(dim * 4);
    if width > 4 * MOST.2 {
        return Err(c.error("time_embedding_dim", format!("{width}; at most {} is possible", 4 * MOST.2)));
    }
    let projection = match c.time_embedding_type.as_str() {
        "positional" => {
            let half = (dim / 2) as f64;
            if dim < 2 || !c.freq_shift.is_finite() || half == c.freq_shift {
                let what = format!("{} with {dim} channels gives no frequencies", c.freq_shift);
                return Err(c.error("freq_shift", what));
            }
            let (flip_sin_to_cos, freq_shift) = (c.flip_sin_to_cos, c.freq_shift);
            TimeProjection::Positional { dim, flip_sin_to_cos, freq_shift }
        }
        "fourier" => TimeProjection::Fourier { dim },
        "learned" => match c.num_train_timesteps {
            Some(steps) if (1..=MOST_ROWS).contains(&steps) => TimeProjection::Learned { steps, dim },
            other => {
                let what = format!("{other:?}: a learned time embedding needs 1 to {MOST_ROWS}");
                return Err(c.error("num_train_timesteps", what));
            }
        },
        other => return Err(unknown(c, "time_embedding_type", other, "positional, fourier, learned")),
    };
    Ok((projection, width))
}

fn labels(c: &Config, width: usize) -> Result<Labels, ModelError> {
    match (c.class_embed_type.as_deref(), c.num_class_embeds) {
        (None, None) => Ok(Labels::None),
        (None, Some(classes)) if (1..=MOST_ROWS).contains(&classes) => Ok(Labels::Class { classes }),
        (None, Some(n)) => Err(c.error("num_class_embeds", format!("{n}; 1 to {MOST_ROWS} are possible"))),
        (Some("timestep"), _) => Ok(Labels::Number),
        (Some("identity"), _) => Ok(Labels::Vector { len: width }),
        (Some(other), _) => Err(unknown(c, "class_embed_type", other, "null, timestep, identity")),
    }
}
