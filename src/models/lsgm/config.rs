//! The configuration: LSGM's command-line arguments, by name.

use super::nvae::{Distribution, Nvae};
use crate::models::options::{Blocks, Checker, List, Sizes};
use crate::models::ModelError;
use crate::nn::{CellKind, Ncsnpp};
use serde::Deserialize;

/// The most of anything that is counted.
const MOST: usize = 1 << 12;

/// The fields that are read, with the arguments' defaults.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    dataset: String,
    image_size_override: usize,
    decoder_dist: String,
    num_latent_scales: usize,
    num_groups_per_scale: usize,
    num_latent_per_group: usize,
    num_channels_enc: usize,
    num_preprocess_blocks: usize,
    num_preprocess_cells: usize,
    num_cell_per_cond_enc: usize,
    num_channels_dec: usize,
    num_postprocess_blocks: usize,
    num_postprocess_cells: usize,
    num_cell_per_cond_dec: usize,
    progressive_input_vae: String,
    channel_mult: List,
    num_nf: usize,
    arch_instance: String,
    use_se: bool,
    log_sig_q_scale: f64,
    vae_train_mode: bool,
    dae_arch: String,
    num_channels_dae: usize,
    num_scales_dae: usize,
    num_cell_per_scale_dae: usize,
    pub(super) mixed_prediction: bool,
    fir: bool,
    embedding_dim: usize,
    embedding_scale: f64,
    #[serde(flatten)]
    blocks: Blocks,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            dataset: "cifar10".into(),
            image_size_override: 0,
            decoder_dist: "dml".into(),
            num_latent_scales: 1,
            num_groups_per_scale: 10,
            num_latent_per_group: 20,
            num_channels_enc: 32,
            num_preprocess_blocks: 2,
            num_preprocess_cells: 3,
            num_cell_per_cond_enc: 1,
            num_channels_dec: 32,
            num_postprocess_blocks: 2,
            num_postprocess_cells: 3,
            num_cell_per_cond_dec: 1,
            progressive_input_vae: "none".into(),
            channel_mult: List(vec![1, 2]),
            num_nf: 0,
            arch_instance: "res_mbconv".into(),
            use_se: true,
            log_sig_q_scale: 5.0,
            vae_train_mode: false,
            dae_arch: "ncsnpp".into(),
            num_channels_dae: 256,
            num_scales_dae: 2,
            num_cell_per_scale_dae: 2,
            mixed_prediction: true,
            fir: false,
            embedding_dim: 128,
            embedding_scale: 1000.0,
            blocks: Blocks::default(),
        }
    }
}

impl Config {
    /// Side and channels of the images.
    fn image(&self, check: &Checker) -> Result<(usize, usize), ModelError> {
        let (side, channels) = match self.dataset.as_str() {
            "mnist" | "omniglot" => (32, 1),
            "cifar10" | "stacked_mnist" => (32, 3),
            // celeba_64, celeba_256, imagenet_32, lsun_bedroom_128 ...
            name => match name.rsplit_once('_').and_then(|(_, side)| side.parse().ok()) {
                Some(side) => (side, 3),
                None if name == "ffhq" => (256, 3),
                None => {
                    let what =
                        format!("`{name}` is not known; known: mnist, omniglot, cifar10, NAME_SIDE, ffhq");
                    return Err(check.error("dataset", what));
                }
            },
        };
        let side = if self.image_size_override > 0 { self.image_size_override } else { side };
        Ok((check.count("dataset", side, MOST)?, channels))
    }

