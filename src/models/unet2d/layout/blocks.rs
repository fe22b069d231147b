//! The blocks of each type, their channels and groups.

use super::{unknown, Act, AttentionBlock, Block, Mid, Resample, ResnetBlock, Sampler, TimeBias};
use super::{Config, ModelError};
use crate::nn::{AttentionNames, ResnetNames, Shortcut};

const DOWN: &str =
    "DownBlock2D, ResnetDownsampleBlock2D, AttnDownBlock2D, SkipDownBlock2D, AttnSkipDownBlock2D";
const UP: &str = "UpBlock2D, ResnetUpsampleBlock2D, AttnUpBlock2D, SkipUpBlock2D, AttnSkipUpBlock2D";

/// What all blocks share.
pub(super) struct Shared<'a> {
    pub config: &'a Config,
    pub act: Act,
    pub bias: TimeBias,
}

/// What a block's name says.
struct Kind {
    attention: bool,
    skip: bool,
    resnet_sampler: bool,
}

/// The kind of a block by its name, old spellings included.
fn kind(c: &Config, field: &'static str, name: &str, last: bool) -> Result<Kind, ModelError> {
    let new = |attention, skip, resnet_sampler| Kind { attention, skip, resnet_sampler };
    let down = field == "down_block_types";
    let (sampling, how) = match down {
        true => ("downsample_type", &c.downsample_type),
        false => ("upsample_type", &c.upsample_type),
    };
    match name.strip_prefix("UNetRes").unwrap_or(name) {
        "DownBlock2D" if down => Ok(new(false, false, false)),
        "UpBlock2D" if !down => Ok(new(false, false, false)),
        "ResnetDownsampleBlock2D" if down => Ok(new(false, false, true)),
        "ResnetUpsampleBlock2D" if !down => Ok(new(false, false, true)),
        "SkipDownBlock2D" if down => Ok(new(false, true, false)),
        "SkipUpBlock2D" if !down => Ok(new(false, true, false)),
        "AttnSkipDownBlock2D" if down => Ok(new(true, true, false)),
        "AttnSkipUpBlock2D" if !down => Ok(new(true, true, false)),
        "AttnDownBlock2D" if down => Ok(new(true, false, resnet_sampler(c, sampling, how, last)?)),
        "AttnUpBlock2D" if !down => Ok(new(true, false, resnet_sampler(c, sampling, how, last)?)),
        _ => Err(unknown(c, field, name, if down { DOWN } else { UP })),
    }
}

fn resnet_sampler(
    c: &Config,
    field: &'static str,
    how: &Option<String>,
    last: bool,
) -> Result<bool, ModelError> {
    match how.as_deref() {
        _ if last => Ok(false),
        None | Some("conv") => Ok(false),
        Some("resnet") => Ok(true),
        Some(other) => Err(unknown(c, field, other, "conv, resnet")),
    }
}

/// Checks that `groups` divides the channels of the norm `at`.
pub(super) fn divides(c: &Config, at: &str, groups: usize, channels: usize) -> Result<(), ModelError> {
    if groups == 0 || !channels.is_multiple_of(groups) {
        let what = format!("{at}: {groups} groups do not divide {channels} channels; see block_out_channels");
        return Err(c.error("norm_num_groups", what));
    }
    Ok(())
}

