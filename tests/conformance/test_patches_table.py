"""The table of patches itself: it is complete, it is undone, and one function more is one row.

That each row says what is so is tested, use by use, in ``test_patches_used``,
``test_patches_loops``, ``test_patches_network``, ``test_patches_outside`` and ``test_outside``.
"""

from __future__ import annotations

import _thread
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import tracelock
import tracelock.instrument
from tests.conformance import test_outside as calls_outside
from tests.conformance import test_patches_loops as loops
from tests.conformance import test_patches_network as network
from tests.conformance import test_patches_outside as outside
from tests.conformance import test_patches_used as used
from tracelock.cli.main import main
from tracelock.errors import InternalError
from tracelock.instrument import patches
from tracelock.instrument.clock import START
from tracelock.instrument.patches import CONTROLLED, NOT_CONTROLLED, SEEN, Patch, table
from tracelock.instrument.patching import MISSING, declared, patch
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import SLEEP, Op

ROWS = table()
#: Rows that replace something in order to say that it is not under control.
REFUSED = {*loops.REFUSED, *calls_outside.REFUSED}
REPLACED = [row for row in ROWS if row.by is not None]


def test_each_row_has_a_use() -> None:
    uses = {
        *used.THREADS, *used.FILES, *used.DATABASES, *used.PROCESSES, *used.ALONE, *used.DYING,
        *loops.ASYNCIO, *loops.ASYNCIO_LOOP, *loops.ANYIO, *loops.TRIO_APART, *loops.OWN_LOOPS,
        *loops.REFUSED, *loops.TRIO, *loops.TRIO_LOOP, *outside.BLOCKS,
        *outside.SAME, *network.USES, *network.TRIO_USES,
        *calls_outside.USES, *calls_outside.REFUSED,
    }  # fmt: skip
    assert {row.name for row in ROWS} == uses
    assert len(uses) == len(ROWS) > 200
    assert {row.how for row in ROWS} == {CONTROLLED, SEEN, NOT_CONTROLLED}
    assert all(row.how != NOT_CONTROLLED or row.name in REFUSED for row in REPLACED)


def test_what_a_row_names_exists() -> None:
    for row in ROWS:
        if row.by is None:
            parts = row.name.split(".")
            module: Any = importlib.import_module(parts[0])
            for place, part in enumerate(parts[1:], 2):
                found = getattr(module, part, None)
                module = found or importlib.import_module(".".join(parts[:place]))


def test_every_module_that_declares_rows_is_in_the_table() -> None:
    for info in pkgutil.walk_packages(tracelock.instrument.__path__, "tracelock.instrument."):
        importlib.import_module(info.name)
    names = [name for group in patches.GROUPS.values() for name in group.modules]
    assert len(names) == len(set(names))
    assert declared.keys() == {f"tracelock.instrument.{name}" for name in names}


def test_a_word_that_is_none_of_the_three_is_an_error() -> None:
    with pytest.raises(InternalError, match="'handled' is none of controlled, seen, not contr"):
        patch("os.getpid", "handled")(lambda worker, real: real())
    with pytest.raises(InternalError, match=r"os\.getpit: there is no such thing"):
        patch("os.getpit")(lambda worker, real: real())
    with pytest.raises(KeyError):
        table("doors")


# --- applied and undone ----------------------------------------------------------------------
def home(row: Patch) -> Any:
    """The module or class that has a row's original under the row's attribute."""
    places = (row.owner, sys.modules.get(row.name.rpartition(".")[0]),
              sys.modules.get(str(getattr(row.what, "__module__", ""))))  # fmt: skip
    return next(
        place for place in places
        if place is not None and (row.owner or getattr(place, row.attribute, None) is row.what)
    )  # fmt: skip


HOMES = [home(row) for row in REPLACED]


def now() -> list[Any]:
    """What is in the places of the originals now."""
    return [
        vars(place).get(row.attribute, MISSING) for row, place in zip(REPLACED, HOMES, strict=True)
    ]


