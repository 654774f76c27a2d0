#!/usr/bin/env python3
"""Our optimizers and training step against Python's on the same device: bench_gpu.py BENCH_OPTIM BENCH_STEP --bundle PATH [--report FILE]

Parameter lists ups96, ups384 and conv of bench_optim.py: Muon + AdamW against torch.optim.Muon (as it is, and with its orthogonalizer in
fp32) beside fused AdamW; AdamW alone; unscale + norm + clip. The training step of bench_step.py with AdamW and with Muon. Interleaved
rounds, medians; both sides first take the same steps and must agree. Then one profiled step each: kernels, copies between host and
device, waits of the host. Prints a Markdown section. Called by gpu_check.sh; --device cpu tries the script without a GPU.
"""
import argparse
import statistics
import sys
import time

import bench_step
import torch
from bench_optim import CENSUS, Case, Program, agreement
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile


def synchronize(device):
    if device != "cpu":
        torch.cuda.synchronize()


def python_time(step, device, n):
    synchronize(device)
    start = time.perf_counter()
    for _ in range(n):
        step()
    synchronize(device)
    return (time.perf_counter() - start) / n * 1e3


def python_calls(step, device, n=3):
    """Kernels, copies and waits per step, counted as bench_device.cpp counts them."""

    def count(steps):
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device != "cpu" else [])
        synchronize(device)
        with profile(activities=activities) as p:
            for _ in range(steps):
                step()
            synchronize(device)
        events = p.events()
        ran = [e.name for e in events if e.device_type == DeviceType.CUDA]
        return (sum(not name.startswith(("Memcpy", "Memset")) for name in ran),
                sum(name.startswith("Memcpy") and "DtoD" not in name for name in ran),
                sum(e.name.startswith("cu") and "Synchronize" in e.name for e in events if e.device_type != DeviceType.CUDA))

    count(1)
    return [(b - a) / n for a, b in zip(count(n), count(2 * n))]


class Duel:
    """One of ours against one of theirs: a row of the table."""

    def __init__(self, name, ours, command, theirs, device, agreement):
        self.name, self.program, self.command, self.theirs, self.device, self.agreement = name, ours, command, theirs, device, agreement
        self.times = ([], [])

    def our_time(self, n):
        return float(self.program.ask(f"{self.command}time {n}")[0])

    def prepare(self, budget):
        self.our_time(2)
        python_time(self.theirs, self.device, 2)
        self.steps = [max(1, min(500, round(budget / ms))) for ms in (self.our_time(3), python_time(self.theirs, self.device, 3))]

    def round(self):
        self.times[0].append(self.our_time(self.steps[0]))
        self.times[1].append(python_time(self.theirs, self.device, self.steps[1]))

    def row(self):
        ours, theirs = map(statistics.median, self.times)
        calls = [" / ".join(f"{c:.0f}" for c in counts) for counts in
                 (map(float, self.program.ask(f"{self.command}count 3")), python_calls(self.theirs, self.device))]
        agreement = "" if self.agreement is None else f"{self.agreement:.0e}"
        return f"| {self.name} | {ours:.3f} | {theirs:.3f} | **{theirs / ours:.2f}x** | {calls[0]} | {calls[1]} | {agreement} |"


def optimizer_duels(program, census, device):
    norms = agreement(program, census, device)
    for opponent, difference in norms.items():
        if not difference <= 1e-4:
            print(f"bench_gpu: {census} {opponent}: the weights after 3 steps differ by {difference:.1e}", file=sys.stderr)
    return [Duel(f"{census}: {name}", program, f"{CENSUS[census]} {kind} ", Case(census, opponent, device).step, device,
                 norms.get(opponent))
            for name, kind, opponent in (("Muon + AdamW, fp32, against torch.optim.Muon in fp32", "hybrid", "A"),
                                         ("Muon + AdamW, fp32, against torch.optim.Muon (bf16)", "hybrid", "B"),
                                         ("Muon + AdamW, bf16, against torch.optim.Muon (bf16)", "hybrid_bf16", "B"),
                                         ("AdamW, against fused AdamW", "adamw", "adamw"),
                                         ("unscale + norm + clip", "grads", "grads"))]


def step_duel(program, bundle, optimizer, device):
    server = Program(program, bundle, optimizer, device)
    trainer = bench_step.Trainer(bundle, device)
    if optimizer == "muon_hybrid":
        trainer.use_muon()
    ours, theirs = [float(x) for x in server.ask("losses 5")], [trainer.step().item() for _ in range(5)]
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    return Duel(f"training step of the operator, {optimizer}", server, "", trainer.step, device, worst)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("optim", help="the C++ program bench_optim")
    parser.add_argument("step", help="the C++ program bench_step")
    parser.add_argument("--bundle", required=True, help="path of the golden bundle without extension")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--budget", type=float, default=60, help="milliseconds per measurement")
    parser.add_argument("--census", default=",".join(CENSUS))
    parser.add_argument("--report", help="file for the Markdown")
    args = parser.parse_args()

    program = Program(args.optim, args.device)
    duels = [d for census in args.census.split(",") for d in optimizer_duels(program, census, args.device)]
    duels += [step_duel(args.step, args.bundle, optimizer, args.device) for optimizer in ("adamw", "muon_hybrid")]
    for duel in duels:
        duel.prepare(args.budget)
    for i in range(args.rounds):
        for duel in duels:
            duel.round()
        print(f"round {i + 1}/{args.rounds}", file=sys.stderr)
    text = "\n".join(
        [f"## Against Python on the same device ({args.device}, torch {torch.__version__})", "",
         f"Milliseconds per step, medians of {args.rounds} interleaved rounds. Calls per step: kernels / copies between host and device / waits of the host.",
         "Agreement: largest relative difference of the weights' norms after 3 steps, of the losses of 5 steps.", "",
         "| what | ours | Python | ratio | our calls | Python's calls | agreement |", "|---|---|---|---|---|---|---|", *(d.row() for d in duels), ""])
    print(text)
    if args.report:
        with open(args.report, "w") as f:
            f.write(text)


if __name__ == "__main__":
    main()
