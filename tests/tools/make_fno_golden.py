#!/usr/bin/env python3
"""Writes tests/golden/models/fno_*.safetensors: weights, input, output and gradients of fno_python.Fno, seed 0, float64 rounded to fp32.

  PYTHONPATH=.deps/torch-2.13.0 python3 tests/tools/make_fno_golden.py      (torch 2.13.0; sizes below are FnoConfig's of the test)
"""
import pathlib

import torch
from safetensors.torch import save_file

from fno_python import Fno, to_ups

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "models"
CASES = {
    "fno_1d": ((24,), dict(inputs=1, outputs=1, width=4, modes=5, axes=1, head=8)),
    "fno_1d_pdebench": ((21,), dict(inputs=3, outputs=1, width=4, modes=4, axes=1, head=8, padding=2, grid_channel=True)),
    "fno_2d": ((8, 10), dict(inputs=2, outputs=2, width=3, modes=2, axes=2, head=8)),
    "fno_2d_pdebench": ((7, 6), dict(inputs=1, outputs=1, width=3, modes=3, axes=2, head=8, padding=2, grid_channel=True)),
}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (grid, sizes) in CASES.items():
        torch.manual_seed(0)
        net = Fno(layers=2, **sizes).double()
        x = torch.randn(3, sizes["inputs"], *grid).double().requires_grad_()
        y = net(x)
        projection = torch.randn(y.shape).double()
        (y * projection).sum().backward()
        tensors = {"input": x.detach(), "output": y.detach(), "projection": projection, "grad/input": x.grad}
        tensors |= {"state/" + k: v for k, v in to_ups(net, dict(net.named_parameters())).items()}
        tensors |= {"grad/" + k: v for k, v in to_ups(net, {k: p.grad for k, p in net.named_parameters()}).items()}
        save_file({k: v.float().contiguous() for k, v in tensors.items()}, FOLDER / f"{name}.safetensors",
                  {"provenance": "tests/tools/make_fno_golden.py, torch " + torch.__version__})


if __name__ == "__main__":
    main()
