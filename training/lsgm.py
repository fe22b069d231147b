"""LSGM in two stages: a small NVAE, then a score-based prior over its latents with mixed score. The NVAE is frozen in the second.

    VAE:   sum over the inner 28x28 of BCE(logits, grey value) + kappa * KL (one sample), kappa from 1e-4 to 0.7
    prior: eps_t = m eps + sqrt(var) n, prediction (1 - a) sqrt(var) eps_t + a net(eps_t, 1000 t), a = sigmoid(mixing_logit),
           loss Z / (1 - var_t) (prediction - n)^2 with t of density ~ 1 - var_t (`drop_all_iw`)

What this leaves out of the published system: the joint stage, in which the encoder learns what the prior finds easy.
"""
import math
import os

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import data
from base import Batches, Learner, Training, column, fifths, main, save_json, save_weights
from ncsnpp import Dae
from nvae import Nvae

CONFIG = {
    "dataset": "mnist",
    "log_sig_q_scale": 5.0,
    "num_x_bits": 8,
    "decoder_dist": "bin",
    "num_latent_scales": 1,
    "num_groups_per_scale": 2,
    "num_latent_per_group": 5,
    "num_channels_enc": 16,
    "num_preprocess_blocks": 2,
    "num_preprocess_cells": 2,
    "num_cell_per_cond_enc": 1,
    "num_channels_dec": 16,
    "num_postprocess_blocks": 2,
    "num_postprocess_cells": 2,
    "num_cell_per_cond_dec": 1,
    "progressive_input_vae": "none",
    "channel_mult": [1, 2, 3],
    "num_nf": 0,
    "arch_instance": "res_bnswish",
    "use_se": True,
    "dae_arch": "ncsnpp",
    "num_channels_dae": 36,
    "num_scales_dae": 2,
    "num_cell_per_scale_dae": 2,
    "dropout": 0.1,
    "mixed_prediction": True,
    "mixing_logit_init": -3.0,
    "fir": False,
    "progressive": "none",
    "progressive_input": "none",
    "progressive_combine": "sum",
    "embedding_dim": 64,
    "embedding_type": "positional",
    "embedding_scale": 1000.0,
    "sde_type": "vpsde",
    "beta_start": 0.1,
    "beta_end": 20.0,
    "sigma2_0": 0.0,
    "sigma2_min": 0.0001,
    "sigma2_max": 0.99,
    "time_eps": 0.01,
    "diffusion_steps": 1000,
    "denoising_stddevs": "beta",
    "ode_eps": 1e-5,
    "ode_solver_tol": 1e-5,
}
B0, B1, T_MIN = CONFIG["beta_start"], CONFIG["beta_end"], CONFIG["time_eps"]
KAPPA_FIRST, KAPPA_LAST, KAPPA_OVER = 1e-4, 0.7, 0.6
COPIES = 4  # latents drawn of each picture


def part(tensors, prefix):
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def variance(t):
    """var(t) of the VP SDE, f64."""
    return -torch.expm1(-B0 * t - 0.5 * (B1 - B0) * t**2)


def weighted_times(rho):
    """t of density ~ 1 - var(t) on [T_MIN, 1] from rho in [0,1], and Z, the integral of 1 - var."""
    d, k = (B1 - B0) / 2, B0 / (B1 - B0)

    def e(t):
        return math.erf(math.sqrt(d) * (t + k))

    first, last = e(T_MIN), e(1.0)
    t = torch.erfinv(first + rho * (last - first)) / math.sqrt(d) - k
    return t.clamp(T_MIN, 1.0), math.exp(d * k * k) * math.sqrt(math.pi / (4 * d)) * (last - first)


def mixed(net, mixing_logit, x, t):
    """The prediction of epsilon; t in f64, one a picture."""
    a = torch.sigmoid(mixing_logit)
    return (1 - a) * column(variance(t).sqrt(), x) * x + a * net(x, t.float())


def prior_loss(net, mixing_logit, eps, rho, noise):
    """Loss of each picture's latents, mean over the dimensions."""
    t, z = weighted_times(rho)
    var = variance(t)
    x = column((1 - var).sqrt(), eps) * eps + column(var.sqrt(), eps) * noise
    error = (mixed(net, mixing_logit, x, t) - noise).square().flatten(1).mean(1)
    return (z / (1 - var)).float() * error


