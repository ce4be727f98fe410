"""Loads, runs and judges the programs of this folder.

Each is the core of a bug as libraries have had it (the first line names one), with ``setup``,
``workers``, perhaps ``check`` and ``BACKEND``, and ``KINDS`` (what its root may be). A
line that a fix would change ends in ``# mend: NEW LINE``: the mended twin has that in its place. So
it is known which lines the root finding should name.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import tracelock
from tracelock.analysis.findings import Finding
from tracelock.trace import Trace, Verdict

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__init__", "program"))
_MEND = re.compile(r"^(?P<indent>\s*)(?P<old>.*?)\s+# mend: (?P<new>.*)$")
#: A line this near to one that the fix changes counts as named.
NEAR = 3


@dataclass(frozen=True, slots=True)
class Judged:
    """What the analysis of one failing trace came to. ``line``: the root names a line that the fix
    changes, or one within ``NEAR`` lines of it; ``exact``: that very line; ``function``: a line of
    the function that has it; ``kind``: its kind is one that fits the bug."""

    root: Finding
    line: bool
    exact: bool
    function: bool
    kind: bool


def causes(name: str) -> list[int]:
    """The lines of a program that its fix changes, from 1."""
    lines = (HERE / f"{name}.py").read_text().splitlines()
    return [number for number, line in enumerate(lines, 1) if _MEND.match(line)]


def source(name: str, mended: bool) -> str:
    """The text of a program, or of its twin; line for line the same length."""
    lines = (HERE / f"{name}.py").read_text().splitlines()
    return "\n".join(
        _MEND.sub(r"\g<indent>\g<new>" if mended else r"\g<indent>\g<old>", line) for line in lines
    ) + "\n"  # fmt: skip


def load(name: str, mended: bool, folder: Path) -> ModuleType:
    """A program as a module of its own, whose file is in ``folder``."""
    label = f"{name}_mended" if mended else f"{name}_bug"
    path = folder / f"{label}.py"
    path.write_text(source(name, mended))
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[label] = module
    spec.loader.exec_module(module)
    return module


def explore(name: str, *, schedules: int = 400) -> Trace:
    """A failing trace of a program. Raises AssertionError where the search finds none."""
    with _loaded(name, False) as arguments:
        found = tracelock.explore(**arguments, schedules=schedules, seconds=None, confirm=0)
    assert found.verdict == "failed" and found.trace is not None, f"{name}: {found.summary}"
    return found.trace


def passing(name: str, *, schedules: int = 100, seeds: int = 3) -> list[Trace]:
    """Traces of passing runs of the mended twin. Raises AssertionError where one fails.

    A search keeps no trace of what passes; so a check that fails always stands for the true one
    when that has passed, and the verdict is put right afterwards.
    """
    with _loaded(name, True) as arguments:
        found = tracelock.explore(**arguments, schedules=schedules, seconds=None, confirm=0)
        assert found.verdict in ("passed", "verified"), f"{name} mended: {found.summary}"
        traces = []
        for seed in range(seeds):
            kept = tracelock.explore(
                **{**arguments, "check": _fails}, strategy="random", seed=seed, schedules=1,
                confirm=0, shrink=False,
            ).trace  # fmt: skip
            assert kept is not None and _STOP in kept.verdict.message, kept
            kept.verdict = Verdict("passed")
            traces.append(kept)
    return traces


_STOP = "the check that keeps a trace"


def _fails(*state: Any) -> None:
    raise AssertionError(_STOP)


@contextmanager
def _loaded(name: str, mended: bool) -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        module = load(name, mended, Path(folder))
        try:
            yield {
                "setup": module.setup, "workers": module.workers,
                "check": getattr(module, "check", None), "instrument": [module.__name__],
                "backend": getattr(module, "BACKEND", "threading"),
            }  # fmt: skip
        finally:
            sys.modules.pop(module.__name__, None)


def judge(name: str, trace: Trace) -> Judged:
    """Whether the root of a failing trace names what the fix changes."""
    root = tracelock.analyze(trace)[0]
    assert root.root, root
    wanted = causes(name)
    named = [
        int(place.rpartition(":")[2]) for place in root.places
        if place.rpartition(":")[0].endswith(f"{name}_bug.py")
    ]  # fmt: skip
    near = min((abs(a - b) for a in named for b in wanted), default=NEAR + 1)
    spans = [
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in ast.walk(ast.parse(source(name, False)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]  # fmt: skip
    inside = any(a in span and b in span for span in spans for a in named for b in wanted)
    return Judged(root, near <= NEAR, near == 0, inside, root.kind in kinds(name))


def kinds(name: str) -> set[str]:
    """What the root of a program may be called, as its ``KINDS`` says."""
    for node in ast.parse(source(name, False)).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "KINDS":
            return set(ast.literal_eval(node.value))
    raise LookupError(f"{name} has no KINDS")
