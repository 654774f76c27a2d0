"""A Fourier neural operator in eager PyTorch, written from the description in arXiv 2010.08895 with PDEBench's sizes and padding.

Channels first, torch.fft, complex products with weights [in, out, modes..]: it shares nothing with src/ups/models/fno.cpp but the mathematics.
to_ups() names and lays out its weights (or their gradients) as our state dict does.
"""
import torch
import torch.nn.functional as F
from torch import nn


class SpectralConv(nn.Module):
    def __init__(self, width, modes, axes):
        super().__init__()
        self.modes, self.axes = modes, axes
        blocks = 1 if axes == 1 else 2  # along the first axis of two: low positive and low negative frequencies
        shape = (blocks, width, width) + (modes,) * axes
        self.weight = nn.Parameter(torch.randn(*shape, 2) / (width * 2**0.5))  # real and imaginary part: fused AdamW takes no complex numbers

    def forward(self, x):
        m, weight = self.modes, torch.view_as_complex(self.weight)
        if self.axes == 1:
            spectrum = torch.fft.rfft(x)
            out = torch.zeros_like(spectrum)
            out[..., :m] = torch.einsum("bix,iox->box", spectrum[..., :m], weight[0])
            return torch.fft.irfft(out, n=x.shape[-1])
        spectrum = torch.fft.rfft2(x)
        out = torch.zeros_like(spectrum)
        out[:, :, :m, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, :m, :m], weight[0])
        out[:, :, -m:, :m] = torch.einsum("bixy,ioxy->boxy", spectrum[:, :, -m:, :m], weight[1])
        return torch.fft.irfft2(out, s=x.shape[-2:])


class Fno(nn.Module):
    def __init__(self, inputs, outputs, width, modes, axes, layers=4, head=128, padding=0, grid_channel=False):
        super().__init__()
        self.axes, self.padding, self.grid_channel = axes, padding, grid_channel
        conv = nn.Conv1d if axes == 1 else nn.Conv2d
        self.fc0 = conv(inputs + (axes if grid_channel else 0), width, 1)
        self.spectral = nn.ModuleList(SpectralConv(width, modes, axes) for _ in range(layers))
        self.pointwise = nn.ModuleList(conv(width, width, 1) for _ in range(layers))
        self.fc1, self.fc2 = conv(width, head, 1), conv(head, outputs, 1)

    def forward(self, x):  # [B, C, X(, Y)]
        grid = x.shape[2:]
        if self.grid_channel:
            lines = [(torch.arange(n, dtype=x.dtype) + 0.5) / n for n in grid]
            coordinates = torch.stack(torch.meshgrid(*lines, indexing="ij"))
            x = torch.cat([x, coordinates.expand(x.shape[0], *coordinates.shape)], 1)
        x = self.fc0(x)
        if self.padding:
            x = F.pad(x, [0, self.padding] * self.axes)
        last = len(self.spectral) - 1
        for i, (spectral, pointwise) in enumerate(zip(self.spectral, self.pointwise)):
            x = spectral(x) + pointwise(x)
            if i < last:
                x = F.gelu(x)
        if self.padding:
            x = x[..., : grid[0]] if self.axes == 1 else x[..., : grid[0], : grid[1]]
        return self.fc2(F.gelu(self.fc1(x)))


def to_ups(net, values):
    """values: parameter name -> tensor (weights or gradients) of net, as a dict with the names and layouts of ups::models::Fno."""
    out = {}
    for name in ("fc0", "fc1", "fc2"):
        out[name + ".weight"] = values[name + ".weight"].flatten(1)
        out[name + ".bias"] = values[name + ".bias"]
    for i in range(len(net.spectral)):
        out[f"layers.{i}.pointwise.weight"] = values[f"pointwise.{i}.weight"].flatten(1)
        out[f"layers.{i}.pointwise.bias"] = values[f"pointwise.{i}.bias"]
        w = torch.view_as_complex(values[f"spectral.{i}.weight"].contiguous())  # [blocks, in, out, modes..] -> [frequencies, in, out], positive ones first
        w = w[0].movedim((0, 1), (-2, -1)) if net.axes == 1 else torch.cat([w[0], w[1]], 2).movedim((0, 1), (-2, -1))
        w = w.flatten(0, -3)
        out[f"layers.{i}.spectral.weight"] = torch.cat([w.real, w.imag], -1)
    return {k: v.detach().contiguous().clone() for k, v in out.items()}
