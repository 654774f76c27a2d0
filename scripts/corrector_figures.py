#!/usr/bin/env python3
"""Figures of corrector and distillation: ratios within one evaluated run, beside their limits.

    corrector_figures.py RUN [SET] [--check] [--known=TEXT]

Reads RUN/eval/evaluation.json and, when it is there, RUN/eval/distill.json (ups-eval distill --run RUN). --check: exit 1 when a figure misses
its limit, unless its name holds TEXT. Definitions: docs/metrics.md; at step k: frame k of the rollout, mean over channels.
"""
import json
import math
import pathlib
import sys


def mean(values):
    values = [v for v in values if v is not None]
    return sum(values) / len(values) if values else math.nan


class Run:
    def __init__(self, folder, name):
        report = json.loads((folder / "eval/evaluation.json").read_text())
        self.name = name or next(iter(report["per_time"]))
        self.times = report["per_time"][self.name]
        self.rows = {r["model"]: r for r in report["table"] if r["set"] == self.name}
        distill = folder / "eval/distill.json"
        self.distill = {r["sampler"]: r for r in json.loads(distill.read_text())["rows"]} if distill.exists() else {}

    def at(self, model, metric, step):
        frames = self.times[model]["rollout"][metric]
        return mean(frames[step - 1]) if step <= len(frames) else math.nan


def figures(run):
    """(what, value, limit: (lowest, highest) or None)"""
    rows, out = run.rows, []

    def ratio(what, model, base, metric, other, limit):
        if model in rows and base in rows:
            out.append((what, rows[model][metric] / rows[base][other], limit))

    def at_step(step, model, base, limit):
        if model in rows and base in rows and math.isfinite(value := run.at(model, "nrmse", step)):
            out.append((f"{model} / {base}: nRMSE at step {step}", value / run.at(base, "nrmse", step), limit))

    ratio("corrector_mean / operator: one-step nRMSE", "corrector_mean", "operator", "one_step_nrmse", "one_step_nrmse", (0, .75))
    at_step(10, "corrector_mean", "operator", (0, .8))
    ratio("corrector_mean / equal compute: one-step nRMSE", "corrector_mean", "operator_equal_compute", "one_step_nrmse", "one_step_nrmse", (0, .85))
    at_step(20, "corrector_mean", "operator_equal_compute", (0, 1))
    ratio("equal compute / operator: one-step nRMSE", "operator_equal_compute", "operator", "one_step_nrmse", "one_step_nrmse", None)
    ratio("samples' fair CRPS / operator's MAE, one step", "corrector_sample", "operator", "one_step_crps", "one_step_mae", (0, .6))
    ratio("samples' fair CRPS / equal compute's MAE, one step", "corrector_sample", "operator_equal_compute", "one_step_crps", "one_step_mae", (0, .85))
    for model in ("corrector_sample", "student_1step", "student_2step"):
        if model not in rows:
            continue
        out.append((f"{model}: one-step spread/skill", rows[model]["one_step_spread_skill"], (.7, 1.3) if model == "corrector_sample" else None))
        for step in (10, 20, 30):
            if math.isfinite(value := run.at(model, "spread_skill", step)):
                out.append((f"{model}: spread/skill at step {step}", value, None))
    d = run.distill
    if d:
        teacher = "corrector_sample"
        out.append(("student 1: share of the teacher's CRPS gain", d["student 1"]["gain_share"], (.9, 9)))
        if "student 2" in d:
            out.append(("student 2: share of the teacher's CRPS gain", d["student 2"]["gain_share"], (.96, 9)))
        out.append(("student 1 / teacher: spread/skill", d["student 1"]["spread_skill"] / d[teacher]["spread_skill"], (.85, 9)))
        for steps in (1, 2):
            student, euler = d.get(f"student {steps}", {}), d[f"teacher euler:{steps}"]
            if "path_error" in student:
                out.append((f"student {steps} / undistilled Euler {steps}: path error", student["path_error"] / euler["path_error"], (0, .6)))
        out.append(("student 1 / teacher: CPU time of the corrector", d["student 1"]["cpu_ms"] / d[teacher]["cpu_ms"], None))
    return out


def main():
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    run = Run(pathlib.Path(arguments[0]), arguments[1] if len(arguments) > 1 else None)
    known = [a.removeprefix("--known=") for a in sys.argv[1:] if a.startswith("--known=")]
    missed = 0
    for what, value, limit in figures(run):
        ok = limit is None or limit[0] <= value <= limit[1]
        missed += not ok and not any(k in what for k in known)
        said = "" if limit is None else f"  at most {limit[1]:g}" if limit[0] == 0 else f"  at least {limit[0]:g}" if limit[1] == 9 else f"  {limit[0]:g} to {limit[1]:g}"
        print(f"{what:<58} {value:6.3f}{said}{'' if ok else '  MISSED'}")
    return 1 if missed and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
