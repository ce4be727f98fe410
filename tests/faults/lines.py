"""The commands that trials are made with, and the files that they are about."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.faults.trials import ROOT, TRACELOCK

#: A backend that starts processes, those that do not, and one that needs nothing.
BACKENDS = ("threading", "multiprocessing", "asyncio", "trio", "simulated")
LONG = """format: tracelock-scenario/1
name: long
shared: {n: 0}
workers:
  a: {count: 2, steps: [{repeat: 300, do: [{read: n, into: x}, {write: n, value: "x + 1"}]}]}
"""
LONGER = LONG.replace("300", "4000")
#: Goes on until it is ended, and is slow enough to be replayed soon.
ENDLESS = """format: tracelock-scenario/1
name: endless
objects: {l: lock}
shared: {n: 0}
workers:
  a:
    count: 3
    steps:
      - repeat: 10000000
        do: [{acquire: l}, {read: n, into: x}, {write: n, value: "x + 1"}, {release: l},
             {sleep: 0.001}]
"""
#: Real code in processes, which starts one itself.
PROGRAM = """import multiprocessing as mp
from types import SimpleNamespace

def setup():
    return SimpleNamespace(lock=mp.Lock(), n=mp.Value("i", 0))

def add(state):
    for _ in range(3):
        with state.lock:
            state.n.value += 1

def start(state):
    child = mp.get_context("fork").Process(target=add, args=(state,))
    child.start()
    child.join()
"""
PYTHON = """format: tracelock-scenario/1
name: program
workers:
  a: {steps: [{call: "program:add"}]}
  b: {steps: [{call: "program:start"}]}
python: {setup: "program:setup"}
"""


def commands(folder: Path, backends: Sequence[str] = BACKENDS) -> dict[str, list[str]]:
    """One command line for each command, by what it is called in the table."""
    scenario, trace = str(folder / "long.yaml"), str(folder / "aba.json")
    kept = ["--trace", str(folder / "run.json"), "--json"]
    lines = {f"run on {name}": ["run", scenario, "--backend", name, *kept] for name in backends}
    lines["run often"] = ["run", scenario, "--runs", "100", "--json"]
    lines["explore"] = ["explore", scenario, "--seconds", "1", "--json"]
    lines["explore with jobs"] = [*lines["explore"], "--jobs", "2"]
    lines["explore with a checkpoint"] = [
        *lines["explore"], "--strategy", "dpor", "--checkpoint", str(folder / "kept")
    ]  # fmt: skip
    lines["explore Python"] = [
        "explore", str(folder / "python.yaml"), "--allow-call", "--backend", "multiprocessing",
        "--seconds", "1", "--json",
    ]  # fmt: skip
    lines["compare"] = ["compare", scenario, "--runs", "2", "--seconds", "2", "--json"]
    for name in ("replay", "analyze", "predict", "shrink"):
        lines[name] = [name, trace, "--json"]
    for name in ("show", "attach"):
        lines[name] = [name, trace]
    lines["export"] = ["export", trace, "--as", "pytest"]
    lines["report"] = ["report", trace, "-o", str(folder / "page.html")]
    lines["recover"] = ["recover", trace]
    lines["validate"] = ["validate", scenario]
    lines["check"] = ["check", trace, str(folder / "aba.yaml"), "--seconds", "1", "--json"]
    lines["atomic"] = ["atomic", "d[k] += 1", "--json"]
    lines["backends"] = ["backends", "--json"]
    return lines


def on_terminal(folder: Path, backends: Sequence[str] = BACKENDS) -> dict[str, list[str]]:
    """The commands as somebody at a terminal has them: in words, with bars and keys."""
    lines = {
        name: [word for word in line if word != "--json"]
        for name, line in commands(folder, backends).items()
    }
    lines["show step by step"] = ["show", str(folder / "aba.json"), "--step"]
    return lines


def with_workers(folder: Path) -> dict[str, list[str]]:
    """Commands that start processes."""
    scenario, python = str(folder / "long.yaml"), str(folder / "python.yaml")
    longer = str(folder / "longer.yaml")
    processes = ["--backend", "multiprocessing", "--json"]
    code = [python, "--allow-call", *processes]
    return {
        "run": ["run", str(folder / "endless.yaml"), "--max-seconds", "2", *processes],
        "run at random": ["run", longer, "--strategy", "random", *processes],
        "run spawned": ["run", longer, "--start-method", "spawn", *processes],
        "run often": ["run", scenario, "--runs", "60", *processes],
        "run often at random": ["run", scenario, "--strategy", "random", "--runs", "60",
                                *processes],
        "explore with jobs": ["explore", scenario, "--strategy", "random", "--seconds", "6",
                              "--jobs", "2", "--json"],
        "explore, real engine": ["explore", scenario, "--engine", "real", "--seconds", "4",
                                 *processes],
        "replay": ["replay", str(folder / "processes.json"), "--json"],
        "run Python": ["run", *code],
        "run Python often": ["run", *code, "--runs", "30"],
        "explore Python": ["explore", *code, "--seconds", "2"],
        "explore Python apart": ["explore", python, "--allow-call", "--isolation", "always",
                                 "--backend", "threading", "--seconds", "2", "--json"],
        "compare": ["compare", scenario, "--runs", "2", "--seconds", "2", "--json"],
    }  # fmt: skip


@cache
def processes_trace() -> bytes:
    """A trace of a run on processes."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "longer.yaml").write_text(LONGER)
        line = ["run", "longer.yaml", "--backend", "multiprocessing", "--strategy", "random"]
        subprocess.run(
            [*TRACELOCK, *line, "--seed", "1", "--trace", "t.json"], cwd=folder, check=True,
            capture_output=True, timeout=60, env={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return Path(folder, "t.json").read_bytes()


class in_folder(tempfile.TemporaryDirectory):  # type: ignore[type-arg]
    """A new folder with all that the commands are about."""

    def __enter__(self) -> Path:  # type: ignore[override]
        folder = Path(super().__enter__())
        fill(folder)
        return folder


def fill(folder: Path) -> None:
    """Put all that the commands are about into a folder."""
    texts = {
        "long.yaml": LONG, "longer.yaml": LONGER, "endless.yaml": ENDLESS,
        "python.yaml": PYTHON, "program.py": PROGRAM,
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "processes.json").write_bytes(processes_trace())
    # copies: some commands write beside the trace that they are given
    shutil.copy(ROOT / "traces" / "aba.json", folder)
    shutil.copy(ROOT / "scenarios" / "aba.yaml", folder)
