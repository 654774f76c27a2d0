#!/usr/bin/env python3
"""Writes tests/golden/zarr/trio.zarr: a small Zarr v2 store in UPS's grid layout, own data, written by the package zarr.

  pip install --target /tmp/zarr "zarr<3" "numcodecs<0.16"
  PYTHONPATH=/tmp/zarr python3 tests/tools/make_zarr_golden.py

Value of (trajectory n, time t, row h, column w, channel c) of u: n*1024 + t*32 + c*8 + h*0.25 + w*0.015625; of v: minus (t + h + w); all exact.
"""
import pathlib
import shutil

import numcodecs
import numpy as np
import zarr

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "golden" / "zarr" / "trio.zarr"
T, H, W = 5, 3, 4


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    store = zarr.DirectoryStore(str(FOLDER))
    root = zarr.group(store=store)
    t, h, w, c = np.meshgrid(np.arange(T), np.arange(H), np.arange(W), np.arange(2), indexing="ij")
    y, x = np.meshgrid(np.arange(H) / H, np.arange(W) / W, indexing="ij")
    for n, compressor in enumerate((numcodecs.Zlib(), numcodecs.GZip(), None)):
        g = root.create_group(f"run{n}")
        g.attrs.update({"kind": "grid", "H": H, "W": W, "dt": 0.5, "nu": 0.01})
        g.create_dataset("time", data=0.5 * np.arange(T), chunks=(T,), compressor=compressor)
        g.create_dataset("coords", data=np.stack([y.ravel(), x.ravel()], -1), chunks=(H * W, 2), compressor=compressor)
        u = (n * 1024 + t * 32 + c * 8 + h * 0.25 + w * 0.015625).astype(("<f4", ">f8", "<f8")[n])
        g.create_dataset("fields/u", data=u, chunks=(3, 3, 3, 2), compressor=compressor)
        v = g.create_dataset("fields/v", shape=(T, H, W, 1), chunks=(2, H, W, 1), dtype="<i4", fill_value=7, compressor=compressor)
        v[2:] = -(t + h + w)[2:, ..., :1]  # times 0 and 1 are not stored: 7


if __name__ == "__main__":
    main()
