#!/usr/bin/env python3
"""Python's side of tests/bench/bench_optim.cpp, driver of both, and the report.

Opponents: A = torch.optim.Muon with its orthogonalizer in fp32 (the same lines without the bf16 cast, on a copy) beside fused AdamW,
B = torch.optim.Muon as it is (bf16) beside fused AdamW; each at its best thread count of 1 and 2. Before any timing both sides take
three steps from the same weights and gradients and must arrive at the same norms.
"""
import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time

ctypes.CDLL(None).mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
ctypes.CDLL(None).mallopt(-1, 2_000_000_000)  # M_TRIM_THRESHOLD
ctypes.CDLL(None).mallopt(-2, 64 << 20)  # M_TOP_PAD

import torch
import torch.optim._muon as muon_module

# count x shape; optim.md 10.
CENSUS = {
    "ups96": "5x192x96,5x96x192,4x96x96,20x12x12,1x96x16,1x16x96,1x64x64,1x16x64,1x64x1,32x96,5x192,30x12,2x64,4x16",
    "ups384": "5x768x384,5x384x768,4x384x384,1x384x128,1x128x384,1x128x64,1x64x64,20x12x12,1x64x1,32x384,5x768,4x128,30x12,2x64",
    "conv": "1x64x48,4x64x576,1x128x1024,4x128x1152,1x256x2048,4x256x2304,1x512x4096,4x512x4608,8x32x8192,1x8192x128,1x1024x4608,"
    "1x512x2304,1x256x1152,1x128x576,1x3x288,13x64,14x128,14x256,12x512,10x32,1x8192,1x1024,1x3",
}
# (row of the table, our kind, opponent kind, targets by census); at 2 threads.
RATIOS = [
    ("hybrid step, fp32, against A", "hybrid", "A", {"ups96": 2.5, "ups384": 1.9, "conv": 2.5}),
    ("hybrid step, fp32, against B", "hybrid", "B", {"ups96": 3.3, "ups384": 1.0, "conv": 1.2}),
    ("hybrid step, bf16, against B", "hybrid_bf16", "B", {"ups384": 1.5, "conv": 2.2}),
    ("AdamW on all parameters", "adamw", "adamw", {"ups96": 3.0, "ups384": 1.5, "conv": 1.0}),
    ("unscale + norm + clip, gradients rewritten", "grads", "grads", {"ups96": 5.0, "ups384": 5.0, "conv": 1.5}),
    ("the same, factor left to the optimizer's read", "folded", "grads", {"ups96": 5.0, "ups384": 5.0, "conv": 1.5}),
]
ORTH_SHAPES = [(96, 96), (96, 192), (128, 1152), (256, 256), (256, 1024), (256, 2304), (384, 384), (384, 768), (512, 512), (512, 4608)]


def zeropower_fp32(grad, ns_coefficients, ns_steps, eps):
    """torch.optim._muon._zeropower_via_newtonschulz without its cast; the copy keeps the momentum buffer out of the in-place division."""
    a, b, c = ns_coefficients
    x = grad.clone()
    if grad.size(0) > grad.size(1):
        x = x.T
    x.div_(x.norm().clamp(min=eps))
    for _ in range(ns_steps):
        gram = x @ x.T
        update = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, update, x, beta=a)
    return x.T if grad.size(0) > grad.size(1) else x


ZEROPOWER = {"A": zeropower_fp32, "B": muon_module._zeropower_via_newtonschulz}


