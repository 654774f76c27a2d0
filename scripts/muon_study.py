#!/usr/bin/env python3
"""Convergence of Muon against AdamW, for docs/explanation/muon.md: cells of about 2 CPU-minutes, one after the other, one thread each.

    nice -n 5 python3 scripts/muon_study.py               # data, missing cells, tables, plots; about 40 CPU-minutes from nothing
    python3 scripts/muon_study.py --test                  # the same without training: from the cells that exist
    python3 scripts/muon_study.py --report                # tables and plots only

A cell is (set, kind, rate, seed); its numbers stay in OUT/cells/*.json and it is not run again. Rates are chosen on the validation split
(grid on seed 0); the test split is opened afterwards, for the cells at the chosen rates. Delete OUT to start over.
"""
import argparse
import json
import math
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

from muon_report import report

ROOT = pathlib.Path(__file__).resolve().parent.parent
GRID = [1e-3, 3e-3, 1e-2]
ROUNDS, UPDATES = 5, 100  # of the overhead's measurement
# config, stage, generator arguments, epochs, overrides
SETS = {
    "burgers": {"config": "configs/burgers_nu0.01.yaml", "stage": "operator", "epochs": 8, "score": "operator/val_rollout_nrmse",
                "data": "burgers1d -n 200 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05",
                "set": ["data.split_fractions=[0.5,0.2,0.3]"]},
    "darcy": {"config": "configs/darcy.yaml", "stage": "steady_prior", "epochs": 20, "score": "steady_prior/val_nrmse",
              "data": "darcy2d -n 1024 --nx 32", "set": ["operator.pdet.hidden_dim=32"]},
}
# What a kind of cell changes; "half", "short": 1/2, 5/8 of the epochs; "batch2": batch 16 and, with the same epochs, half the updates.
KINDS = {
    "adamw": ["optimizer.name=adamw"],
    "muon": ["optimizer.name=muon_hybrid", "optimizer.muon_scale_mode=match_rms", "optimizer.muon_scale=0.2"],
}
KINDS["adamw_batch2"] = KINDS["adamw"] + ["training.batch_size=16"]
KINDS["muon_batch2"] = KINDS["muon"] + ["training.batch_size=16"]
KINDS["muon_half"] = KINDS["muon_short"] = KINDS["muon"]
SHARE = {"muon_half": 1 / 2, "muon_short": 5 / 8}
KINDS["muon_plan"] = KINDS["muon"] + ["optimizer.weight_decay=0.03"]  # configs/optim/ups_operator.yaml
KINDS["muon_original"] = ["optimizer.name=muon_hybrid", "optimizer.muon_scale_mode=original"]


