//! The U-Net of NCSN++ and DDPM++ (Song et al. 2021, arXiv:2011.13456, appendix H), which
//! DDGAN, CLD-SGM and LSGM's prior share.
//!
//! Checkpoints name every module by its number, in the order of construction:
//! `all_modules.<i>`; modules without weights that are made between others count too.

use super::sampling::{fir_conv_down, Resample};
use super::{AttentionBlock, AttentionNames, Builder, Conditions, ResnetBlock, ResnetNames, Result};
use super::{Shortcut, TimeBias};
use crate::graph::{Act, Tensor};

/// The norms' epsilon.
const EPS: f64 = 1e-6;

/// How a time becomes a vector.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Embedding {
    /// Sines, then cosines, of `scale t 10000^(-i / (dim/2 - 1))`.
    Positional {
        /// Length of the vector.
        dim: usize,
        /// Factor of the time.
        scale: f64,
    },
    /// Sines and cosines of `2 pi ln(t) W`, with `W` as long as the network's width.
    Fourier,
}

/// Which residual blocks, and how they change resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResblockType {
    /// Residual blocks that resample (Brock et al. 2019).
    Biggan,
    /// Plain residual blocks, and resampling without weights between them.
    Ddpm,
    /// The same, with a convolution after repetition, and a strided one in place of means.
    DdpmConv,
}

/// Whether images of all resolutions go in or come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progressive {
    /// Only the full one.
    None,
    /// Each is resampled from the last and takes part through a convolution.
    Skip,
    /// Each is the last, convolved and halved, plus the state.
    Residual,
}

/// How a small image joins the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Combine {
    /// Added.
    Sum,
    /// As further channels, before the state's.
    Cat,
}

/// The network, as its configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct Ncsnpp {
    /// Height and width that the levels are counted from.
    pub image_size: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Channels at the first level.
    pub nf: usize,
    /// Multiples of `nf`, a level each.
    pub ch_mult: Vec<usize>,
    /// Residual blocks of a level on the way down; one more on the way up.
    pub num_res_blocks: usize,
    /// Resolutions with attention.
    pub attn_resolutions: Vec<usize>,
    /// How times enter.
    pub embedding: Embedding,
    /// Whether times enter.
    pub conditional: bool,
    /// Resample by the filter `[1, 3, 3, 1]`, else by repetition and means.
    pub fir: bool,
    /// Divide residual sums by the root of 2.
    pub skip_rescale: bool,
    /// The blocks.
    pub resblock: ResblockType,
    /// Small images in the output: `None` or `Skip`.
    pub progressive: Progressive,
    /// Small images in the input.
    pub progressive_input: Progressive,
    /// How they join.
    pub combine: Combine,
    /// The activation.
    pub act: Act,
    /// Which norms of a residual block a style moves.
    pub styled: [bool; 2],
    /// The groups of the norms; none for a quarter of the channels, at most 32.
    pub groups: Option<usize>,
}

/// The walk through the modules.
struct Walk<'n, 'b, 'w> {
    net: &'n Ncsnpp,
    b: &'b mut Builder<'w>,
    next: usize,
    on: Conditions,
}

impl Ncsnpp {
    /// `x` is `[n, h, w, c]`, `time` a vector of one, `style` a vector; returns
    /// `[n, h, w, channels_out]`. Every module is a tap by its name.
    ///
    /// # Errors
    /// Missing weights, sizes that do not fit.
    pub fn build(
        &self,
        b: &mut Builder<'_>,
        x: Tensor,
        time: Tensor,
        style: Option<Tensor>,
    ) -> Result<Tensor> {
        let mut walk = Walk { net: self, b, next: 0, on: Conditions { temb: None, style } };
        walk.embed(time)?;
        walk.unet(x)
    }

    fn groups(&self, channels: usize) -> usize {
        self.groups.unwrap_or((channels / 4).min(32))
    }

    fn scale(&self) -> f64 {
        if self.skip_rescale {
            2f64.sqrt()
        } else {
            1.0
        }
    }

