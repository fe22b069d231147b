"""CLD-SGM: critically damped Langevin diffusion, hybrid score matching, mixed score.

A picture x gets a velocity v; only v is noised. Given x0 (and v0 integrated out) u_t = (x, v) is Gaussian with mean
c (2B+1) x0, -c B x0 and covariance `covariance`; with its Cholesky factor L and normal e_x, e_v

    x = mean_x + L11 e_x,   v = mean_v + L21 e_x + L22 e_v,   score in v = -e_v / L22
    score of the model = -v / Svv - net / L22, so the loss is |net + (L22 / Svv) v - e_v|^2, here the mean over the pixels.

All scalars in f64: in f32 Sxx cancels to a negative number at small t.
"""
import math

import torch
from safetensors.torch import load_file

import data
from base import Batches, Learner, Training, column, fifths, main, save_json, save_weights
from ncsnpp import CldNet

BETA = 4.0  # beta(t) = BETA, so B(t) = BETA t
M_INV, GAMMA, EPS, T_MIN = 4.0, 0.04, 1e-9, 1e-5
V0 = GAMMA / M_INV  # variance of the first velocity
# With m_inv = 4: f = 2 / sqrt(m_inv) = 1 and g = 1 / f = 1; both are left out of the formulae below.

CONFIG = {
    "name": "ncsnpp",
    "normalization": "GroupNorm",
    "nonlinearity": "swish",
    "n_channels": 16,
    "ch_mult": "1,1,2,4",
    "attn_resolutions": "8",
    "resamp_with_conv": True,
    "use_fir": True,
    "fir_kernel": "1,3,3,1",
    "skip_rescale": True,
    "resblock_type": "biggan",
    "progressive": "none",
    "progressive_input": "residual",
    "progressive_combine": "sum",
    "attention_type": "ddpm",
    "init_scale": 0.0,
    "fourier_scale": 16,
    "conv_size": 3,
    "embedding_type": "fourier",
    "mixed_score": True,
    "n_resblocks": 1,
    "dropout": 0.0,
    "numerical_eps": EPS,
    "sde": "cld",
    "beta_type": "linear",
    "beta0": BETA,
    "beta1": 0.0,
    "m_inv": M_INV,
    "gamma": GAMMA,
    "cld_objective": "hsm",
    "weighting": "reweightedv2",
    "is_image": True,
    "image_size": 32,
    "image_channels": 1,
    "center_image": True,
    "sampling_method": "sscs",
    "striding": "quadratic",
    "n_discrete_steps": 200,
    "sampling_eps": 1e-3,
    "denoising": True,
    "sscs_num_stab": 0.0,
    "sampling_solver": "scipy_solver",
    "sampling_solver_options": {"solver": "RK45"},
    "sampling_rtol": 1e-5,
    "sampling_atol": 1e-5,
}


def covariance(t, s_x=0.0, s_v=V0, eps=EPS):
    """Sxx, Sxv, Svv at t (f64) for first variances s_x, s_v."""
    b = BETA * t
    e = torch.exp(-4 * b)
    growth = torch.expm1(4 * b)  # 1/e - 1
    sxx = e * (s_x + growth + 4 * b * (s_x - 1) + 4 * b**2 * (s_x - 2) + 16 * b**2 * s_v) + eps
    sxv = e * (-s_x * b + 4 * b * s_v - 2 * b**2 * (s_x - 2) - 8 * b**2 * s_v)
    svv = e * (growth / 4 + b - 4 * b * s_v + 4 * b**2 * s_v + s_v + b**2 * (s_x - 2)) + eps
    return sxx, sxv, svv


def cholesky(sxx, sxv, svv):
    l11 = sxx.sqrt()
    l21 = sxv / l11
    return l11, l21, (svv - l21**2).sqrt()


def mean(t):
    """What x0 is multiplied by in x and in v (v0 = 0 in the mean)."""
    b = BETA * t
    c = torch.exp(-2 * b)
    return c * (2 * b + 1), -c * b


def times(n):
    return T_MIN + (1 - T_MIN) * torch.rand(n, dtype=torch.float64)


