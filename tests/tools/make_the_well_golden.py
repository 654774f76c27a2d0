#!/usr/bin/env python3
"""Writes tests/golden/the_well: a small file in the layout of The Well (own random data) and what the package the_well reads from it.

  pip install --target /tmp/well the_well==1.2.0 h5py numpy pyyaml      (without its torch: --no-deps, then einops and fsspec==2024.10.0)
  PYTHONPATH=/tmp/well:.deps/torch-2.13.0 python3 tests/tools/make_the_well_golden.py [--check]

--check: reads the committed file again and compares with expected.json instead of writing.
--written FOLDER: reads the files of a folder, written by `ups-data convert --to well`, and prints what the package makes of them.
"""
import importlib.metadata
import json
import pathlib
import sys

import h5py
import numpy as np
import torch
from the_well.benchmark.metrics import NRMSE, VRMSE
from the_well.data.datasets import WellDataset

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "the_well"
N, T, X, Y = 2, 3, 5, 4


def add_field(group, name, values, sample, time, dims, **storage):
    d = group.create_dataset(name, data=values.astype("float32"), **storage)
    d.attrs["sample_varying"] = sample
    d.attrs["time_varying"] = time
    d.attrs["dim_varying"] = dims


def write(path):
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as f:
        f.attrs.update({"dataset_name": "small_flow", "grid_type": "cartesian", "n_spatial_dims": 2, "n_trajectories": N, "Rayleigh": 1e4,
                        "Prandtl": 0.7, "simulation_parameters": ["Rayleigh", "Prandtl"]})
        g = f.create_group("dimensions")
        g.attrs["spatial_dims"] = ["x", "y"]
        axes = {"time": 0.5 + 0.25 * np.arange(T), "x": np.arange(X) / X, "y": -1 + 2 * np.arange(Y) / (Y - 1)}
        for name, values in axes.items():
            g.create_dataset(name, data=values.astype("float32")).attrs["sample_varying"] = False
        g = f.create_group("boundary_conditions")
        for name, kind, length, ends in (("x_periodic", "PERIODIC", X, (0, -1)), ("y_wall", "wall", Y, (0,))):
            b = g.create_group(name)
            b.attrs.update({"associated_dims": [name[0]], "associated_fields": [], "bc_type": kind, "sample_varying": False,
                            "time_varying": False})
            mask = np.zeros(length, dtype=bool)
            mask[list(ends)] = True
            b.create_dataset("mask", data=mask)
        g = f.create_group("scalars")
        g.attrs["field_names"] = ["Rayleigh", "Prandtl", "heat"]
        for name, value, time in (("Rayleigh", 1e4, False), ("Prandtl", 0.7, False), ("heat", rng.normal(size=T), True)):
            d = g.create_dataset(name, data=np.array(value))
            d.attrs["time_varying"], d.attrs["sample_varying"] = time, False
        g = f.create_group("t0_fields")
        g.attrs["field_names"] = ["pressure", "height", "profile", "source"]
        both = [True, True]
        add_field(g, "pressure", rng.normal(size=(N, T, X, Y)), True, True, both, chunks=(1, 1, X, Y), compression="gzip")
        add_field(g, "height", rng.normal(size=(X, Y)), False, False, both)                     # the same everywhere and always
        add_field(g, "profile", rng.normal(size=(N, T, 1, Y)), True, True, [False, True])       # varies along y only
        add_field(g, "source", rng.normal(size=(T, X, 1)), False, True, [True, False])          # one for all trajectories
        g = f.create_group("t1_fields")
        g.attrs["field_names"] = ["velocity", "wind"]
        add_field(g, "velocity", rng.normal(size=(N, T, X, Y, 2)), True, True, both)
        add_field(g, "wind", rng.normal(size=(N, X, Y, 2)), True, False, both)
        g = f.create_group("t2_fields")
        g.attrs["field_names"] = ["stress"]
        add_field(g, "stress", rng.normal(size=(N, T, X, Y, 2, 2)), True, True, both)
        g["stress"].attrs["symmetric"], g["stress"].attrs["antisymmetric"] = False, False


def numbers(tensor):
    return [float(v) for v in tensor.double().flatten()]


def read(folder=FOLDER):
    data = WellDataset(path=str(folder), full_trajectory_mode=True, n_steps_input=1, normalize_time_grid=False)
    m = data.metadata
    samples = [data[i] for i in range(len(data))]
    fields = [torch.cat([s["input_fields"], s["output_fields"]]) for s in samples]  # each [T, X, Y, C]
    flat = lambda names: [n for order in range(3) for n in names[order]]
    s = samples[0]
    return {
        "provenance": f"the_well {importlib.metadata.version('the_well')}, torch {torch.__version__}, {pathlib.Path(__file__).name}",
        "dataset_name": m.dataset_name, "resolution": list(m.spatial_resolution),
        "channels": flat(m.field_names), "constant_channels": flat(m.constant_field_names),
        "fields": [numbers(f) for f in fields],                        # [N][T, X, Y, C]
        "constant_fields": [numbers(x["constant_fields"]) for x in samples],  # [N][X, Y, C]
        "constant_scalars": dict(zip(m.constant_scalar_names, numbers(s["constant_scalars"]))),
        "boundary": numbers(s["boundary_conditions"]),                 # [axis, side]: 0 wall, 1 open, 2 periodic
        "x": numbers(s["space_grid"][:, 0, 0]), "y": numbers(s["space_grid"][0, :, 1]),
        "time": numbers(torch.cat([s["input_time_grid"], s["output_time_grid"]])),
        # trajectory 0 as a prediction of trajectory 1: [T, C]
        "vrmse": numbers(VRMSE()(fields[0].double(), fields[1].double(), m)),
        "nrmse": numbers(NRMSE()(fields[0].double(), fields[1].double(), m)),
    }


def show_written(folder):
    """What the package makes of a folder of files by `ups-data convert --to well`; its fields must be the stored values."""
    data = WellDataset(path=folder, n_steps_input=1, n_steps_output=1, use_normalization=False)
    m, sample = data.metadata, data[0]
    with h5py.File(data.files_paths[0]) as f:
        for i, name in enumerate(m.field_names[0]):
            if not np.array_equal(sample["input_fields"][0, ..., i].numpy(), f["t0_fields"][name][0, 0]):
                sys.exit(f"{name}: the_well reads other values than are stored")
    print(m)
    print("boundary (0 wall, 1 open, 2 periodic):", sample["boundary_conditions"].tolist())


def main():
    if "--written" in sys.argv[1:]:
        return show_written(sys.argv[sys.argv.index("--written") + 1])
    expected = FOLDER / "expected.json"
    if "--check" in sys.argv[1:]:
        kept, now = json.loads(expected.read_text()), read()
        del kept["provenance"], now["provenance"]
        if kept != now:
            sys.exit("the_well reads something else than expected.json says")
        print("the_well reads what expected.json says")
        return
    write(FOLDER / "small_flow.hdf5")
    expected.write_text(json.dumps(read()) + "\n")


if __name__ == "__main__":
    main()
