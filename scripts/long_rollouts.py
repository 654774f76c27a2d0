#!/usr/bin/env python3
"""Rollouts over four times the frames that training saw, and what training on own predictions changes: writes docs/rollouts.md.

    scripts/long_rollouts.py [SET..] [--out runs/long] [--cpu-seconds 120] [--bin build/release/bin]      sets: burgers ks ns2d

Each set is generated longer than the training sees it (data.train_frames). Every cell trains for the same CPU time on one thread; the
test split is scored to the end of the trajectories. Finished cells are kept; the page is written from what is finished.
"""
import argparse
import json
import os
import subprocess

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
UNROLL = ["stages.operator.rollout={mode: unroll, steps: 2, start_frac: 0.7}"]
PUSHFORWARD = ["stages.operator.rollout={mode: pushforward, steps: 2, start_frac: 0.7}"]
UNROLL_ALL = ["stages.operator.rollout={mode: unroll, steps: 2, start_frac: 0}"]
PUSHFORWARD_ALL = ["stages.operator.rollout={mode: pushforward, steps: 2, start_frac: 0}"]
NONE = ["stages.operator.rollout={mode: none}"]
NOISE = ["stages.operator.rollout={mode: noise, noise: 1.0e-3, start_frac: 0}"]
MUON = "optimizer.name=muon_hybrid"
SETS = {
    "burgers": {
        "title": "Burgers, nu = 0.001", "config": "burgers_nu0.001", "file": "burgers1d_nu0.001_long.hdf5", "frames": 41,
        "generate": "burgers1d -n 256 --nx 256 --param nu=0.001 --t-end 8 --save-every 0.05",
        "cells": {"one step": [], "noise .001": NOISE, "unroll 2": UNROLL, "pushforward 2": PUSHFORWARD,
                  "FNO, one step": ["+opponents/fno_fixed", MUON, "optimizer.lr=0.009"]},
    },
    "ks": {
        "title": "Kuramoto-Sivashinsky, L = 22", "config": "ks", "file": "ks1d_L22_long.hdf5", "frames": 41,
        "generate": "ks1d -n 640 --nx 64 --t-end 160 --save-every 1",
        "cells": {"noise .0001 (shipped)": [], "one step": NONE, "unroll 2, from the start": UNROLL_ALL,
                  "pushforward 2, from the start": PUSHFORWARD_ALL, "FNO, one step": ["+opponents/fno_fixed_ks", MUON, "optimizer.lr=0.001"] + NONE},
    },
    "ns2d": {
        "title": "2-D incompressible flow, decaying vortices", "config": "ns2d", "file": "ns2d_long.h5", "frames": 11,
        "generate": "ns2d -n 256 --nx 64 --t-end 10 --save-every 0.25",
        "cells": {"one step": [], "noise .001": NOISE, "unroll 2": UNROLL, "pushforward 2": PUSHFORWARD,
                  "FNO, one step": ["+opponents/fno_fixed_2d", MUON]},
    },
}


def slug(name):
    return "".join(c if c.isalnum() else "_" for c in name)


def folder_of(args, key, name):
    return os.path.join(args.out, f"{key}-{args.cpu_seconds:g}s", slug(name))


def run_cell(args, key, name):
    """Trains and scores one cell unless it is done."""
    spec, folder = SETS[key], folder_of(args, key, name)
    if os.path.exists(os.path.join(folder, "eval", "evaluation.json")):
        return
    data = os.path.join("quickstart-data", spec["file"])
    if not os.path.exists(data):
        os.makedirs("quickstart-data", exist_ok=True)
        subprocess.run([f"{args.bin}/ups-data", "generate", *spec["generate"].split(), "-o", data], check=True)
    command = [f"{args.bin}/ups-train", "--config", f"configs/{spec['config']}.yaml"]
    sets = []
    for item in spec["cells"][name]:
        if item.startswith("+"):
            command += ["--config", f"configs/{item[1:]}.yaml"]
        else:
            sets += ["--set", item]
    command += ["--stage", "operator", "--run-dir", folder, "--resume=auto", "--threads", "1", "--progress", "none",
                "--set", f"data.files=[{data}]", "--set", f"data.train_frames={spec['frames']}", "--set", f"training.cpu_seconds={args.cpu_seconds:g}",
                "--set", "stages.operator.epochs=1000000", "--set", "evaluation.enabled=false", *sets]
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".log", "w") as log:
        code = subprocess.run(command, stdout=log, stderr=log).returncode
        code = code or subprocess.run([f"{args.bin}/ups-eval", "--run", folder, "--threads", "1"], stdout=log, stderr=log).returncode
    print(key, name, "done" if code == 0 else f"failed with exit code {code}: left out of the page, see {folder}.log", flush=True)


