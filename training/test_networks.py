"""Our networks against numbers that the reference implementations computed (where such a folder is named).

    UNDIFFUSE_GOLDENS=<folder> python -m pytest test_networks.py
"""
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ncsnpp import CldNet, Dae, Generator, ScoreNet
from nvae import Nvae

GOLDENS = Path(os.environ.get("UNDIFFUSE_GOLDENS", "/nowhere"))
pytestmark = pytest.mark.skipif(not GOLDENS.is_dir(), reason="UNDIFFUSE_GOLDENS names no folder")


def case(name):
    folder = GOLDENS / name
    return json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors"), load_file(folder / "io.safetensors")


def agrees(ours, reference, tolerance=1e-5):
    assert (ours - reference).abs().max() <= tolerance * max(1.0, reference.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("name", ["vp_ddpmpp", "ve_ncsnpp"])
def test_score_sde(name):
    config, weights, io = case(f"score_sde/{name}")
    net = ScoreNet(config).eval()
    net.load_state_dict(weights)
    agrees(net(io["x"], io["labels"]), io["output"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["cld_cifar_like", "cld_celebahq_like"])
def test_cld_sgm(name):
    config, weights, io = case(f"cld_sgm/{name}")
    net = CldNet(config).eval()
    net.load_state_dict(weights)
    agrees(net(io["u"], io["t"].float()), io["output"])


@torch.no_grad()
@pytest.mark.parametrize("name", ["ddgan_cifar_like_T4", "ddgan_celebahq_like_T2"])
def test_ddgan(name):
    config, weights, io = case(f"ddgan/{name}")
    net = Generator(config).eval()
    net.load_state_dict(weights)
    agrees(net(io["x"], io["t"], io["z"]), io["output"])


@torch.no_grad()
def test_lsgm_prior():
    config, weights, io = case("lsgm/lsgm_mnist_like")
    net = Dae(config, io["x"].shape[-1], (1, 1)).eval()
    net.load_state_dict({key[4:]: value for key, value in weights.items() if key.startswith("dae.")})
    for i in range(3):
        agrees(net(io["x"], io[f"t_{i}"].expand(len(io["x"]))), io[f"dae_out_{i}"])


@torch.no_grad()
def test_nvae():
    config, weights, io = case("lsgm/lsgm_cifar_like")
    net = Nvae(config, out_channels=100).eval()
    net.load_state_dict({key[4:]: value for key, value in weights.items() if key.startswith("vae.") and not key.endswith("weight_normalized")})
    eps, mu, log_sig, _, s = net.encode(io["enc.image"], [io["enc.noise_0"], io["enc.noise_1"]])
    agrees(eps, torch.cat([io["enc.eps_0"], io["enc.eps_1"]], 1))
    agrees(mu, torch.cat([io["enc.mu_0"], io["enc.mu_1"]], 1))
    agrees(log_sig.exp(), torch.cat([io["enc.sigma_0"], io["enc.sigma_1"]], 1))
    agrees(net.logits(s)[:1], io["enc.logits"])
    agrees(net.decode(eps), net.logits(s))