def run(words, **more):
    """Runs a program to its end, or to --stop-after; its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode and "stopped by --stop-after" not in done.stdout:
        sys.exit(f"muon_study: exit {done.returncode}: {' '.join(map(str, words))}\n{done.stdout[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def write(path, value):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(part, path)


class Study:
    def __init__(self, bin_dir, out):
        self.bin, self.out = bin_dir.resolve(), out.resolve()
        (self.out / "cells").mkdir(parents=True, exist_ok=True)
        self.cells = {p.stem: json.loads(p.read_text()) for p in sorted((self.out / "cells").glob("*.json"))}

    def data(self, name):
        path = self.out / f"{name}.hdf5"
        if not path.exists():
            run([self.bin / "ups-data", "generate", *SETS[name]["data"].split(), "--threads", 1, "-o", path])
        return path

    def words(self, name, kind, lr):
        spec = SETS[name]
        words = [self.bin / "ups-train", "--config", spec["config"], "--stage", spec["stage"], "--threads", 1]
        for s in [f"data.files=[{self.data(name)}]", *spec["set"], *KINDS[kind], f"optimizer.lr={lr}", "checkpoint.keep=1"]:
            words += ["--set", s]
        return words

    def cell(self, name, kind, lr, seed):
        key = f"{name}-{kind}-{lr:g}-{seed}"
        if key in self.cells:
            return self.cells[key]
        spec, base = SETS[name], self.out / "runs" / key
        epochs = int(spec["epochs"] * SHARE.get(kind, 1))
        words = self.words(name, kind, lr) + ["--epochs", epochs, "--seed", seed]
        start = time.time()
        cpu = run(words + ["--run-dir", base, "--resume=auto", "--progress", "none"], cwd=ROOT)
        wall, stage = time.time() - start, spec["stage"]
        log = [json.loads(line) for line in (base / "metrics.jsonl").read_text().splitlines()]
        epochs_log = list({e["update"]: e for e in log if e["kind"] == "epoch"}.values())  # a resumed epoch is written twice
        curve = [[e["update"], e[spec["score"]], e[f"{stage}/loss"], e.get(f"{stage}/val_one_step_nrmse")] for e in epochs_log]
        self.cells[key] = {
            "set": name, "kind": kind, "lr": lr, "seed": seed, "curve": curve, "updates": curve[-1][0], "final": curve[-1][1],
            "best": min(c[1] for c in curve), "train_loss": curve[-1][2], "val_one_step": curve[-1][3],
            "cpu_s": json.loads((base / "costs.json").read_text())[stage], "wall_s": sum(e[f"{stage}/epoch_time_sec"] for e in epochs_log),
            "process_cpu_s": cpu, "process_wall_s": wall, "skipped": sum(e[f"{stage}/skipped"] for e in epochs_log),
            "command": " ".join(str(w).replace(str(self.out), "OUT").replace(str(self.bin) + "/", "") for w in words)}
        write(self.out / "cells" / f"{key}.json", self.cells[key])
        print(f"{time.strftime('%H:%M:%S')} {key}: {self.cells[key]['final']:.5f} in {cpu:.0f} CPU-s, {wall:.0f} s", flush=True)
        return self.cells[key]

    def overhead(self, name):
        """CPU seconds per update of the first UPDATES of a run, the smallest of ROUNDS alternating ones."""
        path = self.out / f"overhead_{name}.json"
        if not path.exists():
            best, spent = {}, 0.0
            for i in range(ROUNDS):
                for kind in ("adamw", "muon"):
                    base = self.out / "runs" / f"overhead-{name}-{kind}-{i}"
                    shutil.rmtree(base, ignore_errors=True)
                    words = self.words(name, kind, 3e-3) + ["--seed", 0, "--stop-after", f"{UPDATES}u", "--progress", "none"]
                    spent += run(words + ["--run-dir", base], cwd=ROOT)
                    cpu = json.loads((base / "costs.json").read_text())[SETS[name]["stage"]] / UPDATES
                    best[kind] = min(best.get(kind, math.inf), cpu)
                    shutil.rmtree(base)
            write(path, best | {"cpu_s": spent})

    def rates(self, name, kind):
        """The grid, with one more rate where its best one lies at the edge."""
        grid = GRID + [lr for edge, lr in ((GRID[-1], 3 * GRID[-1]), (GRID[0], GRID[0] / 3)) if self.best_of(name, kind, GRID) == edge]
        return sorted(float(f"{lr:.0g}") for lr in grid)

    def best_of(self, name, kind, rates):
        found = [self.cells.get(f"{name}-{kind}-{lr:g}-0") for lr in rates]
        return min(found, key=lambda c: c["final"] if math.isfinite(c["final"]) else math.inf)["lr"] if all(found) else None

    def best_rate(self, name, kind):
        """Rate of the smallest final validation error on seed 0; None while cells are missing."""
        return self.best_of(name, kind, self.rates(name, kind))

    def plan(self):
        """All cells in the order they are run; rates are known once the grids are done."""
        for name in SETS:
            for lr in GRID:
                for kind in ("muon", "adamw"):
                    yield name, kind, lr, 0
        for name in SETS:
            for kind in ("muon", "adamw"):
                for lr in self.rates(name, kind):
                    yield name, kind, lr, 0
        for seed in (1, 2):
            for name in SETS:
                for kind in ("muon", "adamw"):
                    yield name, kind, self.best_rate(name, kind), seed
        for kind in ("muon_batch2", "adamw_batch2"):
            for name in SETS:
                yield name, kind, self.best_rate(name, kind.split("_")[0]), 0
        for kind in SHARE:
            for name in SETS:
                for seed in range(3):
                    yield name, kind, self.best_rate(name, "muon"), seed
        for name in SETS:
            yield name, "muon_plan", 1e-3, 0
            yield name, "muon_original", self.best_rate(name, "muon"), 0

    def test(self):
        """ups-eval of the two optimizers at the chosen rates."""
        for key, c in list(self.cells.items()):
            if "test" in c or c["kind"] not in ("adamw", "muon") or c["lr"] != self.best_rate(c["set"], c["kind"]):
                continue
            prefix = self.out / "runs" / key / "study"
            words = [self.bin / "ups-eval", "--run", self.out / "runs" / key, "--threads", 1, "--no-plots", "--output-prefix", prefix]
            cpu = run(words, cwd=ROOT)
            row = next(r for r in json.loads(prefix.with_suffix(".json").read_text())["table"] if r["model"] == SETS[c["set"]]["stage"])
            c["test"] = {k: row[k] for k in ("one_step_nrmse", "rollout_nrmse", "nrmse_pooled", "one_step_nrmse_pooled")}
            c["test_cpu_s"] = cpu
            write(self.out / "cells" / f"{key}.json", c)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "build/release/bin", help="folder of the programs")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/muon_study", help="data, run directories and cells")
    parser.add_argument("--docs", type=pathlib.Path, default=ROOT / "docs", help="where explanation/muon.md and images/ are rewritten")
    parser.add_argument("--test", action="store_true", help="train nothing: evaluate the cells that exist, measure the overhead, report")
    parser.add_argument("--report", action="store_true", help="run nothing")
    args = parser.parse_args()
    study = Study(args.bin, args.out)
    if (args.report or args.test) and not study.cells:
        sys.exit(f"muon_study: no cells in {study.out}")
    if not args.report and not args.test:
        for cell in study.plan():
            study.cell(*cell)
    if not args.report:
        study.test()
        for name in SETS:
            study.overhead(name)
    report(study, args.docs, SETS)


if __name__ == "__main__":
    main()