    fn resample(&self, up: bool) -> Resample {
        match (self.fir, up) {
            (true, true) => Resample::FirUp,
            (true, false) => Resample::FirDown,
            (false, true) => Resample::NearestUp,
            (false, false) => Resample::MeanDown,
        }
    }
}

impl Walk<'_, '_, '_> {
    /// Builds the next module.
    fn module(&mut self, build: impl FnOnce(&mut Builder<'_>) -> Result<Tensor>) -> Result<Tensor> {
        let name = format!("all_modules.{}", self.next);
        self.next += 1;
        self.b.scope(&name, |b| {
            let y = build(b)?;
            b.tap(y);
            Ok(y)
        })
    }

    /// A module that is one layer, named by its number alone.
    fn layer(&mut self, build: impl FnOnce(&mut Builder<'_>, &str) -> Result<Tensor>) -> Result<Tensor> {
        let name = format!("all_modules.{}", self.next);
        self.next += 1;
        let y = build(self.b, &name)?;
        self.b.scope(&name, |b| {
            b.tap(y);
            Ok(y)
        })
    }

    fn embed(&mut self, time: Tensor) -> Result<()> {
        let (net, width) = (self.net, 4 * self.width());
        let embedded = match net.embedding {
            // The frequencies are a module even where nothing uses them.
            Embedding::Fourier if !net.conditional => {
                self.next += 1;
                return Ok(());
            }
            Embedding::Fourier => self.module(|b| {
                let weight = b.param("W", &[net.nf])?;
                b.graph.fourier(time, &weight, true, false)
            })?,
            Embedding::Positional { .. } if !net.conditional => return Ok(()),
            Embedding::Positional { dim, scale } => {
                self.b.graph.sinusoidal(time, dim, false, 1.0, scale, 10000.0)?
            }
        };
        let h = self.layer(|b, name| b.linear(name, embedded, width))?;
        let h = self.b.graph.act(h, net.act)?;
        let temb = self.layer(|b, name| b.linear(name, h, width))?;
        // Every residual block activates the embedding first: once is enough.
        self.on.temb = Some(self.b.graph.act(temb, net.act)?);
        Ok(())
    }

    /// What the time embedding is four times as wide as.
    fn width(&self) -> usize {
        match self.net.embedding {
            Embedding::Positional { dim, .. } => dim,
            Embedding::Fourier => self.net.nf,
        }
    }

    fn resnet(&mut self, x: Tensor, out: usize, up: Option<bool>) -> Result<Tensor> {
        let c = self.b.graph.shape(x).c;
        let block = ResnetBlock {
            channels_in: c,
            channels_out: out,
            groups_in: self.net.groups(c),
            groups_out: self.net.groups(out),
            eps: EPS,
            act: self.net.act,
            time: TimeBias::Add,
            resample: up.map(|up| self.net.resample(up)),
            shortcut: match self.net.resblock {
                ResblockType::Biggan if c != out || up.is_some() => Shortcut::Conv(1),
                ResblockType::Ddpm | ResblockType::DdpmConv if c != out => Shortcut::Nin,
                _ => Shortcut::Identity,
            },
            output_scale: self.net.scale(),
            names: ResnetNames::SCORE_SDE,
            styled: self.net.styled,
        };
        let on = self.on;
        self.module(|b| block.build(b, x, on))
    }

    /// The way between two levels.
    fn resize(&mut self, x: Tensor, up: bool) -> Result<Tensor> {
        let how = self.net.resample(up);
        match self.net.resblock {
            ResblockType::Biggan => self.resnet(x, self.b.graph.shape(x).c, Some(up)),
            ResblockType::Ddpm => self.module(|b| how.build(b, x)),
            ResblockType::DdpmConv => self.module(|b| {
                let c = b.graph.shape(x).c;
                if !up {
                    return b.conv2d("Conv_0", x, c, 3, 2, [0, 1, 0, 1]);
                }
                let h = Resample::NearestUp.build(b, x)?;
                b.conv3x3("Conv_0", h, c)
            }),
        }
    }

    fn attention(&mut self, x: Tensor) -> Result<Tensor> {
        let channels = self.b.graph.shape(x).c;
        let block = AttentionBlock {
            channels,
            heads: 1,
            head_dim: channels,
            groups: Some(self.net.groups(channels)),
            eps: EPS,
            output_scale: self.net.scale(),
            names: AttentionNames::SCORE_SDE,
        };
        self.module(|b| block.build(b, x))
    }

    fn unet(&mut self, x: Tensor) -> Result<Tensor> {
        let net = self.net;
        let levels = net.ch_mult.len();
        let attends = |level: usize| net.attn_resolutions.contains(&(net.image_size >> level));

        let mut h = self.layer(|b, name| b.conv3x3(name, x, net.nf))?;
        let (mut pyramid, mut states) = (x, vec![h]);
        for (level, mult) in net.ch_mult.iter().enumerate() {
            for _ in 0..net.num_res_blocks {
                h = self.resnet(h, net.nf * mult, None)?;
                if attends(level) {
                    h = self.attention(h)?;
                }
                states.push(h);
            }
            if level + 1 < levels {
                h = self.resize(h, false)?;
                (h, pyramid) = self.take_in(h, pyramid)?;
                states.push(h);
            }
        }
        let c = self.b.graph.shape(h).c;
        h = self.resnet(h, c, None)?;
        h = self.attention(h)?;
        h = self.resnet(h, c, None)?;

        let mut image = None;
        for (level, mult) in net.ch_mult.iter().enumerate().rev() {
            for _ in 0..=net.num_res_blocks {
                // There are as many states as blocks.
                let state = states.pop().unwrap_or(h);
                h = self.b.graph.concat(h, state)?;
                h = self.resnet(h, net.nf * mult, None)?;
            }
            if attends(level) {
                h = self.attention(h)?;
            }
            if net.progressive == Progressive::Skip {
                let before = image.map(|i| net.resample(true).build(self.b, i)).transpose()?;
                let here = self.head(h)?;
                image = Some(match before {
                    Some(before) => self.b.graph.add(before, here)?,
                    None => here,
                });
            }
            if level > 0 {
                h = self.resize(h, true)?;
            }
        }
        match image {
            Some(image) => Ok(image),
            None => self.head(h),
        }
    }

    /// Lets the halved input take part: the state, and the small image that follows.
    fn take_in(&mut self, h: Tensor, pyramid: Tensor) -> Result<(Tensor, Tensor)> {
        let (net, c) = (self.net, self.b.graph.shape(h).c);
        match net.progressive_input {
            Progressive::None => Ok((h, pyramid)),
            Progressive::Skip => {
                let small = net.resample(false).build(self.b, pyramid)?;
                let joined = self.module(|b| {
                    let wide = b.conv2d("Conv_0", small, c, 1, 1, [0; 4])?;
                    match net.combine {
                        Combine::Sum => b.graph.add(wide, h),
                        Combine::Cat => b.graph.concat(wide, h),
                    }
                })?;
                Ok((joined, small))
            }
            Progressive::Residual => {
                let small = self.module(|b| match net.fir {
                    true => fir_conv_down(b, "Conv2d_0", pyramid, c),
                    false => b.conv2d("Conv_0", pyramid, c, 3, 2, [0, 1, 0, 1]),
                })?;
                let sum = self.b.graph.add(small, h)?;
                let both = self.b.divide(sum, net.scale())?;
                Ok((both, both))
            }
        }
    }

    /// Norm, activation and convolution to the output's channels: two modules.
    fn head(&mut self, h: Tensor) -> Result<Tensor> {
        let out = self.net.channels_out;
        let groups = self.net.groups(self.b.graph.shape(h).c);
        let h = self.layer(|b, name| b.group_norm(name, h, groups, EPS))?;
        let h = self.b.graph.act(h, self.net.act)?;
        self.layer(|b, name| b.conv3x3(name, h, out))
    }
}
