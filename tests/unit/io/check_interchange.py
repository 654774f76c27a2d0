"""Loads what the C++ test wrote. Usage: check_interchange.py DIR. Exits 77 when torch is absent; safetensors is optional."""
import sys

try:
    import torch
except ImportError:
    print("notice: torch is not installed for this Python, nothing checked")
    sys.exit(77)
d = sys.argv[1]
want = {"w": torch.arange(6, dtype=torch.float32).reshape(2, 3).t(), "h": torch.tensor([1.5, -2], dtype=torch.bfloat16),
        "i": torch.tensor([-7], dtype=torch.int64), "flags": torch.tensor([True, False]), "scalar": torch.tensor(2.5, dtype=torch.float64),
        "none": torch.empty(0, 3)}


def same(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b), (a, b)


for weights_only in (True, False):
    for mmap in (False, True):
        state = torch.load(d + "/state.pt", weights_only=weights_only, mmap=mmap)
        assert list(state) == list(want)
        for k, v in want.items():
            same(state[k], v)
    tree = torch.load(d + "/tree.pt", weights_only=weights_only)
    assert tree["epoch"] == 3 and tree["lr"] == 1e-3 and tree["name"] == "a\u00e9" and tree["none"] is None and tree["flag"] is True
    assert tree["betas"] == (0.9, 0.95) and tree["list"] == [1, "x", []] and tree["big"] == -5_000_000_000
    same(tree["state"][0]["step"], torch.tensor(3.0))
# An optimizer accepts the state that the tree holds.
p = torch.nn.Parameter(torch.zeros(2, 3))
opt = torch.optim.AdamW([p], lr=1)
opt.load_state_dict(torch.load(d + "/optim.pt", weights_only=True))
assert opt.param_groups[0]["lr"] == 0.25 and opt.state[p]["exp_avg"][1, 2] == 5
p.grad = torch.ones_like(p)
opt.step()
try:
    from safetensors.torch import load_file
except ImportError:
    print("notice: the safetensors package is not installed, that half was not checked")
    load_file = None
if load_file:
    state = load_file(d + "/state.safetensors")
    assert sorted(state) == sorted(want)
    for k, v in want.items():
        same(state[k], v.contiguous())
torch.save({"w": want["w"], "h": want["h"]}, d + "/back.pt")
torch.save(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict(), d + "/sd.pt")
torch.save(torch.nn.Parameter(torch.ones(3)), d + "/param.pt")
print("ok")
