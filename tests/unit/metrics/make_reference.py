#!/usr/bin/env python3
"""Writes reference.json: inputs and expected values of src/ups/metrics, by NumPy in float64, straight from the formulas of
docs/metrics.md with explicit loops (no code shared with the C++ or with scripts/check_predictions.py).
Run: python3 tests/unit/metrics/make_reference.py > tests/unit/metrics/reference.json"""
import json
import sys

import numpy as np

rng = np.random.default_rng(20240611)


def field(*shape):  # multiples of 1/64: exact in float32 and short in JSON
    return np.round(rng.standard_normal(shape) * 64) / 64


def boundary(e):  # mean square over the faces, edges and corners once per face
    faces, count = 0.0, 0
    for axis in range(e.ndim):
        for end in (0, -1):
            face = np.take(e, end, axis=axis)
            faces += np.sum(face**2)
            count += face.size
    return np.sqrt(faces / count)


def bins_error(e):
    if e.ndim == 1:
        return np.abs(np.fft.rfft(e)) ** 2
    f = np.abs(np.fft.fftn(e)) ** 2
    out = np.zeros(min(e.shape) // 2)
    for index in np.ndindex(*[n // 2 for n in e.shape]):
        k = int(np.floor(np.sqrt(sum(i * i for i in index))))
        if k < len(out):
            out[k] += f[index]
    return out


def bins_power(u):
    if u.ndim == 1:
        return np.abs(np.fft.rfft(u)) ** 2
    f = np.abs(np.fft.fftn(u)) ** 2
    out = np.zeros(min(u.shape) // 2)
    for index in np.ndindex(*u.shape):
        k = int(np.floor(np.sqrt(sum(min(i, n - i) ** 2 for i, n in zip(index, u.shape)))))
        if k < len(out):
            out[k] += f[index]
    return out


def bands(v):
    return [float(np.mean(v[a:b])) if len(v[a:b]) else None for a, b in ((0, 4), (4, 12), (12, None))]


def scores(y, p, context, length, times):
    n, frames, channels = y.shape[:3]
    cells = int(np.prod(y.shape[3:]))
    names = ("mse mae rmse nrmse nrmse_pooled vrmse nrmse_well max_error crmse drift brmse negativity frmse_low frmse_mid "
             "frmse_high logspec_low logspec_mid logspec_high").split()
    out = {name: np.full((frames, channels), np.nan) for name in names}
    live = np.zeros((frames, channels), int)
    for t in range(frames):
        for c in range(channels):
            acc = {k: [] for k in names}
            num = den = 0.0
            spec_e, spec_p, spec_y = 0, 0, 0
            for b in range(n):
                u, v = y[b, t, c], p[b, t, c]
                e = v - u
                energy = np.mean(u**2)
                reference = np.mean(context[b, c] ** 2) if context is not None else 0.0
                acc["mse"].append(np.mean(e**2))
                acc["mae"].append(np.mean(np.abs(e)))
                acc["rmse"].append(np.sqrt(np.mean(e**2)))
                if energy > 0 and energy >= 1e-6 * reference:
                    acc["nrmse"].append(np.linalg.norm(e) / np.linalg.norm(u))
                num += np.sum(e**2)
                den += np.sum(u**2)
                acc["vrmse"].append(np.sqrt(np.mean(e**2) / (np.var(u, ddof=1) + 1e-7)))
                acc["nrmse_well"].append(np.sqrt(np.mean(e**2) / (energy + 1e-7)))
                acc["max_error"].append(np.max(np.abs(e)))
                acc["crmse"].append((np.sum(v) - np.sum(u)) ** 2)
                acc["drift"].append((np.sum(v) - np.sum(context[b, c])) ** 2 if context is not None else 0.0)
                acc["brmse"].append(boundary(e))
                acc["negativity"].append(np.mean(np.maximum(0, -v)))
                spec_e = spec_e + bins_error(e)
                spec_p = spec_p + bins_power(v)
                spec_y = spec_y + bins_power(u)
            for k in ("mse", "mae", "rmse", "vrmse", "nrmse_well", "brmse", "negativity"):
                out[k][t, c] = np.mean(acc[k])
            live[t, c] = len(acc["nrmse"])
            if acc["nrmse"]:
                out["nrmse"][t, c] = np.mean(acc["nrmse"])
            out["nrmse_pooled"][t, c] = np.sqrt(num / den)
            out["max_error"][t, c] = max(acc["max_error"])
            for k in ("crmse", "drift"):
                out[k][t, c] = np.sqrt(np.mean(acc[k])) / cells
            for name, values in (("frmse", bands(np.sqrt(spec_e / n) / cells * np.prod(length))),
                                 ("logspec", bands(np.abs(np.log10((spec_p + 1e-12 * spec_y.max()) / (spec_y + 1e-12 * spec_y.max())))))):
                for band, value in zip(("low", "mid", "high"), values):
                    out[f"{name}_{band}"][t, c] = np.nan if value is None else value
    fall, censored = [], 0
    for b in range(n):
        for c in range(channels):
            r = [np.corrcoef(y[b, t, c].ravel(), p[b, t, c].ravel())[0, 1] for t in range(frames)]
            below = [times[t] for t in range(frames) if r[t] < 0.8]
            fall.append(below[0] if below else times[-1])
            censored += not below
    result = {k: [None if np.isnan(x) else float(x) for x in v.ravel()] for k, v in out.items()}
    result["live"] = live.ravel().tolist()
    result["correlation"] = [float(np.median(fall)), censored / len(fall)]
    result["rel_l2"] = float(np.linalg.norm(p - y) / np.linalg.norm(y))
    return result


def field_case(n, frames, channels, grid, length, dead=False):
    y, e = field(n, frames, channels, *grid), field(n, frames, channels, *grid)
    noise = np.linspace(0.1, 1.5, frames).reshape(1, -1, *([1] * (1 + len(grid))))
    p = np.round((y + noise * e) * 64) / 64
    context = field(n, channels, *grid)
    if dead:
        y[1, -1, 0] = 0
        y[1, -1, 0].ravel()[0] = 2.0**-12
    times = [0.5 * (t + 1) for t in range(frames)]
    return {"n": n, "frames": frames, "channels": channels, "grid": list(grid), "length": list(length), "times": times,
            "truth": y.ravel().tolist(), "prediction": p.ravel().tolist(), "context": context.ravel().tolist(),
            "expected": scores(y, p, context, length, times)}


def ensemble_case(n, m, frames, channels, cells, t95):
    y = field(n, frames, channels, cells)
    x = np.round((y[:, None] * 0.5 + field(n, m, frames, channels, cells)) * 64) / 64
    mean, var = x.mean(1), x.var(1, ddof=1)
    crps = np.zeros((frames, channels))
    for i in range(m):
        crps += np.mean(np.abs(x[:, i] - y), axis=(0, 3)) / m
        for j in range(i + 1, m):
            crps -= np.mean(np.abs(x[:, i] - x[:, j]), axis=(0, 3)) / (m * (m - 1))
    spread = np.sqrt((m + 1) / m * var.mean((0, 3)))
    ratio = spread / np.sqrt(((mean - y) ** 2).mean((0, 3)))

    def rank(v):  # average ranks
        return np.array([np.sum(v < a) + (np.sum(v == a) + 1) / 2 for a in v])

    s, err = np.sqrt(var.mean(3)), np.sqrt(((mean - y) ** 2).mean(3))
    rho = [[np.corrcoef(rank(s[:, t, c]), rank(err[:, t, c]))[0, 1] for c in range(channels)] for t in range(frames)]
    below, equal = (x < y[:, None]).sum(1), (x == y[:, None]).sum(1)
    f = np.array([(((below <= k) & (k <= below + equal)) / (1 + equal)).sum() for k in range(m + 1)]) / y.size
    coverage = [[(m + 1 - 2 * k) / (m + 1), f[k:m + 1 - k].sum()] for k in range(m // 2, 0, -1)]
    quantiles = np.quantile(x, [0.05, 0.3, 0.95], axis=1, method="weibull")
    inside = np.abs(y - mean) <= t95 * np.sqrt(var * (1 + 1 / m))
    return {"n": n, "m": m, "frames": frames, "channels": channels, "grid": [cells], "truth": y.ravel().tolist(),
            "members": x.ravel().tolist(),
            "expected": {"crps": crps.ravel().tolist(), "spread": spread.ravel().tolist(), "spread_skill": ratio.ravel().tolist(),
                         "spearman": np.array(rho).ravel().tolist(), "rank_histogram": f.tolist(),
                         "coverage": coverage, "mean": mean.ravel().tolist(), "std": np.sqrt(var).ravel().tolist(),
                         "q05": quantiles[0].ravel().tolist(), "q30": quantiles[1].ravel().tolist(), "q95": quantiles[2].ravel().tolist(),
                         "rank_chi2": float(np.sum((f - 1 / (m + 1)) ** 2 * (m + 1))), "coverage90": float(inside.mean())}}


def darcy_case(nx, ny, faces):
    a = np.where(field(nx, ny) > 0, 1.0, 0.1)
    hx, hy, f = 1.0 / nx, 1.0 / ny, 1.5
    size = nx * ny
    matrix = np.zeros((size, size))
    for i in range(nx):
        for j in range(ny):
            row = i * ny + j
            for di, dj, h in ((1, 0, hx), (-1, 0, hx), (0, 1, hy), (0, -1, hy)):
                k, m = i + di, j + dj
                if 0 <= k < nx and 0 <= m < ny:
                    w = 2 / (1 / a[i, j] + 1 / a[k, m]) if faces == "harmonic" else (a[i, j] + a[k, m]) / 2
                    matrix[row, k * ny + m] -= w / h**2
                else:  # harmonic: half a cell to the wall, twice the conductance
                    w = 2 * a[i, j] if faces == "harmonic" else a[i, j]
                matrix[row, row] += w / h**2
    assert np.allclose(matrix, matrix.T)
    rhs = np.full(size, f)
    truth = np.linalg.solve(matrix, rhs)
    start = truth * (1 + 0.1 * field(size))
    expected, u = {}, start.copy()
    expected["residual"] = float(np.linalg.norm(rhs - matrix @ u) / np.linalg.norm(rhs))
    # Jacobi-PCG = plain CG on the symmetrically scaled system.
    d = np.sqrt(np.diag(matrix))
    s, v = matrix / np.outer(d, d), u * d
    r = rhs / d - s @ v
    p, errors = r.copy(), []
    for k in range(1, 8):
        q = s @ p
        alpha = (r @ r) / (p @ q)
        v, new = v + alpha * p, r - alpha * q
        p = new + (new @ new) / (r @ r) * p
        r = new
        errors.append(float(np.linalg.norm(v / d - truth) / np.linalg.norm(truth)))
    expected["error"] = [errors[2], errors[6]]  # after 3 and 7
    return {"nx": nx, "ny": ny, "faces": faces, "f": f, "a": a.ravel().tolist(), "start": start.tolist(), "truth": truth.tolist(),
            "expected": expected}


out = {"provenance": "tests/unit/metrics/make_reference.py, NumPy " + np.__version__,
       "fields": {"1d": field_case(3, 3, 2, (32,), (2.0,), dead=True), "1d_odd": field_case(2, 1, 1, (27,), (1.0,)),
                  "2d": field_case(2, 1, 2, (28, 26), (1.0, 3.0)), "3d": field_case(2, 1, 2, (8, 6, 10), (1.0, 2.0, 3.0))},
       "ensembles": {"m2": ensemble_case(5, 2, 2, 1, 16, 6.313751515), "m5": ensemble_case(6, 5, 2, 2, 12, 2.131846786)},
       "darcy": {"harmonic": darcy_case(5, 7, "harmonic"), "arithmetic": darcy_case(6, 4, "arithmetic")}}
json.dump(out, sys.stdout, separators=(",", ":"))
print()
