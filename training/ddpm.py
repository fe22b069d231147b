"""DDPM as a diffusers `UNet2DModel`: discrete time, cosine betas, v-prediction, min-SNR weights, classes and an empty class.

    q:      x_t = sqrt(abar_t) x0 + sqrt(1 - abar_t) e,   t uniform in 0..999
    target: v = sqrt(abar_t) e - sqrt(1 - abar_t) x0
    loss:   min(SNR, 5) / (SNR + 1) * mean |net(x_t, t, class) - v|^2
"""
import diffusers
import torch
from diffusers import DDPMScheduler, UNet2DModel
from safetensors.torch import load_file

import data
from base import Batches, Ema, Training, averaged, main, ramp, save_json, save_weights

STEPS = 1000
GAMMA = 5.0
EMPTY = 0.12  # share of the pictures whose class is hidden


def alphas(scheduler):
    return scheduler.alphas_cumprod.double()


def noised(x0, noise, abar):
    """x_t and the v target; `abar` broadcasts."""
    a, s = abar.sqrt(), (1 - abar).sqrt()
    return a * x0 + s * noise, a * noise - s * x0


def weight(abar, gamma=GAMMA):
    """The min-SNR factor of the v loss."""
    snr = abar / (1 - abar)
    return snr.clamp(max=gamma) / (snr + 1)


def loss(net, x0, t, noise, table):
    """Loss of each picture; `net(x_t, t)`, `table` = abar of every step in f64."""
    abar = table[t]
    x_t, v = noised(x0, noise, abar.float().view(-1, *[1] * (x0.dim() - 1)))
    error = (net(x_t, t) - v).square().flatten(1).mean(1)
    return weight(abar).float() * error


@torch.no_grad()
def ddim(net, noise, table, count=40, bound=1.0):
    """Deterministic sampling; `net(x, t)` predicts v; x0 is kept within `bound`."""
    times = torch.linspace(len(table) - 1, 0, count).round().long()
    x = noise
    for i, t in enumerate(times):
        a, s = table[t].sqrt().float(), (1 - table[t]).sqrt().float()
        v = net(x, t.expand(len(x)))
        x0, e = (a * x - s * v).clamp(-bound, bound), s * x + a * v
        if i + 1 == count:
            return x0
        e = (x - a * x0) / s
        following = table[times[i + 1]]
        x = following.sqrt().float() * x0 + (1 - following).sqrt().float() * e


class Ddpm(Training):
    """Shared by the Fashion-MNIST and the emoji model."""

    batch = 64
    rate = 1e-3
    guidance = 1.0
    limit = 2 * 2**20

    def __init__(self):
        torch.manual_seed(self.seed)
        pictures, labels, self.classes = self.data("train")
        self.batches = Batches(pictures, labels, self.batch, self.seed)
        self.net = UNet2DModel(**self.config(), num_class_embeds=len(self.classes) + 1).to(memory_format=torch.channels_last)
        self.scheduler = DDPMScheduler(STEPS, beta_schedule="squaredcos_cap_v2", prediction_type="v_prediction")
        self.table = alphas(self.scheduler)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), self.rate, betas=(0.9, 0.99), weight_decay=1e-3)
        self.ema = Ema(self.net)

    def parts(self):
        return {"net": self.net, "optimiser": self.optimiser, "ema": self.ema}

    def augmented(self, x):
        return x

    def step(self, k):
        x0, labels = self.batches.at(k)
        x0 = self.augmented(x0)
        labels = torch.where(torch.rand(len(labels)) < EMPTY, len(self.classes), labels)
        t = torch.randint(0, STEPS, (len(x0),))
        noise = torch.randn_like(x0)

        def net(x, t):
            return self.net(x.contiguous(memory_format=torch.channels_last), t, labels).sample

        each = loss(net, x0, t, noise, self.table)
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * ramp(k, self.steps)
        self.optimiser.zero_grad()
        value = each.mean()
        value.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.ema.update()
        return {"loss": value.item(), "gradient": norm.item()}

    def predictor(self, labels):
        """v with guidance for these classes."""

        def net(x, t):
            x = x.contiguous(memory_format=torch.channels_last)
            v = self.net(x, t, labels).sample
            if self.guidance == 1.0:
                return v
            empty = self.net(x, t, torch.full_like(labels, len(self.classes))).sample
            return empty + self.guidance * (v - empty)

        return net

    def draw(self, n):
        """Sorted by class."""
        labels = torch.arange(n) * len(self.classes) // n
        noise = torch.randn(n, self.net.config.in_channels, 32, 32)
        with self.ema:
            return ddim(self.predictor(labels), noise, self.table)

    @torch.no_grad()
    def measure(self):
        """Loss on held-out pictures, in all and by fifths of t."""
        pictures, labels, _ = self.data("held_out")
        torch.manual_seed(0)
        rows = torch.randperm(len(pictures))[:500]
        x0, labels = self.batches.scale(torch.from_numpy(pictures)[rows]), torch.from_numpy(labels)[rows]
        t = torch.linspace(0, STEPS - 1, len(rows)).long()
        with self.ema:
            each = loss(lambda x, t: self.net(x, t, labels).sample, x0, t, torch.randn_like(x0), self.table)
        return {"held_out_loss": each.mean().item(), "by_fifths_of_t": [round(part.mean().item(), 5) for part in each.chunk(5)]}

    def adopt(self, folder):
        tensors = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
        self.net.load_state_dict(tensors)
        self.ema.restart()

    def export(self, folder):
        (folder / "unet").mkdir(exist_ok=True)
        save_weights(averaged(self.net, self.ema), folder / "unet/diffusion_pytorch_model.safetensors", self.limit)
        self.net.save_config(folder / "unet")
        self.scheduler.save_config(folder / "scheduler")
        index = {"_class_name": "DDPMPipeline", "_diffusers_version": diffusers.__version__}
        index |= {"unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}
        index |= {"id2label": {str(i): name for i, name in enumerate(self.classes)}, "null_class": len(self.classes)}
        save_json(index, folder / "model_index.json")


class FashionDdpm(Ddpm):
    name = "fashion-ddpm"
    steps = 16_000

    def data(self, part):
        return (*data.fashion(part), list(data.FASHION_CLASSES))

    def config(self):
        return dict(
            sample_size=32,
            in_channels=1,
            out_channels=1,
            block_out_channels=(16, 16, 32, 64),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
        )


class EmojiDdpm(Ddpm):
    """The emoji model with a held-out split: the widths of models/emoji32, started afresh."""

    name = "emoji32"
    steps = 60_000
    batch = 48
    guidance = 1.5
    limit = 6 * 2**20

    def data(self, part):
        return data.emoji(part)

    def augmented(self, x):
        """Moved by up to a pixel, white coming in."""
        dy, dx = torch.randint(0, 3, (2,)).tolist()
        return torch.nn.functional.pad(x, (1, 1, 1, 1), value=1.0)[:, :, dy : dy + 32, dx : dx + 32]

    def config(self):
        return dict(
            sample_size=32,
            in_channels=3,
            out_channels=3,
            block_out_channels=(32, 64, 128),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=16,
        )


if __name__ == "__main__":
    main(FashionDdpm, EmojiDdpm)
