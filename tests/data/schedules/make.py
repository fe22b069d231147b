"""Writes diffusers.json, what src/diffusion/tests compares with.

    python make.py        (torch, diffusers 0.42.1)

Schedules are computed here in f64 with numpy and checked against diffusers' f32.
Samplers are diffusers' own `step` functions, run in f64 on that schedule with
stored network outputs and noise, and checked against a plain f32 run.
Images are [3, 2, 2] and stored in NHWC order.
"""

import inspect
import itertools
import json
import math
import pathlib

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm

CLASSES = {"ddpm": DDPMScheduler, "ddim": DDIMScheduler}
H, W, C, STEPS = 3, 2, 2, 8


def schedule(config):
    """betas and alpha_bar in f64."""
    n = config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    kind = config.get("beta_schedule", "linear")
    u = np.arange(n + 1) / n
    if config.get("trained_betas") is not None:
        betas = np.array(config["trained_betas"], np.float64)
    elif kind == "linear":
        betas = np.linspace(start, end, n)
    elif kind == "scaled_linear":
        betas = np.linspace(math.sqrt(start), math.sqrt(end), n) ** 2
    elif kind == "sigmoid":
        betas = (end - start) / (1 + np.exp(-np.linspace(-6, 6, n))) + start
    else:
        if kind == "squaredcos_cap_v2":
            bar = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        else:
            snr = np.exp(-0.5 * np.where(u <= 0.5, 1, -1) * np.log(1 - 2 * np.abs(0.5 - u) + 1e-6))
            bar = np.sqrt(snr / (1 + snr))
        betas = np.minimum(1 - bar[1:] / bar[:-1], 0.999)
    if config.get("rescale_betas_zero_snr"):
        root = np.sqrt(np.cumprod(1 - betas))
        bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
        betas = 1 - bar / np.concatenate([[1.0], bar[:-1]])
    bar = np.cumprod(1 - betas)
    reference = DDPMScheduler(**{k: v for k, v in config.items() if k != "set_alpha_to_one"})
    # Rescaled betas are quotients of small differences in f32; alpha_bar is what samplers use.
    loose = 1e-4 if config.get("rescale_betas_zero_snr") else 1e-6
    np.testing.assert_allclose(betas, reference.betas.numpy(), rtol=loose, atol=1e-6)
    np.testing.assert_allclose(bar, reference.alphas_cumprod.numpy(), rtol=0, atol=2e-6)
    return betas, bar