def scores(folder, frames):
    """Per model: one-step error, rollout error at the last frame of training, at two and four times as many frames, correlation time,
    share of trajectories that stay correlated, largest absolute error over all test trajectories and frames."""
    result = json.load(open(os.path.join(folder, "eval", "evaluation.json")))
    (about,), (curves,), (details,) = (list(part.values()) for part in (result["extra"]["sets"], result["per_time"], result["details"]))
    mean = lambda values: sum(values) / len(values)
    out = {}
    for model, modes in ((m, v) for m, v in curves.items() if m != "time"):
        row = next(r for r in result["table"] if r["model"] == model)
        error = [mean(v) if None not in v else float("nan") for v in modes["rollout"]["nrmse"]]
        at = [error[min(k * frames, about["initial_step"] + about["frames"]) - about["initial_step"] - 1] for k in (1, 2, 4)]
        correlation = details[model]["rollout"]["correlation_time"]["0.8"]
        largest = max((max(v) for v in modes["rollout"]["max_error"] if None not in v), default=float("inf"))
        out[model] = {"one_step": row["one_step_nrmse"], "at": at, "time": correlation["median"], "kept": correlation["censored"],
                      "largest": largest, "diverged": row["diverged"], "samples": about["samples"], "frames": about["initial_step"] + about["frames"]}
    return out


def section(args, key):
    spec = SETS[key]
    cells = {name: folder_of(args, key, name) for name in spec["cells"]}
    done = {name: scores(folder, spec["frames"]) for name, folder in cells.items() if os.path.exists(os.path.join(folder, "eval", "evaluation.json"))}
    if not done:
        return []
    any_cell = next(iter(done.values()))
    n, samples = spec["frames"], any_cell["operator"]["samples"]
    lines = [f"## {spec['title']}", "", f"`ups-data generate {spec['generate']}`; training sees {n} frames, {samples} test trajectories.", "",
             f"| training | one-step | rollout at frame {n} | at {2 * n} | at the end ({any_cell['operator']['frames']}) | correlated (> .8) until t | to the end | largest error |",
             "|---|---|---|---|---|---|---|---|"]
    number = lambda x: "-" if x is None else f"{x:.3g}"
    show = lambda name, c: (f"| {name} | {number(c['one_step'])} | " + " | ".join(number(e) for e in c["at"]) +
                            f" | {number(c['time'])} | {100 * (c['kept'] or 0):.0f} % | {number(c['largest'])}{' (' + format(c['diverged'], 'g') + ' diverged)' if c['diverged'] else ''} |")
    lines += [show(name, models["operator"]) for name, models in done.items()]
    lines += [show(name, any_cell[name]) for name in ("persistence", "climatology") if name in any_cell]
    return lines + [""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", metavar="SET", help="burgers, ks, ns2d (default: all)")
    parser.add_argument("--out", default="runs/long")
    parser.add_argument("--cpu-seconds", type=float, default=120)
    parser.add_argument("--bin", default="build/release/bin")
    args = parser.parse_args()
    for key in args.sets:
        if key not in SETS:
            parser.error(f"unknown set '{key}'; known: {', '.join(SETS)}")
    os.chdir(ROOT)
    for key in args.sets or list(SETS):
        for name in SETS[key]["cells"]:
            run_cell(args, key, name)
    page = ["# Rollouts beyond the horizon of training", "", "    scripts/long_rollouts.py", "",
            f"Written by that command. {args.cpu_seconds:g} CPU-seconds per training, one thread, one seed (17); every set is generated longer than training sees it",
            "(`data.train_frames`). Errors are nRMSE in physical units, means over the test trajectories, rolled out from frame `data.initial_step`. `unroll` and `pushforward` train on",
            "two steps in the last 30 % of the budget, if not said otherwise. *Largest error*: of any cell, frame and test trajectory; persistence and climatology are",
            "bounded, so a model of the same size has not blown up.", ""]
    for key in SETS:
        page += section(args, key)
    with open("docs/rollouts.md", "w") as f:
        f.write("\n".join(page).rstrip() + "\n")
    print("docs/rollouts.md written")


if __name__ == "__main__":
    main()
