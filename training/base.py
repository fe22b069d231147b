"""What every training shares: the loop that can stop at any time, EMA, seeds, curves, sample sheets, exports.

A system is a class derived from `Training`; `main(System)` is its command line. The state of a training lives in
`$UNDIFFUSE_TRAINING/<name>/`: `checkpoint.pt` (written every five minutes, at SIGTERM and at the end, renamed into place),
`curve.csv`, `sheets/`, and `done` when it is finished. Every random number of step k comes from a generator
seeded by (seed, k), so a training that was stopped and continued equals one that was not.
"""
import argparse
import csv
import json
import math
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from data import STATE

REPOSITORY = Path(__file__).resolve().parent.parent
CHECKPOINT_EVERY_S = 300
LOG_EVERY = 50


class Ema:
    """Exponential average of a module's parameters that require a gradient; decay min(decay, (1+n)/(10+n))."""

    def __init__(self, module, decay=0.999, late_decay=0.9995, late_from=20_000):
        self.named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.shadow = [p.detach().clone() for _, p in self.named]
        self.decay, self.late_decay, self.late_from, self.n = decay, late_decay, late_from, 0

    @torch.no_grad()
    def update(self):
        self.n += 1
        decay = self.decay if self.n < self.late_from else self.late_decay
        decay = min(decay, (1 + self.n) / (10 + self.n))
        torch._foreach_lerp_(self.shadow, [p.detach() for _, p in self.named], 1 - decay)

    @torch.no_grad()
    def swap(self):
        """Exchanges average and parameters; call it again to change back."""
        for (_, p), s in zip(self.named, self.shadow):
            kept = p.detach().clone()
            p.copy_(s)
            s.copy_(kept)

    def __enter__(self):
        self.swap()

    def __exit__(self, *_):
        self.swap()

    @torch.no_grad()
    def restart(self):
        """The average becomes the present parameters, as old as averages get."""
        self.n = self.late_from
        for (_, p), s in zip(self.named, self.shadow):
            s.copy_(p)

    def state_dict(self):
        return {"n": self.n, "shadow": self.shadow}

    def load_state_dict(self, state):
        self.n = state["n"]
        for s, loaded in zip(self.shadow, state["shadow"]):
            s.copy_(loaded)


class Batches:
    """Batches of a u8 array as f32 in [-1,1] (or [0,1]), each epoch in a new order fixed by the seed."""

    def __init__(self, pictures, labels, size, seed, unit=False):
        self.pictures, self.labels = torch.from_numpy(pictures), torch.from_numpy(labels)
        self.size, self.seed, self.unit = size, seed, unit
        self.per_epoch = len(pictures) // size
        self.epoch, self.order = -1, None

    def at(self, k):
        """The batch of step k: pictures and labels."""
        epoch, place = divmod(k, self.per_epoch)
        if epoch != self.epoch:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self.epoch, self.order = epoch, torch.randperm(len(self.pictures), generator=generator)
        rows = self.order[place * self.size : (place + 1) * self.size]
        return self.scale(self.pictures[rows]), self.labels[rows]

    def scale(self, pictures):
        x = pictures.float() / (255 if self.unit else 127.5)
        return x if self.unit else x - 1


def ramp(k, steps, warmup=500, tail=0.2):
    """Factor of the learning rate: linear warm-up, then constant, linear to 0 over the last part."""
    return min((k + 1) / warmup, 1.0, (steps - k) / (tail * steps))


