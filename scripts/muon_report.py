"""Tables and plots of scripts/muon_study.py: rewrites docs/explanation/muon.md between its markers and docs/images/muon_*.svg."""
import json
import math
import os
import re
import statistics
import subprocess
import textwrap

NAMES = {"adamw": "AdamW", "muon": "Muon", "adamw_batch2": "AdamW", "muon_batch2": "Muon", "muon_half": "Muon"}
COLOURS = {"adamw": "#5b6470", "muon": "#0f8ea8", "muon_half": "#c2337a"}
TITLES = {"burgers": "Burgers operator", "darcy": "Darcy"}
SCORE = {"burgers": "rollout nRMSE", "darcy": "nRMSE"}
MARK = re.compile(r"(<!-- muon_study -->\n).*?(<!-- /muon_study -->)", re.S)


def num(x, digits=3):
    return "-" if x is None else f"{x:.{digits}g}" if abs(x) < 10 ** digits else f"{x:,.0f}"


def spread(values, digits=3):
    """mean (smallest to largest); `-` if one is missing."""
    if not values or None in values:
        return "-"
    mean = num(statistics.mean(values), digits)
    return mean if len(values) == 1 else f"{mean} ({num(min(values), digits)} to {num(max(values), digits)})"


def crossing(curve, level):
    """Updates until the validation error is at `level`: log-linear between validations; None if it never is."""
    before = None
    for update, value, *_ in curve:
        if value <= level:
            if before is None or before[1] <= level:
                return update
            return before[0] + (update - before[0]) * math.log(before[1] / level) / math.log(before[1] / value)
        before = (update, value)
    return None


class View:
    """The cells of one set."""

    def __init__(self, study, name):
        self.study, self.name = study, name
        self.rate = {kind: study.best_rate(name, kind) for kind in ("adamw", "muon")}

    def seeds(self, kind, lr="best"):
        lr = self.rate[kind.split("_")[0]] if lr == "best" else lr
        return [c for s in range(3) if lr and (c := self.study.cells.get(f"{self.name}-{kind}-{lr:g}-{s}"))]

    def level(self):
        cells = self.seeds("adamw")
        return statistics.mean(c["final"] for c in cells) if len(cells) == 3 else None

    def to_level(self, kind):
        return [crossing(c["curve"], self.level()) for c in self.seeds(kind)] if self.level() else []

    def overhead(self):
        """CPU seconds per update: AdamW's, Muon's; {} before they are measured."""
        path = self.study.out / f"overhead_{self.name}.json"
        return json.loads(path.read_text()) if path.exists() else {}


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def grid_table(views):
    rows, kinds = [], ("adamw", "muon")
    rates = sorted({lr for v in views for kind in kinds for lr in v.study.rates(v.name, kind)})
    for v in views:
        for kind in kinds:
            text = []
            for lr in rates:
                cells = [c for c in v.seeds(kind, lr) if c["seed"] == 0]
                shown = num(cells[0]["final"]) if cells else "missing" if lr in v.study.rates(v.name, kind) else ""
                text.append(f"**{shown}**" if cells and lr == v.rate[kind] else shown)
            rows.append([TITLES[v.name], NAMES[kind], *text])
    return table(["set", "optimizer"] + [f"lr {lr:g}" for lr in rates], rows)


def main_table(views):
    rows = []
    for v in views:
        for kind in ("adamw", "muon"):
            cells = v.seeds(kind)
            if not cells:
                continue
            total, tests = cells[0]["updates"], [c.get("test") or {} for c in cells]
            used = [total] * len(cells) if kind == "adamw" else v.to_level(kind) or [None]
            reached = [(u, c) for u, c in zip(used, cells) if u is not None]
            shown = f"{spread(used, 4)} of {total}" if None not in used else f"{len(reached)} of {len(cells)} seeds" if v.level() else "-"
            rows.append([TITLES[v.name], f"{NAMES[kind]} {v.rate[kind]:g}", str(len(cells)), spread([c["final"] for c in cells]),
                         spread([c["train_loss"] for c in cells]), "its own" if kind == "adamw" else shown,
                         spread([u * c["cpu_s"] / total for u, c in reached]), spread([u * c["wall_s"] / total for u, c in reached]),
                         spread([t.get("one_step_nrmse") for t in tests]), spread([t.get("rollout_nrmse") for t in tests])])
    return table(["set", "optimizer, rate", "seeds", "final validation error", "train loss", "updates to AdamW's final error",
                  "CPU-s until then", "wall s until then", "test one-step nRMSE", "test rollout nRMSE"], rows)


