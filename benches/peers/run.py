#!/usr/bin/env python3
"""Undiffuse beside other engines on the layers of real networks, on one machine in one run.

    python3 benches/peers/run.py --undiffuse target/release/undiffuse MODEL_FOLDER... [--batch 4]

For every convolution, linear layer and attention of the models' plans (each shape once) it
measures, in turn over several rounds, so that whatever else the machine does falls on all
alike:

- undiffuse: the sum of the layer's dispatches in `undiffuse bench network`;
- ncnn's Vulkan backend on the same adapter, where `pip install ncnn` is there
  (convolutions and linear layers; one image at a time, for ncnn knows no batch, and with
  what it takes to bring an image up and its result back, which is most of a small layer);
- PyTorch on the processor, f32, channels_last; ONNX Runtime on the processor: for context.

It prints a Markdown table of the medians over rounds and of the ratios to undiffuse; what
docs/performance.md says is made of it.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

# Threads that wait in a loop take the time of those that compute, where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np


def command(*args):
    return json.loads(subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def layers(binary, model, batch):
    """Shapes of a model's plan: (label, op, kernel size, stride, upsampled, input, output)."""
    ops = command(binary, "inspect", model, "--json", "--batch", str(batch))
    ops = ops["network"]["ops"]
    found = {}
    for op in ops:
        if op["op"] not in ("conv2d", "linear", "attention"):
            continue
        detail = op["detail"]
        size = int(detail.split("x")[0]) if detail[:1].isdigit() and "x" in detail.split(",")[0] else 1
        stride = int(detail.split("stride ")[1].split(",")[0]) if "stride " in detail else 1
        up = int(detail.split("upsampled ")[1].split("x")[0]) if "upsampled " in detail else 1
        key = (op["op"], size, stride, up, tuple(op["inputs"][0]), tuple(op["output"]))
        found.setdefault(key, []).append(f"{op['op']} {op['scope']}")
    return found


