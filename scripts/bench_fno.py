#!/usr/bin/env python3
"""Eager PyTorch opponent of tests/bench/bench_fno.cpp: one training step of an FNO on a 1-D field, from the same weights and batch.

Takes five steps (the losses must agree with the C++ program's to 1e-4: AdamW magnifies rounding), then times rounds of both programs
in turn, one thread each, and prints medians and their ratio.
"""
import argparse
import ctypes
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ctypes.CDLL(None).mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
ctypes.CDLL(None).mallopt(-1, 2_000_000_000)  # M_TRIM_THRESHOLD
ctypes.CDLL(None).mallopt(-2, 64 << 20)  # M_TOP_PAD

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "tools"))
from fno_python import Fno, to_ups


class Trainer:
    def __init__(self, args):
        torch.manual_seed(0)
        self.net = Fno(1, 1, args.width, args.modes, axes=1)
        waves = torch.arange(args.points) * (2 * torch.pi / args.points)
        phase = torch.rand(args.batch, 1, 8, 1) * 2 * torch.pi
        wave = lambda shift: torch.sin(torch.arange(1, 9).view(8, 1) * (waves + shift) + phase).mean(2)
        self.z, self.target = wave(0.0), wave(0.1)
        self.params = list(self.net.parameters())
        self.optimizer = torch.optim.AdamW(self.params, lr=1e-3, weight_decay=1e-4, fused=True)
        self.ema = [p.detach().clone() for p in self.params]

    def save(self, path):
        state = {"state/" + k: v for k, v in to_ups(self.net, dict(self.net.named_parameters())).items()}
        save_file(state | {"input": self.z, "target": self.target}, path)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        error = self.z + 0.1 * self.net(self.z) - self.target
        norm = lambda x: torch.linalg.vector_norm(x, dim=(1, 2))
        loss = (norm(error) / norm(self.target)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0, foreach=True)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.params, 1e-3)
        return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="the C++ program bench_fno")
    parser.add_argument("--points", type=int, default=256)
    parser.add_argument("--modes", type=int, default=48)
    parser.add_argument("--width", type=int, default=24)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=40, help="training steps per round")
    parser.add_argument("--plain", action="store_true", help="the C++ program's plain ATen path")
    args = parser.parse_args()
    if args.rounds < 9:
        parser.error("--rounds must be at least 9: the medians are the result")
    torch.set_num_threads(1)

    trainer = Trainer(args)
    with tempfile.TemporaryDirectory() as folder:
        trainer.save(folder + "/start.safetensors")
        command = [args.program, folder + "/start.safetensors", str(args.modes)] + (["plain"] if args.plain else [])
        cpp = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(line):
            cpp.stdin.write(line + "\n")
            cpp.stdin.flush()
            answer = cpp.stdout.readline()
            if not answer:
                sys.exit("bench_fno: the C++ program ended early")
            return [float(x) for x in answer.split()]

        ours = ask("losses 5")
    theirs = [trainer.step().item() for _ in range(5)]
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    print("losses of 5 steps  C++    " + " ".join(f"{x:.7f}" for x in ours))
    print("                   Python " + " ".join(f"{x:.7f}" for x in theirs))
    print(f"largest relative difference {worst:.1e} (allowed 1e-4)")
    if not worst <= 1e-4:
        sys.exit("bench_fno: the losses disagree")

    def python_round(n):
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(n):
            trainer.step()
        return (time.perf_counter() - wall) / n * 1e3, (time.process_time() - cpu) / n * 1e3

    python_round(args.steps)
    ask(f"time {args.steps}")
    rows = []
    for _ in range(args.rounds):
        rows.append((*ask(f"time {args.steps}"), *python_round(args.steps)))
    cpp.stdin.close()
    cpp.wait()
    cw, cc, pw, pc = (statistics.median(r[i] for r in rows) for i in range(4))
    count = sum(p.numel() for p in trainer.params)
    print(f"{count:,} parameters; medians of {args.rounds} interleaved rounds of {args.steps} steps, one thread each, torch {torch.__version__}")
    print(f"  C++     {cw:7.3f} ms per step   {1e3 / cc:6.1f} steps per CPU-second")
    print(f"  Python  {pw:7.3f} ms per step   {1e3 / pc:6.1f} steps per CPU-second")
    print(f"ratio of CPU time {pc / cc:.2f}x  (smallest round {min(r[3] / r[1] for r in rows):.2f}x; wall {pw / cw:.2f}x)")


if __name__ == "__main__":
    main()
