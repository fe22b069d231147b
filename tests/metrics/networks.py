"""What PyTorch says of feature networks on pictures made by a formula: the numbers of `tests/evaluate/`.

    python tests/metrics/networks.py         prints the constants of `tests/evaluate/networks.rs`
"""
import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "training"), str(ROOT / "tests/goldens_make")]


def levels(i, height, width, channels):
    """A picture's levels, `levels` in the test."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    return ((x * y * (i + 3) + 7 * i * x + 11 * y + 29 * c) % 256).astype(np.uint8)


def safetensors(path):
    """Tensors of a file of 16-bit floats, as 32-bit ones."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kinds = {"F16": np.float16, "F32": np.float32}
    found = {}
    for name, about in header.items():
        if name != "__metadata__":
            first, last = about["data_offsets"]
            values = np.frombuffer(data[8 + length + first : 8 + length + last], kinds[about["dtype"]])
            found[name] = torch.from_numpy(values.astype(np.float32).reshape(about["shape"]))
    return found


def classifier():
    """The shipped classifier, by its card's lines."""
    w = safetensors(ROOT / "models/fashion-classifier/model.safetensors")
    conv = lambda x, name, stride=1: torch.nn.functional.conv2d(
        x, w[name + ".weight"], w[name + ".bias"], stride, w[name + ".weight"].shape[-1] // 2
    )
    silu = torch.nn.functional.silu
    x = torch.from_numpy(np.stack([levels(i, 32, 32, 1) for i in range(2)])).permute(0, 3, 1, 2).float() / 127.5 - 1
    x = silu(conv(x, "stem"))
    for b in range(3):
        name, stride = f"blocks.{b}", 1 if b == 0 else 2
        h = conv(silu(conv(x, name + ".conv_0", stride)), name + ".conv_1")
        x = silu(h + (conv(x, name + ".shortcut", stride) if b else x))
    features = x.mean((2, 3))
    return features, features @ w["head.weight"].T + w["head.bias"]


def inception():
    """torch-fidelity's Inception-v3 with weights made from their names, on a picture of odd size."""
    import tempfile
    from deterministic import weight
    from torch_fidelity import feature_extractor_inceptionv3 as fid

    names = ["64", "192", "768", "2048", "logits"]
    fid.load_state_dict_from_url = lambda *args, **kwargs: {}

    load = fid.FeatureExtractorInceptionV3.load_state_dict
    def made(self, _):
        own = self.state_dict()
        named = {k: torch.as_tensor(weight(k, v.shape)) for k, v in own.items() if v.dim() > 0}
        return load(self, {**own, **named})
    fid.FeatureExtractorInceptionV3.load_state_dict = made
    net = fid.FeatureExtractorInceptionV3("inception", names)
    picture = torch.from_numpy(levels(1, 37, 45, 3)).permute(2, 0, 1)[None]
    return dict(zip(names, net(picture)))


def show(name, values):
    print(f"{name}: [{', '.join(f'{v:.7g}' for v in values.flatten().tolist())}]")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        features, logits = classifier()
        show("features, the first eight", features[:, :8])
        show("logits", logits)
        features = inception()
        for name, values in features.items():
            show(f"inception {name}, the first six", values[:, :6])