class Learner:
    """A network with its optimiser and its average."""

    def __init__(self, net, steps, rate, *, betas=(0.9, 0.999), eps=1e-8, clip=1.0, warmup=500, factor=None, kind=torch.optim.Adam):
        self.net = net.to(memory_format=torch.channels_last)
        self.optimiser = kind([p for p in net.parameters() if p.requires_grad], rate, betas=betas, eps=eps)
        self.ema, self.rate, self.clip = Ema(net), rate, clip
        self.factor = factor or (lambda k: ramp(k, steps, warmup))  # of the learning rate, by step

    def learn(self, loss, k):
        """One step down the gradient of `loss`; returns the gradient's norm before clipping."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * self.factor(k)
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimiser.step()
        self.ema.update()
        return norm.item()

    def __call__(self, x, *rest):
        return self.net(x.contiguous(memory_format=torch.channels_last), *rest)

    def weights(self):
        return averaged(self.net, self.ema)

    def adopt(self, tensors):
        """Goes on from exported weights; the optimiser starts afresh."""
        self.net.load_state_dict(tensors)
        self.ema.restart()

    def state_dict(self):
        return {"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "ema": self.ema.state_dict()}

    def load_state_dict(self, state):
        for key, part in (("net", self.net), ("optimiser", self.optimiser), ("ema", self.ema)):
            part.load_state_dict(state[key])


def fifths(each):
    """Means of the five parts of losses that are sorted by time."""
    return [round(part.mean().item(), 6) for part in each.chunk(5)]


def column(values, like):
    """f64 numbers a picture as f32, shaped to multiply `like`."""
    return values.float().view(-1, *[1] * (like.dim() - 1))


class Training:
    """A system in training. A subclass sets `name`, `steps`, `seed` and fills in the methods below."""

    name = ""
    steps = 0
    seed = 1
    sheet_every = 2500

    def parts(self):
        """Everything with state: name -> object with `state_dict` and `load_state_dict`."""
        raise NotImplementedError

    def step(self, k):
        """Does step k (the random generator is seeded already); returns numbers for the curve, `loss` first."""
        raise NotImplementedError

    def draw(self, n):
        """n pictures in [-1,1] by the averaged weights, or None."""
        return None

    def sheet(self):
        """What the sample sheets show."""
        return self.draw(64)

    def measure(self):
        """Numbers for the log at each sheet, on held-out data."""
        return {}

    def export(self, folder):
        """Writes the model's files as an engine reads them."""
        raise NotImplementedError

    def adopt(self, folder):
        """Takes exported weights up again: what is left when the state folder is lost."""
        raise FileNotFoundError(folder)

    @property
    def folder(self):
        return STATE / self.name

    def save(self, k, seconds):
        state = {"step": k, "cpu_seconds": seconds}
        state |= {name: part.state_dict() for name, part in self.parts().items()}
        part = self.folder / "checkpoint.part"
        with open(part, "wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, self.folder / "checkpoint.pt")

    def load(self):
        """Takes the newest checkpoint up; returns (next step, CPU seconds so far)."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return self.from_repository()
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in self.parts().items():
            part.load_state_dict(state[name])
        return state["step"], state["cpu_seconds"]


    def finished(self):
        """Whether the whole training is done, here or in the committed weights."""
        known = self.home() / "training.json"
        committed = known.exists() and json.loads(known.read_text())["steps"] >= self.steps
        return committed or (self.folder / "done").exists()

    def home(self):
        """Where its milestones are committed."""
        return REPOSITORY / "models" / self.name

    def from_repository(self):
        """Without a checkpoint: the weights that were committed at the last milestone, or the beginning."""
        folder = self.home()
        if not (folder / "training.json").exists():
            return 0, 0.0
        known = json.loads((folder / "training.json").read_text())
        self.folder.mkdir(parents=True, exist_ok=True)
        curve = self.folder / "curve.csv"
        if not curve.exists():
            curve.write_text((folder / "curve.csv").read_text())
        try:
            self.adopt(folder)
        except FileNotFoundError as missing:
            print(f"{self.name}: a milestone is committed, but not all that training needs ({missing}); from the beginning")
            return 0, 0.0
        print(f"{self.name}: from the committed weights of step {known['steps']}")
        return known["steps"], known["cpu_hours"] * 3600


class Curve:
    """The CSV of a training. Rows after the step that a restart goes back to are dropped."""

    def __init__(self, path, from_step):
        self.path, self.sums, self.count = path, {}, 0
        if path.exists():
            lines = path.read_text().splitlines()
            kept = lines[:1] + [line for line in lines[1:] if int(line.split(",")[0]) <= from_step]
            path.write_text("\n".join(kept) + "\n")

    def add(self, numbers):
        for key, value in numbers.items():
            self.sums[key] = self.sums.get(key, 0.0) + float(value)
        self.count += 1

    def flush(self, step, seconds):
        row = {"step": step, "cpu_seconds": round(seconds, 1)}
        row |= {key: f"{value / self.count:.6g}" for key, value in self.sums.items()}
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(row.keys())
            writer.writerow(row.values())
        self.sums, self.count = {}, 0
        return row


def plot(csv_path, png_path, title):
    """Every column of a curve over the steps, logarithmic where it can be."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(csv_path) as file:
        rows = list(csv.DictReader(file))
    steps = np.array([int(row["step"]) for row in rows])
    names = [name for name in rows[0] if name not in ("step", "cpu_seconds", "lr")]
    figure, axes = pyplot.subplots(figsize=(6, 3.5), dpi=90)
    positive = True
    for name in names:
        values = np.array([float(row[name]) for row in rows])
        positive = positive and bool((values > 0).all())
        axes.plot(steps, values, linewidth=0.8, label=name)
    if positive:
        axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_title(title)
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(png_path)
    pyplot.close(figure)


def save_sheet(pictures, path, columns=8):
    """Pictures [N,C,H,W] in [-1,1] as one PNG."""
    from PIL import Image

    x = ((pictures.detach().float().clamp(-1, 1) + 1) * 127.5).round().byte().numpy()
    n, channels, height, width = x.shape
    rows = n // columns
    x = x[: rows * columns].reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    x = x.reshape(rows * height, columns * width, channels)
    Image.fromarray(x[..., 0] if channels == 1 else x).save(path, optimize=True)


def averaged(module, ema):
    """A module's state dict with the averaged parameters in place."""
    with ema:
        return {key: value.detach().clone() for key, value in module.state_dict().items()}


def save_weights(tensors, path, limit=2 * 2**20):
    """f16 safetensors of at most `limit` bytes; running statistics stay f32, schedules f64, counters integers."""
    tensors = {k: (v.half() if v.dtype == torch.float32 and ".running_" not in k else v).contiguous() for k, v in tensors.items()}
    for key, value in tensors.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise ValueError(f"{key} is not finite in f16")
    save_file(tensors, path, metadata={"format": "pt"})
    os.chmod(path, 0o644)
    size = os.path.getsize(path)
    if size > limit:
        raise ValueError(f"{path}: {size} bytes, more than {limit}")


def save_json(value, path):
    Path(path).write_text(json.dumps(value, indent=1) + "\n")


def running(path):
    """Whether the process of this pid file is alive."""
    try:
        os.kill(int(path.read_text()), 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    return True


def _announce(training):
    """Writes our process id where `pause.sh` looks for it; two processes never train the same."""
    path = STATE / "pids" / training.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if running(path):
        sys.exit(f"{training.name}: process {path.read_text().strip()} trains it already")
    path.write_text(f"{os.getpid()}\n")
    return path


def run(training, steps=None):
    """Trains until done, resumable at any moment."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    folder = training.folder
    (folder / "sheets").mkdir(parents=True, exist_ok=True)
    if training.finished():
        print(f"{training.name}: done already")
        return
    pid = _announce(training)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))

    k, seconds = training.load()
    curve = Curve(folder / "curve.csv", k)
    saved, clock = time.monotonic(), time.process_time()
    print(f"{training.name}: from step {k} of {training.steps}", flush=True)

    def spent():
        return seconds + time.process_time() - clock

    until = training.steps if steps is None else min(training.steps, k + steps)
    while k < until and not stop:
        torch.manual_seed(training.seed * 1_000_000_007 + k)
        numbers = training.step(k)
        if not math.isfinite(numbers["loss"]):
            raise FloatingPointError(f"{training.name}: loss {numbers['loss']} at step {k}; the checkpoint before it stands")
        curve.add(numbers)
        k += 1
        if k % LOG_EVERY == 0:
            row = curve.flush(k, spent())
            if k % (10 * LOG_EVERY) == 0:
                print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if time.monotonic() - saved > CHECKPOINT_EVERY_S:
            training.save(k, spent())
            saved = time.monotonic()
        if k % training.sheet_every == 0 or k == training.steps:
            training.save(k, spent())
            inspect(training, k)
    training.save(k, spent())
    if k >= training.steps:
        (folder / "done").write_text(f"{k} steps, {spent():.0f} CPU seconds\n")
    pid.unlink(missing_ok=True)
    print(f"{training.name}: step {k}, {spent():.0f} CPU seconds", flush=True)
    if stop:
        sys.exit(130)


def inspect(training, k):
    """Sample sheet and held-out numbers of the present weights."""
    torch.manual_seed(training.seed)
    pictures = training.sheet()
    if pictures is not None:
        save_sheet(pictures, training.folder / "sheets" / f"{k:06}.png")
    numbers = training.measure()
    if numbers:
        with open(training.folder / "measured.jsonl", "a") as file:
            file.write(json.dumps({"step": k, **numbers}) + "\n")
        print(f"{training.name} step {k}: {numbers}", flush=True)


def export(training, folder):
    """Writes the model with its curve and what is known of its training."""
    k, seconds = training.load()
    if k == 0:
        sys.exit(f"{training.name}: no checkpoint in {training.folder}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    training.export(folder)
    (folder / "curve.csv").write_text((training.folder / "curve.csv").read_text())
    plot(folder / "curve.csv", folder / "curve.png", training.name)
    torch.manual_seed(training.seed)
    pictures = training.sheet()
    if pictures is not None:
        save_sheet(pictures, folder / "sheet.png")
    measured = training.folder / "measured.jsonl"
    last = json.loads(measured.read_text().splitlines()[-1]) if measured.exists() else None
    save_json({"steps": k, "planned_steps": training.steps, "cpu_hours": round(seconds / 3600, 3), "seed": training.seed, "measured": last}, folder / "training.json")
    print(f"{training.name}: step {k} written to {folder}")


def main(*systems):
    """Command line of a file that holds one or more trainings."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--only", choices=[system.name for system in systems], help="this training of the file alone")
    parser.add_argument("--steps", type=int, help="stop after so many steps more")
    parser.add_argument("--export", nargs="?", const=True, metavar="FOLDER", help="write the newest checkpoint (to models/NAME)")
    parser.add_argument("--sheet", action="store_true", help="draw a sample sheet of the newest checkpoint")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for system in systems:
        if args.only not in (None, system.name):
            continue
        training = system()
        if args.export:
            export(training, training.home() if args.export is True else args.export)
        elif args.sheet:
            inspect(training, training.load()[0])
        else:
            run(training, args.steps)
