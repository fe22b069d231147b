"""Small checkpoints in the forms of the published systems, and what PyTorch reads from them.

    python tests/data/torch/make.py

writes the files beside this script and `expected.json`: for each file the tensors (with and without moving average) as
name, type, shape, min, max, mean.
"""
import argparse
import collections
import io
import json
import pathlib
import pickle
import struct
import tarfile

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64", torch.int32: "I32",
         torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL"}


def about(tensors):
    rows = []
    for name, t in sorted(tensors.items()):
        v = t.double()
        rows.append([name, NAMES[t.dtype], list(t.shape), v.min().item(), v.max().item(), v.mean().item()])
    return rows


def score_sde():
    """`model` with `module.` and a buffer, `ema` positional over what is trained."""
    model = collections.OrderedDict()
    model["module.sigmas"] = torch.linspace(3, 1, 5, dtype=torch.float64)
    model["module.all_modules.0.W"] = torch.randn(4)
    model["module.all_modules.1.weight"] = torch.randn(3, 8)
    model["module.all_modules.1.bias"] = torch.randn(3)
    model["module.all_modules.2.NIN_0.W"] = torch.randn(3, 2)
    model["module.all_modules.2.NIN_0.b"] = torch.randn(2)
    shadow = [torch.randn_like(t) for k, t in model.items() if k not in ("module.sigmas", "module.all_modules.0.W")]
    state = {"optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(3, 8)}}, "param_groups": [{"lr": 2e-4, "betas": (0.9, 0.999)}]},
             "model": model, "ema": {"decay": 0.9999, "num_updates": 3, "shadow_params": shadow}, "step": 3}
    plain = {k[7:]: v for k, v in model.items()}
    trained = [k for k in plain if k not in ("sigmas", "all_modules.0.W")]
    return state, plain, plain | dict(zip(trained, shadow))


def lsgm():
    """Arguments as a Namespace, numpy numbers, a defaultdict, the average in the optimiser's state."""
    dae = collections.OrderedDict(mixing_logit=torch.full((1, 2, 1, 1), -3.0))
    dae["all_modules.0.weight"], dae["all_modules.0.bias"] = torch.randn(4, 2), torch.randn(4)
    vae = collections.OrderedDict({"stem.weight": torch.randn(2, 1, 3, 3), "bn.running_mean": torch.randn(2), "bn.num_batches_tracked": torch.tensor(7)})
    average = [torch.randn_like(t) for t in dae.values()]
    args = argparse.Namespace(dataset="mnist", num_x_bits=8, channel_mult=[1, 2], fir=False, sizes=torch.Size([2, 3]))
    state = {"epoch": 1, "args": args, "best_score_fid": np.float64(12.5), "best_score_nll": np.float32(1.5), "history": np.arange(6.0).reshape(2, 3),
             "counts": collections.defaultdict(list, {"a": [1, 2]}), "dae_state_dict": dae, "vae_state_dict": vae,
             "dae_optimizer": {"state": {i: {"ema": t, "step": 1} for i, t in enumerate(average)}, "param_groups": []}}
    plain = {"dae." + k: v for k, v in dae.items()} | {"vae." + k: v for k, v in vae.items()}
    return state, plain, plain | {"dae." + k: t for k, t in zip(dae, average)}


def ddgan():
    """A flat state dictionary, the average swapped in already."""
    state = collections.OrderedDict({"module.z_transform.1.weight": torch.randn(3, 2), "module.all_modules.0.bias": torch.randn(5)})
    return state, {k[7:]: v for k, v in state.items()}, None


def content():
    """DDGAN's state of a training: flags, the generator's weights of that step, the average in the optimiser's state. All tensors are views
    of one storage, so that the file stays small."""
    folder = HERE.parents[1] / "goldens/ddgan/ddgan_cifar_like_T4"
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    flags = json.loads((folder / "config.json").read_text()) | {"dataset": "stackmnist", "use_ema": True, "ema_decay": 0.9999, "num_timesteps": 2,
                                                                "resume": False, "master_address": "127.0.0.1", "lr_g": 1.5e-4}
    flags["attn_resolutions"] = tuple(flags["attn_resolutions"])
    base = 0.1 * torch.randn(max(int(np.prod(s)) for s in shapes.values()) + 2 * len(shapes))
    state, average = collections.OrderedDict(), []
    # The average goes by the state dictionary's order, whatever it is.
    for i, (name, shape) in enumerate(shapes.items()):
        n = int(np.prod(shape))
        state["module." + name] = base[i:i + n].view(shape)
        average.append(base[i + len(shapes):][:n].view(shape))
    whole = {"epoch": 3, "global_step": 7, "args": argparse.Namespace(**flags), "netG_dict": state,
             "optimizerG": {"state": {i: {"step": 7, "ema": t} for i, t in enumerate(average)}, "param_groups": [{"lr": 1.5e-4}]}, "netD_dict": {}}
    plain = {k[7:]: v for k, v in state.items()}
    return whole, plain, dict(zip(plain, average))


