"""Continuous diffusions of score_sde: VP in DDPM++ and VE in NCSN++.

    VP: x = m(t) x0 + s(t) z,  loss mean |net(x, 999 t) - z|^2,           score = -net / s
    VE: x = x0 + sigma(t) z,   loss mean |sigma net(x, sigma) + z|^2,     score = net      (pictures in [0,1])

t is uniform in [1e-5, 1]; m, s and sigma are computed in f64. The mean over the dimensions is taken in both.
"""
import copy
import math

import torch
from safetensors.torch import load_file

import data
from base import Batches, Learner, Training, column, fifths, main, save_json, save_weights
from ncsnpp import ScoreNet

T_MIN = 1e-5
BETA_MIN, BETA_MAX = 0.1, 20.0
SIGMA_MIN, SIGMA_MAX = 0.01, 25.0

CONFIG = {
    "training": {"sde": "vpsde", "continuous": True, "reduce_mean": True, "likelihood_weighting": False},
    "sampling": {"method": "pc", "predictor": "euler_maruyama", "corrector": "none", "snr": 0.16, "n_steps_each": 1, "noise_removal": True, "eps": 1e-3},
    "data": {"dataset": "fashion-mnist", "image_size": 32, "centered": True, "num_channels": 1},
    "model": {
        "name": "ncsnpp",
        "sigma_min": SIGMA_MIN,
        "sigma_max": SIGMA_MAX,
        "num_scales": 1000,
        "beta_min": BETA_MIN,
        "beta_max": BETA_MAX,
        "dropout": 0.0,
        "embedding_type": "positional",
        "scale_by_sigma": False,
        "normalization": "GroupNorm",
        "nonlinearity": "swish",
        "nf": 16,
        "ch_mult": [1, 1, 2, 4],
        "num_res_blocks": 1,
        "attn_resolutions": [8],
        "resamp_with_conv": True,
        "conditional": True,
        "fir": False,
        "fir_kernel": [1, 3, 3, 1],
        "skip_rescale": True,
        "resblock_type": "biggan",
        "progressive": "none",
        "progressive_input": "none",
        "progressive_combine": "sum",
        "attention_type": "ddpm",
        "init_scale": 0.0,
        "fourier_scale": 16,
        "conv_size": 3,
    },
}


def vp(t):
    """m(t) and s(t), f64."""
    log_mean = -0.25 * t**2 * (BETA_MAX - BETA_MIN) - 0.5 * t * BETA_MIN
    return log_mean.exp(), torch.sqrt(-torch.expm1(2 * log_mean))


def ve(t):
    """sigma(t), f64."""
    return SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** t


def times(n):
    return T_MIN + (1 - T_MIN) * torch.rand(n, dtype=torch.float64)


def vp_loss(net, x0, t, z):
    """Loss of each picture; t in f64."""
    m, s = vp(t)
    x = column(m, x0) * x0 + column(s, x0) * z
    return (net(x, (999 * t).float()) - z).square().flatten(1).mean(1)


def ve_loss(net, x0, t, z):
    sigma = ve(t)
    return (column(sigma, x0) * net(x0 + column(sigma, x0) * z, sigma.float()) + z).square().flatten(1).mean(1)


@torch.no_grad()
def vp_sample(net, x, count=50, eps=1e-3):
    """The probability flow by exponential steps (DDIM) on a grid that is denser near the pictures."""
    grid = torch.linspace(1, math.sqrt(eps), count + 1, dtype=torch.float64) ** 2
    for t, following in zip(grid[:-1], grid[1:]):
        (m, s), (m2, s2) = vp(t), vp(following)
        z = net(x, (999 * t).float().expand(len(x)))
        x0 = (x - s.float() * z) / m.float()
        x = m2.float() * x0 + s2.float() * z
    m, s = vp(grid[-1])
    return (x - s.float() * net(x, (999 * grid[-1]).float().expand(len(x)))) / m.float()


@torch.no_grad()
def ve_sample(net, x, count=60):
    """The probability flow by Heun steps on the grid of Karras (rho 7); x is of variance 1."""
    ends = SIGMA_MAX ** (1 / 7), SIGMA_MIN ** (1 / 7)
    grid = torch.linspace(*ends, count + 1, dtype=torch.float64) ** 7
    x = x * SIGMA_MAX

    def slope(x, sigma):
        return -sigma.float() * net(x, sigma.float().expand(len(x)))

    for sigma, following in zip(grid[:-1], grid[1:]):
        h = (following - sigma).float()
        d = slope(x, sigma)
        x = x + h / 2 * (d + slope(x + h * d, following))
    return x - grid[-1].float() * slope(x, grid[-1])


class ScoreSde(Training):
    batch = 64
    rate = 8e-4
    unit = False

    def __init__(self):
        torch.manual_seed(self.seed)
        self.config = self.configuration()
        self.batches = Batches(*data.fashion("train"), self.batch, self.seed, self.unit)
        self.learner = Learner(ScoreNet(self.config), self.steps, self.rate)

    def parts(self):
        return {"learner": self.learner}

    def step(self, k):
        x0, _ = self.batches.at(k)
        loss = self.loss(self.learner, x0, times(len(x0)), torch.randn_like(x0)).mean()
        return {"loss": loss.item(), "gradient": self.learner.learn(loss, k)}

    def draw(self, n):
        noise = torch.randn(n, 1, 32, 32)
        with self.learner.ema:
            pictures = self.sample(self.learner, noise)
        return 2 * pictures - 1 if self.unit else pictures

    @torch.no_grad()
    def measure(self):
        pictures, _ = data.fashion("held_out")
        torch.manual_seed(0)
        x0 = self.batches.scale(torch.from_numpy(pictures)[torch.randperm(len(pictures))[:500]])
        t = torch.linspace(T_MIN, 1, len(x0), dtype=torch.float64)
        with self.learner.ema:
            each = self.loss(self.learner, x0, t, torch.randn_like(x0))
        return {"held_out_loss": each.mean().item(), "by_fifths_of_t": fifths(each)}

    def adopt(self, folder):
        self.learner.adopt(load_file(folder / "model.safetensors"))

    def export(self, folder):
        save_weights(self.learner.weights(), folder / "model.safetensors")
        save_json(self.config, folder / "config.json")


class FashionVp(ScoreSde):
    name = "fashion-vp"
    steps = 30_000
    loss, sample = staticmethod(vp_loss), staticmethod(vp_sample)

    def configuration(self):
        return copy.deepcopy(CONFIG)


class FashionVe(ScoreSde):
    name = "fashion-ve"
    steps = 30_000
    unit = True
    loss, sample = staticmethod(ve_loss), staticmethod(ve_sample)

    def configuration(self):
        config = copy.deepcopy(CONFIG)
        config["training"]["sde"] = "vesde"
        config["sampling"] |= {"predictor": "reverse_diffusion", "corrector": "langevin", "eps": 1e-5}
        config["data"]["centered"] = False
        config["model"] |= {"embedding_type": "fourier", "scale_by_sigma": True, "fir": True, "progressive_input": "residual"}
        return config


if __name__ == "__main__":
    main(FashionVp, FashionVe)