def loss(net, x0, t, e_x, e_v):
    """Loss of each picture; t in f64, `net(u, t)` with x before v on the channel axis."""
    svv = covariance(t)[2]
    l11, l21, l22 = cholesky(*covariance(t))
    mean_x, mean_v = mean(t)
    x = column(mean_x, x0) * x0 + column(l11, x0) * e_x
    v = column(mean_v, x0) * x0 + column(l21, x0) * e_x + column(l22, x0) * e_v
    error = net(torch.cat([x, v], 1), t.float()) + column(l22 / svv, x0) * v - e_v
    return error.square().flatten(1).mean(1)


def score(net, x, v, t):
    """grad_v log p(u_t) of the model; t an f64 scalar."""
    sxx, sxv, svv = covariance(t)
    out = net(torch.cat([x, v], 1), t.float().expand(len(x)))
    return -v / svv.float() - out / cholesky(sxx, sxv, svv)[2].float()


@torch.no_grad()
def sscs(net, x, v, count=100, eps=1e-3):
    """Symmetric splitting: half an analytic step, the score's kick, half an analytic step; quadratic striding, one denoising step."""
    grid = 1 - torch.linspace(1, math.sqrt(eps), count, dtype=torch.float64) ** 2  # sampler time 0 .. 1-eps

    def analytic(x, v, h):
        b = -BETA * h
        c, q = torch.exp(2 * b), torch.exp(4 * b)
        growth = torch.expm1(-4 * b)
        vxx = q * (growth + 4 * b - 8 * b**2)
        vxv = -q * 4 * b**2
        vvv = q * (growth / 4 - b - 2 * b**2)
        l11, l21, l22 = (value.float() for value in cholesky(vxx, vxv, vvv))
        mean_x = c.float() * ((1 - 2 * b).float() * x + (4 * b).float() * v)
        mean_v = c.float() * (-b.float() * x + (1 + 2 * b).float() * v)
        e_x, e_v = torch.randn_like(x), torch.randn_like(v)
        return mean_x + l11 * e_x, mean_v + l21 * e_x + l22 * e_v

    for tau, following in zip(grid[:-1], grid[1:]):
        h = following - tau
        x, v = analytic(x, v, h / 2)
        v = v + 2 * BETA * h.float() * (score(net, x, v, 1 - tau) + M_INV * v)
        x, v = analytic(x, v, h / 2)
    return x - M_INV * BETA * eps * v


class FashionCld(Training):
    name = "fashion-cld"
    steps = 30_000
    batch = 64
    rate = 8e-4
    sheet_every = 5000

    def __init__(self):
        torch.manual_seed(self.seed)
        self.batches = Batches(*data.fashion("train"), self.batch, self.seed)
        self.learner = Learner(CldNet(CONFIG), self.steps, self.rate)

    def parts(self):
        return {"learner": self.learner}

    def step(self, k):
        x0, _ = self.batches.at(k)
        value = loss(self.learner, x0, times(len(x0)), torch.randn_like(x0), torch.randn_like(x0)).mean()
        return {"loss": value.item(), "gradient": self.learner.learn(value, k)}

    def draw(self, n):
        x, v = torch.randn(n, 1, 32, 32), torch.randn(n, 1, 32, 32) / math.sqrt(M_INV)
        with self.learner.ema:
            return sscs(self.learner, x, v)

    @torch.no_grad()
    def measure(self):
        pictures, _ = data.fashion("held_out")
        torch.manual_seed(0)
        x0 = self.batches.scale(torch.from_numpy(pictures)[torch.randperm(len(pictures))[:500]])
        t = torch.linspace(T_MIN, 1, len(x0), dtype=torch.float64)
        with self.learner.ema:
            each = loss(self.learner, x0, t, torch.randn_like(x0), torch.randn_like(x0))
        return {"held_out_loss": each.mean().item(), "by_fifths_of_t": fifths(each)}

    def adopt(self, folder):
        self.learner.adopt(load_file(folder / "model.safetensors"))

    def export(self, folder):
        save_weights(self.learner.weights(), folder / "model.safetensors")
        save_json(CONFIG, folder / "config.json")


if __name__ == "__main__":
    main(FashionCld)