@torch.no_grad()
def prior_sample(predict, x, count=60, last=1e-4):
    """The probability flow by exponential steps on a grid denser near 0; `predict(x, t)` gives epsilon."""
    grid = torch.linspace(1, math.sqrt(last), count + 1, dtype=torch.float64) ** 2
    for t, following in zip(grid[:-1], grid[1:]):
        var, var2 = variance(t), variance(following)
        e = predict(x, t.expand(len(x)))
        x0 = (x - var.sqrt().float() * e) / (1 - var).sqrt().float()
        x = (1 - var2).sqrt().float() * x0 + var2.sqrt().float() * e
    return x


def kl(eps, log_sig, noise):
    """log q - log N(0,1) of the sample, summed over the latents of each picture."""
    return (-0.5 * noise.square() - log_sig + 0.5 * eps.square()).flatten(1).sum(1)


def reconstruction(logits, x):
    """Soft cross entropy of the grey values (x in [-1,1]) over the inner 28x28, in nats a picture."""
    inner = slice(2, 30)
    target = (x[:, :, inner, inner] + 1) / 2
    return F.binary_cross_entropy_with_logits(logits[:, :, inner, inner], target, reduction="none").flatten(1).sum(1)


class FashionVae(Training):
    """First stage. No average: batch norm's running statistics are the only ones."""

    name = "fashion-lsgm-vae"
    steps = 14_000
    batch = 64
    rate = 5e-3

    def __init__(self):
        torch.manual_seed(self.seed)
        self.batches = Batches(*data.fashion("train"), self.batch, self.seed)
        self.net = Nvae(CONFIG).to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adamax(self.net.parameters(), self.rate, eps=1e-3)

    def home(self):
        return data.HERE / "interim" / self.name

    def parts(self):
        return {"net": self.net, "optimiser": self.optimiser}

    def kappa(self, k):
        return min(KAPPA_FIRST + (KAPPA_LAST - KAPPA_FIRST) * k / (KAPPA_OVER * self.steps), KAPPA_LAST)

    def terms(self, x):
        eps, _, log_sig, noise, s = self.net.encode(x.contiguous(memory_format=torch.channels_last))
        return reconstruction(self.net.logits(s), x), kl(eps, log_sig, noise)

    def step(self, k):
        x, _ = self.batches.at(k)
        rec, distance = (term.mean() for term in self.terms(x))
        for group in self.optimiser.param_groups:
            group["lr"] = 1e-5 + (self.rate - 1e-5) * 0.5 * (1 + math.cos(math.pi * k / self.steps))
        self.optimiser.zero_grad()
        (rec + self.kappa(k) * distance).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 200.0)
        self.optimiser.step()
        if k + 1 == self.steps:
            self.refresh(k)
        return {"loss": (rec + distance).item(), "reconstruction": rec.item(), "kl": distance.item()}

    @torch.no_grad()
    def refresh(self, k, count=200):
        """Batch norm's statistics anew from the final weights."""
        norms = [m for m in self.net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # cumulative mean
        for i in range(count):
            self.terms(self.batches.at(k + i)[0])
        for norm in norms:
            norm.momentum = 0.05

    @torch.no_grad()
    def sheet(self):
        """Held-out pictures in the odd columns, what the VAE makes of each to its right."""
        pictures, _ = data.fashion("held_out")
        x = self.batches.scale(torch.from_numpy(pictures[np.arange(32) * len(pictures) // 32]))
        self.net.eval()
        shown = 2 * self.net.decode(self.net.encode(x)[0]).sigmoid() - 1
        self.net.train()
        return torch.stack([x, shown], 1).flatten(0, 1)

    @torch.no_grad()
    def measure(self):
        """Nats a held-out picture; mean and variance of the latents over all of them, by channel."""
        pictures, _ = data.fashion("held_out")
        torch.manual_seed(0)
        x = self.batches.scale(torch.from_numpy(pictures)[torch.randperm(len(pictures))[:1000]])
        self.net.eval()
        rec, distance = self.terms(x)
        eps = self.net.encode(x)[0]
        self.net.train()
        numbers = {"reconstruction": rec.mean().item(), "kl": distance.mean().item()}
        numbers["latent_mean"] = [round(v, 3) for v in eps.mean((0, 2, 3)).tolist()]
        numbers["latent_variance"] = [round(v, 3) for v in eps.var((0, 2, 3)).tolist()]
        return numbers

    def export(self, folder):
        save_weights({"vae." + key: value for key, value in self.net.state_dict().items()}, folder / "model.safetensors")

    def adopt(self, folder):
        self.net.load_state_dict(part(load_file(folder / "model.safetensors"), "vae."))


class FashionLsgm(Training):
    """Second stage: the prior over the frozen VAE's latents."""

    name = "fashion-lsgm"
    steps = 25_000
    batch = 128
    rate = 5e-4

    def __init__(self):
        torch.manual_seed(self.seed)
        self.net = Dae(CONFIG, 8, (1,) * CONFIG["num_scales_dae"])
        self.learner = Learner(self.net, self.steps, self.rate, eps=1e-4)
        self.learner.ema.decay = 0.9995
        self._vae, self._latents = None, None

    def parts(self):
        return {"learner": self.learner}

    @property
    def vae(self):
        """The finished VAE, in evaluation."""
        if self._vae is None:
            training = FashionVae()
            k, _ = training.load()
            if k < training.steps:
                raise SystemExit("train fashion-lsgm-vae first")
            self._vae = training.net.eval()
        return self._vae

    @property
    def latents(self):
        """f16 [COPIES, 60000, 10, 8, 8], drawn once."""
        if self._latents is None:
            path = self.folder / "latents.npy"
            if not path.exists():
                pictures = torch.from_numpy(data.fashion("train")[0])
                drawn = np.empty((COPIES, len(pictures), self.channels, 8, 8), np.float16)
                generator = torch.random.get_rng_state()
                torch.manual_seed(self.seed)
                with torch.no_grad():
                    for copy in range(COPIES):
                        for start in range(0, len(pictures), 250):
                            x = pictures[start : start + 250].float() / 127.5 - 1
                            drawn[copy, start : start + 250] = self.vae.encode(x)[0].numpy()
                torch.random.set_rng_state(generator)
                unfinished = path.with_suffix(".part.npy")
                np.save(unfinished, drawn)
                os.replace(unfinished, path)
            self._latents = torch.from_numpy(np.load(path, mmap_mode="c"))
        return self._latents

    @property
    def channels(self):
        return CONFIG["num_groups_per_scale"] * CONFIG["num_latent_per_group"]

    def loss(self, eps, rho, noise):
        return prior_loss(self.learner, self.net.mixing_logit, eps, rho, noise)

    def step(self, k):
        copies, count = self.latents.shape[:2]
        eps = self.latents[torch.randint(0, copies, (self.batch,)), torch.randint(0, count, (self.batch,))].float()
        loss = self.loss(eps, torch.rand(len(eps), dtype=torch.float64), torch.randn_like(eps)).mean()
        return {"loss": loss.item(), "gradient": self.learner.learn(loss, k)}

    @torch.no_grad()
    def draw(self, n):
        x = torch.randn(n, self.channels, 8, 8)
        self.net.eval()
        with self.learner.ema:
            eps = prior_sample(lambda x, t: mixed(self.learner, self.net.mixing_logit, x, t), x)
        self.net.train()
        return 2 * self.vae.decode(eps).sigmoid() - 1

    @torch.no_grad()
    def measure(self):
        pictures, _ = data.fashion("held_out")
        torch.manual_seed(0)
        x = torch.from_numpy(pictures)[torch.randperm(len(pictures))[:1000]].float() / 127.5 - 1
        eps = self.vae.encode(x)[0]
        self.net.eval()
        with self.learner.ema:
            each = self.loss(eps, torch.linspace(0, 1, len(eps), dtype=torch.float64), torch.randn_like(eps))
        self.net.train()
        return {"held_out_loss": each.mean().item(), "by_fifths_of_t": fifths(each)}

    def adopt(self, folder):
        self.learner.adopt(part(load_file(folder / "model.safetensors"), "dae."))

    def export(self, folder):
        tensors = {"dae." + key: value for key, value in self.learner.weights().items()}
        tensors |= {"vae." + key: value for key, value in self.vae.state_dict().items()}
        save_weights(tensors, folder / "model.safetensors")
        save_json(CONFIG, folder / "config.json")


if __name__ == "__main__":
    main(FashionVae, FashionLsgm)