impl Shared<'_> {
    fn resnet(
        &self,
        at: &str,
        channels: (usize, usize),
        groups: (usize, usize),
        output_scale: f64,
    ) -> Result<ResnetBlock, ModelError> {
        divides(self.config, at, groups.0, channels.0)?;
        divides(self.config, at, groups.1, channels.1)?;
        Ok(ResnetBlock {
            channels_in: channels.0,
            channels_out: channels.1,
            groups_in: groups.0,
            groups_out: groups.1,
            eps: self.config.norm_eps,
            act: self.act,
            time: self.bias,
            resample: None,
            shortcut: if channels.0 == channels.1 { Shortcut::Identity } else { Shortcut::Conv(1) },
            output_scale,
            names: ResnetNames::DIFFUSERS,
            styled: [false; 2],
        })
    }

    fn attention(
        &self,
        at: &str,
        channels: usize,
        groups: Option<usize>,
        output_scale: f64,
    ) -> Result<AttentionBlock, ModelError> {
        let head_dim = self.config.attention_head_dim.unwrap_or(channels);
        if head_dim == 0 || head_dim > channels {
            let what = format!("{head_dim} in {at}, which has {channels} channels: there would be no head");
            return Err(self.config.error("attention_head_dim", what));
        }
        if let Some(groups) = groups {
            divides(self.config, at, groups, channels)?;
        }
        let (heads, eps) = (channels / head_dim, self.config.norm_eps);
        let names = AttentionNames::DIFFUSERS;
        Ok(AttentionBlock { channels, heads, head_dim, groups, eps, output_scale, names })
    }

    /// The groups of a plain block, where null is impossible.
    fn groups(&self, at: &str) -> Result<usize, ModelError> {
        let null = || self.config.error("norm_num_groups", format!("null, and {at} needs a number"));
        self.config.norm_num_groups.ok_or_else(null)
    }

    /// The residual block of a `Resnet` or `Skip` sampler.
    fn resampler(
        &self,
        at: &str,
        channels: usize,
        groups: usize,
        how: Resample,
    ) -> Result<ResnetBlock, ModelError> {
        let fir = matches!(how, Resample::FirDown | Resample::FirUp);
        let scale = if fir { std::f64::consts::SQRT_2 } else { 1.0 };
        let block = self.resnet(at, (channels, channels), (groups, groups), scale)?;
        let shortcut = if fir { Shortcut::Conv(1) } else { Shortcut::Identity };
        Ok(ResnetBlock { resample: Some(how), shortcut, ..block })
    }

    pub(super) fn down(&self) -> Result<Vec<Block>, ModelError> {
        let c = self.config;
        let mut blocks: Vec<Block> = Vec::new();
        let mut before = c.block_out_channels[0];
        for (i, (name, &out)) in c.down_block_types.iter().zip(&c.block_out_channels).enumerate() {
            let last = i + 1 == c.block_out_channels.len();
            let kind = kind(c, "down_block_types", name, last)?;
            let at = format!("down_blocks.{i} ({name})");
            if kind.skip && !last && (c.in_channels != 3 || blocks.iter().any(|b| !b.skip)) {
                let what =
                    format!("{at} carries the image itself: it takes 3 channels and only skip blocks above");
                return Err(c.error("down_block_types", what));
            }
            let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
            for layer in 0..c.layers_per_block {
                let input = if layer == 0 { before } else { out };
                let (groups, scale) = match kind.skip {
                    true => ((skip_groups(input), skip_groups(out)), std::f64::consts::SQRT_2),
                    false => ((self.groups(&at)?, self.groups(&at)?), 1.0),
                };
                resnets.push(self.resnet(&at, (input, out), groups, scale)?);
                if kind.attention {
                    let groups = if kind.skip { 32 } else { groups.1 };
                    attentions.push(self.attention(&at, out, Some(groups), scale)?);
                }
            }
            let sampler = match (last, kind.skip, kind.resnet_sampler) {
                (true, ..) => None,
                (_, true, _) => {
                    let groups = skip_groups(out);
                    Some(Sampler::Skip(self.resampler(&at, out, groups, Resample::FirDown)?, groups))
                }
                (_, _, true) => {
                    Some(Sampler::Resnet(self.resampler(&at, out, self.groups(&at)?, Resample::MeanDown)?))
                }
                _ if c.downsample_padding > 1 => {
                    let what = format!("{} in {at}; accepted: 0, 1", c.downsample_padding);
                    return Err(c.error("downsample_padding", what));
                }
                _ => Some(Sampler::Conv { padding: c.downsample_padding }),
            };
            blocks.push(Block { resnets, attentions, sampler, skip: kind.skip });
            before = out;
        }
        Ok(blocks)
    }

    pub(super) fn mid(&self) -> Result<Option<Mid>, ModelError> {
        let c = self.config;
        match c.mid_block_type.as_deref() {
            None => return Ok(None),
            Some("UNetMidBlock2D") => {}
            Some(other) => return Err(unknown(c, "mid_block_type", other, "UNetMidBlock2D, null")),
        }
        let scale = c.mid_block_scale_factor;
        if !scale.is_finite() || scale == 0.0 {
            return Err(c.error("mid_block_scale_factor", format!("{scale}: sums are divided by it")));
        }
        let channels = *c.block_out_channels.last().unwrap_or(&c.block_out_channels[0]);
        let groups = c.norm_num_groups.unwrap_or_else(|| skip_groups(channels));
        let resnet = self.resnet("mid_block", (channels, channels), (groups, groups), scale)?;
        // Without a number of its own, the attention is normed only where time is added.
        let own = c.attn_norm_num_groups.or((self.bias == TimeBias::Add).then_some(groups));
        let attention =
            c.add_attention.then(|| self.attention("mid_block", channels, own, scale)).transpose()?;
        Ok(Some(Mid { resnet, attention }))
    }

    pub(super) fn up(&self) -> Result<Vec<Block>, ModelError> {
        let c = self.config;
        let widths: Vec<usize> = c.block_out_channels.iter().rev().copied().collect();
        let mut blocks: Vec<Block> = Vec::new();
        for (i, (name, &out)) in c.up_block_types.iter().zip(&widths).enumerate() {
            let last = i + 1 == widths.len();
            let kind = kind(c, "up_block_types", name, last)?;
            let at = format!("up_blocks.{i} ({name})");
            let carries = blocks.iter().any(|b| b.skip);
            if (carries && !kind.skip) || (kind.skip && !last && c.out_channels != 3) {
                let what =
                    format!("{at}: skip blocks carry an image of 3 channels, through to the last block");
                return Err(c.error("up_block_types", what));
            }
            let before = widths[i.saturating_sub(1)];
            let below = widths[(i + 1).min(widths.len() - 1)];
            let (mut resnets, mut attentions) = (Vec::new(), Vec::new());
            let scale = if kind.skip { std::f64::consts::SQRT_2 } else { 1.0 };
            for layer in 0..=c.layers_per_block {
                let hidden = if layer == 0 { before } else { out };
                let skip = if layer == c.layers_per_block { below } else { out };
                let groups = match (kind.skip, kind.attention) {
                    (false, _) => (self.groups(&at)?, self.groups(&at)?),
                    (true, false) => (skip_groups(hidden + skip), skip_groups(out)),
                    // As written in diffusers: only the second term is divided.
                    (true, true) => ((hidden + skip / 4).min(32), skip_groups(out)),
                };
                resnets.push(self.resnet(&at, (hidden + skip, out), groups, scale)?);
                if kind.attention && !kind.skip {
                    attentions.push(self.attention(&at, out, Some(groups.1), scale)?);
                }
            }
            if kind.attention && kind.skip {
                attentions.push(self.attention(&at, out, Some(32), scale)?);
            }
            let sampler = match (last, kind.skip, kind.resnet_sampler) {
                (true, ..) => None,
                (_, true, _) => {
                    let groups = skip_groups(out);
                    Some(Sampler::Skip(self.resampler(&at, out, groups, Resample::FirUp)?, groups))
                }
                (_, _, true) => {
                    Some(Sampler::Resnet(self.resampler(&at, out, self.groups(&at)?, Resample::NearestUp)?))
                }
                _ => Some(Sampler::Conv { padding: 1 }),
            };
            blocks.push(Block { resnets, attentions, sampler, skip: kind.skip });
        }
        Ok(blocks)
    }
}

/// The groups of skip blocks: four channels each, at most 32.
fn skip_groups(channels: usize) -> usize {
    (channels / 4).min(32)
}
