#!/usr/bin/env python3
"""Recomputes every entry of evaluation.json's table from the predictions file (ups-eval --save-predictions), to 1e-6 relative.
Usage: check_predictions.py EVALUATION.json PREDICTIONS.h5      exit 0: all agree, 1: some differ. Needs NumPy and h5py.
Written from docs/metrics.md; shares no code with the trainer. Cost columns (nfe, ms_per_step) are not in the file."""
import json
import sys

import h5py
import numpy as np


def spectrum(u, nd, quadrant):  # |FFT|^2 by wave number, [..., K]
    if nd == 1:
        return np.abs(np.fft.rfft(u)) ** 2
    grid = u.shape[-nd:]
    f = np.abs(np.fft.fftn(u, axes=range(-nd, 0))) ** 2
    i = np.meshgrid(*[np.arange(n) if quadrant else np.minimum(np.arange(n), n - np.arange(n)) for n in grid], indexing="ij")
    keep = np.all([a < n // 2 for a, n in zip(i, grid)], axis=0) if quadrant else np.ones(grid, bool)
    k = np.sqrt(sum(a * a for a in i)).astype(int)
    return np.stack([f[..., keep & (k == b)].sum(-1) for b in range(min(grid) // 2)], -1)


def bands(name, v):
    return {f"{name}_{b}": v[..., s].mean(-1).mean() if v[..., s].size else np.nan
            for b, s in (("low", slice(0, 4)), ("mid", slice(4, 12)), ("high", slice(12, None)))}


def errors(y, p, context, attrs):  # y, p [N, T, C, X..]; context [N, 1, C, X..] or None; means over frames and channels
    nd = y.ndim - 3
    x, e, cells = tuple(range(-nd, 0)), p - y, np.prod(y.shape[3:])
    mse, energy = (e**2).mean(x), (y**2).mean(x)
    live = (energy > 0) & (energy >= (1e-6 * (context**2).mean(x) if context is not None else 0))
    with np.errstate(all="ignore"):
        ratio = np.where(live, np.sqrt(mse / np.where(live, energy, 1)), 0).sum(0) / live.sum(0)  # [T, C]
        faces = [np.take(e, end, a) for a in x for end in (0, -1)]
        edge = np.sqrt(sum((f**2).reshape(*e.shape[:3], -1).sum(-1) for f in faces) / sum(f[0, 0, 0].size for f in faces))
        total = [int(c) for c in attrs["conserved"].split(",") if c]
        gap = lambda base: np.sqrt((p.sum(x) - base.sum(x))[:, :, total].__pow__(2).mean(0)).mean() / cells if total else np.nan
        out = {"nrmse": ratio[live.any(0)].mean(), "last": ratio[-1][live.any(0)[-1]].mean(), "rmse": np.sqrt(mse).mean(),
               "nrmse_pooled": np.sqrt(mse.sum(0) / energy.sum(0)).mean(), "mae": np.abs(e).mean(), "brmse": edge.mean(),
               "vrmse": np.sqrt(mse / (y.var(x, ddof=1) + 1e-7)).mean(), "max_error": np.abs(e).max((0, *x)).mean(),
               "crmse": gap(y), "drift": gap(context) if context is not None else np.nan,
               "dead": (~live).sum(), "diverged": (~np.isfinite(p)).any(tuple(range(1, p.ndim))).sum()}
        length = np.prod([attrs.get(f"length_{a}", 1.0) for a in range(nd)])
        out |= bands("frmse", np.sqrt(spectrum(e, nd, True).mean(0)) / cells * length)
        ep, ey = spectrum(p, nd, False).mean(0), spectrum(y, nd, False).mean(0)
        d = 1e-12 * ey.max(-1, keepdims=True)
        out |= bands("logspec", np.abs(np.log10((ep + d) / (ey + d))))
        dp, dy = p - p.mean(x, keepdims=True), y - y.mean(x, keepdims=True)
        r = np.where((dy**2).sum(x) == 0, 1, np.nan_to_num((dp * dy).sum(x) / np.sqrt((dp**2).sum(x) * (dy**2).sum(x)), nan=0))
        low = r < 0.8
        fall = np.where(low.any(1), attrs["lead"][low.argmax(1)], attrs["lead"][-1])
        return out | {"correlation_time": np.median(fall), "correlation_censored": (~low.any(1)).mean()}


def ensemble(y, s, attrs):  # s [N, M, T, C, X..]
    m, x = s.shape[1], tuple(range(3 - y.ndim, 0))
    mean, var, rank = s.mean(1), s.var(1, ddof=1), lambda v: ((v[:, None] > v).sum(1) + ((v[:, None] == v).sum(1) + 1) / 2)
    pairs = sum(np.abs(s[:, i] - s[:, j]).mean() for i in range(m) for j in range(i))
    spread, err = np.sqrt(var.mean(x)), np.sqrt(((mean - y) ** 2).mean(x))
    rho = [np.corrcoef(rank(a), rank(b))[0, 1] for a, b in zip(spread.reshape(len(y), -1).T, err.reshape(len(y), -1).T)
           if np.ptp(a) > 0 and np.ptp(b) > 0]
    below, equal = (s < y[:, None]).sum(1), (s == y[:, None]).sum(1)
    f = np.array([(((below <= k) & (k <= below + equal)) / (1 + equal)).sum() for k in range(m + 1)]) / y.size
    return {"fair_crps": np.abs(s - y[:, None]).mean() - pairs / (m * (m - 1)), "spearman": np.mean(rho) if rho else np.nan,
            "spread_skill": np.sqrt((m + 1) / m * (spread**2).mean(0) / (err**2).mean(0)).mean(),
            "coverage90": (np.abs(y - mean) <= attrs["interval90"] * np.sqrt(var)).mean(),
            "rank_chi2": ((f * (m + 1) - 1) ** 2).sum() / (m + 1)}


def row(g, model):
    y, context = g["truth"][:].astype(float), g["context"][:].astype(float)
    attrs = {**g.attrs, "lead": g["time"][:] - g.attrs["context_time"]}
    attrs["conserved"] = attrs["conserved"].decode() if isinstance(attrs["conserved"], bytes) else attrs["conserved"]
    out = {}
    for mode in ("one_step", "rollout") if "rollout" in g else ("one_step",):  # columns without prefix: the last mode
        s, many = g[mode][model][:].astype(float), g[mode][model].ndim > y.ndim
        p, base = s.mean(1) if many else s, context if "rollout" in g else None
        a = errors(y, p, base, attrs) | (ensemble(y, s, attrs) if many and s.shape[1] > 1 else {})
        if many:  # spectra and single errors: every member judged alone
            stack = lambda v: np.concatenate([v] * s.shape[1])
            one = errors(stack(y), np.concatenate(np.moveaxis(s, 1, 0)), stack(base) if base is not None else None, attrs)
            a |= {k: v for k, v in one.items() if k.startswith("logspec")}
            a["diverged"] = (~np.isfinite(s)).any(tuple(range(2, s.ndim))).sum()
            out[f"{mode}_nrmse_single"] = one["nrmse"]
        out[f"{mode}_nrmse"], last = a.pop("nrmse"), a.pop("last")
        out |= a if mode == "rollout" or "rollout" not in g else {
            f"one_step_{k}": a.get(v) for k, v in (("nrmse_pooled",) * 2, ("vrmse",) * 2, ("mae",) * 2, ("crps", "fair_crps"),
                                                   ("spread_skill",) * 2)}
        if mode == "rollout":
            out["last_frame_nrmse"] = last
        elif "rollout" not in g:
            out |= {"one_step_nrmse_pooled": a["nrmse_pooled"], "one_step_vrmse": a["vrmse"], "one_step_mae": a["mae"],
                    "one_step_crps": a.get("fair_crps"), "one_step_spread_skill": a.get("spread_skill"),
                    "correlation_time": None, "correlation_censored": None}
    return out


def summaries(g):  # differences between the summaries of a set and those of its members
    for mode, model in ((a, b) for a in g.get("ensemble", ()) for b in g["ensemble"][a]):
        s, group = g[mode][model][:].astype(float), g["ensemble"][mode][model]
        q = np.quantile(s, (0.05, 0.95), axis=1, method="weibull")
        for name, mine in (("mean", s.mean(1)), ("std", s.std(1, ddof=1)), ("q05", q[0]), ("q95", q[1])):
            off = np.abs(group[name][:] - np.where(np.isfinite(s).all(1), mine, np.nan))
            if not np.nanmax(off, initial=0) <= 1e-6 * np.abs(s[np.isfinite(s)]).max() or (np.isnan(off) & np.isfinite(s).all(1)).any():
                yield f"{group.name}/{name}: differs from the members"


def main(json_path, h5_path):
    table, bad, count = json.load(open(json_path))["table"], [], 0
    with h5py.File(h5_path, "r") as f:
        rows = {(s, m): row(f[s], m) for s in f for m in f[s]["one_step"]}
        bad += [difference for s in f for difference in summaries(f[s])]
        scale = {s: np.sqrt(np.mean(f[s]["truth"][:].astype(float) ** 2)) for s in f}
    for (s, m), r in rows.items():
        p, c, main_key = rows.get((s, "persistence"), {}), rows.get((s, "climatology"), {}), "rollout_nrmse" if "rollout_nrmse" in r else "one_step_nrmse"
        for key, base, k in (("one_step_ratio_persistence", p, "one_step_nrmse"), ("ratio_persistence", p, main_key), ("ratio_climatology", c, main_key)):
            r[key] = r[k] / base[k] if k in base else None
    bad += [f"{k}: only in one of the two files" for k in {(t["set"], t["model"]) for t in table} ^ set(rows)]
    for t in table:
        for key, value in t.items():
            if key in ("set", "model", "nfe", "ms_per_step") or (t["set"], t["model"]) not in rows:
                continue
            mine, count = rows[t["set"], t["model"]].get(key), count + 1
            mine = None if mine is None or not np.isfinite(mine) else float(mine)
            same = mine is None and value is None or None not in (mine, value) and abs(mine - value) <= 1e-6 * abs(mine) + 1e-11 * scale[t["set"]]
            bad += [] if same else [f"{t['set']}/{t['model']}/{key}: table {value}, recomputed {mine}"]
    print("\n".join(bad) if bad else f"OK: {count} entries of {len(table)} rows agree to 1e-6")
    return 1 if bad else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
