#!/usr/bin/env python3
"""Eager PyTorch opponent of tests/bench/bench_step.cpp: one training step of the pdet_unet golden configuration.

Reads weights, inputs and target from the golden bundle, takes five steps (the losses must agree with the C++ program's to 2e-6),
then times rounds in turn: the C++ program, eager Python and torch.compile, each at one and two threads. Prints medians and the ratio
of the fastest eager variant to the fastest C++ one.
"""
import argparse
import copy
import ctypes
import json
import os
import statistics
import struct
import subprocess
import sys
import time

ctypes.CDLL(None).mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
ctypes.CDLL(None).mallopt(-1, 2_000_000_000)  # M_TRIM_THRESHOLD
ctypes.CDLL(None).mallopt(-2, 64 << 20)  # M_TOP_PAD

import torch
import torch.nn.functional as F
from torch import nn


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    out = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            raw = bytearray(data[8 + size + begin : 8 + size + end])
            out[name] = torch.frombuffer(raw, dtype=torch.float32).reshape(entry["shape"])
    return out


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight, 1e-6)


class Attention(nn.Module):
    def __init__(self, group, heads):
        super().__init__()
        self.group, self.heads = group, heads
        self.q_proj, self.k_proj = nn.Linear(group, group), nn.Linear(group, group)
        self.v_proj, self.out_proj = nn.Linear(group, group), nn.Linear(group, group)
        self.q_norm, self.k_norm = RmsNorm(group), RmsNorm(group)

    def forward(self, x):
        b, t, h = x.shape
        n = h // self.group
        y = x.view(b, t, n, self.group).transpose(1, 2)
        split = lambda u: u.reshape(b * n, t, self.heads, -1).transpose(1, 2)
        q, k, v = split(self.q_proj(self.q_norm(y))), split(self.k_proj(self.k_norm(y))), split(self.v_proj(y))
        o = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, t, self.group)
        return self.out_proj(o).transpose(1, 2).reshape(b, t, h)


class FeedForward(nn.Module):
    def __init__(self, h, m):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(h), nn.Linear(h, m), nn.GELU(), nn.Identity(), nn.Linear(m, h))

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, h, group, heads, m):
        super().__init__()
        self.attn_norm, self.attn, self.ff = nn.LayerNorm(h), Attention(group, heads), FeedForward(h, m)

    def forward(self, x):
        x = x + self.attn(self.attn_norm(x))
        return x + self.ff(x)


class Core(nn.Module):
    def __init__(self, d, h, depths, group, heads, m):
        super().__init__()
        self.input_proj, self.output_proj = nn.Linear(d, h), nn.Linear(h, d)
        blocks = lambda n: nn.Sequential(*[Block(h, group, heads, m) for _ in range(n)])
        self.down_layers = nn.ModuleList(nn.ModuleList([blocks(n), nn.Linear(h, h)]) for n in depths[:-1])
        self.bottleneck = blocks(depths[-1])
        self.up_layers = nn.ModuleList(nn.ModuleList([nn.Linear(h, h), blocks(n)]) for n in reversed(depths[:-1]))
        self.final_norm = nn.LayerNorm(h)

    def forward(self, u):
        x, skips = self.input_proj(u), []
        for blocks, linear in self.down_layers:
            x = blocks(x)
            skips.append(x)
            x = linear(x.view(x.shape[0], -1, 2, x.shape[2]).mean(2))
        x = self.bottleneck(x)
        for linear, blocks in self.up_layers:
            skip = skips.pop()
            x = F.interpolate(x.transpose(1, 2), size=skip.shape[1], mode="linear", align_corners=False).transpose(1, 2)
            x = blocks(x + linear(skip))
        return self.output_proj(self.final_norm(x))


class TimeEmbed(nn.Module):
    def __init__(self, e):
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(1, e), nn.SiLU(), nn.Linear(e, e))

    def forward(self, dt):
        return self.proj(dt)


