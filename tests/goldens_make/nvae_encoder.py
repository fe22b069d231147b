"""An NVAE encoder of two scales with its input skipped to the lower one and with flows, as LSGM's CelebA-HQ and NLL models have it.

    python tests/goldens_make/nvae_encoder.py

writes `tests/data/nvae/encoder.safetensors`: `mu_i` and `eps_i` of each group. Weights, picture and noise are deterministic
(`deterministic.py`; the names of the weights are those of the checkpoints); so only results are stored.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "training")]
from deterministic import normal, weight  # noqa: E402
from nvae import Cell, Combiner, Conv, Op, soft_clamp  # noqa: E402

OUT = HERE.parent / "data" / "nvae"
CONFIG = json.loads((OUT / "config.json").read_text())


class Masked(Conv):
    """A convolution that sees what comes before a pixel in raster order (behind it where mirrored), and of the pixel itself the
    channels before its own, or those up to its own."""

    def __init__(self, cin, cout, size, mirrored, own, bias=False, depthwise=False):
        super().__init__(cin, cout, size, bias=bias)
        if depthwise:
            self.groups = cin
            self.weight = nn.Parameter(torch.zeros(cout, 1, size, size))
        least, middle = min(cin, cout), size // 2
        of_out, of_in = torch.arange(cout) * least // cout, torch.arange(cin) * least // cin
        before = of_in[None] <= of_out[:, None] if own else of_in[None] < of_out[:, None]
        mask = torch.zeros(self.weight.shape)
        mask[:, :, :middle] = 1
        mask[:, :, middle, :middle] = 1
        mask[:, :, middle, middle] = 1 if depthwise else before.float()
        self.mask = mask.flip(2, 3) if mirrored else mask

    def forward(self, x):
        w = self.weight * self.mask
        w = self.log_weight_norm.exp() * w / (w.square().sum((1, 2, 3), keepdim=True).sqrt() + 1e-5)
        return F.conv2d(x, w, self.bias, 1, self.padding, groups=self.groups)


class Half(nn.Module):
    """z - mu(z)."""

    def __init__(self, z, mirrored):
        super().__init__()
        self.conv = nn.Module()
        wide = Masked(z, 6 * z, 3, mirrored, own=False)
        self.conv.convz = nn.Sequential(wide, nn.ELU(), Masked(6 * z, 6 * z, 5, mirrored, own=True, depthwise=True))
        self.mu = nn.Module()
        self.mu.conv_0 = Masked(6 * z, z, 1, mirrored, own=True, bias=True)

    def forward(self, z):
        return z - self.mu.conv_0(F.elu(self.conv.convz(z)))


class Flow(nn.Module):
    def __init__(self, z):
        super().__init__()
        self.cell1, self.cell2 = Half(z, False), Half(z, True)

    def forward(self, z):
        return self.cell2(self.cell1(z))


class Skip(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.conv = Op(cin, cout, "down")


class Nvae(nn.Module):
    """One preprocessing block, two scales."""

    def __init__(self):
        super().__init__()
        c, mult, self.groups, self.z = CONFIG["num_channels_enc"], CONFIG["channel_mult"], CONFIG["num_groups_per_scale"], CONFIG["num_latent_per_group"]
        wide = [c * m for m in mult]
        self.stem = Conv(3, wide[0], 3)
        self.pre_process = nn.ModuleList([Cell(wide[0], wide[0]), Cell(wide[0], wide[1], "down")])
        enc = []
        for scale in (1, 2):
            for group in range(self.groups):
                enc.append(Cell(wide[scale], wide[scale]))
                if (scale, group) != (2, self.groups - 1):
                    enc.append(Combiner(wide[scale], wide[scale]))
            if scale == 1:
                enc.append(Cell(wide[1], wide[2], "down"))
        self.enc_tower = nn.ModuleList(enc)
        self.progressive_input_cells = nn.ModuleList([Skip(wide[1], wide[2])])
        of_group = [wide[2]] * self.groups + [wide[1]] * self.groups
        self.enc_sampler = nn.ModuleList(nn.Sequential(nn.ELU(), Conv(n, 2 * self.z, 3)) for n in of_group)
        self.nf_cells = nn.ModuleList(Flow(self.z) for _ in range(CONFIG["num_nf"] * len(of_group)))
        self.prior_ftr0 = nn.Parameter(torch.zeros(wide[2], 8, 8))
        self.eps_conv = nn.ModuleList(Conv(self.z, self.z, 3) for _ in of_group)
        dec = []
        for scale in (2, 1):
            for _ in range(self.groups):
                dec += [Combiner(wide[scale] + self.z, wide[scale]), Cell(wide[scale], wide[scale])]
            if scale == 2:
                dec.append(Cell(wide[2], wide[1], "up"))
        self.dec_tower = nn.ModuleList(dec)

    def forward(self, image, noises):
        s = self.stem(image)
        for cell in self.pre_process:
            s = cell(s)
        pyramid, kept = s, []
        for module in self.enc_tower:
            if isinstance(module, Combiner):
                kept.append((s, module))
                continue
            side = s.shape[-1]
            s = module(s)
            if s.shape[-1] < side:
                pyramid = self.progressive_input_cells[0].conv(pyramid)
                s = s + pyramid
        kept.append((s, None))
        out, s, group = {}, self.prior_ftr0.expand(len(image), -1, -1, -1), 0
        for module in self.dec_tower:
            if not isinstance(module, Combiner):
                s = module(s)
                continue
            features, combiner = kept[-1 - group]
            if combiner is not None:
                features = features + combiner.conv(s)
            mu, log_sig = self.enc_sampler[group](features).chunk(2, 1)
            mu, log_sig = soft_clamp(mu, 5.0), soft_clamp(log_sig, CONFIG["log_sig_q_scale"])
            eps = mu + log_sig.exp() * noises[group]
            for flow in self.nf_cells[group * CONFIG["num_nf"] :][: CONFIG["num_nf"]]:
                eps = flow(eps)
            out[f"mu_{group}"], out[f"eps_{group}"] = mu, eps
            s = module.conv(torch.cat([s, self.eps_conv[group](eps)], 1))
            group += 1
        return out


@torch.no_grad()
def main():
    model = Nvae().eval()
    state = {k: weight("vae." + k, v.shape) for k, v in model.state_dict().items() if v.dim()}
    # Norms near 0.6: of plain deterministic ones everything saturates.
    state = {k: 0.3 * v - 0.5 if k.endswith("log_weight_norm") else v for k, v in state.items()}
    model.load_state_dict(state, strict=False)
    noises = [normal(f"noise_{i}", (1, model.z, 8 << i // model.groups, 8 << i // model.groups)) for i in range(2 * model.groups)]
    out = model(normal("image", (1, 3, 32, 32)) / 2, noises)
    for name, t in out.items():
        print(name, tuple(t.shape), "deviation", round(t.std().item(), 3))
    save_file({k: v.contiguous() for k, v in out.items()}, OUT / "encoder.safetensors")


if __name__ == "__main__":
    main()
