"""A small NVAE (LSGM's first stage) with the parameter names of its checkpoints: one latent scale, `res_bnswish` cells, SE.

Only what our configuration uses: `num_latent_scales` 1, `num_nf` 0, every cell two times (batch norm, SiLU, convolution).
"""
import torch
from torch import nn
from torch.nn import functional as F


class Conv(nn.Conv2d):
    """Convolution with weight norm: exp(log_weight_norm) * w / (|w| + 1e-5)."""

    def __init__(self, cin, cout, size, stride=1, bias=True):
        super().__init__(cin, cout, size, stride, size // 2, bias=bias)
        norm = self.weight.detach().flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        self.log_weight_norm = nn.Parameter(torch.log(norm + 0.01))

    def forward(self, x):
        norm = self.weight.square().sum((1, 2, 3), keepdim=True).sqrt()
        weight = self.log_weight_norm.exp() * self.weight / (norm + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class NormSwish(nn.BatchNorm2d):
    def __init__(self, channels):
        super().__init__(channels, eps=1e-5, momentum=0.05)

    def forward(self, x):
        return F.silu(super().forward(x))


class Op(nn.Module):
    """Batch norm, SiLU, nearest x2 where the cell goes up, convolution."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.bn_act = NormSwish(cin)
        self.conv_0 = Conv(cin, cout, 3, 2 if stride == "down" else 1)
        self.up = stride == "up"

    def forward(self, x):
        x = self.bn_act(x)
        return self.conv_0(F.interpolate(x, scale_factor=2, mode="nearest") if self.up else x)


class FactorizedReduce(nn.Module):
    """Halves the picture: four 1x1 convolutions, one of each pixel of a 2x2 square."""

    def __init__(self, cin, cout):
        super().__init__()
        part = cout // 4
        self.conv_1, self.conv_2, self.conv_3 = (Conv(cin, part, 1, 2) for _ in range(3))
        self.conv_4 = Conv(cin, cout - 3 * part, 1, 2)

    def forward(self, x):
        x = F.silu(x)
        return torch.cat([self.conv_1(x), self.conv_2(x[:, :, 1:, 1:]), self.conv_3(x[:, :, :, 1:]), self.conv_4(x[:, :, 1:, :])], 1)


class Squeeze(nn.Module):
    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 16, 4)
        self.se = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x):
        return x * self.se(x.mean((2, 3)))[:, :, None, None]


class Cell(nn.Module):
    """skip(x) + 0.1 * SE(ops(x)); the first op carries the stride."""

    def __init__(self, cin, cout, stride=None):
        super().__init__()
        if stride == "down":
            self.skip = FactorizedReduce(cin, cout)
        elif stride == "up":
            bilinear = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.skip = nn.Sequential(bilinear, Conv(cin, cout, 1, bias=False))
        else:
            self.skip = nn.Identity()
        self._ops = nn.ModuleList([Op(cin, cout, stride), Op(cout, cout, None)])
        self.se = Squeeze(cout)

    def forward(self, x):
        h = self._ops[1](self._ops[0](x))
        return self.skip(x) + 0.1 * self.se(h)


class Combiner(nn.Module):
    """The encoder adds a 1x1 convolution of the decoder's features, the decoder convolves features and latents together."""

    def __init__(self, cin, cout):
        super().__init__()
        self.conv = Conv(cin, cout, 1)


def soft_clamp(x, at):
    return at * torch.tanh(x / at)


class Nvae(nn.Module):
    def __init__(self, config, out_channels=None):
        super().__init__()
        assert config["arch_instance"] == "res_bnswish" and config["num_latent_scales"] == 1 and config["num_nf"] == 0
        image_channels = {"mnist": 1, "cifar10": 3}[config["dataset"]]
        blocks, mult = config["num_preprocess_blocks"], config["channel_mult"]
        self.groups, self.z = config["num_groups_per_scale"], config["num_latent_per_group"]
        self.sig_scale = config["log_sig_q_scale"]
        enc, dec = config["num_channels_enc"], config["num_channels_dec"]
        size = 32 >> blocks

        self.stem = Conv(image_channels, enc * mult[0], 3)
        cells = []
        for block in range(blocks):
            cells += [Cell(enc * mult[block], enc * mult[block]) for _ in range(config["num_preprocess_cells"] - 1)]
            cells.append(Cell(enc * mult[block], enc * mult[block + 1], "down"))
        self.pre_process = nn.ModuleList(cells)

        wide, features = enc * mult[-1], dec * mult[-1]
        tower = []
        for group in range(self.groups):
            tower += [Cell(wide, wide) for _ in range(config["num_cell_per_cond_enc"])]
            if group + 1 < self.groups:
                tower.append(Combiner(features, wide))
        self.enc_tower = nn.ModuleList(tower)
        self.enc_sampler = nn.ModuleList(nn.Sequential(nn.ELU(), Conv(wide, 2 * self.z, 3)) for _ in range(self.groups))

        self.prior_ftr0 = nn.Parameter(torch.rand(features, size, size))
        self.eps_conv = nn.ModuleList(Conv(self.z, self.z, 3) for _ in range(self.groups))
        tower = []
        for _ in range(self.groups):
            tower.append(Combiner(features + self.z, features))
            tower += [Cell(features, features) for _ in range(config["num_cell_per_cond_dec"])]
        self.dec_tower = nn.ModuleList(tower)

        cells = []
        for block in range(blocks, 0, -1):
            cells.append(Cell(dec * mult[block], dec * mult[block - 1], "up"))
            cells += [Cell(dec * mult[block - 1], dec * mult[block - 1]) for _ in range(config["num_postprocess_cells"] - 1)]
        self.post_process = nn.ModuleList(cells)
        self.image_conditional = nn.Sequential(nn.ELU(), Conv(dec * mult[0], out_channels or image_channels, 3))
        self.per_group = 1 + config["num_cell_per_cond_dec"]

    def features(self, x):
        """What each group's posterior starts from, top group first, with the combiner that adds the decoder's features."""
        s = self.stem(x)
        for cell in self.pre_process:
            s = cell(s)
        found, combiner = [], None
        for module in self.enc_tower:
            if isinstance(module, Combiner):
                found.append((s, module))
            else:
                s = module(s)
        found.append((s, combiner))
        return found[::-1]

    def decoder_group(self, s, group, eps):
        modules = self.dec_tower[group * self.per_group : (group + 1) * self.per_group]
        s = modules[0].conv(torch.cat([s, self.eps_conv[group](eps)], 1))
        for cell in modules[1:]:
            s = cell(s)
        return s

    def first(self, n):
        return self.prior_ftr0.expand(n, -1, -1, -1)

    def logits(self, s):
        for cell in self.post_process:
            s = cell(s)
        return self.image_conditional(s)

    def encode(self, x, noise=None):
        """Latents [B,G*Z,r,r], their mu and log sigma, the noise and the decoder's last features."""
        s, kept = self.first(len(x)), []
        for group, (features, combiner) in enumerate(self.features(x)):
            if combiner is not None:
                features = features + combiner.conv(s)
            mu, log_sig = self.enc_sampler[group](features).chunk(2, 1)
            mu, log_sig = soft_clamp(mu, 5.0), soft_clamp(log_sig, self.sig_scale)
            drawn = torch.randn_like(mu) if noise is None else noise[group]
            eps = mu + log_sig.exp() * drawn
            s = self.decoder_group(s, group, eps)
            kept.append((eps, mu, log_sig, drawn))
        eps, mu, log_sig, drawn = (torch.cat(parts, 1) for parts in zip(*kept))
        return eps, mu, log_sig, drawn, s

    def decode(self, eps):
        s = self.first(len(eps))
        for group, part in enumerate(eps.chunk(self.groups, 1)):
            s = self.decoder_group(s, group, part)
        return self.logits(s)
