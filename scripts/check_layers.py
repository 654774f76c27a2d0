#!/usr/bin/env python3
"""Checks the architecture of src/ups and apps: folder ranks, include cycles, torch-free folders, self-containment.

usage: check_layers.py [ROOT]      exit 1 and one line per violation
       check_layers.py --self-test plants one violation of each kind and demands that it is found
"""
import pathlib
import re
import subprocess
import sys
import tempfile

RANK = {"core": 0, "config": 1, "io": 1, "optim": 1, "data": 2, "metrics": 2, "models": 2, "train": 3, "stages": 4, "run": 5}
TORCH_FREE = {"core", "config", "data", "metrics"}
TORCH_FREE_BUT = {"src/ups/core/torch_compat.h"}  # header-only, no symbol
# Headers of ours may include the narrow tensor header; these cost 10 to 22 s in every file that includes them.
HEAVY = re.compile(r"torch/(torch|nn|optim|types|extension)\.h|torch/nn/|ATen/ATen\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
OUTSIDE = "/work/" + "shared"  # a folder of the authors' machine; nothing shipped may need it
SOURCES = (".h", ".cpp", ".cu", ".cuh")


def includes(path):
    return [(m.group(1), m.group(2)) for m in INCLUDE.finditer(path.read_text(encoding="utf-8"))]


def check(root):
    root = pathlib.Path(root)
    bad, graph = [], {}
    files = sorted(p for d in ("src/ups", "apps") if (root / d).is_dir() for p in (root / d).rglob("*") if p.suffix in SOURCES)
    for path in files:
        name = path.relative_to(root).as_posix()
        folder = name.split("/")[2] if name.startswith("src/ups/") and name.count("/") > 2 else "apps"
        if folder != "apps" and folder not in RANK:
            bad.append(f"{name}: folder '{folder}' has no rank; add it to scripts/check_layers.py")
            continue
        rank = RANK.get(folder, 7)
        is_header = path.suffix in (".h", ".cuh")
        if is_header and "#pragma once" not in path.read_text(encoding="utf-8"):
            bad.append(f"{name}: header without #pragma once")
        for kind, target in includes(path):
            if target.startswith("ups/"):
                if not (root / "src" / target).is_file():
                    bad.append(f"{name}: includes {target}, which does not exist")
                    continue
                other = target.split("/")[1]
                if other != folder and RANK.get(other, 7) >= rank:
                    bad.append(f"{name}: {folder} (rank {rank}) includes {target} of rank {RANK.get(other, 7)}")
                if is_header and target.endswith((".h", ".cuh")):
                    graph.setdefault(name, []).append("src/" + target)
            elif kind == '"' and not (path.parent / target).is_file():
                bad.append(f"{name}: includes \"{target}\"; our headers are written \"ups/folder/file.h\"")
            if re.match(r"(torch|ATen|c10)/", target) and folder in TORCH_FREE and name not in TORCH_FREE_BUT:
                bad.append(f"{name}: {folder} is torch-free but includes <{target}>")
            if is_header and HEAVY.match(target):
                bad.append(f"{name}: header includes <{target}>; use <ATen/core/Tensor.h>")
    return bad + cycles(graph) + outside(root)


def cycles(graph):
    bad, state = [], {}  # state: 1 on the current path, 2 done

    def visit(node, path):
        state[node] = 1
        for nxt in graph.get(node, []):
            if state.get(nxt) == 1:
                bad.append("include cycle: " + " -> ".join(path[path.index(nxt):] + [nxt]))
            elif nxt not in state:
                visit(nxt, path + [nxt])
        state[node] = 2

    for node in sorted(graph):
        if node not in state:
            visit(node, [node])
    return bad


def outside(root):
    """Tracked (or, outside git, all) text files that name the authors' folder."""
    git = subprocess.run(["git", "-C", str(root), "ls-files", "-z"], capture_output=True, text=True)
    names = git.stdout.split("\0")[:-1] if git.returncode == 0 else [p.relative_to(root) for p in root.rglob("*") if p.is_file()]
    needle = OUTSIDE.encode()
    return [f"{n}: names {OUTSIDE}" for n in names if (root / n).is_file() and needle in (root / n).read_bytes()]


def self_test():
    planted = {
        "rank": ("src/ups/io/a.h", '#pragma once\n#include "ups/models/m.h"\n', "of rank 2"),
        "sibling": ("src/ups/io/b.h", '#pragma once\n#include "ups/config/c.h"\n', "of rank 1"),
        "torch": ("src/ups/data/d.cpp", "#include <ATen/core/Tensor.h>\n", "torch-free"),
        "heavy": ("src/ups/models/e.h", "#pragma once\n#include <torch/torch.h>\n", "use <ATen/core/Tensor.h>"),
        "cycle": ("src/ups/core/f.h", '#pragma once\n#include "ups/core/g.h"\n', "include cycle"),
        "missing": ("src/ups/core/h.cpp", '#include "ups/core/none.h"\n', "does not exist"),
        "pragma": ("src/ups/core/i.h", "int i();\n", "#pragma once"),
        "outside": ("docs/j.md", f"see {OUTSIDE}/x\n", "names"),
        "folder": ("src/ups/misc/k.h", "#pragma once\n", "has no rank"),
    }
    clean = {"src/ups/models/m.h": "#pragma once\n", "src/ups/config/c.h": "#pragma once\n",
             "src/ups/core/g.h": '#pragma once\n', "src/ups/train/n.cpp": '#include "ups/models/m.h"\n#include <torch/torch.h>\n'}
    for kind, (name, text, expect) in planted.items():
        with tempfile.TemporaryDirectory() as tmp:
            root = pathlib.Path(tmp)
            tree = dict(clean)
            if kind == "cycle":
                tree["src/ups/core/g.h"] = '#pragma once\n#include "ups/core/f.h"\n'
            for file, content in tree.items():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                (root / file).write_text(content)
            before = [] if kind == "cycle" else check(root)
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            found = check(root)
            if before or not any(expect in line for line in found):
                print(f"self-test: planted '{kind}' violation not found (clean tree: {before}, found: {found})")
                return 1
    print(f"self-test: {len(planted)} planted violations found")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        sys.exit(self_test())
    violations = check(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parent.parent)
    print("\n".join(violations) if violations else "layers: ok")
    sys.exit(1 if violations else 0)
