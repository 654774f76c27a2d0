"""Tables and plots of scripts/muon_study.py: rewrites docs/explanation/muon.md between its markers and docs/images/muon_*.svg."""
import math
import os
import re
import statistics
import subprocess

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
        """Median over pairs of cells run one after the other: Muon's CPU time per update over AdamW's."""
        pairs = [(c, self.study.cells.get(k.replace("-muon-", "-adamw-"))) for k, c in self.study.cells.items() if k.startswith(self.name + "-muon-")]
        ratios = [m["cpu_s"] / m["updates"] / (a["cpu_s"] / a["updates"]) for m, a in pairs if a]
        return (statistics.median(ratios), len(ratios)) if ratios else (None, 0)


def table(head, rows):
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] + ["| " + " | ".join(r) + " |" for r in rows] + [""]


def grid_table(views, grid):
    rows = []
    for v in views:
        for kind in ("adamw", "muon"):
            cells = [(v.seeds(kind, lr) or [None])[0] for lr in grid]
            text = ["missing" if c is None else f"**{num(c['final'])}**" if c["lr"] == v.rate[kind] else num(c["final"]) for c in cells]
            rows.append([TITLES[v.name], NAMES[kind], *text])
    return table(["set", "optimizer"] + [f"lr {lr:g}" for lr in grid], rows)


def main_table(views):
    rows = []
    for v in views:
        for kind in ("adamw", "muon"):
            cells = v.seeds(kind)
            reach = v.to_level(kind)
            tests = [c.get("test") or {} for c in cells]
            got = [(r, c) for r, c in zip(reach, cells) if r is not None]
            rows.append([
                TITLES[v.name], f"{NAMES[kind]} {num(v.rate[kind])}", str(len(cells)), spread([c["final"] for c in cells]),
                spread([c["train_loss"] for c in cells]),
                "reference" if kind == "adamw" else spread(reach) if got and len(got) == len(cells) else f"{len(got)} of {len(cells)} reach it",
                num(statistics.mean(c["updates"] for c in cells), 4) if cells else "-",
                spread([r * c["cpu_s"] / c["updates"] for r, c in got]) if kind == "muon" else spread([c["cpu_s"] for c in cells]),
                spread([r * c["wall_s"] / c["updates"] for r, c in got]) if kind == "muon" else spread([c["wall_s"] for c in cells]),
                spread([t.get("one_step_nrmse") for t in tests]), spread([t.get("rollout_nrmse") for t in tests])])
    return table(["set", "optimizer, lr", "seeds", "final validation error", "train loss", "updates to AdamW's final error", "of",
                  "CPU-s until then", "wall s until then", "test one-step nRMSE", "test rollout nRMSE"], rows)


def other_table(views):
    rows = []
    for v in views:
        def add(what, cells):
            rows.append([TITLES[v.name], what, str(len(cells)), num(cells[0]["updates"], 4) if cells else "missing",
                         spread([c["final"] for c in cells]), spread([c["train_loss"] for c in cells]), spread([c["cpu_s"] for c in cells])])
        for kind in ("adamw", "muon"):
            add(f"{NAMES[kind]}, batch 8", v.seeds(kind)[:1])
            add(f"{NAMES[kind]}, batch 16, same samples", v.seeds(kind + "_batch2"))
        add("Muon, cosine over half the updates", v.seeds("muon_half"))
        add("AdamW, all updates", v.seeds("adamw"))
        add("Muon as in ups_operator.yaml: lr 1e-3, decay .03", v.seeds("muon_plan", 1e-3))
        add("Muon at its rate, `original` instead of `match_rms`", v.seeds("muon_original", v.rate["muon"]))
    return table(["set", "cell", "seeds", "updates", "final validation error", "train loss", "CPU-s"], rows)


def holds(value):
    return "-" if value is None else "yes" if value else "no"