def other_table(views):
    rows = []
    for v in views:
        lines = []
        for kind in ("adamw", "muon"):
            lines.append((f"{NAMES[kind]}, batch 8", v.seeds(kind)[:1]))
            lines.append((f"{NAMES[kind]}, batch 16, the same samples", v.seeds(kind + "_batch2")))
        lines += [("AdamW, all updates", v.seeds("adamw")), ("Muon, all updates", v.seeds("muon")),
                  ("Muon, cosine over 5/8 of the updates", v.seeds("muon_short")),
                  ("Muon, cosine over half the updates", v.seeds("muon_half")),
                  ("Muon as in ups_operator.yaml: rate 1e-3, decay .03", v.seeds("muon_plan", 1e-3)),
                  ("Muon, `original` instead of `match_rms`, rate unchanged", v.seeds("muon_original", v.rate["muon"]))]
        for what, cells in lines:
            if cells:
                rows.append([TITLES[v.name], what, str(len(cells)), str(cells[0]["updates"]), spread([c["final"] for c in cells]),
                             spread([c["train_loss"] for c in cells]), spread([c["cpu_s"] for c in cells])])
    return table(["set", "cells", "seeds", "updates", "final validation error", "train loss", "CPU-s"], rows)


def holds(values, limit):
    return "yes" if max(values) < limit else "on average" if statistics.mean(values) < limit else "no"


def criteria_table(views):
    """The plan's criteria beside what was measured; only sets whose three seeds are complete."""
    rows = []
    for v in views:
        adamw, muon, level, name = v.seeds("adamw"), v.seeds("muon"), v.level(), TITLES[v.name]
        if len(adamw) < 3 or len(muon) < 3:
            continue
        pick = lambda key: [[c[key] for c in cells] for cells in (muon, adamw)]  # noqa: E731
        losses = [("validation one-step nRMSE", "val_one_step"), ("training loss (1 = persistence)", "train_loss")]
        for what, key in losses if v.name == "burgers" else [("validation nRMSE", "final"), ("training loss", "train_loss")]:
            m, a = pick(key)
            rows.append(["loss < 1e-3", name, f"{what} {spread(m)}; AdamW {spread(a)}", holds(m, 1e-3)])
        factors = [c["updates"] / u if u else None for u, c in zip(v.to_level("muon"), muon)]
        rows.append(["1.5 to 2x fewer epochs", name, f"same cosine: AdamW's final error is passed with {spread(factors)}x fewer updates",
                     "no" if None in factors or statistics.mean(factors) < 1.5 else "yes" if min(factors) >= 1.5 else "on average"])
        for kind, share in (("muon_short", "5/8 of"), ("muon_half", "half")):
            cells = v.seeds(kind)
            if len(cells) == 3:
                final = [c["final"] for c in cells]
                factor = adamw[0]["updates"] / cells[0]["updates"]
                rows.append(["1.5 to 2x fewer epochs", name, f"{share} the updates with their own cosine end at {spread(final)}; "
                             f"AdamW, all updates, at {num(level)}", f"{holds(final, level)}, at {factor:.2g}x"])
        ms = v.overhead()
        if ms:
            rows.append(["overhead", name, f"{num(ms['muon'] * 1e3)} CPU-ms per update against {num(ms['adamw'] * 1e3)} "
                         "(smallest of 5 alternating runs of 100 updates)", f"{num(ms['muon'] / ms['adamw'])}x"])
        metrics = [("one-step nRMSE", "one_step_nrmse"), ("rollout nRMSE", "rollout_nrmse"), ("rollout nRMSE, pooled", "nrmse_pooled")]
        for what, key in metrics if v.name == "burgers" else [("nRMSE", "one_step_nrmse"), ("nRMSE, pooled", "nrmse_pooled")]:
            m, a = ([(c.get("test") or {}).get(key) for c in cells] for cells in (muon, adamw))
            if None not in m + a:
                ratio = statistics.median(m) / statistics.median(a)
                rows.append(["nRMSE below AdamW's", name, f"test {what} {spread(m)}; AdamW {spread(a)}",
                             f"{'yes, every seed' if max(m) < min(a) else 'yes' if ratio < 1 else 'no'}: {num(ratio, 2)}x (medians)"])
    return table(["criterion", "set", "measured, Muon first: mean (smallest to largest of 3 seeds)", "holds"], rows)