class Case:
    """One opponent on one census: the twin of Case in bench_optim.cpp."""

    def __init__(self, census, kind, device="cpu"):
        weights, gradients = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
        self.kind, self.params = kind, []
        for group in CENSUS[census].split(","):
            count, *shape = map(int, group.split("x"))
            for _ in range(count):
                p = torch.nn.Parameter(torch.randn(shape, generator=weights).mul_(0.02).to(device))
                p.grad = torch.randn(shape, generator=gradients).mul_(0.01).to(device)
                self.params.append(p)
        matrix = lambda p: sum(s > 1 for s in p.shape) >= 2
        first = self.params if kind in ("adamw", "grads") else [p for p in self.params if not matrix(p)]
        self.adamw = torch.optim.AdamW(first, lr=1e-3, weight_decay=0.03, fused=True)
        if kind in ("A", "B"):
            self.muon = torch.optim.Muon([p for p in self.params if matrix(p)], lr=1e-3, weight_decay=0.03, momentum=0.95,
                                         adjust_lr_fn="match_rms_adamw")
        if kind == "grads":
            self.scaler = torch.amp.GradScaler(device, init_scale=1.0)
            self.scaler.scale(torch.ones((), device=device))
            self.up, self.half, self.two = False, torch.tensor(0.5, device=device), torch.tensor(2.0, device=device)
            self.limit = torch.nn.utils.get_total_norm([p.grad for p in self.params]).item()

    def step(self):
        if self.kind == "grads":
            # Scales that undo each other and a limit that sinks: every step unscales and clips.
            self.up = not self.up
            self.limit *= 0.999
            self.scaler._scale = self.half if self.up else self.two
            self.scaler._per_optimizer_states.clear()  # as if update() had been called
            self.scaler.unscale_(self.adamw)
            torch.nn.utils.clip_grad_norm_(self.params, 2 * self.limit if self.up else self.limit)
            return
        if self.kind in ("A", "B"):
            muon_module._zeropower_via_newtonschulz = ZEROPOWER[self.kind]
            self.muon.step()
        self.adamw.step()

    def time(self, n):
        start = time.perf_counter()
        for _ in range(n):
            self.step()
        return (time.perf_counter() - start) / n * 1e3


class Program:
    """bench_optim.cpp as a child process."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit("bench_optim: the C++ program ended early at: " + line)
        return answer.split()

    def time(self, census, kind, n):
        return float(self.ask(f"{CENSUS[census]} {kind} time {n}")[0])


def peak(dtype, threads):
    """Best GF/s of a square matrix product over a few sizes."""
    torch.set_num_threads(threads)
    best = 0.0
    for size in (512, 1024, 1536):
        a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
        out = a @ b
        for _ in range(5):
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            best = max(best, 2 * size**3 / (time.perf_counter() - start) * 1e-9)
    return best


def agreement(program, census, device="cpu"):
    """Largest relative difference of the parameters' norms after three steps, for Muon + AdamW and for AdamW."""
    worst = {}
    for ours, theirs in (("hybrid", "A"), ("adamw", "adamw")):
        norms = [float(x) for x in program.ask(f"{CENSUS[census]} {ours} check 3")]
        case = Case(census, theirs, device)
        for _ in range(3):
            case.step()
        worst[theirs] = max(abs(a - p.norm().item()) / p.norm().item() for a, p in zip(norms, case.params))
    return worst


def check(program, census):
    """agreement(), or the end."""
    worst = agreement(program, census)
    for kind, difference in worst.items():
        if not difference <= 2e-5:
            sys.exit(f"bench_optim: {census} {kind}: the two sides disagree by {difference:.1e}")
    return worst


def run_census(program, census, rounds, budget):
    """Medians in ms: ours {kind: ms}, theirs {kind: {threads: ms}}."""
    agree = check(program, census)
    print(f"{census}: weights after 3 steps agree to {agree['A']:.0e} (Muon + AdamW), {agree['adamw']:.0e} (AdamW)")
    program.ask("threads 2")
    kinds = ["hybrid", "hybrid_bf16", "adamw", "grads", "folded"]
    cases = {kind: Case(census, kind) for kind in ("A", "B", "adamw", "grads")}
    steps = {}  # per round, so that every measurement lasts about `budget` ms
    for kind in kinds:
        program.time(census, kind, 1)
        steps[kind] = max(1, min(500, round(budget / program.time(census, kind, 3))))
    for kind, case in cases.items():
        case.time(1)
        steps["py " + kind] = max(1, min(500, round(budget / case.time(2))))
    ours = {kind: [] for kind in kinds}
    theirs = {kind: {1: [], 2: []} for kind in cases}
    for i in range(rounds):
        for kind in kinds:
            ours[kind].append(program.time(census, kind, steps[kind]))
        for kind, case in cases.items():
            for threads, times in theirs[kind].items():
                other = theirs[kind][3 - threads]
                if i >= 3 and statistics.median(times) > 1.3 * statistics.median(other):
                    continue  # clearly not its best thread count
                torch.set_num_threads(threads)
                case.step()
                times.append(case.time(steps["py " + kind]))
        print(f"  round {i + 1}/{rounds}", end="\r", file=sys.stderr, flush=True)
    return ({k: statistics.median(v) for k, v in ours.items()},
            {k: {t: statistics.median(v) for t, v in by.items()} for k, by in theirs.items()}, agree)