def ours(binary, model, batch):
    """Seconds of every op by its label."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run(
            [binary, "bench", "network", "--model", model, "--batch", str(batch), "--repeats", "2",
             "--json", out.name] + ([] if weights(model) else ["--synthetic-weights"]),
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        rows = json.load(open(out.name))
    rows = rows[0] if isinstance(rows, list) else rows
    seconds = {}
    for row in rows["rows"]:
        seconds[row["name"]] = seconds.get(row["name"], 0.0) + row["seconds"]
    return seconds


def weights(model):
    return any(f.endswith(".safetensors") for _, _, fs in os.walk(os.path.join(model, "unet")) for f in fs)


def timed(run, least=0.02):
    """Seconds of one call: the mean over as many as take `least`."""
    start, count = time.perf_counter(), 0
    while True:
        run()
        count += 1
        took = time.perf_counter() - start
        if took > least or count == 100:
            return took / count


def torch_layer(key, batch):
    import torch
    import torch.nn.functional as F

    op, size, stride, up, (h, w, ci), (oh, ow, co) = key
    torch.set_num_threads(os.cpu_count())
    if op == "attention":
        qkv = [torch.randn(batch, 1, oh * ow, co) for _ in range(3)]
        return lambda: F.scaled_dot_product_attention(*qkv)
    x = torch.randn(batch, ci, h, w).to(memory_format=torch.channels_last)
    weight = torch.randn(co, ci, size, size).to(memory_format=torch.channels_last)
    bias = torch.randn(co)

    def run():
        with torch.inference_mode():
            seen = F.interpolate(x, scale_factor=up) if up > 1 else x
            return F.conv2d(seen, weight, bias, stride=stride, padding=size // 2)

    return run


def onnx_layer(key, batch):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    op, size, stride, up, (h, w, ci), (oh, ow, co) = key
    if op == "attention" or up > 1:
        return None
    weight = numpy_helper.from_array(np.random.randn(co, ci, size, size).astype(np.float32), "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[stride] * 2, pads=[size // 2] * 4)
    tensor = lambda name, c, h, w: helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, c, h, w])
    graph = helper.make_graph([node], "layer", [tensor("x", ci, h, w)], [tensor("y", co, oh, ow)], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    x = np.random.randn(batch, ci, h, w).astype(np.float32)
    return lambda: session.run(None, {"x": x})


def ncnn_layer(key, batch, folder):
    import ncnn

    op, size, stride, up, (h, w, ci), (oh, ow, co) = key
    if op == "attention" or ncnn.get_gpu_count() == 0:
        return None
    h, w = h * up, w * up
    param = (f"7767517\n2 2\nInput x 0 1 x\nConvolution conv 1 1 x y 0={co} 1={size} 3={stride} 4={size // 2} "
             f"5=1 6={co * ci * size * size}\n")
    open(f"{folder}/layer.param", "w").write(param)
    with open(f"{folder}/layer.bin", "wb") as out:
        out.write(b"\0\0\0\0")
        out.write(np.random.randn(co * ci * size * size + co).astype(np.float32).tobytes())
    net = ncnn.Net()
    net.opt.use_vulkan_compute = True
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.num_threads = os.cpu_count()
    net.load_param(f"{folder}/layer.param")
    net.load_model(f"{folder}/layer.bin")
    x = np.random.randn(ci, h, w).astype(np.float32)

    def run():
        for _ in range(batch):
            with net.create_extractor() as e:
                e.input("x", ncnn.Mat(x))
                e.extract("y")

    return run


def table(model, binary, batch, rounds):
    shapes = layers(binary, model, batch)
    makers = {"PyTorch": torch_layer, "ONNX Runtime": onnx_layer}
    with tempfile.TemporaryDirectory() as folder:
        makers["ncnn Vulkan"] = lambda key, batch: ncnn_layer(key, batch, folder)
        runs, failed = {}, {}
        for key in shapes:
            for name, make in makers.items():
                try:
                    run = make(key, batch)
                    if run:
                        run()
                        runs[key, name] = run
                except Exception as e:  # a peer that is not there, or cannot do a layer
                    failed.setdefault(name, repr(e))
        times = {}
        for _ in range(rounds):
            mine = ours(binary, model, batch)
            for key, labels in shapes.items():
                here = [mine[label] for label in labels if label in mine]
                times.setdefault((key, "undiffuse"), []).append(statistics.median(here))
            for at, run in runs.items():
                times.setdefault(at, []).append(timed(run))
    for name, why in failed.items():
        print(f"{name} could not run some layers: {why}\n")
    names = list(makers)
    print(f"| layer ({os.path.basename(model.rstrip('/'))}, batch {batch}) | undiffuse ms | " + " | ".join(names) + " |")
    print("| --- | --- |" + " --- |" * len(names))
    ratios = {name: [] for name in names}
    cost = lambda key: -statistics.median(times[key, "undiffuse"]) * len(shapes[key])
    for key in sorted(shapes, key=cost):
        op, size, stride, up, i, o = key
        what = f"{op} {'x'.join(map(str, i))} to {'x'.join(map(str, o))}"
        what += f", {size}x{size}" if op == "conv2d" else ""
        what += f", stride {stride}" if stride > 1 else ""
        what += f", upsampled {up}x" if up > 1 else ""
        mine = times[key, "undiffuse"]
        cells = []
        for name in names:
            theirs = times.get((key, name))
            if not theirs:
                cells.append("")
                continue
            ratio = statistics.median(t / max(m, 1e-6) for t, m in zip(theirs, mine))
            ratios[name].append(ratio)
            cells.append(f"{1e3 * statistics.median(theirs):.2f} ({ratio:.2f}x)")
        print(f"| {len(shapes[key])} x {what} | {1e3 * statistics.median(mine):.2f} | " + " | ".join(cells) + " |")
    print()
    for name, all in ratios.items():
        if all:
            print(f"- {name}: undiffuse is {statistics.median(all):.2f} times as fast on the median layer, "
                  f"{min(all):.2f} to {max(all):.2f}")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--undiffuse", default="target/release/undiffuse")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for model in args.models:
        table(model, args.undiffuse, args.batch, args.rounds)


if __name__ == "__main__":
    main()
