"""Libraries that a worker is the first to import: they are patched before they are used.

Rows of libraries that the process has not imported are not applied when an exploration begins (see
``GROUPS``). Here a process that has imported none of them explores workers that do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """\
import contextlib
import importlib
import json
import sys

import tracelock

with contextlib.suppress(ImportError, OSError, ValueError):
    import resource

    # what the collector gives of modules in C may have no end: rather an error than all memory
    resource.setrlimit(resource.RLIMIT_AS, (1 << 32, resource.getrlimit(resource.RLIMIT_AS)[1]))

NONE_YET = {"asyncio", "ssl", "multiprocessing", "sqlite3"}
FEW = {"shrink": False, "confirm": 0}
WRONG = []


class Box:
    value = 0


def loop(box):
    import asyncio

    async def task():
        value = box.value
        await asyncio.sleep(0)
        box.value = value + 1

    async def both():
        await asyncio.gather(task(), task())

    asyncio.run(both())


def memory(box):
    import multiprocessing

    if not hasattr(box, "shared"):
        box.shared = multiprocessing.Value("i", 0, lock=False)
    box.shared.value += 1


def twice(box):
    assert box.value == 2


def shared(box):
    assert box.shared.value == 2


def looks(library):
    def worker(box):
        importlib.import_module(library)
        from tracelock.instrument import patches

        groups = [name for name, group in patches.GROUPS.items() if group.library == library]
        rows = [row for row in patches.table(*groups, loaded=True) if row.by is not None]
        assert len(rows) > 0
        for row in rows:
            home = row.owner or sys.modules[row.what.__module__]
            places.append((home, row))
            if vars(home).get(row.attribute) is not row.by:
                WRONG.append(row.name)

    places = []
    found = tracelock.explore(setup=Box, workers=[worker], schedules=2, instrument=[])
    found.raise_for_failure()
    WRONG.extend(row.name for home, row in places if vars(home).get(row.attribute) is row.by)
    return len(places)


if __name__ == "__main__":
    there = sorted(NONE_YET & set(sys.modules))
    if sys.argv[1] == "explore":
        tracelock.explore(setup=Box, workers=[lambda box: None])
        there += sorted(NONE_YET & set(sys.modules))
        raced = tracelock.explore(setup=Box, workers=[loop], check=twice, **FEW)
        raced.trace.save("loop.json")
        over = tracelock.explore(setup=Box, workers=[memory] * 2, check=shared, **FEW)
        counts = {name: looks(name) for name in sorted(NONE_YET)}
        print(json.dumps([there, raced.failed, over.failed, counts, WRONG]))
    else:
        trace = tracelock.load_trace("loop.json")
        replayed = tracelock.replay(trace, setup=Box, workers=[loop], check=twice)
        print(json.dumps([there, replayed.reproduced]))
"""


def run(folder: Path, what: str) -> list[object]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ran = subprocess.run(
        [sys.executable, "late_program.py", what], cwd=folder, env=env, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    found: list[object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_what_a_worker_is_the_first_to_import_is_under_control(tmp_path: Path) -> None:
    (tmp_path / "late_program.py").write_text(PROGRAM)
    there, raced, over, counts, wrong = run(tmp_path, "explore")
    assert there == [] and wrong == []
    assert raced is True and over is True
    assert isinstance(counts, dict) and all(counts.values())
    assert run(tmp_path, "replay") == [[], True]