def types():
    """Every type, one storage for several tensors, strides."""
    base = torch.randn(6, 4)
    state = {"base": base, "transposed": base.t(), "row": base[2], "step": base[::2, 1:3], "expanded": torch.randn(1, 3).expand(4, 3)[:1],
             "parameter": torch.nn.Parameter(torch.randn(2)), "scalar": torch.tensor(2.5)}
    for dtype in NAMES:
        state[f"of {NAMES[dtype]}"] = (torch.randn(7) * 3).to(dtype)
    return state, state, None


def save_tar(state, path):
    """The form before 0.1.10, which PyTorch reads but no longer writes. Every second storage is a view of one that is longer by one
    number at its front."""
    tensors, roots, views = {}, [], []

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, torch.Tensor):
                return None
            tensors.setdefault(id(value), value.detach())
            return str(id(value))

    def dump(value, out):
        pickle.dump(value, out, protocol=2)

    main = io.BytesIO()
    Pickler(main, protocol=2).dump(state)
    storages, geometry, keys = io.BytesIO(), io.BytesIO(), {}
    for tensor in tensors.values():
        keys.setdefault(tensor.untyped_storage().data_ptr(), (len(keys) + 1, tensor))
    dump(len(keys), storages)
    for key, tensor in keys.values():
        root = tensor.new_empty(0).set_(tensor.untyped_storage(), 0, (tensor.untyped_storage().nbytes() // tensor.element_size(),))
        root_key = key
        if key % 2 == 0:
            root_key = 1000 + key
            views.append((key, root_key, 1, len(root)))
            root = torch.cat([root[:1], root])
        kind = torch.storage._dtype_to_storage_type_map()
        # A global of torch by its old name, pickled by hand: its class is not what it was.
        storages.write(b"\x80\x02" + b"J" + struct.pack("<i", root_key) + b"X\x03\0\0\0cpu" + f"ctorch\n{kind[root.dtype]}\n".encode() + b"\x87.")
        storages.write(struct.pack("<q", len(root)) + root.view(torch.uint8).numpy().tobytes())
    dump(views, storages)
    dump(len(tensors), geometry)
    for key, tensor in tensors.items():
        storage = keys[tensor.untyped_storage().data_ptr()][0]
        name = torch.storage._dtype_to_storage_type_map()[tensor.dtype].replace("Storage", "Tensor")
        address = pickle.dumps(key, protocol=2)[2:-1]
        geometry.write(b"\x80\x02" + address + b"J" + struct.pack("<i", storage) + f"ctorch\n{name}\n".encode() + b"\x87.")
        geometry.write(struct.pack("<ii", tensor.dim(), 0) + struct.pack(f"<{2 * tensor.dim()}q", *tensor.shape, *tensor.stride()))
        geometry.write(struct.pack("<q", tensor.storage_offset()))
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, out in (("sys_info", io.BytesIO(pickle.dumps({"little_endian": True}, 2))), ("pickle", main), ("tensors", geometry), ("storages", storages)):
            info = tarfile.TarInfo(name)
            info.size = len(out.getvalue())
            tar.addfile(info, io.BytesIO(out.getvalue()))


def main():
    torch.manual_seed(0)
    expected = {}
    for make in (score_sde, lsgm, ddgan, types):
        state, plain, average = make()
        for form, new in (("zip", True), ("legacy", False)):
            file = f"{make.__name__}_{form}.pth"
            torch.save(state, HERE / file, _use_new_zipfile_serialization=new)
            expected[file] = {"plain": about(plain), "ema": average and about(average)}
    for make in (ddgan, types):
        state, plain, _ = make()
        # A parameter was a class of its own; here it is its tensor.
        state = type(state)((k, v.detach()) for k, v in state.items())
        file = f"{make.__name__}_tar.pth"
        save_tar(state, HERE / file)
        read = torch.load(HERE / file, weights_only=False)
        assert all(torch.equal(read[k], v) and read[k].stride() == v.stride() for k, v in state.items())
        expected[file] = {"plain": about(plain), "ema": None}
    state, plain, average = content()
    torch.save(state, HERE / "ddgan_content.pth")
    expected["ddgan_content.pth"] = {"plain": about(plain), "ema": about(average)}
    (HERE / "expected.json").write_text(json.dumps(expected, indent=0) + "\n")


if __name__ == "__main__":
    main()
