"""DDGAN: four denoising steps, each a conditional GAN. The generator guesses x0, the posterior turns it into x_t.

    real pair: x_t = sqrt(P_t) x0 + sqrt(1 - P_t) n1,  x_{t+1} = sqrt(1 - beta_t) x_t + sqrt(beta_t) n2     (one trajectory)
    fake:      x0' = G(x_{t+1}, t, z),  x_t' = coef1_t x0' + coef2_t x_{t+1} + [t > 0] sd_t n3
    D: softplus(-D(real)) + softplus(D(fake)) + gamma/2 |grad_{x_t} D(real)|^2 every `LAZY` steps;   G: softplus(-D(fake))
"""
import math

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import data
from base import Batches, Learner, Training, column, main, save_json, save_weights
from ncsnpp import Generator, conv, down, linear, positional

T = 4
INTERIM = data.HERE / "interim/fashion-ddgan-discriminator.safetensors"  # no part of the model, but its training cannot go on without
GAMMA, LAZY = 0.05, 15

CONFIG = {
    "image_size": 32,
    "num_channels": 1,
    "centered": True,
    "use_geometric": False,
    "beta_min": 0.1,
    "beta_max": 20.0,
    "num_channels_dae": 16,
    "n_mlp": 2,
    "ch_mult": [1, 1, 2, 3],
    "num_res_blocks": 1,
    "attn_resolutions": [8],
    "dropout": 0.0,
    "resamp_with_conv": True,
    "conditional": True,
    "fir": True,
    "fir_kernel": [1, 3, 3, 1],
    "skip_rescale": True,
    "resblock_type": "biggan",
    "progressive": "none",
    "progressive_input": "residual",
    "progressive_combine": "sum",
    "embedding_type": "positional",
    "fourier_scale": 16.0,
    "not_use_tanh": False,
    "nz": 32,
    "num_timesteps": T,
    "z_emb_dim": 32,
    "t_emb_dim": 64,
}


class Tables:
    """beta, P (what is left of the picture's variance before step t) and the posterior, for t = 0..steps-1, in f64."""

    def __init__(self, steps=T, beta_min=0.1, beta_max=20.0, eps=1e-3):
        t = eps + (1 - eps) * torch.arange(steps + 1, dtype=torch.float64) / steps
        kept = torch.exp(-0.5 * t**2 * (beta_max - beta_min) - t * beta_min)
        self.beta = 1 - kept[1:] / kept[:-1]
        after = torch.cumprod(1 - self.beta, 0)
        self.before = torch.cat([torch.ones(1, dtype=torch.float64), after[:-1]])
        self.coef1 = self.beta * self.before.sqrt() / (1 - after)
        self.coef2 = (1 - self.before) * (1 - self.beta).sqrt() / (1 - after)
        self.sd = (self.beta * (1 - self.before) / (1 - after)).clamp(min=1e-20).sqrt()
        self.sd[0] = 0  # no noise in the last step

    def pair(self, x0, t):
        """x_t and x_{t+1} of one trajectory."""
        kept, beta = column(self.before[t], x0), column(self.beta[t], x0)
        x_t = kept.sqrt() * x0 + (1 - kept).sqrt() * torch.randn_like(x0)
        return x_t, (1 - beta).sqrt() * x_t + beta.sqrt() * torch.randn_like(x0)

    def posterior(self, x0, x_next, t):
        """A sample of x_t given x0 and x_{t+1}."""
        noise = torch.randn_like(x0)
        return column(self.coef1[t], x0) * x0 + column(self.coef2[t], x0) * x_next + column(self.sd[t], x0) * noise


def leaky(x):
    return F.leaky_relu(x, 0.2)


class DBlock(nn.Module):
    def __init__(self, cin, cout, width, halve):
        super().__init__()
        self.conv1, self.dense = conv(cin, cout), linear(width, cout)
        self.conv2 = conv(cout, cout, scale=0.0)
        self.skip = nn.Conv2d(cin, cout, 1, bias=False)
        self.halve = halve

    def forward(self, x, temb):
        h = leaky(self.conv1(leaky(x)) + self.dense(temb)[:, :, None, None])
        if self.halve:
            h, x = down(h, True), down(x, True)
        return (self.conv2(h) + self.skip(x)) / math.sqrt(2)


def batch_deviation(x, members=4):
    """One channel more: how much the pictures of a group differ, one number a group."""
    n, c, h, w = x.shape
    y = x.view(members, n // members, c, h, w)
    deviation = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(members).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)