def criteria_table(views):
    """The plan's criteria beside what was measured."""
    rows = []
    for v in views:
        adamw, muon, level = v.seeds("adamw"), v.seeds("muon"), v.level()
        full = len(adamw) == 3 and len(muon) == 3
        mean = lambda cells, key: statistics.mean(c[key] for c in cells)  # noqa: E731
        if v.name == "burgers":
            values = [c["val_one_step"] for c in muon]
            rows.append(["loss < 1e-3", TITLES[v.name],
                         f"validation one-step nRMSE {spread(values)}, its square {num(statistics.mean(x * x for x in values) if values else None)}; "
                         f"AdamW {spread([c['val_one_step'] for c in adamw])}", holds(full and max(values) < 1e-3 if full else None)])
            rows.append(["", "", f"training loss as logged (1 = persistence) {spread([c['train_loss'] for c in muon])}; "
                         f"AdamW {spread([c['train_loss'] for c in adamw])}", holds(max(c["train_loss"] for c in muon) < 1e-3 if full else None)])
        else:
            rows.append(["loss < 1e-3", TITLES[v.name], f"validation nRMSE {spread([c['final'] for c in muon])}, its square "
                         f"{num(statistics.mean(c['final'] ** 2 for c in muon) if muon else None)}; AdamW {spread([c['final'] for c in adamw])}",
                         holds(max(c["final"] for c in muon) < 1e-3 if full else None)])
        reach = v.to_level("muon")
        factor = [c["updates"] / r for r, c in zip(reach, muon) if r]
        half = v.seeds("muon_half")
        rows.append(["1.5 to 2x fewer epochs", TITLES[v.name],
                     f"AdamW's final error after {spread(factor)}x fewer updates; with the cosine over half the updates Muon ends at "
                     f"{spread([c['final'] for c in half])}, AdamW with all of them at {num(level)}",
                     "-" if not full or len(half) < 3 else "yes, 2x" if mean(half, "final") <= level else
                     "yes, 1.5x" if len(factor) == 3 and min(factor) >= 1.5 else "no"])
        ratio, pairs = v.overhead()
        rows.append(["overhead", TITLES[v.name], f"CPU time per update {num(ratio)}x AdamW's (median of {pairs} pairs of neighbouring cells)",
                     "reported"])
        tests = [[(c.get("test") or {}) for c in cells] for cells in (muon, adamw)]
        for key, what in (("one_step_nrmse", "one-step nRMSE" if v.name == "burgers" else "nRMSE"), ("rollout_nrmse", "rollout nRMSE")):
            m, a = ([t.get(key) for t in ts] for ts in tests)
            if v.name == "darcy" and key == "rollout_nrmse":
                continue
            ready = full and None not in m + a
            rows.append(["nRMSE below AdamW's", TITLES[v.name], f"test {what} {spread(m)}; AdamW {spread(a)}"
                         + (f": {num(statistics.mean(m) / statistics.mean(a), 2)}x" if ready else ""),
                         "-" if not ready else "yes, every seed" if max(m) < min(a) else "on average" if statistics.mean(m) < statistics.mean(a) else "no"])
    return table(["criterion", "set", "measured (mean, smallest to largest of 3 seeds)", "holds"], rows)


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
                out.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{"#e2e5e9" if m == 1 else "#f2f3f5"}"/>')
                if m in (1, 2, 5):
                    out.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="12">{m * 10.0 ** exponent:g}</text>')
    step = 10 ** math.floor(math.log10(x1)) / 2
    for i in range(int(x1 / step) + 1):
        out.append(f'<line x1="{px(i * step):.1f}" x2="{px(i * step):.1f}" y1="{top}" y2="{height - bottom}" stroke="#e2e5e9"/>')
        out.append(f'<text x="{px(i * step):.1f}" y="{height - bottom + 17}" text-anchor="middle" font-size="12">{i * step:g}</text>')
    out.append(f'<text x="{(left + width - right) / 2:.1f}" y="{height - 10}" text-anchor="middle" font-size="12">updates</text>')
    if v.level():
        y = py(v.level())
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{COLOURS["adamw"]}" stroke-dasharray="2 4"/>')
    for i, (kind, cs) in enumerate(curves.items()):
        points = [(row[0][0], [p[1] for p in row]) for row in zip(*cs)]
        band = [f"{px(u):.1f},{py(max(e)):.1f}" for u, e in points] + [f"{px(u):.1f},{py(min(e)):.1f}" for u, e in reversed(points)]
        line = " ".join(f"{px(u):.1f},{py(statistics.mean(e)):.1f}" for u, e in points)
        dash = ' stroke-dasharray="6 4"' if kind == "muon_half" else ""
        out.append(f'<polygon points="{" ".join(band)}" fill="{COLOURS[kind]}" fill-opacity="0.18"/>')
        out.append(f'<polyline points="{line}" fill="none" stroke="{COLOURS[kind]}" stroke-width="2"{dash}/>')
        label = f"{NAMES[kind]} {v.rate[kind.split('_')[0]]:g}" + (", half the updates" if kind == "muon_half" else "")
        y = top + 14 + 22 * i
        out.append(f'<line x1="{width - right + 14}" x2="{width - right + 38}" y1="{y - 4}" y2="{y - 4}" stroke="{COLOURS[kind]}" stroke-width="2"{dash}/>')
        out.append(f'<text x="{width - right + 44}" y="{y}" font-size="12">{label}</text>')
    out.append(f'<text x="{width - right + 14}" y="{top + 14 + 22 * len(curves)}" font-size="11" fill="#5b6470">band: range of {len(cs)} seeds</text>')
    out.append(f'<text x="{width - right + 14}" y="{top + 32 + 22 * len(curves)}" font-size="11" fill="#5b6470">dotted: AdamW\'s final error</text>')
    return "\n".join(out) + "\n</svg>\n"


