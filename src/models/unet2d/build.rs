//! From a checked layout to a graph.

use super::layout::{Block, Layout, Sampler};
use super::{Config, ModelError, Network};
use crate::graph::{Act, Graph, Tensor};
use crate::models::Labels;
use crate::nn::{conv_down, conv_up, fir_down, fir_up, time_mlp, Builder, Result, TimeProjection};
use crate::shape::Shape;
use crate::weights::Weights;

/// Adds the network to `graph`: inputs `sample`, `timestep` and, where the model takes labels,
/// `class_labels`; output `output`; taps `conv_in`, `down_blocks.i`, `mid_block`, `up_blocks.i`.
///
/// # Errors
/// [`ModelError::Config`] for a configuration that is wrong, [`ModelError::Weights`] for
/// missing tensors and wrong shapes.
pub fn build(
    config: &Config,
    weights: &dyn Weights,
    graph: &mut Graph,
) -> std::result::Result<Network, ModelError> {
    assemble(&Layout::new(config)?, weights, graph)
}

pub(super) fn assemble(
    layout: &Layout,
    weights: &dyn Weights,
    graph: &mut Graph,
) -> std::result::Result<Network, ModelError> {
    Ok(network(layout, &mut Builder::new(graph, weights))?)
}

fn network(layout: &Layout, b: &mut Builder<'_>) -> Result<Network> {
    let (height, width) = layout.size;
    let sample = b.graph.input("sample", Shape::new(height, width, layout.in_channels))?;
    let timestep = b.graph.input("timestep", Shape::vector(1))?;
    let (class_labels, embedding) = embed(layout, b, timestep)?;
    // Every residual block activates the embedding first: once is enough.
    let temb = b.graph.act(embedding, layout.act)?;

    let image = if layout.center { b.graph.affine(sample, 2.0, -1.0)? } else { sample };
    let mut h = b.conv3x3("conv_in", image, layout.channels)?;
    b.graph.tap("conv_in", h);

    let mut states = vec![h];
    let mut small = image;
    for (i, block) in layout.down.iter().enumerate() {
        let name = format!("down_blocks.{i}");
        (h, small) = b.scope(&name, |b| down(block, b, (h, small), temb, &mut states))?;
        b.graph.tap(&name, h);
    }
    if let Some(mid) = &layout.mid {
        h = b.scope("mid_block", |b| {
            let mut h = b.scope("resnets.0", |b| mid.resnet.build(b, h, temb))?;
            if let Some(attention) = &mid.attention {
                h = b.scope("attentions.0", |b| attention.build(b, h))?;
            }
            b.scope("resnets.1", |b| mid.resnet.build(b, h, temb))
        })?;
        b.graph.tap("mid_block", h);
    }
    let mut small = None;
    for (i, block) in layout.up.iter().enumerate() {
        let name = format!("up_blocks.{i}");
        (h, small) = b.scope(&name, |b| up(block, b, (h, small), temb, &mut states))?;
        b.graph.tap(&name, h);
    }

    h = b.group_norm("conv_norm_out", h, layout.groups_out, layout.eps)?;
    h = b.graph.act(h, Act::Silu)?;
    h = b.conv3x3("conv_out", h, layout.out_channels)?;
    if let Some(small) = small {
        h = b.graph.add(h, small)?;
    }
    if matches!(layout.time, TimeProjection::Fourier { .. }) {
        h = b.graph.div_image(h, timestep)?;
    }
    b.graph.output("output", h);
    Ok(Network { sample, timestep, class_labels, beside: None, output: h })
}