class Operator(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, e, h = c["latent_dim"], c["time_embed_dim"], c["hidden_dim"]
        self.time_embed, self.time_to_latent = TimeEmbed(e), nn.Linear(e, d)
        self.core = Core(d, h, c["depths"], c["group_size"], c["num_heads"], int(h * c["mlp_ratio"]))
        self.output_norm = nn.LayerNorm(d)

    def forward(self, z, dt):
        f = self.time_to_latent(self.time_embed(dt.reshape(1, 1)))
        return z + self.output_norm(self.core(z + f.unsqueeze(1)))


def spectral_magnitude(x):
    return torch.fft.rfft(x, dim=-1).abs()


class Trainer:
    def __init__(self, bundle, device="cpu"):
        config = json.load(open(bundle + ".json"))["config"]
        tensors = read_safetensors(bundle + ".safetensors")
        self.t = config["training"]
        self.model = Operator(config)
        self.model.load_state_dict(read_safetensors(bundle + ".state.safetensors"))
        self.model.to(device)
        self.z, self.dt, self.target = (tensors["input/" + n].to(device) for n in ("z", "dt", "target"))
        self.forward = self.model
        self.params = list(self.model.parameters())
        self.optimizers = [torch.optim.AdamW(self.params, lr=self.t["lr"], weight_decay=self.t["weight_decay"], fused=True)]
        self.ema = [p.detach().clone() for p in self.params]

    def use_muon(self):
        """torch.optim.Muon for every matrix, AdamW for the rest."""
        rate, decay = self.t["lr"], self.t["weight_decay"]
        matrices = [p for p in self.params if sum(s > 1 for s in p.shape) >= 2]
        others = [p for p in self.params if sum(s > 1 for s in p.shape) < 2]
        self.optimizers = [torch.optim.Muon(matrices, lr=rate, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
                           torch.optim.AdamW(others, lr=rate, weight_decay=decay, fused=True)]

    def compiled(self):
        """The same training state behind a compiled forward and backward."""
        other = copy.copy(self)
        other.forward = torch.compile(self.model)
        return other

    def step(self):
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        out = self.forward(self.z, self.dt)
        loss = F.mse_loss(out, self.target)
        loss = loss + 0.05 * F.mse_loss(spectral_magnitude(out), spectral_magnitude(self.target))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, self.t["clip"], foreach=True)
        for optimizer in self.optimizers:
            optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.ema, self.params, 1 - self.t["ema_decay"])
        return loss


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", help="the C++ program bench_step")
    parser.add_argument("--bundle", required=True, help="path of the golden bundle without extension")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--steps", type=int, default=40, help="training steps per round")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    if (args := parser.parse_args()).rounds < 9:
        parser.error("--rounds must be at least 9: the medians are the result")
    torch.set_num_threads(1)

    trainer = Trainer(args.bundle)
    cpp = subprocess.Popen([args.program, args.bundle], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(line):
        cpp.stdin.write(line + "\n")
        cpp.stdin.flush()
        answer = cpp.stdout.readline()
        if not answer:
            sys.exit("bench_step: the C++ program ended early")
        return answer.split()

    ours, theirs = [float(x) for x in ask("losses 5")], [trainer.step().item() for _ in range(5)]
    worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
    print("losses of 5 steps  C++    " + " ".join(f"{x:.7f}" for x in ours))
    print("                   Python " + " ".join(f"{x:.7f}" for x in theirs))
    print(f"largest relative difference {worst:.1e} (allowed 2e-6)")
    if not worst <= 2e-6:
        sys.exit("bench_step: the losses disagree")

    def python_round(which, threads, n):
        torch.set_num_threads(threads)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(n):
            which.step()
        return (time.perf_counter() - wall) / n * 1e3, (time.process_time() - cpu) / n * 1e3

    def cpp_round(threads, n):
        ask(f"threads {threads}")
        return tuple(float(x) for x in ask(f"time {n}"))

    counts = [1] if os.cpu_count() == 1 else [1, 2]
    contenders = {("C++", t): lambda n, t=t: cpp_round(t, n) for t in counts}
    contenders.update({("Python", t): lambda n, t=t: python_round(trainer, t, n) for t in counts})
    if not args.no_compile:
        begin = time.perf_counter()
        compiled = trainer.compiled()
        try:
            compiled.step()
            print(f"torch.compile took {time.perf_counter() - begin:.0f} s")
            contenders.update({("compile", t): lambda n, t=t: python_round(compiled, t, n) for t in counts})
        except Exception as error:  # no compiler or no Python headers on this machine
            print(f"torch.compile is not possible here: {str(error).strip().splitlines()[0]}")
    rows = {key: [] for key in contenders}
    for key, one in contenders.items():
        one(args.steps)
    for _ in range(args.rounds):
        for key, one in contenders.items():
            rows[key].append(one(args.steps))
    cpp.stdin.close()
    cpp.wait()
    print(f"medians of {args.rounds} interleaved rounds of {args.steps} steps, torch {torch.__version__}")
    median = {}
    for key, values in rows.items():
        median[key] = statistics.median(v[0] for v in values)
        print(f"  {key[0]:8s}{key[1]} thread{'s' if key[1] > 1 else ' '} {median[key]:8.3f} ms per step   (CPU time {statistics.median(v[1] for v in values):.3f} ms)")
    best = lambda name: min((k for k in median if k[0] == name), key=median.get, default=None)
    ours, eager, fast = best("C++"), best("Python"), best("compile")
    rounds = [p[0] / c[0] for p, c in zip(rows[eager], rows[ours])]
    print(f"ratio eager / C++ {median[eager] / median[ours]:.2f}x  (each at its best thread count; smallest round {min(rounds):.2f}x)")
    if fast:
        print(f"ratio torch.compile / C++ {median[fast] / median[ours]:.2f}x")


if __name__ == "__main__":
    main()
