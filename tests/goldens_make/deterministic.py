"""Numbers that any language can rebuild: weights and noise made from a tensor's name."""

import numpy as np
import torch

MASK = (1 << 64) - 1


def fnv1a64(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    return h


def uniform(name, count):
    """`count` numbers in [0, 1), f64, element i = splitmix64 of fnv1a64(name) advanced i + 1 times."""
    with np.errstate(over="ignore"):
        i = np.arange(1, count + 1, dtype=np.uint64)
        z = np.uint64(fnv1a64(name)) + i * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / float(1 << 24)


def weight(name, shape):
    """The parameter `name`, every operation after `s` in f32. A learned time embedding (`time_proj.weight`,
    two dimensions) scales by fan-in; the Fourier one (one dimension) by 2."""
    shape = tuple(shape)
    s = (2 * uniform(name, int(np.prod(shape))) - 1).astype(np.float32)
    if name == "class_embedding.weight":
        pass
    elif len(shape) >= 2:
        s = s * np.float32(np.sqrt(3 / np.prod(shape[1:])))
    elif name == "time_proj.weight":
        s = np.float32(2) * s
    elif name.endswith((".weight", ".running_var")):
        s = np.float32(1) + np.float32(0.2) * s
    else:
        s = np.float32(0.1) * s
    return torch.from_numpy(s.reshape(shape))


def normal(key, shape):
    """Box-Muller of the streams `<key>/r` and `<key>/a`."""
    count = int(np.prod(shape))
    r, a = uniform(key + "/r", count), uniform(key + "/a", count)
    z = np.sqrt(-2 * np.log(1 - r)) * np.cos(2 * np.pi * a)
    return torch.from_numpy(z.reshape(shape).astype(np.float32))


def fill(model):
    """Gives every parameter its deterministic value."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weight(name, p.shape))
    return model.eval()
