"""The table of patches itself: it is complete, it is undone, and one function more is one row.

That each row says what is so is tested, use by use, in ``test_patches_used``, ``test_patches_loops``
and ``test_patches_outside``.
"""

from __future__ import annotations

import collections
import importlib
import os
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
import tracelock.instrument
from tests.unit import test_patches_loops as loops
from tests.unit import test_patches_outside as outside
from tests.unit import test_patches_used as used
from tracelock.errors import InternalError
from tracelock.instrument import patches, patching
from tracelock.instrument.patches import CONTROLLED, NOT_CONTROLLED, SEEN, Patch, table
from tracelock.instrument.patching import MISSING, declared, patch, replace
from tracelock.instrument.worker import Worker
from tracelock.ops import SLEEP, Op

ROWS = table()
REPLACED = [row for row in ROWS if row.by is not None]


def test_each_row_has_a_use() -> None:
    uses = {
        *used.THREADS, *used.FILES, *used.PROCESSES, *used.ALONE, *loops.ASYNCIO,
        *loops.ASYNCIO_LOOP, "anyio.CancelScope.__hash__", "trio.EntryQueue.run_sync_soon",
        *loops.TRIO, *loops.TRIO_LOOP, *loops.OUTSIDE, *outside.BLOCKS, *outside.SAME,
        *outside.CHANGES,
    }  # fmt: skip
    assert {row.name for row in ROWS} == uses
    assert len(uses) == len(ROWS) > 200
    assert {row.how for row in ROWS} == {CONTROLLED, SEEN, NOT_CONTROLLED}
    assert all(row.how == CONTROLLED or row.how == SEEN for row in REPLACED)


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
    listed = {f"tracelock.instrument.{name}" for room in patches.ROOMS.values() for name in room[0]}
    assert {name for name in declared if name.startswith("tracelock.")} == listed


def test_a_word_that_is_none_of_the_three_is_an_error() -> None:
    with pytest.raises(InternalError, match="'handled' is none of controlled, seen, not contr"):
        patch("os.getpid", "handled")(lambda worker, real: real())
    with pytest.raises(InternalError, match=r"os\.getpit: there is no such thing"):
        patch("os.getpit")
    with pytest.raises(KeyError):
        table("doors")


# --- applied and undone ----------------------------------------------------------------------
def now(row: Patch) -> Any:
    """What is in the place of a row's original now."""
    if row.owner is not None:
        return row.owner.__dict__.get(row.attribute, MISSING)
    module = importlib.import_module(row.what.__module__ or row.name.rpartition(".")[0])
    return getattr(module, row.attribute)


@pytest.mark.parametrize("backend", ["threading", "asyncio", "trio"])
def test_every_patch_is_there_while_code_is_under_control_and_gone_afterwards(
    backend: str,
) -> None:
    library = {"asyncio": {"asyncio", "anyio"}, "trio": {"trio"}}.get(backend, set())
    others = {"asyncio", "anyio", "trio"} - library
    during: list[list[Any]] = []

    def look() -> None:
        during.append([now(row) for row in REPLACED])

    async def look_as_task() -> None:
        look()

    before = [now(row) for row in REPLACED]
    work = look if backend == "threading" else look_as_task
    tracelock.explore(workers=[work], instrument=[], schedules=1, backend=backend)
    assert all(a is b for a, b in zip(before, [now(row) for row in REPLACED], strict=True))
    for row, was, found in zip(REPLACED, before, during[0], strict=True):
        if row.name.partition(".")[0] in others:
            assert found is was, row.name
        elif row.owner is not None:
            assert found is row.by, row.name


def kept() -> Iterator[tuple[str, Any]]:
    """Where this module has the originals: under other names, and not only as names."""
    yield from (("name", SLEEP_NAME), ("default", waits.__defaults__[0]), ("closure", KEEP()))  # type: ignore[index]
    yield from (("dictionary", HELD["sleep"]), ("factory", FACTORY.default_factory))
    yield from (("attribute", vars(Holder)["lock"]), ("parameters", Holder.get.__defaults__[0]))  # type: ignore[index]