class Discriminator(nn.Module):
    """Tells a real (x_t, x_{t+1}) from a fake one."""

    def __init__(self, channels=1, widths=(16, 16, 32, 64, 96), width=64):
        super().__init__()
        self.width = width
        self.time = nn.Sequential(linear(width, width), nn.LeakyReLU(0.2), linear(width, width), nn.LeakyReLU(0.2))
        self.start_conv = conv(2 * channels, widths[0], 1)
        pairs = zip(widths[:-1], widths[1:])
        self.blocks = nn.ModuleList(DBlock(cin, cout, width, i > 0) for i, (cin, cout) in enumerate(pairs))
        self.final_conv = conv(widths[-1] + 1, widths[-1], scale=0.0)
        self.end = linear(widths[-1], 1)

    def forward(self, x_t, t, x_next):
        temb = self.time(positional(t, self.width))
        h = self.start_conv(torch.cat([x_t, x_next], 1))
        for block in self.blocks:
            h = block(h, temb)
        h = leaky(self.final_conv(batch_deviation(h)))
        return self.end(h.sum((2, 3)))[:, 0]


def discriminator_loss(d, real, fake, t, x_next):
    return F.softplus(-d(real, t, x_next)).mean() + F.softplus(d(fake, t, x_next)).mean()


def penalty(d, real, t, x_next):
    """Mean squared gradient of D in the real x_t (R1 without its factor)."""
    real = real.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(d(real, t, x_next).sum(), real, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


@torch.no_grad()
def sample(g, x, tables, nz=CONFIG["nz"]):
    for i in reversed(range(len(tables.beta))):
        t = torch.full((len(x),), i)
        x = tables.posterior(g(x, t, torch.randn(len(x), nz)), x, t)
    return x


class FashionDdgan(Training):
    name = "fashion-ddgan"
    steps = 24_000
    batch = 32
    sheet_every = 1000

    def __init__(self):
        torch.manual_seed(self.seed)
        self.tables = Tables()
        self.batches = Batches(*data.fashion("train"), self.batch, self.seed)
        self.g = self.learner(Generator(CONFIG), 2e-4)
        self.d = self.learner(Discriminator(), 1.6e-4)

    def learner(self, net, rate, last=1e-5):
        def cosine(k):
            return (last + (rate - last) * 0.5 * (1 + math.cos(math.pi * k / self.steps))) / rate

        return Learner(net, self.steps, rate, betas=(0.5, 0.9), clip=math.inf, factor=cosine)

    def parts(self):
        return {"g": self.g, "d": self.d}

    def fake(self, x_next, t):
        return self.tables.posterior(self.g(x_next, t, torch.randn(len(t), CONFIG["nz"])), x_next, t)

    def step(self, k):
        x0, _ = self.batches.at(k)
        t = torch.randint(0, T, (len(x0),))
        real, x_next = self.tables.pair(x0, t)
        with torch.no_grad():
            fake = self.fake(x_next, t)
        self.d.net.requires_grad_(True)
        loss_d = discriminator_loss(self.d, real, fake, t, x_next)
        numbers = {"loss": loss_d.item()}
        if k % LAZY == 0:
            self.r1 = penalty(self.d, real, t, x_next)
            loss_d = loss_d + GAMMA / 2 * self.r1
            self.r1 = self.r1.item()
        self.d.learn(loss_d, k)

        self.d.net.requires_grad_(False)
        t = torch.randint(0, T, (len(x0),))
        _, x_next = self.tables.pair(x0, t)
        loss_g = F.softplus(-self.d(self.fake(x_next, t), t, x_next)).mean()
        self.g.learn(loss_g, k)
        return numbers | {"loss_g": loss_g.item(), "r1": getattr(self, "r1", 0.0)}

    def draw(self, n):
        with self.g.ema:
            return sample(self.g, torch.randn(n, 1, 32, 32), self.tables)

    @torch.no_grad()
    def measure(self):
        """Square error of x0' a step (it grows with t; below 0.11 at t = 0), and how far two z lead apart at the last."""
        pictures, _ = data.fashion("held_out")
        torch.manual_seed(0)
        x0 = self.batches.scale(torch.from_numpy(pictures)[torch.randperm(len(pictures))[:200]])
        errors = []
        with self.g.ema:
            for i in range(T):
                t = torch.full((len(x0),), i)
                _, x_next = self.tables.pair(x0, t)
                one, two = (self.g(x_next, t, torch.randn(len(x0), CONFIG["nz"])) for _ in range(2))
                errors.append(round((one - x0).square().mean().item(), 4))
        return {"error_by_t": errors, "between_two_z": (one - two).square().mean().item()}

    def adopt(self, folder):
        self.d.adopt(load_file(INTERIM))
        self.g.adopt(load_file(folder / "model.safetensors"))

    def export(self, folder):
        save_weights(self.g.weights(), folder / "model.safetensors")
        INTERIM.parent.mkdir(exist_ok=True)
        save_weights(self.d.weights(), INTERIM)
        save_json(CONFIG, folder / "config.json")


if __name__ == "__main__":
    main(FashionDdgan)
