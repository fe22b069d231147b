//! What the configurations of score_sde and the systems that grew from it share.

use super::ModelError;
use crate::graph::Act;
use crate::nn::{Combine, Embedding, Ncsnpp, Progressive, ResblockType};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The most levels and blocks of a level that are built.
const MOST: usize = 64;

/// Fields that have one name in all of them, with the values that absent ones take.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default)]
pub(super) struct Blocks {
    normalization: String,
    nonlinearity: String,
    conv_size: usize,
    fir_kernel: List,
    resamp_with_conv: bool,
    pub(super) conditional: bool,
    skip_rescale: bool,
    pub(super) resblock_type: String,
    progressive: String,
    progressive_input: String,
    progressive_combine: String,
    pub(super) embedding_type: String,
    attention_type: String,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            normalization: "GroupNorm".into(),
            nonlinearity: "swish".into(),
            conv_size: 3,
            fir_kernel: List(vec![1, 3, 3, 1]),
            resamp_with_conv: true,
            conditional: true,
            skip_rescale: true,
            resblock_type: "biggan".into(),
            progressive: "none".into(),
            progressive_input: "none".into(),
            progressive_combine: "sum".into(),
            embedding_type: "positional".into(),
            attention_type: "ddpm".into(),
        }
    }
}

/// Fields whose names differ.
#[derive(Clone, Debug)]
pub(super) struct Sizes<'a> {
    pub(super) image_size: usize,
    pub(super) channels: usize,
    pub(super) nf: usize,
    pub(super) ch_mult: &'a [usize],
    pub(super) num_res_blocks: usize,
    pub(super) attn_resolutions: &'a [usize],
    pub(super) fir: bool,
    /// Length of a positional embedding, and the factor of the time.
    pub(super) embedding: (usize, f64),
}

/// Whole numbers as a list, or as CLD-SGM writes them: `"1,2,2"`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(try_from = "Listed")]
pub(super) struct List(pub(super) Vec<usize>);

#[derive(Deserialize)]
#[serde(untagged, expecting = "neither a list of whole numbers nor numbers between commas")]
enum Listed {
    Numbers(Vec<usize>),
    Text(String),
}

impl TryFrom<Listed> for List {
    type Error = String;

    fn try_from(listed: Listed) -> Result<Self, String> {
        match listed {
            Listed::Numbers(numbers) => Ok(List(numbers)),
            Listed::Text(text) => text
                .split(',')
                .map(|part| part.trim().parse().map_err(|_| format!("`{part}` is no whole number")))
                .collect::<Result<_, _>>()
                .map(List),
        }
    }
}

/// Whose values are checked.
#[derive(Clone, Debug)]
pub(super) struct Checker(PathBuf);

impl Checker {
    pub(super) fn new(path: &Path) -> Self {
        Checker(path.to_owned())
    }

    pub(super) fn error(&self, field: &'static str, what: impl Into<String>) -> ModelError {
        ModelError::Config { path: self.0.clone(), field, what: what.into() }
    }

    /// One of the words that are known.
    pub(super) fn word<T: Copy>(
        &self,
        field: &'static str,
        word: &str,
        known: &[(&str, T)],
    ) -> Result<T, ModelError> {
        known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, v)| *v).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            self.error(field, format!("`{word}` is not supported; supported: {}", names.join(", ")))
        })
    }

    /// A number from 1 to `most`.
    pub(super) fn count(&self, field: &'static str, value: usize, most: usize) -> Result<usize, ModelError> {
        match (1..=most).contains(&value) {
            true => Ok(value),
            false => Err(self.error(field, format!("{value} is not between 1 and {most}"))),
        }
    }

    /// A finite number.
    pub(super) fn finite(&self, field: &'static str, value: f64) -> Result<f64, ModelError> {
        match value.is_finite() {
            true => Ok(value),
            false => Err(self.error(field, format!("{value} is no finite number"))),
        }
    }

    /// Refuses another size than the network's own: where attention is depends on it.
    pub(super) fn size(
        &self,
        field: &'static str,
        own: usize,
        asked: Option<(usize, usize)>,
    ) -> Result<(), ModelError> {
        match asked {
            Some((h, w)) if (h, w) != (own, own) => {
                Err(self.error(field, format!("the network is of {own} x {own}; {h} x {w} was asked for")))
            }
            _ => Ok(()),
        }
    }
}

