"""What an exploration costs before and after its schedules: the first of a process, and later ones.

    python tests/bench/bench_start.py [--rounds N] [--later N] [--against DIRECTORY]

Processor time of ``tracelock.explore`` of workers that do one step, on threads and on asyncio, in a
process that has imported little and in one that has imported what larger programs do; of the later
ones the median, and how it is spread over the phases. ``--against``: another source tree, whose
processes take turns with those of this one, with the ratio of the two. One core; nothing is
asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: What a larger program has imported, as far as it is there.
LIBRARIES = (
    "asyncio", "concurrent.futures", "ctypes", "decimal", "email.mime.text", "ftplib", "hashlib",
    "http.client", "http.server", "imaplib", "logging.handlers", "multiprocessing.pool", "sqlite3",
    "ssl", "statistics", "tarfile", "unittest.mock", "urllib.request", "xml.dom.minidom",
    "xml.etree.ElementTree", "xml.sax", "xmlrpc.client", "zipfile", "attrs", "click", "dask",
    "distributed", "hypothesis", "jinja2", "jsonschema", "mypy.build", "numpy", "pandas",
    "pydantic", "pygments.lexers.python", "pytest", "requests", "rich.console", "sqlalchemy.orm",
    "tornado.web", "trio", "yaml",
)  # fmt: skip
#: The phases, by the functions of which the time is taken. One inside of another counts for itself.
PHASES = {
    "search": ("tracelock.session.exploring", "Exploration.search"),
    "finish": ("tracelock.session.exploring", "Exploration.finish"),
    "enter": ("tracelock.session.python_host", "PythonHost.__enter__"),
    "import": ("tracelock.instrument.rewrite.loading", "Sources.import_all"),
    "objects": ("tracelock.instrument.live_objects", "LiveObjects.__init__"),
    "rewrite": ("tracelock.instrument.rewrite.loading", "Instrumentation.install"),
    "rewrite back": ("tracelock.instrument.rewrite.loading", "Instrumentation.uninstall"),
    "patch": ("tracelock.instrument.patches", "Patches.apply"),
    "patch back": ("tracelock.instrument.patches", "Patches.undo"),
    "state": ("tracelock.instrument.state.program", "KeptState.__init__"),
    "close": ("tracelock.session.python_host", "PythonHost.close"),
}


class Box:
    """What the workers share."""

    def __init__(self) -> None:
        self.value = 0


def step(box: Box) -> None:
    box.value += 1


async def task(box: Box) -> None:
    box.value += 1


class Phases:
    """The processor time of each phase, without what is inside of it and a phase itself."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self._inner = [0.0]
        for name, (module, path) in PHASES.items():
            owner, _, attribute = path.partition(".")
            cls = getattr(importlib.import_module(module), owner)
            setattr(cls, attribute, self._timed(name, getattr(cls, attribute)))

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = process_time()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                took = process_time() - begun
                self.spent[name] += took - self._inner.pop()
                self._inner[-1] += took

        return timed


def one_process(kind: str, size: str, later: int) -> None:
    """Explore in this process; what that took goes to the output, as JSON."""
    if size == "large":
        for name in LIBRARIES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    begun = process_time()
    tracelock = importlib.import_module("tracelock")
    imported = process_time() - begun
    worker = task if kind == "asyncio" else step

    def once() -> float:
        begun = process_time()
        found = tracelock.explore(setup=Box, workers=[worker])
        took = process_time() - begun
        if found.verdict not in ("passed", "verified"):
            raise SystemExit(f"the exploration ended {found.verdict}")
        return took

    first = once()
    rest = [once() for _ in range(later)]
    phases = Phases()
    for _ in range(later):
        once()
    told = {
        "import": imported, "first": first, "later": statistics.median(rest), "least": min(rest),
        "objects": len(gc.get_objects()), "modules": len(sys.modules),
        "phases": {name: spent / later for name, spent in phases.spent.items()},
    }  # fmt: skip
    print(json.dumps(told))


def measure(tree: Path, cache: Path, kind: str, size: str, later: int) -> dict[str, Any]:
    """The same in a process of its own, with the package of this tree. ``cache``: where what is
    compiled is kept."""
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONPYCACHEPREFIX": str(cache)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, __file__, "--one", kind, size, "--later", str(later)],
        env=env, check=True, timeout=300, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--later", type=int, default=20)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_process(*options.one, options.later)
        return
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    trees = {"this": ROOT}
    if options.against is not None:
        trees["against"] = options.against.resolve()
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: Path(folder) / name for name in trees}
        for size in ("small", "large"):
            for kind in ("threading", "asyncio"):
                found: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
                for number in range(options.rounds + 1):
                    for name, tree in trees.items():
                        told = measure(tree, caches[name], kind, size, options.later)
                        if number:  # the one before has filled the cache
                            found[name].append(told)
                tell(kind, size, found)


def tell(kind: str, size: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians."""
    medians: dict[str, dict[str, float]] = {}
    for name, rounds in found.items():
        got = medians[name] = {
            part: statistics.median(one[part] for one in rounds) * 1000
            for part in ("import", "first", "later", "least")
        }
        phases = {
            phase: statistics.median(one["phases"].get(phase, 0.0) for one in rounds) * 1000
            for phase in PHASES
        }
        told = "  ".join(f"{part} {spent:.1f}" for part, spent in got.items())
        print(
            f"{kind}, {size} ({rounds[0]['modules']} modules, {rounds[0]['objects']} objects), "
            f"{name}: {told} ms"
        )
        print("    " + "  ".join(f"{phase} {spent:.2f}" for phase, spent in phases.items()))
    if len(medians) > 1:
        ratios = "  ".join(
            f"{part} {medians['against'][part] / medians['this'][part]:.2f}"
            for part in ("first", "later")
        )
        print(f"    against / this: {ratios}", flush=True)


if __name__ == "__main__":
    main()
