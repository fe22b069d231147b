"""The U-Net of score_sde, CLD-SGM, DDGAN and LSGM's prior, with the parameter names of their checkpoints.

Only the branches that our models use: BigGAN residual blocks, `progressive` none, `progressive_input` none or residual (FIR).
Modules are numbered in `all_modules` in the order of their construction; that numbering is the checkpoint's naming.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def scaled_(tensor, fan_in, fan_out, scale=1.0):
    """Uniform with variance scale / mean(fan_in, fan_out)."""
    bound = math.sqrt(3 * max(scale, 1e-10) / ((fan_in + fan_out) / 2))
    return nn.init.uniform_(tensor, -bound, bound)


def conv(cin, cout, size=3, stride=1, padding=None, scale=1.0):
    layer = nn.Conv2d(cin, cout, size, stride, size // 2 if padding is None else padding)
    scaled_(layer.weight, cin * size * size, cout * size * size, scale)
    nn.init.zeros_(layer.bias)
    return layer


def linear(cin, cout):
    layer = nn.Linear(cin, cout)
    scaled_(layer.weight, cin, cout)
    nn.init.zeros_(layer.bias)
    return layer


def groups(channels):
    return min(channels // 4, 32)


def group_norm(channels):
    return nn.GroupNorm(groups(channels), channels, eps=1e-6)


class AdaptiveGroupNorm(nn.Module):
    """gamma(z) * norm(x) + beta(z), gamma first."""

    def __init__(self, channels, z_dim):
        super().__init__()
        self.style = linear(z_dim, 2 * channels)
        self.channels = channels
        with torch.no_grad():
            self.style.bias[:channels] = 1

    def forward(self, x, z):
        gamma, beta = self.style(z)[:, :, None, None].chunk(2, 1)
        return gamma * F.group_norm(x, groups(self.channels), eps=1e-6) + beta


FIR = torch.tensor([1.0, 3.0, 3.0, 1.0])


def fir_kernel(channels, gain, like):
    kernel = torch.outer(FIR, FIR) / 64 * gain
    return kernel.to(like).expand(channels, 1, 4, 4)


def up(x, fir):
    if not fir:
        return F.interpolate(x, scale_factor=2, mode="nearest")
    return F.conv_transpose2d(x, fir_kernel(x.shape[1], 4, x), stride=2, padding=1, groups=x.shape[1])


def down(x, fir):
    if not fir:
        return F.avg_pool2d(x, 2)
    return F.conv2d(x, fir_kernel(x.shape[1], 1, x), stride=2, padding=1, groups=x.shape[1])


class FirDownsample(nn.Module):
    """FIR at full resolution, then a 3x3 convolution of stride 2 without padding."""

    def __init__(self, cin, cout):
        super().__init__()
        self.Conv2d_0 = conv(cin, cout, 3, 2, 0)

    def forward(self, x):
        y = F.conv2d(x, fir_kernel(x.shape[1], 1, x), padding=2, groups=x.shape[1])
        return self.Conv2d_0(y)


class Nin(nn.Module):
    """1x1 convolution whose weight is [in, out]."""

    def __init__(self, cin, cout, scale=0.1):
        super().__init__()
        self.W = nn.Parameter(scaled_(torch.empty(cin, cout), cin, cout, scale))
        self.b = nn.Parameter(torch.zeros(cout))

    def forward(self, x):
        return torch.einsum("nchw,cd->ndhw", x, self.W) + self.b[:, None, None]


class Attention(nn.Module):
    def __init__(self, channels, skip_rescale):
        super().__init__()
        self.GroupNorm_0 = group_norm(channels)
        self.NIN_0, self.NIN_1, self.NIN_2 = (Nin(channels, channels) for _ in range(3))
        self.NIN_3 = Nin(channels, channels, 0.0)
        self.skip_rescale = skip_rescale

    def forward(self, x):
        h = self.GroupNorm_0(x)
        q, k, v = (nin(h).flatten(2) for nin in (self.NIN_0, self.NIN_1, self.NIN_2))
        w = torch.einsum("nci,ncj->nij", q, k) * x.shape[1] ** -0.5
        h = torch.einsum("nij,ncj->nci", w.softmax(2), v)
        h = x + self.NIN_3(h.reshape(x.shape))
        return h / math.sqrt(2) if self.skip_rescale else h


class ResBlock(nn.Module):
    def __init__(self, cin, cout, temb_dim, *, resample=None, fir=False, skip_rescale=True, dropout=0.0, z_dim=None):
        super().__init__()
        norm = group_norm if z_dim is None else lambda channels: AdaptiveGroupNorm(channels, z_dim)
        self.GroupNorm_0 = norm(cin)
        self.Conv_0 = conv(cin, cout)
        self.Dense_0 = linear(temb_dim, cout)
        self.GroupNorm_1 = norm(cout)
        self.Conv_1 = conv(cout, cout, scale=0.0)
        if cin != cout or resample:
            self.Conv_2 = conv(cin, cout, 1)
        self.resample, self.fir, self.skip_rescale, self.dropout, self.adaptive = resample, fir, skip_rescale, dropout, z_dim is not None

    def forward(self, x, temb, z=None):
        style = (z,) if self.adaptive else ()
        h = F.silu(self.GroupNorm_0(x, *style))
        if self.resample:
            h, x = self.resample(h, self.fir), self.resample(x, self.fir)
        h = self.Conv_0(h) + self.Dense_0(F.silu(temb))[:, :, None, None]
        h = F.silu(self.GroupNorm_1(h, *style))
        if self.dropout:
            h = F.dropout(h, self.dropout, self.training)
        h = self.Conv_1(h)
        if hasattr(self, "Conv_2"):
            x = self.Conv_2(x)
        return (x + h) / math.sqrt(2) if self.skip_rescale else x + h


class Fourier(nn.Module):
    """Frozen frequencies, drawn so that f16 holds them exactly: an error of 2^-6 in a W of 30 would turn the phase by a radian."""

    def __init__(self, nf, scale):
        super().__init__()
        self.W = nn.Parameter((torch.randn(nf) * scale).half().float(), requires_grad=False)

    def forward(self, s):
        p = s[:, None] * self.W * (2 * math.pi)
        return torch.cat([p.sin(), p.cos()], 1)


def positional(t, dim):
    half = dim // 2
    w = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * -(math.log(10000) / (half - 1)))
    p = t.float()[:, None] * w
    return F.pad(torch.cat([p.sin(), p.cos()], 1), (0, dim % 2))


class Ncsnpp(nn.Module):
    """The U-Net itself; `forward(x, s, z)` takes the argument of the embedding as it is."""

    def __init__(
        self,
        *,
        image_size,
        channels_in,
        channels_out,
        nf,
        ch_mult,
        num_res_blocks,
        attn_resolutions,
        fir,
        progressive_input="none",
        embedding="positional",
        embedding_dim=None,
        fourier_scale=16,
        skip_rescale=True,
        dropout=0.0,
        z_dim=None,
    ):
        super().__init__()
        assert progressive_input == "none" or (progressive_input == "residual" and fir)
        self.levels, self.blocks, self.attn_resolutions = len(ch_mult), num_res_blocks, attn_resolutions
        self.residual_input, self.skip_rescale = progressive_input == "residual", skip_rescale
        self.embedding_dim = 2 * nf if embedding == "fourier" else embedding_dim or nf
        self.fourier = embedding == "fourier"
        temb_dim = 4 * (embedding_dim or nf)
        modules = [Fourier(nf, fourier_scale)] if self.fourier else []
        modules += [linear(self.embedding_dim, temb_dim), linear(temb_dim, temb_dim), conv(channels_in, nf)]

        def block(cin, cout, resample=None):
            return ResBlock(cin, cout, temb_dim, resample=resample, fir=fir, skip_rescale=skip_rescale, dropout=dropout, z_dim=z_dim)

        c, size, pyramid, skips = nf, image_size, channels_in, [nf]
        for level, mult in enumerate(ch_mult):
            for _ in range(num_res_blocks):
                modules.append(block(c, nf * mult))
                c = nf * mult
                if size in attn_resolutions:
                    modules.append(Attention(c, skip_rescale))
                skips.append(c)
            if level + 1 < self.levels:
                modules.append(block(c, c, down))
                if self.residual_input:
                    modules.append(FirDownsample(pyramid, c))
                    pyramid = c
                skips.append(c)
                size //= 2
        modules += [block(c, c), Attention(c, skip_rescale), block(c, c)]
        for level, mult in reversed(list(enumerate(ch_mult))):
            for _ in range(num_res_blocks + 1):
                modules.append(block(c + skips.pop(), nf * mult))
                c = nf * mult
            if size in attn_resolutions:
                modules.append(Attention(c, skip_rescale))
            if level > 0:
                modules.append(block(c, c, up))
                size *= 2
        modules += [group_norm(c), conv(c, channels_out, scale=0.0)]
        self.all_modules = nn.ModuleList(modules)

    def unet(self, x, s, z=None):
        modules = iter(self.all_modules)
        emb = next(modules)(s) if self.fourier else positional(s, self.embedding_dim)
        temb = next(modules)(emb)
        temb = next(modules)(F.silu(temb))
        h = next(modules)(x)
        pyramid, skips = x, [h]
        for level in range(self.levels):
            for _ in range(self.blocks):
                h = next(modules)(h, temb, z)
                if h.shape[-1] in self.attn_resolutions:
                    h = next(modules)(h)
                skips.append(h)
            if level + 1 < self.levels:
                h = next(modules)(h, temb, z)
                if self.residual_input:
                    pyramid = next(modules)(pyramid) + h
                    if self.skip_rescale:
                        pyramid = pyramid / math.sqrt(2)
                    h = pyramid
                skips.append(h)
        h = next(modules)(h, temb, z)
        h = next(modules)(h)
        h = next(modules)(h, temb, z)
        for level in reversed(range(self.levels)):
            for _ in range(self.blocks + 1):
                h = next(modules)(torch.cat([h, skips.pop()], 1), temb, z)
            if h.shape[-1] in self.attn_resolutions:
                h = next(modules)(h)
            if level > 0:
                h = next(modules)(h, temb, z)
        h = F.silu(next(modules)(h))
        return next(modules)(h)

    forward = unet


class ScoreNet(Ncsnpp):
    """score_sde's `NCSNpp`, from its nested configuration."""

    def __init__(self, config):
        model, self.centred = config["model"], config["data"]["centered"]
        assert model["progressive"] == "none" and model["resblock_type"] == "biggan"
        super().__init__(
            image_size=config["data"]["image_size"],
            channels_in=config["data"]["num_channels"],
            channels_out=config["data"]["num_channels"],
            nf=model["nf"],
            ch_mult=model["ch_mult"],
            num_res_blocks=model["num_res_blocks"],
            attn_resolutions=model["attn_resolutions"],
            fir=model["fir"],
            progressive_input=model["progressive_input"],
            embedding=model["embedding_type"],
            fourier_scale=model["fourier_scale"],
            skip_rescale=model["skip_rescale"],
            dropout=model["dropout"],
        )
        self.by_sigma = model["scale_by_sigma"]
        ends = math.log(model["sigma_max"]), math.log(model["sigma_min"])
        self.register_buffer("sigmas", torch.linspace(*ends, model["num_scales"], dtype=torch.float64).exp())

    def forward(self, x, condition):
        x = x if self.centred else 2 * x - 1
        h = self.unet(x, condition.log() if self.fourier else condition)
        if self.by_sigma:
            sigma = condition if self.fourier else self.sigmas[condition.long()].float()
            h = h / sigma[:, None, None, None]
        return h