def report_orth(program, peaks, kinds):
    """Orthogonalizer on one thread, in the FLOPs of the plain products."""
    print("orthogonalizer, 5 steps, one thread, GF/s in FLOPs of the plain products (target: fp32 >= 1.25x sgemm peak for m >= 256)")
    program.ask("threads 1")
    rows = []
    for a, b in ORTH_SHAPES:
        m, n = min(a, b), max(a, b)
        flops = 5 * (4 * m * m * n + 2 * m**3)
        row = {"shape": [a, b]}
        for kind in kinds:
            program.ask(f"orth {a} {b} {kind} 1")
            count = max(1, int(4e9 / flops))
            best = min(float(program.ask(f"orth {a} {b} {kind} {count}")[0]) for _ in range(5))
            row[kind] = {"ms": best, "gflops": flops / best * 1e-6, "of_peak": flops / best * 1e-6 / peaks[kind][1]}
        rows.append(row)
        print(f"  {a:4} x {b:<5}" + "".join(f"   {k} {row[k]['gflops']:7.1f} ({row[k]['of_peak']:.2f}x peak)" for k in kinds))
    program.ask("threads 2")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", help="the C++ program bench_optim")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--census", default=",".join(CENSUS), help="comma-separated: " + ", ".join(CENSUS))
    parser.add_argument("--budget", type=float, default=60, help="milliseconds per measurement")
    parser.add_argument("--json", help="file for the numbers")
    args = parser.parse_args()

    program = Program(args.program)
    peaks = {"fp32": {t: peak(torch.float32, t) for t in (1, 2)}, "bf16": {t: peak(torch.bfloat16, t) for t in (1, 2)}}
    print(f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} CPUs; matrix product GF/s on 1 and 2 "
          f"threads: fp32 {peaks['fp32'][1]:.0f} {peaks['fp32'][2]:.0f}, bf16 {peaks['bf16'][1]:.0f} {peaks['bf16'][2]:.0f}")
    result = {"torch": torch.__version__, "peaks": peaks, "rounds": args.rounds, "census": {}}
    for census in args.census.split(","):
        ours, theirs, agree = run_census(program, census, args.rounds, args.budget)
        rows = []
        print(f"{census}: medians of {args.rounds} interleaved rounds, ms; ours at 2 threads, Python at 1 and 2 threads (best counts)")
        for name, kind, opponent, targets in RATIOS:
            best = min(theirs[opponent].values())
            target = targets.get(census)
            rows.append({"name": name, "ours": ours[kind], "python": theirs[opponent], "ratio": best / ours[kind], "target": target})
            times = " / ".join(f"{theirs[opponent][t]:9.3f}" for t in (1, 2))
            mark = "" if target is None else f"   target {target:.1f}x" + ("" if best / ours[kind] >= target else "  not reached")
            print(f"  {name:46} {ours[kind]:9.3f}   {times}   {best / ours[kind]:6.2f}x{mark}")
        result["census"][census] = {"agreement": agree, "rows": rows}
    bf16 = float(program.ask("orth 64 64 bf16 1")[0]) > 0
    result["orthogonalizer"] = report_orth(program, peaks, ("fp32", "bf16") if bf16 else ("fp32",))
    program.process.stdin.close()
    program.process.wait()
    if args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
        print("numbers in", args.json)


if __name__ == "__main__":
    main()
