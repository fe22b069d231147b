"""What the classifier says of pictures: the share it is sure of, and how often it sees each class.

    python grade.py held_out                 the held-out pictures: what real ones get
    python grade.py fashion-vp [N]           N (1,000) unpicked samples of the newest checkpoint
    python grade.py FILE.png ...             sheets of 32x32 tiles, or single pictures, drawn by whatever program

Reads the exported classifier in models/fashion-classifier, so it is also the reference for an engine's reading of it.
"""
import sys

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

import cld
import data
import ddgan
import ddpm
import lsgm
import score_sde
from base import REPOSITORY

SYSTEMS = (ddpm.FashionDdpm, score_sde.FashionVp, cld.FashionCld, ddgan.FashionDdgan, lsgm.FashionLsgm, score_sde.FashionVe)


def classify(x, weights):
    """Features and logits by the folded network."""

    def conv(name, x, stride=1):
        weight = weights[name + ".weight"]
        return F.conv2d(x, weight, weights[name + ".bias"], stride, weight.shape[-1] // 2)

    x = F.silu(conv("stem", x))
    for i in range(3):
        name, stride = f"blocks.{i}", 1 + (i > 0)
        h = conv(name + ".conv_1", F.silu(conv(name + ".conv_0", x, stride)))
        x = F.silu(h + (conv(name + ".shortcut", x, stride) if stride > 1 else x))
    features = x.mean((2, 3))
    return features, F.linear(features, weights["head.weight"], weights["head.bias"])


def tiles(path):
    from PIL import Image

    x = torch.from_numpy(np.asarray(Image.open(path).convert("L"))) / 127.5 - 1
    rows, columns = x.shape[0] // 32, x.shape[1] // 32
    return x.view(rows, 32, columns, 32).transpose(1, 2).reshape(-1, 1, 32, 32)


@torch.no_grad()
def main():
    what = sys.argv[1]
    torch.set_num_threads(1)
    torch.manual_seed(12345)
    if what == "held_out":
        x = torch.from_numpy(data.fashion("held_out")[0]) / 127.5 - 1
    elif what.endswith(".png"):
        x = torch.cat([tiles(path) for path in sys.argv[1:]])
    else:
        training = {system.name: system for system in SYSTEMS}[what]()
        print("step", training.load()[0])
        n = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
        x = torch.cat([training.draw(min(100, n - start)) for start in range(0, n, 100)])
    weights = load_file(REPOSITORY / "models/fashion-classifier/model.safetensors")
    weights = {key: value.float() for key, value in weights.items()}
    odds = torch.cat([classify(part.clamp(-1, 1), weights)[1].softmax(1) for part in x.split(500)])
    sure, guess = odds.max(1)
    print(f"{len(x)} pictures, mean {x.mean():.3f}, mean square {x.square().mean():.3f}")
    print(f"confidence above 0.8: {(sure > 0.8).float().mean():.3f}")
    if what == "held_out":
        print(f"right: {(guess == torch.from_numpy(data.fashion('held_out')[1])).float().mean():.4f}")
    for label, name in enumerate(data.FASHION_CLASSES):
        print(f"{name:12} {(guess == label).float().mean():.3f}")


if __name__ == "__main__":
    main()