/// The time embedding, with the label's added.
fn embed(layout: &Layout, b: &mut Builder<'_>, timestep: Tensor) -> Result<(Option<Tensor>, Tensor)> {
    let width = layout.time_width;
    let projected = layout.time.build(b, timestep)?;
    let time = time_mlp(b, "time_embedding", projected, width)?;
    let len = match layout.labels {
        Labels::None => return Ok((None, time)),
        Labels::Class { .. } | Labels::Number => 1,
        Labels::Vector { len } => len,
    };
    let labels = b.graph.input("class_labels", Shape::vector(len))?;
    let class = match layout.labels {
        Labels::Class { classes } => b.scope("class_embedding", |b| {
            let table = b.param("weight", &[classes, width])?;
            b.graph.embedding(labels, &table)
        })?,
        Labels::Number => {
            let projected = layout.time.build(b, labels)?;
            time_mlp(b, "class_embedding", projected, width)?
        }
        Labels::Vector { .. } | Labels::None => labels,
    };
    Ok((Some(labels), b.graph.add(time, class)?))
}

/// A down block: keeps every state for the way up, carries the small image along.
fn down(
    block: &Block,
    b: &mut Builder<'_>,
    (mut h, mut small): (Tensor, Tensor),
    temb: Tensor,
    states: &mut Vec<Tensor>,
) -> Result<(Tensor, Tensor)> {
    for (i, resnet) in block.resnets.iter().enumerate() {
        h = b.scope(&format!("resnets.{i}"), |b| resnet.build(b, h, temb))?;
        if let Some(attention) = block.attentions.get(i) {
            h = b.scope(&format!("attentions.{i}"), |b| attention.build(b, h))?;
        }
        states.push(h);
    }
    match &block.sampler {
        None => return Ok((h, small)),
        Some(Sampler::Conv { padding }) => h = conv_down(b, "downsamplers.0", h, *padding)?,
        Some(Sampler::Resnet(resnet)) => h = b.scope("downsamplers.0", |b| resnet.build(b, h, temb))?,
        Some(Sampler::Skip(resnet, _)) => {
            h = b.scope("resnet_down", |b| resnet.build(b, h, temb))?;
            small = b.scope("downsamplers.0", |b| fir_down(b, small))?;
            let wide = b.conv2d("skip_conv", small, resnet.channels_out, 1, 1, [0; 4])?;
            h = b.graph.add(h, wide)?;
        }
    }
    states.push(h);
    Ok((h, small))
}

/// An up block: takes the states back, adds to the small image.
fn up(
    block: &Block,
    b: &mut Builder<'_>,
    (mut h, mut small): (Tensor, Option<Tensor>),
    temb: Tensor,
    states: &mut Vec<Tensor>,
) -> Result<(Tensor, Option<Tensor>)> {
    for (i, resnet) in block.resnets.iter().enumerate() {
        // The layout has a state for each residual block; without one the shapes below do not fit.
        let state = states.pop().unwrap_or(h);
        h = b.graph.concat(h, state)?;
        h = b.scope(&format!("resnets.{i}"), |b| resnet.build(b, h, temb))?;
        if let Some(attention) = block.attentions.get(i).filter(|_| !block.skip) {
            h = b.scope(&format!("attentions.{i}"), |b| attention.build(b, h))?;
        }
    }
    if !block.skip {
        return match &block.sampler {
            None => Ok((h, small)),
            Some(Sampler::Conv { .. }) => Ok((conv_up(b, "upsamplers.0", h)?, small)),
            Some(Sampler::Resnet(resnet) | Sampler::Skip(resnet, _)) => {
                Ok((b.scope("upsamplers.0", |b| resnet.build(b, h, temb))?, small))
            }
        };
    }
    if let Some(attention) = block.attentions.first() {
        h = b.scope("attentions.0", |b| attention.build(b, h))?;
    }
    if let Some(image) = small {
        small = Some(b.scope("upsampler", |b| fir_up(b, image))?);
    }
    if let Some(Sampler::Skip(resnet, groups)) = &block.sampler {
        let mut image = b.group_norm("skip_norm", h, *groups, resnet.eps)?;
        image = b.graph.act(image, Act::Silu)?;
        image = b.conv3x3("skip_conv", image, 3)?;
        small = Some(match small {
            Some(before) => b.graph.add(before, image)?,
            None => image,
        });
        h = b.scope("resnet_up", |b| resnet.build(b, h, temb))?;
    }
    Ok((h, small))
}