def svg(v):
    """Validation error over updates at the chosen rates: mean and range over seeds."""
    curves = {k: [c["curve"] for c in v.seeds(k)] for k in COLOURS if v.seeds(k)}
    if "adamw" not in curves or "muon" not in curves:
        return None
    width, height, left, right, top, bottom = 760, 420, 70, 190, 40, 48
    ys = [p[1] for cs in curves.values() for c in cs for p in c]
    x1, lo, hi = max(p[0] for cs in curves.values() for c in cs for p in c), math.log10(min(ys)) - 0.04, math.log10(max(ys)) + 0.04
    px = lambda u: left + (width - left - right) * u / x1  # noqa: E731
    py = lambda y: top + (height - top - bottom) * (hi - math.log10(y)) / (hi - lo)  # noqa: E731
    title = f"{TITLES[v.name]}: validation {SCORE[v.name]} over updates"
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
           f'aria-label="{title}" font-family="system-ui,sans-serif" fill="#1f2933">', f"<title>{title}</title>",
           f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
           f'<text x="{(left + width - right) / 2:.1f}" y="22" text-anchor="middle" font-size="15" font-weight="600">{title}</text>']
    for exponent in range(math.floor(lo), math.ceil(hi) + 1):
        for m in range(1, 10):
            if lo <= math.log10(m) + exponent <= hi:
                y = py(m * 10.0 ** exponent)
                grey = "#e2e5e9" if m == 1 else "#f2f3f5"
                out.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{grey}"/>')
                if m in (1, 2, 5):
                    out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="12">{m * 10.0 ** exponent:g}</text>')
    step = 10 ** math.floor(math.log10(x1)) / 2
    for i in range(int(x1 / step) + 1):
        out.append(f'<line x1="{px(i * step):.1f}" x2="{px(i * step):.1f}" y1="{top}" y2="{height - bottom}" stroke="#e2e5e9"/>')
        out.append(f'<text x="{px(i * step):.1f}" y="{height - bottom + 17}" text-anchor="middle" font-size="12">{i * step:g}</text>')
    out.append(f'<text x="{(left + width - right) / 2:.1f}" y="{height - 10}" text-anchor="middle" font-size="12">updates</text>')
    if v.level():
        y = py(v.level())
        grey = COLOURS["adamw"]
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{grey}" stroke-dasharray="2 4"/>')
    for i, (kind, cs) in enumerate(curves.items()):
        points = [(row[0][0], [p[1] for p in row]) for row in zip(*cs)]
        band = [f"{px(u):.1f},{py(max(e)):.1f}" for u, e in points] + [f"{px(u):.1f},{py(min(e)):.1f}" for u, e in reversed(points)]
        line = " ".join(f"{px(u):.1f},{py(statistics.mean(e)):.1f}" for u, e in points)
        dash = ' stroke-dasharray="6 4"' if kind == "muon_half" else ""
        out.append(f'<polygon points="{" ".join(band)}" fill="{COLOURS[kind]}" fill-opacity="0.18"/>')
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2"{dash}/>')
        label = f"{NAMES[kind]} {v.rate[kind.split('_')[0]]:g}" + (", half the updates" if kind == "muon_half" else "")
        y = top + 14 + 22 * i
        out.append(f'<line x1="{width - right + 14}" x2="{width - right + 38}" y1="{y - 4}" y2="{y - 4}" stroke="{COLOURS[kind]}" '
                   f'stroke-width="2"{dash}/>')
        out.append(f'<text x="{width - right + 44}" y="{y}" font-size="12">{label}</text>')
    for i, note in enumerate((f"band: range of {len(curves['muon'])} seeds", "dotted: AdamW's final error")):
        out.append(f'<text x="{width - right + 14}" y="{top + 14 + 22 * len(curves) + 18 * i}" font-size="11" fill="#5b6470">{note}</text>')
    return "\n".join(out) + "\n</svg>\n"


def report(study, docs, sets):
    views = [View(study, name) for name in sets]
    version = subprocess.run([str(study.bin / "ups-train"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    cpu = sum(c["process_cpu_s"] + c.get("test_cpu_s", 0) for c in study.cells.values())
    cpu += sum(v.overhead().get("cpu_s", 0) for v in views)
    wanted = list(dict.fromkeys(f"{n}-{k}-{lr:g}-{s}" if lr else f"{n}-{k}-best-{s}" for n, k, lr, s in study.plan()))
    missing = [w for w in wanted if w not in study.cells]
    text = [f"{len(wanted) - len(missing)} of {len(wanted)} cells, {cpu / 60:.0f} CPU-minutes in all, {version}, one thread per cell. "
            "Ranges are smallest to largest of the seeds."]
    text += ["", f"**Missing: {', '.join(missing)}**"] if missing else []
    text += ["", "Final validation error of the grid, seed 0 (bold: the rate that was taken):", ""] + grid_table(views)
    text += ["At the chosen rates:", ""] + main_table(views)
    for v in views:
        picture, path = svg(v), docs / f"images/muon_{v.name}.svg"
        if picture:
            path.write_text(picture, encoding="utf-8")
            text += [f"![{TITLES[v.name]}: validation error over updates](../images/{path.name})", ""]
    text += ["Twice the batch, half the updates, other settings of Muon:", ""] + other_table(views)
    text += ["The plan's criteria:", ""] + criteria_table(views)
    command = next(iter(study.cells.values()))["command"].replace(" --set ", " --set=")
    command = " \\\n      ".join(textwrap.wrap(command, 140, break_on_hyphens=False, break_long_words=False))
    text += ["One cell (OUT: the folder of the study):", "", "    " + command, ""]
    page = docs / "explanation/muon.md"
    old = page.read_text(encoding="utf-8")
    if not MARK.search(old):
        raise SystemExit(f"muon_study: {page} has no line <!-- muon_study -->")
    part = page.with_suffix(".part")
    part.write_text(MARK.sub(lambda m: m[1] + "\n".join(text) + "\n" + m[2], old), encoding="utf-8")
    os.replace(part, page)
    print(f"{page}: {len(wanted) - len(missing)} of {len(wanted)} cells, {cpu / 60:.1f} CPU-minutes")