    /// The autoencoder.
    pub(super) fn vae(&self, check: &Checker) -> Result<Nvae, ModelError> {
        let (side, channels) = self.image(check)?;
        let c = |field, value| check.count(field, value, MOST);
        let scales = check.count("num_latent_scales", self.num_latent_scales, 8)?;
        let blocks = check.count("num_postprocess_blocks", self.num_postprocess_blocks, 8)?;
        if self.num_preprocess_blocks != blocks {
            return Err(
                check.error("num_preprocess_blocks", format!("must be num_postprocess_blocks, {blocks}"))
            );
        }
        let mult = &self.channel_mult.0;
        if mult.len() != blocks + scales {
            let what = format!("{} numbers; blocks and scales are {}", mult.len(), blocks + scales);
            return Err(check.error("channel_mult", what));
        }
        for m in mult {
            check.count("channel_mult", *m, 256)?;
        }
        let factor = 1usize << (blocks + scales - 1);
        if !side.is_multiple_of(factor) {
            return Err(
                check.error("num_latent_scales", format!("{side} pixels are not a multiple of {factor}"))
            );
        }
        let residual = CellKind::Residual;
        let kinds = [
            ("res_mbconv", [residual, CellKind::Depthwise { expand: 6 }, CellKind::Depthwise { expand: 3 }]),
            ("res_bnswish", [residual; 3]),
            ("res_bnswish2", [CellKind::ResidualX2; 3]),
        ];
        // Names that end so do not change the autoencoder.
        let arch = self.arch_instance.strip_suffix("_attn").unwrap_or(&self.arch_instance);
        let [enc, dec, post] = check.word("arch_instance", arch, &kinds)?;
        let known = [
            ("dml", Distribution::Mixture { k: 10 }),
            ("bin", Distribution::Bernoulli),
            ("normal", Distribution::Normal),
            ("dl", Distribution::Logistic),
        ];
        let distribution = check.word("decoder_dist", &self.decoder_dist, &known)?;
        if matches!(distribution, Distribution::Mixture { .. }) && channels != 3 {
            return Err(
                check.error("decoder_dist", format!("dml is of 3 colours, the images have {channels}"))
            );
        }
        let input_skip = check.word(
            "progressive_input_vae",
            &self.progressive_input_vae,
            &[("none", false), ("input_skip", true)],
        )?;
        Ok(Nvae {
            side,
            channels,
            scales,
            groups: c("num_groups_per_scale", self.num_groups_per_scale)?,
            z: c("num_latent_per_group", self.num_latent_per_group)?,
            blocks,
            mult: mult.clone(),
            enc_channels: c("num_channels_enc", self.num_channels_enc)?,
            dec_channels: c("num_channels_dec", self.num_channels_dec)?,
            pre_cells: c("num_preprocess_cells", self.num_preprocess_cells)?,
            post_cells: c("num_postprocess_cells", self.num_postprocess_cells)?,
            enc_cells: c("num_cell_per_cond_enc", self.num_cell_per_cond_enc)?,
            dec_cells: c("num_cell_per_cond_dec", self.num_cell_per_cond_dec)?,
            kinds: [enc, dec, post],
            squeeze: self.use_se,
            distribution,
            batch_statistics: self.vae_train_mode,
            log_sig_q_scale: check.finite("log_sig_q_scale", self.log_sig_q_scale)?,
            input_skip,
            flows: if self.num_nf == 0 { 0 } else { check.count("num_nf", self.num_nf, 64)? },
        })
    }

    /// The prior.
    pub(super) fn prior(&self, check: &Checker, vae: &Nvae) -> Result<Ncsnpp, ModelError> {
        check.word("dae_arch", &self.dae_arch, &[("ncsnpp", ())])?;
        check.word("embedding_type", &self.blocks.embedding_type, &[("positional", ())])?;
        let scales = check.count("num_scales_dae", self.num_scales_dae, 16)?;
        let ch_mult = match (vae.side, scales) {
            (256, 4) => vec![1, 2, 2, 2],
            (256, 5) => vec![1, 1, 2, 2, 2],
            _ => vec![1; scales],
        };
        let latent = vae.latent();
        self.blocks.network(
            check,
            &Sizes {
                image_size: latent.h,
                channels: latent.c,
                nf: self.num_channels_dae,
                ch_mult: &ch_mult,
                num_res_blocks: self.num_cell_per_scale_dae,
                attn_resolutions: &[16],
                fir: self.fir,
                embedding: (self.embedding_dim, check.finite("embedding_scale", self.embedding_scale)?),
            },
        )
    }
}