def report(study, docs, sets, grid):
    views = [View(study, name) for name in sets]
    version = subprocess.run([str(study.bin / "ups-train"), "--version"], capture_output=True, text=True, check=True).stdout.strip()
    cpu = sum(c["process_cpu_s"] + c.get("test_cpu_s", 0) for c in study.cells.values())
    wanted = [f"{n}-{k}-{lr:g}-{s}" if lr else f"{n}-{k}-best-{s}" for n, k, lr, s in study.plan()]
    missing = [w for w in wanted if w not in study.cells]
    text = [f"{len(wanted) - len(missing)} of {len(wanted)} cells, {cpu / 60:.0f} CPU-minutes in all, {version}, one thread per cell. "
            "Ranges are smallest to largest of the seeds."]
    if missing:
        text.append(f"**Missing: {', '.join(missing)}**")
    text += ["", "Final validation error of the grid, seed 0 (bold: the rate that was taken):", ""] + grid_table(views, grid)
    text += ["At the chosen rates:", ""] + main_table(views)
    text += ["![validation error over updates, Burgers](../images/muon_burgers.svg)", "![validation error over updates, Darcy](../images/muon_darcy.svg)",
             "", "Twice the batch, half the updates, and other settings of Muon:", ""] + other_table(views)
    text += ["The plan's criteria:", ""] + criteria_table(views)
    text += ["The command of one cell (OUT: the folder of the study):", "", "    " + next(iter(study.cells.values()))["command"], ""] if study.cells else []
    page = docs / "explanation/muon.md"
    old = page.read_text(encoding="utf-8")
    if not MARK.search(old):
        raise SystemExit(f"muon_study: {page} has no line <!-- muon_study -->")
    part = page.with_suffix(".part")
    part.write_text(MARK.sub(lambda m: m[1] + "\n".join(text) + "\n" + m[2], old), encoding="utf-8")
    os.replace(part, page)
    for v in views:
        picture = svg(v)
        if picture:
            (docs / f"images/muon_{v.name}.svg").write_text(picture, encoding="utf-8")
    print(f"{page}: {len(wanted) - len(missing)} of {len(wanted)} cells, {cpu / 60:.1f} CPU-minutes")