@pytest.mark.parametrize("backend", ["threading", "asyncio", "trio"])
def test_every_patch_is_there_while_code_is_under_control_and_gone_afterwards(
    backend: str,
) -> None:
    during: list[list[Any]] = []

    def look() -> None:
        during.append(now())

    async def look_as_task() -> None:
        look()

    before = now()
    work = look if backend == "threading" else look_as_task
    tracelock.explore(workers=[work], instrument=[], schedules=1, backend=backend)
    assert all(a is b for a, b in zip(before, now(), strict=True))
    for row, was, found in zip(REPLACED, before, during[0], strict=True):
        if not row.name.startswith("_thread."):  # which keeps what threads are made of
            assert found is row.by or row.what is _thread.allocate_lock, row.name
            assert found is not was, row.name


def test_one_more_function_under_control_is_one_decorated_function() -> None:
    """All that it takes: a row in a module of the table."""

    def os_getppid(worker: Worker, real: Any) -> int:
        worker.step(Op(SLEEP, -1, "here", 1.0))
        return -worker.number

    os_getppid.__module__ = "tracelock.instrument.clock"
    got: list[int] = []
    before = os.getppid
    patch("os.getppid")(os_getppid)
    try:
        found = tracelock.explore(
            workers=[lambda: got.append(os.getppid())] * 2, instrument=[], schedules=2,
            strategy="dpor",
        )  # fmt: skip
        assert {row.name: row.how for row in table("time")}["os.getppid"] == CONTROLLED
    finally:
        declared["tracelock.instrument.clock"].pop()
    assert sorted(set(got)) == [-1, 0] and found.schedules == 2
    assert os.getppid is before and os.getppid() > 0


def test_a_thread_that_is_no_worker_is_left_alone() -> None:
    """Nor is a worker inside of a call that is passed through."""
    real: list[float] = []

    def outside() -> None:
        real.append(time.monotonic())

    def work() -> None:
        worker: Any = here()
        with Uncontrolled(worker):
            real.append(time.monotonic())
            done = threading.Lock()
            done.acquire()
            _thread.start_new_thread(lambda: (outside(), done.release()), ())
            done.acquire()
        assert time.monotonic() == START["monotonic"]

    before = time.monotonic()
    tracelock.explore(workers=[work], instrument=[], schedules=1).raise_for_failure()
    assert len(real) >= 2 and all(before <= one <= time.monotonic() for one in real)


# --- printed ---------------------------------------------------------------------------------
def test_all_rows_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backends", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["patches"] == {row.name: row.how for row in ROWS}
    assert {"threading", "asyncio", "trio"} <= {row["name"] for row in printed["backends"]}
    assert main(["backends"]) == 0
    lines = capsys.readouterr().out.splitlines()
    places = [
        lines.index(line) for line in lines if line.startswith(("  contr", "  seen", "  not"))
    ]
    headings = [lines[place].strip().partition(":")[0] for place in places]
    assert headings == [CONTROLLED, SEEN, NOT_CONTROLLED]
    for how, first, last in zip(headings, places, [*places[1:], len(lines)], strict=True):
        text = " ".join(lines[first:last])
        for row in ROWS:
            owner, _, name = row.name.rpartition(".")
            assert row.how != how or (f" {owner}: " in text and name in text), row.name


def test_the_table_costs_nothing_before_code_is_run() -> None:
    """``tracelock --help`` imports none of it; threads need no library of loops."""
    for command, absent in (
        ("import tracelock.cli.main", {"tracelock.instrument.patches", "trio", "asyncio"}),
        ("import tracelock.instrument.patches as p; p.table(*p.COMMON)", {"trio", "anyio"}),
    ):
        code = f"{command}; import sys; print(*sys.modules)"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert not absent & set(ran.stdout.split())