impl Blocks {
    /// The network.
    pub(super) fn network(&self, check: &Checker, sizes: &Sizes<'_>) -> Result<Ncsnpp, ModelError> {
        check.word("normalization", &self.normalization, &[("GroupNorm", ())])?;
        check.word("attention_type", &self.attention_type, &[("ddpm", ())])?;
        if self.conv_size != 3 {
            return Err(
                check.error("conv_size", format!("{} is not supported; supported: 3", self.conv_size))
            );
        }
        if self.fir_kernel.0 != [1, 3, 3, 1] {
            let what = format!("{:?} is not supported; supported: [1, 3, 3, 1]", self.fir_kernel.0);
            return Err(check.error("fir_kernel", what));
        }
        let embedding =
            check.word("embedding_type", &self.embedding_type, &[("positional", 0), ("fourier", 1)])?;
        let input = [
            ("none", Progressive::None),
            ("input_skip", Progressive::Skip),
            ("residual", Progressive::Residual),
        ];
        let output = [("none", Progressive::None), ("output_skip", Progressive::Skip)];
        let kinds = [
            ("biggan", (ResblockType::Biggan, [true, true])),
            ("biggan_oneadagn", (ResblockType::Biggan, [true, false])),
            ("ddpm", (ResblockType::Ddpm, [true, true])),
        ];
        let (resblock, styled) = check.word("resblock_type", &self.resblock_type, &kinds)?;
        let progressive = check.word("progressive", &self.progressive, &output)?;
        if progressive == Progressive::Skip && !sizes.fir {
            return Err(
                check.error("progressive", "output_skip without fir is not supported: its reference fails")
            );
        }
        if resblock == ResblockType::Ddpm && (self.resamp_with_conv || !sizes.fir) {
            let what = "ddpm is supported with fir true and resamp_with_conv false: its reference fails else";
            return Err(check.error("resblock_type", what));
        }
        let net = Ncsnpp {
            image_size: sizes.image_size,
            channels_out: check.count("num_channels", sizes.channels, 4096)?,
            nf: check.count("nf", sizes.nf, 1 << 14)?,
            ch_mult: sizes.ch_mult.to_vec(),
            num_res_blocks: check.count("num_res_blocks", sizes.num_res_blocks, MOST)?,
            attn_resolutions: sizes.attn_resolutions.to_vec(),
            embedding: match embedding {
                0 => Embedding::Positional { dim: sizes.embedding.0, scale: sizes.embedding.1 },
                _ => Embedding::Fourier,
            },
            conditional: self.conditional,
            fir: sizes.fir,
            skip_rescale: self.skip_rescale,
            resblock,
            progressive,
            progressive_input: check.word("progressive_input", &self.progressive_input, &input)?,
            combine: check.word(
                "progressive_combine",
                &self.progressive_combine,
                &[("sum", Combine::Sum), ("cat", Combine::Cat)],
            )?,
            act: activation(check, &self.nonlinearity)?,
            styled,
            groups: None,
        };
        levels(check, &net)?;
        Ok(net)
    }

    /// The older network of DDPM, in score_sde's names.
    pub(super) fn ddpm(&self, check: &Checker, sizes: &Sizes<'_>) -> Result<Ncsnpp, ModelError> {
        check.word("normalization", &self.normalization, &[("GroupNorm", ())])?;
        let net = Ncsnpp {
            image_size: sizes.image_size,
            channels_out: check.count("num_channels", sizes.channels, 4096)?,
            nf: check.count("nf", sizes.nf, 1 << 14)?,
            ch_mult: sizes.ch_mult.to_vec(),
            num_res_blocks: check.count("num_res_blocks", sizes.num_res_blocks, MOST)?,
            attn_resolutions: sizes.attn_resolutions.to_vec(),
            embedding: Embedding::Positional { dim: sizes.nf, scale: 1.0 },
            conditional: self.conditional,
            fir: false,
            skip_rescale: false,
            resblock: match self.resamp_with_conv {
                true => ResblockType::DdpmConv,
                false => ResblockType::Ddpm,
            },
            progressive: Progressive::None,
            progressive_input: Progressive::None,
            combine: Combine::Sum,
            act: activation(check, &self.nonlinearity)?,
            styled: [false; 2],
            groups: Some(32),
        };
        levels(check, &net)?;
        Ok(net)
    }
}

fn activation(check: &Checker, word: &str) -> Result<Act, ModelError> {
    let known =
        [("swish", Act::Silu), ("relu", Act::Relu), ("elu", Act::Elu(1.0)), ("lrelu", Act::Leaky(0.2))];
    check.word("nonlinearity", word, &known)
}

fn levels(check: &Checker, net: &Ncsnpp) -> Result<(), ModelError> {
    let count = check.count("ch_mult", net.ch_mult.len(), 16)?;
    for mult in &net.ch_mult {
        check.count("ch_mult", *mult, 256)?;
    }
    if let Embedding::Positional { dim, .. } = net.embedding {
        if dim < 4 {
            return Err(check.error("nf", format!("an embedding of {dim} numbers is too short")));
        }
    }
    let least = 1usize << (count - 1);
    match net.image_size > 0 && net.image_size.is_multiple_of(least) {
        true => Ok(()),
        false => {
            let what = format!("{} is not a multiple of {least}, as {count} levels need", net.image_size);
            Err(check.error("image_size", what))
        }
    }
}