def listed(text):
    """"1,2" -> [1, 2], as CLD-SGM writes lists."""
    return [int(part) for part in text.split(",")]


class CldNet(Ncsnpp):
    """CLD-SGM's network, from its flat configuration: (x, v) and t in, a velocity's worth out."""

    def __init__(self, config):
        super().__init__(
            image_size=config["image_size"],
            channels_in=2 * config["image_channels"],
            channels_out=config["image_channels"],
            nf=config["n_channels"],
            ch_mult=listed(config["ch_mult"]),
            num_res_blocks=config["n_resblocks"],
            attn_resolutions=listed(config["attn_resolutions"]),
            fir=config["use_fir"],
            progressive_input=config["progressive_input"],
            embedding=config["embedding_type"],
            fourier_scale=config["fourier_scale"],
            skip_rescale=config["skip_rescale"],
            dropout=config["dropout"],
        )

    def forward(self, u, t):
        return self.unet(u, t.log() if self.fourier else t)


class PixelNorm(nn.Module):
    def forward(self, z):
        return z / torch.sqrt(z.square().mean(1, keepdim=True) + 1e-8)


class Generator(Ncsnpp):
    """DDGAN's generator, from its flags: x_{t+1}, integer t and z in, x0 out."""

    def __init__(self, config):
        super().__init__(
            image_size=config["image_size"],
            channels_in=config["num_channels"],
            channels_out=config["num_channels"],
            nf=config["num_channels_dae"],
            ch_mult=config["ch_mult"],
            num_res_blocks=config["num_res_blocks"],
            attn_resolutions=config["attn_resolutions"],
            fir=config["fir"],
            progressive_input=config["progressive_input"],
            embedding=config["embedding_type"],
            skip_rescale=config["skip_rescale"],
            dropout=config["dropout"],
            z_dim=config["z_emb_dim"],
        )
        width = config["z_emb_dim"]
        layers = [PixelNorm(), linear(config["nz"], width), nn.SiLU()]
        for _ in range(config["n_mlp"]):
            layers += [linear(width, width), nn.SiLU()]
        self.z_transform = nn.Sequential(*layers)
        self.tanh, self.centred = not config["not_use_tanh"], config["centered"]

    def forward(self, x, t, z):
        x = x if self.centred else 2 * x - 1
        h = self.unet(x, t, self.z_transform(z))
        return h.tanh() if self.tanh else h


class Dae(Ncsnpp):
    """LSGM's prior, from its arguments: latents and t in [0,1] in, epsilon before mixing out."""

    def __init__(self, config, size, scales):
        channels = config["num_groups_per_scale"] * config["num_latent_per_group"]
        super().__init__(
            image_size=size,
            channels_in=channels,
            channels_out=channels,
            nf=config["num_channels_dae"],
            ch_mult=scales,
            num_res_blocks=config["num_cell_per_scale_dae"],
            attn_resolutions=[16],
            fir=config["fir"],
            progressive_input=config["progressive_input"],
            embedding=config["embedding_type"],
            embedding_dim=config["embedding_dim"],
            dropout=config["dropout"],
        )
        self.mixing_logit = nn.Parameter(torch.full((1, channels, 1, 1), float(config["mixing_logit_init"])))
        self.scale = config["embedding_scale"]

    def forward(self, x, t):
        return self.unet(x, t * self.scale)
