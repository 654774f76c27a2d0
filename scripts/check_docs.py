#!/usr/bin/env python3
"""Checks README.md and docs/: links lead somewhere, commands name scripts and files that exist, options that the programs have.

usage: check_docs.py BIN_DIR
Code blocks that begin with ```bash are read line by line; those that begin with ```bash run are executed as well, in a
temporary folder that sees this repository's configs/ and the programs of BIN_DIR in build/release/bin. A block that begins with
```LANGUAGE FILE is that file of the repository, letter by letter.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```bash( run)?[ \t]*\n(.*?)^```", re.M | re.S)
QUOTE = re.compile(r"^```\w+ (\S+[./]\S+)[ \t]*\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
PROGRAMS = ("ups-train", "ups-eval", "ups-data")
_help = {}


def options_of(bin_dir, program, verb):
    """Option names in --help of `program verb` (of the program alone if the word is no verb)."""
    key = (program, verb)
    if key not in _help:
        words = [str(bin_dir / program)] + ([verb] if verb else []) + ["--help"]
        shown = subprocess.run(words, capture_output=True, text=True, timeout=60)
        _help[key] = set(re.findall(r"--?[A-Za-z][A-Za-z0-9-]*", shown.stdout)) if shown.returncode == 0 else None
    return _help[key]


def check_command(words, bin_dir, bad):
    while words and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", words[0]):
        words = words[1:]  # environment in front
    if not words:
        return
    first = words[1] if words[0] in ("bash", "python3", "sh") and len(words) > 1 else words[0]
    if first.startswith(("scripts/", "tests/")) and not (ROOT / first).is_file():
        bad(f"no such script: {first}")
    for w in words:
        if w.startswith("configs/") and not (ROOT / w).exists():
            bad(f"no such file: {w}")
    name = os.path.basename(words[0])
    if name not in PROGRAMS:
        return
    verb = words[1] if len(words) > 1 and not words[1].startswith("-") else ""
    known = options_of(bin_dir, name, verb)
    if known is None:
        bad(f"{name} has no verb '{verb}'")
        return
    known = known | (options_of(bin_dir, name, "") or set())
    for w in words[1:]:
        option = w.split("=")[0]
        if re.match(r"--?[A-Za-z]", option) and option not in known:
            bad(f"{name} {verb}: no option {option} in its --help".replace(" :", ":"))


def commands(text):
    """Lines of a block as word lists; continuation lines joined, comments dropped, pipelines and && split."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;><")
        lexer.whitespace_split = True
        words = []
        for w in list(lexer) + [";"]:
            if re.fullmatch(r"[|&;]+", w):
                yield words
                words = []
            else:
                words.append(w)


def run_block(text, bin_dir):
    with tempfile.TemporaryDirectory() as tmp:
        root = pathlib.Path(tmp)
        (root / "build/release").mkdir(parents=True)
        (root / "build/release/bin").symlink_to(bin_dir)
        for d in ("configs", "scripts", "tests"):
            (root / d).symlink_to(ROOT / d)
        env = dict(os.environ, PATH=f"{bin_dir}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-euc", text], cwd=tmp, env=env, capture_output=True, text=True, timeout=600)
        return "" if done.returncode == 0 else f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}"


def main():
    bin_dir = pathlib.Path(sys.argv[1]).resolve()
    problems, seen = [], 0
    for page in [ROOT / "README.md"] + sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        name = page.relative_to(ROOT).as_posix()
        bad = lambda message: problems.append(f"{name}: {message}")  # noqa: E731
        for target in LINK.findall(text):
            if "://" not in target and not (page.parent / target).exists():
                bad(f"broken link: {target}")
        for file, block in QUOTE.findall(text):
            if not (ROOT / file).is_file():
                bad(f"quotes {file}, which does not exist")
            elif (ROOT / file).read_text(encoding="utf-8") != block:
                bad(f"{file} differs from what is quoted")
        for execute, block in BLOCK.findall(text):
            for words in commands(block):
                seen += bool(words)
                check_command(words, bin_dir, bad)
            if execute:
                failed = run_block(block, bin_dir)
                if failed:
                    bad(f"command block failed, {failed}")
    print("\n".join(problems) if problems else f"docs: ok, {seen} commands")
    return 1 if problems or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
