"""Makes tests/goldens/diffusers with diffusers 0.42.1 (and torch) on a CPU.

    python tests/goldens_make/diffusers.py all                 # every network and scheduler case
    python tests/goldens_make/diffusers.py all skip ddpm_small # only these networks
    python tests/goldens_make/diffusers.py runs sampled euler  # only the scheduler cases whose names begin so
    python tests/goldens_make/diffusers.py verify FOLDER       # rebuild outputs of cases made elsewhere
    python tests/goldens_make/diffusers.py params FOLDER       # write unet/params.txt of a case

Weights are never stored: `deterministic.py` makes them from their names.
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
# This file's name is the package's: import the package, not this file.
sys.path = [p for p in sys.path if pathlib.Path(p or ".").resolve() != HERE]
import diffusers  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

sys.path.insert(0, str(HERE))
import deterministic  # noqa: E402
import scheduler_cases  # noqa: E402
import unet_cases  # noqa: E402

assert diffusers.__version__ == "0.42.1", diffusers.__version__
OUT = HERE.parent / "goldens" / "diffusers"
BATCH = 2


def size(config):
    s = config["sample_size"]
    return (s, s) if isinstance(s, int) else tuple(s)


def write_params(model, folder):
    """One line for each parameter: name, then its sizes joined by `x`."""
    lines = [f"{n} {'x'.join(map(str, p.shape))}\n" for n, p in model.named_parameters()]
    (folder / "params.txt").write_text("".join(sorted(lines)))


def taps(model, store):
    def hook(name):
        def keep(_module, _inputs, out):
            store[name] = (out[0] if isinstance(out, tuple) else out).detach().clone().contiguous()
        return keep

    model.conv_in.register_forward_hook(hook("conv_in"))
    if model.mid_block is not None:
        model.mid_block.register_forward_hook(hook("mid_block"))
    for part in ("down_blocks", "up_blocks"):
        for i, block in enumerate(getattr(model, part)):
            block.register_forward_hook(hook(f"{part}.{i}"))


def inputs(name, model, how):
    config, h_w = model.config, size(model.config)
    sample = deterministic.normal(f"{name}/sample", (BATCH, config.in_channels, *h_w))
    given = how.get("timestep")
    if config.time_embedding_type == "fourier":
        timestep = torch.tensor(given or [0.05, 20.0])
    else:
        timestep = torch.tensor(given or [10, 987])
    labels = how.get("labels")
    if labels == "vector":
        labels = deterministic.normal(f"{name}/labels", (BATCH, model.time_embedding.linear_2.out_features))
    elif labels is not None:
        labels = torch.tensor(labels)
    return sample, timestep, labels


def make_network(name):
    overrides, how = unet_cases.CASES[name]
    config = {**unet_cases.BASE, **overrides}
    for absent in how.get("raw", []):
        del config[absent]
    torch.manual_seed(0)
    model = deterministic.fill(diffusers.UNet2DModel(**config))
    folder = OUT / name / "unet"
    folder.mkdir(parents=True, exist_ok=True)
    if "raw" in how:
        (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel", **config}, indent=2) + "\n")
    else:
        model.save_config(folder)
    write_params(model, folder)
    store = {}
    taps(model, store)
    sample, timestep, labels = inputs(name, model, how)
    with torch.no_grad():
        store["output"] = model(sample, timestep, labels).sample.contiguous()
    assert all(torch.isfinite(t).all() for t in store.values()), name
    store.update(sample=sample, timestep=timestep)
    if labels is not None:
        store["class_labels"] = labels
    save_file(store, OUT / name / "io.safetensors")
    return model


def sample_run(model, name, run, spec):
    scheduler_name, config, steps, kwargs = spec
    if scheduler_name == "ScoreSdeVeScheduler":
        return score_sde_run(model, name, run, spec)
    scheduler = getattr(diffusers, scheduler_name)(**config)
    custom_sigmas = isinstance(steps, list) and isinstance(steps[0], float)
    if isinstance(steps, list):
        scheduler.set_timesteps(**{"sigmas" if custom_sigmas else "timesteps": steps})
    else:
        scheduler.set_timesteps(steps)
    drawn = []

    def draw(shape, **_kwargs):
        drawn.append(deterministic.normal(f"{name}/{run}/noise{len(drawn):02}", tuple(shape)))
        return drawn[-1].clone()

    sys.modules[type(scheduler).__module__].randn_tensor = draw
    shape = (BATCH, model.config.in_channels, *size(model.config))
    x = deterministic.normal(f"{name}/{run}/x_T", shape) * scheduler.init_noise_sigma
    store = {"x_T": x.clone(), "timesteps": scheduler.timesteps.to(torch.float32)}
    for i, t in enumerate(scheduler.timesteps):
        model_in = scheduler.scale_model_input(x, t)
        out = model(model_in, t).sample
        if config.get("variance_type") == "learned":
            # The reference takes the root of the second half as it is: keep it positive.
            half = out.shape[1] // 2
            out = torch.cat([out[:, :half], 0.01 * out[:, half:].abs()], dim=1)
        x = scheduler.step(out, t, x, **kwargs).prev_sample
        store.update({f"model_in{i:02}": model_in.clone(), f"model_out{i:02}": out.contiguous(), f"state{i:02}": x.clone()})
    store.update({f"noise{i:02}": n for i, n in enumerate(drawn)})
    bad = [k for k, v in store.items() if not torch.isfinite(v).all()]
    assert not bad, (run, bad)
    folder = OUT / name / "samplers"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in store.items()}, folder / f"{run}.safetensors")
    about = {"scheduler": scheduler_name, "steps": len(scheduler.timesteps) if isinstance(steps, list) else steps, "step_kwargs": kwargs, "config": dict(scheduler.config)}
    if isinstance(steps, list):
        about["sigmas" if custom_sigmas else "timesteps"] = steps
    if config.get("variance_type") == "learned":
        about["model_out"] = "the network's output, its second half replaced by 0.01 * |.|"
    (folder / f"{run}.json").write_text(json.dumps(about, indent=1))


def score_sde_run(model, name, run, spec):
    """diffusers' ScoreSdeVePipeline: a state after each evaluation, the last one its mean."""
    scheduler_name, config, steps, _ = spec
    scheduler = getattr(diffusers, scheduler_name)(**config)
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    drawn, store = [], {}

    def draw(shape, **_kwargs):
        drawn.append(deterministic.normal(f"{name}/{run}/noise{len(drawn):02}", tuple(shape)))
        return drawn[-1].clone()

    sys.modules[type(scheduler).__module__].randn_tensor = draw
    x = deterministic.normal(f"{name}/{run}/x_T", (BATCH, model.config.in_channels, *size(model.config))) * scheduler.init_noise_sigma
    store["x_T"] = x.clone()
    told = []

    def evaluate(step):
        nonlocal x
        i = len(told)
        told.append(sigma)
        out = model(x, sigma * torch.ones(BATCH)).sample
        store.update({f"model_in{i:02}": x.clone(), f"model_out{i:02}": out.contiguous()})
        x = step(out)
        store[f"state{i:02}"] = x.clone()

    for k, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[k]
        for _ in range(scheduler.config.correct_steps):
            evaluate(lambda out: scheduler.step_correct(out, x).prev_sample)
        last = k + 1 == len(scheduler.timesteps)
        evaluate(lambda out: getattr(scheduler.step_pred(out, t, x), "prev_sample_mean" if last else "prev_sample"))
    store["timesteps"] = torch.stack(told).to(torch.float32)
    # The last draw has no part in the mean.
    store.update({f"noise{i:02}": n for i, n in enumerate(drawn[:-1])})
    assert all(torch.isfinite(v).all() for v in store.values()), run
    folder = OUT / name / "samplers"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in store.items()}, folder / f"{run}.safetensors")
    about = {"scheduler": scheduler_name, "steps": steps, "step_kwargs": {}, "config": dict(scheduler.config)}
    (folder / f"{run}.json").write_text(json.dumps(about, indent=1))


