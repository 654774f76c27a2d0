#!/usr/bin/env python3
"""Writes docs/comparison.md from the results of scripts/comparison.sh: comparison_report.py OUT

Finished sets (OUT/*/compare.json) are kept as docs/comparison/*.json with their charts; the page is made from all kept ones."""
import glob
import json
import os
import re
import shutil
import sys

docs = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "docs")
kept = os.path.join(docs, "comparison")
SETS = {
    "burgers_nu0.001": "Burgers, nu = 0.001",
    "burgers_nu0.01": "Burgers, nu = 0.01",
    "advection_beta1": "Advection, beta = 1",
    "ks": "Kuramoto-Sivashinsky, L = 22",
    "diffreact": "2-D diffusion-reaction, 64^2",
}


def portable(command):
    """The printed command without the folders of the machine that ran it."""
    command = re.sub(r"^\S*/ups-train", "build/release/bin/ups-train", command)
    return re.sub(r"--run-dir \S+ --resume=auto", "--run-dir runs/cell", command)


def keep(out):
    os.makedirs(kept, exist_ok=True)
    for path in sorted(glob.glob(os.path.join(out, "*", "compare.json"))):
        name = os.path.basename(os.path.dirname(path))
        result = json.load(open(path))
        for row in result["rows"]:
            run = re.search(r"--run-dir (\S+)", row["commands"][0]).group(1)
            for picture in glob.glob(os.path.join(run, "plots", "fields_*.svg")):
                shutil.copy(picture, os.path.join(kept, f"{name}-{row['name']}.svg"))
            row["commands"] = [portable(c) for c in row["commands"]]
        with open(os.path.join(kept, name + ".json"), "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
        chart = os.path.join(os.path.dirname(path), "compare.svg")
        if os.path.exists(chart):
            shutil.copy(chart, os.path.join(kept, name + ".svg"))


def seeds_apart(a, b):
    """Whether the ranges over the seeds do not overlap."""
    return a["high"] < b["low"] or b["high"] < a["low"]


def section(name):
    result = json.load(open(os.path.join(kept, name + ".json")))
    rows = result["rows"]
    ours = next(r for r in rows if r["name"] == "pdet_window")
    rival = min((r for r in rows if r["name"] != "pdet_window"), key=lambda r: r["mean"])
    config, seconds = name.rsplit("-", 1)
    lines = [f"## {SETS[config]}, {seconds[:-1]} CPU-seconds", "",
             "| model | parameters | chosen on validation | updates | one-step | rollout: mean (range) | / persistence | / climatology |",
             "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        lines.append(f"| {r['name']} | {r['parameters']:,} | {r['choice'].replace(', ', '; ')} | {r['updates']:,.0f} | {r['one_step']:.3g} "
                     f"| **{r['mean']:.3g}** ({r['low']:.3g} .. {r['high']:.3g}) | {r['mean'] / r['persistence']:.3g} | {r['mean'] / r['climatology']:.3g} |")
    apart = "do not overlap" if seeds_apart(ours, rival) else "overlap"
    lines += ["", f"`pdet_window` over the best opponent, {rival['name']}: **{ours['mean'] / rival['mean']:.2f}x**; the ranges of {result['seeds']} seeds {apart}.", "",
              f"![rollout error over time](comparison/{name}.svg)", "",
              f"A test trajectory, its rollout and the error (seed 0; colours of the error by its own largest value): `pdet_window`, then {rival['name']}.", "",
              f"![pdet_window](comparison/{name}-pdet_window.svg)", "", f"![{rival['name']}](comparison/{name}-{rival['name']}.svg)", "", "One cell again:", "", "    " + ours["commands"][0],
              "    build/release/bin/ups-eval --run runs/cell", ""]
    means = {r["name"]: r["mean"] for r in rows}
    return lines, (SETS[config], seconds[:-1], ours, means.get("fno_fixed", float("nan")), means.get("unet", float("nan")), rival)


def main():
    if len(sys.argv) == 2:
        keep(sys.argv[1])
    names = sorted(os.path.basename(p)[:-5] for p in glob.glob(os.path.join(kept, "*.json")))
    sections, summary, machine = [], [], ""
    for name in names:
        lines, line = section(name)
        sections += lines
        summary.append(line)
        machine = json.load(open(os.path.join(kept, name + ".json")))["processor"]
    page = ["# The operator against its opponents at equal CPU time", "", "    scripts/comparison.sh", "",
            "Every contender trains on the same files and split with one thread, until the CPU clock of the process (training, validation, loader) reaches the budget. Each",
            "gets the same choices, on the validation rollout of seed 0: AdamW or Muon at the middle rate, then three learning rates (x1/3, x1, x3) with the better one. The chosen",
            "cell runs with three seeds; the test split is opened once, at the end. Where a row says *chosen at 120 CPU-s*, nothing was searched at that budget: optimizer and rate are those",
            "that the shorter comparison chose. `fno_fixed` is the FNO in its best recipe, `unet` the small U-Net; see",
            "[results.md](results.md). Errors are nRMSE in physical units: the mean over trajectories and frames, from one true frame (the rollout) or from true frames (one-step).",
            f"Cells of a set run two at a time, so that neighbours slow both alike. Machine: {machine}, 2 vCPU, shared with other jobs; how many updates fit the budget depends on it.", "",
            "Test rollout error, mean of the seeds:", "",
            "| set | CPU-s | `pdet_window` | `fno_fixed` | `unet` | over the better one | ranges of the seeds |", "|---|---|---|---|---|---|---|"]
    page += [f"| {s} | {b} | {o['mean']:.3g} | {f:.3g} | {u:.3g} | **{o['mean'] / r['mean']:.2f}x** ({r['name']}) "
             f"| {'apart' if seeds_apart(o, r) else 'overlap'} |" for s, b, o, f, u, r in summary]
    with open(os.path.join(docs, "comparison.md"), "w") as f:
        f.write("\n".join(page + [""] + sections).rstrip() + "\n")
    print(f"docs/comparison.md: {len(names)} sets")


main()
