"""Takes from whole runs of score_sde_pytorch what its solvers can be compared with when
the network is not there: the first evaluations of the adaptive solver with what the network
answered, and the deviations of the noise that every other sampler adds.

    python make.py FOLDER_OF_GOLDENS
"""

import pathlib
import sys

from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent

for case, name in [("vp_ddpmpp", "vp"), ("ve_ncsnpp", "ve")]:
    folder = pathlib.Path(sys.argv[1]) / case
    ode = load_file(folder / "sampler_ode.safetensors")
    out = {"init": ode["init"]}
    for i in range(7):
        for key in ("x", "label", "out"):
            out[f"eval_{key}_{i}"] = ode[f"eval_{key}_{i}"]
    for run in sorted(folder.glob("sampler_*.safetensors")):
        tensors = load_file(run)
        if "pred_mean_0" not in tensors:
            continue
        kind = run.stem.removeprefix("sampler_")
        # The deviation of the noise that each step adds.
        for k in range(6):
            z = tensors[f"pred_noise_{k}_0"].double()
            added = (tensors[f"pred_x_{k}"].double() - tensors[f"pred_mean_{k}"].double())
            out[f"{kind}/added_{k}"] = ((added * z).sum() / (z * z).sum()).reshape(1)
        out[f"{kind}/timesteps"] = tensors["timesteps"]
    save_file(out, HERE / f"{name}.safetensors")