def five(config):
    betas, bar = schedule(config)
    at = [0, 1, len(betas) // 3, len(betas) - 2, len(betas) - 1]
    at = [min(max(t, 0), len(betas) - 1) for t in at]
    return {"config": config, "at": at, "beta": [betas[t] for t in at], "alpha_bar": [bar[t] for t in at]}


def times(config, steps):
    scheduler = DDPMScheduler(**config)
    scheduler.set_timesteps(steps)
    other = DDIMScheduler(**config)
    other.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == other.timesteps.tolist()
    t = scheduler.timesteps.tolist()
    # trailing: np.arange of floats may be one longer, which ends at t = -1.
    assert len(t) == steps or (len(t) == steps + 1 and t[-1] == -1)
    return t[:steps]


def nchw(a, channels):
    return torch.tensor(np.asarray(a).reshape(H, W, channels).transpose(2, 0, 1)[None])


def nhwc(a):
    return a[0].numpy().transpose(1, 2, 0).reshape(-1)


def run(name, config, steps, eta, pool, dtype):
    scheduler = CLASSES[name](**config)
    if dtype == torch.float64:
        bar = torch.tensor(schedule(config)[1])
        scheduler.alphas_cumprod = bar
        scheduler.one = torch.tensor(1.0, dtype=dtype)
        if name == "ddim":
            scheduler.final_alpha_cumprod = (
                torch.tensor(1.0, dtype=dtype) if config.get("set_alpha_to_one", True) else bar[0]
            )
    if isinstance(steps, list):
        scheduler.set_timesteps(timesteps=steps)
    else:
        scheduler.set_timesteps(steps)
    x = nchw(pool["x_T"], C).to(dtype)
    learned = config.get("variance_type", "").startswith("learned")
    states = []
    for k, t in enumerate(scheduler.timesteps.tolist()):
        out = nchw(pool["out"][k], 2 * C).to(dtype)
        out = out if learned else out[:, :C]
        noise = nchw(pool["noise"][k], C).to(dtype)
        scheduling_ddpm.randn_tensor = lambda *a, noise=noise, **b: noise
        scheduling_ddim.randn_tensor = lambda *a, noise=noise, **b: noise
        options = {"eta": eta} if name == "ddim" else {}
        x = scheduler.step(out, t, x, **options).prev_sample
        states.append(nhwc(x))
    return scheduler.timesteps.tolist(), np.array(states)


def case(name, config, steps=4, eta=0.0, pool=None):
    reference = dict(config)
    if config.get("variance_type") == "fixed_large_log":
        # diffusers 0.42.1: the square root of a logarithm.
        assert np.isnan(run(name, config, steps, eta, pool, torch.float64)[1]).any()
        reference["variance_type"] = "fixed_large"
    t, states = run(name, reference, steps, eta, pool, torch.float64)
    _, single = run(name, reference, steps, eta, pool, torch.float32)
    assert np.isfinite(states).all(), (name, config)
    scale = np.abs(states).max()
    assert np.abs(states - single).max() < 2e-3 * scale, (name, config, np.abs(states - single).max() / scale)
    custom = isinstance(steps, list)
    return {
        "sampler": name,
        "config": config,
        "steps": None if custom else steps,
        "eta": eta,
        "timesteps": t,
        "states": [[float(f"{v:.12g}") for v in s] for s in states],
    }


def cases(pool):
    kinds = ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"]
    types = ["epsilon", "sample", "v_prediction"]
    for variance in ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"]:
        for prediction in types:
            yield "ddpm", {"variance_type": variance, "prediction_type": prediction}, 4, 0.0
        yield "ddpm", {"variance_type": variance, "timestep_spacing": "trailing", "clip_sample": False}, 3, 0.0
        yield "ddpm", {"variance_type": variance, "steps_offset": 1, "clip_sample_range": 0.4}, 4, 0.0
    for kind, name in itertools.product(kinds, CLASSES):
        if name == "ddpm" or kind not in ("sigmoid", "laplace"):
            yield name, {"beta_schedule": kind, "clip_sample": False, "prediction_type": "v_prediction"}, 4, 0.0
    for spacing, name, clip in itertools.product(["linspace", "leading", "trailing"], CLASSES, [True, False]):
        yield name, {"timestep_spacing": spacing, "clip_sample": clip, "prediction_type": "v_prediction"}, 7, 0.0
    for name, prediction in itertools.product(CLASSES, types):
        yield name, {"thresholding": True, "sample_max_value": 1.7, "dynamic_thresholding_ratio": 0.9, "prediction_type": prediction}, 4, 0.0
    for name in CLASSES:
        yield name, {"thresholding": True, "sample_max_value": 0.7, "prediction_type": "sample"}, 2, 0.0
        yield name, {"trained_betas": [0.1, 0.2, 0.3, 0.4, 0.5], "num_train_timesteps": 5}, 4, 0.0
        yield name, {"num_train_timesteps": 1}, 1, 0.0
        yield name, {}, 1, 0.0
    for prediction, eta in itertools.product(types, [0.0, 0.3, 1.0]):
        yield "ddim", {"prediction_type": prediction}, 4, eta
        yield "ddim", {"prediction_type": prediction, "set_alpha_to_one": False, "steps_offset": 1, "clip_sample": False}, 4, eta
    for prediction, name in itertools.product(["sample", "v_prediction"], CLASSES):
        zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": prediction, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
        yield name, zero, 5, 0.0
        if name == "ddim":
            yield name, zero, 5, 0.6
    yield "ddpm", {"prediction_type": "v_prediction"}, [900, 500, 499, 20, 0], 0.0
    yield "ddpm", {"variance_type": "fixed_large"}, [999, 7], 0.0


def main():
    random = np.random.default_rng(20240607)
    round4 = lambda a: np.round(a, 4).tolist()
    outs = random.standard_normal((STEPS, H * W, 2 * C))
    outs[:, :, C:] = random.uniform(0, 1, (STEPS, H * W, C))
    pool = {
        "x_T": round4(random.standard_normal(H * W * C)),
        "out": round4(outs.reshape(STEPS, -1)),
        "noise": round4(random.standard_normal((STEPS, H * W * C))),
    }
    configs = [{"beta_schedule": k} for k in ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "laplace"]]
    configs += [dict(c, rescale_betas_zero_snr=True) for c in configs]
    configs += [
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        {"beta_schedule": "squaredcos_cap_v2", "num_train_timesteps": 50},
        {"num_train_timesteps": 2},
        {"num_train_timesteps": 1, "beta_start": 0.3},
        {"trained_betas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], "num_train_timesteps": 6},
    ]
    spaced = []
    for spacing, train, offset in itertools.product(["linspace", "leading", "trailing"], [1000, 10, 77], [0, 1]):
        config = {"timestep_spacing": spacing, "num_train_timesteps": train, "steps_offset": offset}
        # Every count of steps, as sum of (i + 1) t_i; an offset on all is beyond the end.
        sums = [sum((i + 1) * t for i, t in enumerate(times(config, n))) for n in range(1, train + 1)]
        if offset == 0 or train == 10:
            spaced.append({"config": config, "steps": 7, "times": times(config, 7), "sums": sums})
    defaults = {}
    for name, scheduler in CLASSES.items():
        parameters = inspect.signature(scheduler.__init__).parameters.values()
        defaults[name] = {p.name: p.default for p in parameters if p.default is not inspect.Parameter.empty}
    data = {
        "defaults": defaults,
        "schedules": [five(c) for c in configs],
        "timesteps": spaced,
        "pool": pool,
        "cases": [case(*c, pool=pool) for c in cases(pool)],
    }
    path = pathlib.Path(__file__).with_name("diffusers.json")
    lists = [f' "{k}": ' + json.dumps(v) for k, v in data.items() if k != "cases"]
    rows = ",\n".join("  " + json.dumps(c) for c in data["cases"])
    path.write_text("{\n" + ",\n".join(lists) + ',\n "cases": [\n' + rows + "\n ]\n}\n")
    print(path, path.stat().st_size, "bytes,", len(data["cases"]), "cases")


main()
