"""Adds `tangent.safetensors` to every network case of tests/goldens/diffusers: a direction
`tangent` and `tangent_output`, the derivative of the network's output along it in the
sample (torch.func.jvp, time and labels fixed).

    python tests/goldens_make/tangents.py
"""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path = [p for p in sys.path if pathlib.Path(p or ".").resolve() != HERE]
import diffusers  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

sys.path.insert(0, str(HERE))
import deterministic  # noqa: E402

for case in sorted((HERE.parent / "goldens" / "diffusers").iterdir()):
    io = case / "io.safetensors"
    if not io.is_file() or list((case / "unet").glob("*.safetensors")):
        continue
    tensors = load_file(io)
    config = json.loads((case / "unet" / "config.json").read_text())
    model = deterministic.fill(diffusers.UNet2DModel.from_config(config))
    # PyTorch's fused attention has no rule in forward mode.
    for module in model.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(diffusers.models.attention_processor.AttnProcessor())
    x = tensors["sample"]
    if x.numel() > 1 << 13:
        continue
    v = deterministic.normal(f"{case.name}/tangent", x.shape)
    time, labels = tensors["timestep"], tensors.get("class_labels")
    with torch.no_grad():
        y, dy = torch.func.jvp(lambda x: model(x, time, class_labels=labels).sample, (x,), (v,))
    assert torch.allclose(y, tensors["output"], atol=1e-4), case.name
    save_file({"tangent": v, "tangent_output": dy.contiguous()}, case / "tangent.safetensors")
    print(case.name, float(dy.abs().max()))