def make(names):
    for name in names or unet_cases.CASES:
        model = make_network(name)
        with torch.no_grad():
            for run, spec in scheduler_cases.RUNS.get(name, {}).items():
                sample_run(model, name, run, spec)
        print(name, sum(p.numel() for p in model.parameters()), flush=True)


def load_case(folder):
    config = json.loads((folder / "unet" / "config.json").read_text())
    return deterministic.fill(diffusers.UNet2DModel.from_config(config))


def verify(folder):
    """Rebuilds the outputs of each case from deterministic weights; compares stored weights where there are any."""
    for case in sorted(p.parent for p in folder.glob("*/io.safetensors")):
        model, io = load_case(case), load_file(case / "io.safetensors")
        store = {}
        taps(model, store)
        with torch.no_grad():
            store["output"] = model(io["sample"], io["timestep"], io.get("class_labels")).sample
        worst = max((store[k] - v).abs().max().item() for k, v in io.items() if k in store)
        stored, text = case / "unet" / "diffusion_pytorch_model.safetensors", "no weights stored"
        if stored.exists():
            files, made = load_file(stored), dict(model.named_parameters())
            same = set(files) == set(made) and all(torch.equal(files[k], made[k]) for k in files)
            text = "stored weights equal the deterministic ones" if same else "STORED WEIGHTS DIFFER"
        print(f"{case.name}: largest difference {worst:.1e}; {text}", flush=True)


def main():
    verb, *rest = sys.argv[1:] or ["help"]
    if verb == "all":
        make(rest)
    elif verb == "runs":
        name, prefix = rest
        model = load_case(OUT / name)
        with torch.no_grad():
            for run, spec in scheduler_cases.RUNS[name].items():
                if run.startswith(prefix):
                    sample_run(model, name, run, spec)
    elif verb == "verify":
        verify(pathlib.Path(rest[0]))
    elif verb == "params":
        write_params(load_case(pathlib.Path(rest[0])), pathlib.Path(rest[0]) / "unet")
    else:
        print(__doc__)


main()
