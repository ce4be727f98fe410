"""Hosts with a disk of their own: what a crash leaves of its files, and of those of others."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers import crashing
from tracelock.analysis.analyze import analyze

HOSTS_ALONE: dict[str, Any] = {"machine": False}
QUIET: dict[str, Any] = {"instrument": [], "strategy": "dpor", "schedules": 3_000, "shrink": False}


def left(folder: Path) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((one.name, one.read_text()) for one in folder.iterdir()))


def crashes(files: crashing.Files) -> None:
    tracelock.crash("db", "closed")


@pytest.mark.parametrize(
    ("work", "setup"),
    [
        (crashing.save_unsynced, crashing.settings),
        (crashing.save_file_synced, crashing.settings),
        (crashing.save_synced, crashing.settings),
        (crashing.overwrite, crashing.counter),
    ],
)
def test_it_leaves_what_a_crash_of_the_machine_leaves(
    work: Callable[[Any], None], setup: Callable[[], Any]
) -> None:
    """The oracle is the crash of a machine with the same one program, at every point of it."""

    def with_disk() -> Any:
        files = setup()
        tracelock.host("db", disk=files.folder)
        return files

    found: list[set[Any]] = []
    rules = {"block": 4, "states": 64}
    for options in (
        {"setup": setup, "workers": [work], "recover": lambda files: add(files),
         "crash_consistency": rules},
        {"setup": with_disk, "workers": [tracelock.host("db")(work), crashes],
         "crash_consistency": {**rules, **HOSTS_ALONE}},
    ):  # fmt: skip
        seen: set[Any] = set()

        def add(files: Any, seen: set[Any] = seen) -> None:
            seen.add(left(files.folder))

        explored = tracelock.explore(check=add, **options, **QUIET)
        assert explored.verdict in ("passed", "verified"), explored
        found.append(seen)
    assert found[0] == found[1]


class TwoDisks:
    """Both hosts write the same, and neither syncs it; ``told``: what the first one finds."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.told: list[str] = []
        self.written = threading.Event()
        self.files = {}
        for name in ("db", "web"):
            (folder / name).mkdir()
            (folder / name / "a").write_text(crashing.OLD)
            self.files[name] = folder / name / "a"
            tracelock.host(name, disk=folder / name)


@tracelock.host("db")
def writes(state: TwoDisks) -> None:
    for name in ("db", "web"):
        state.files[name].write_text(crashing.NEW)
    state.written.set()


def kills(state: TwoDisks) -> None:
    state.written.wait()
    tracelock.crash("db", "closed")
    tracelock.restart("db", lambda: state.told.append(state.files["db"].read_text())).join()


def test_only_its_own_files_lose_what_was_not_synced_and_it_reads_them_again() -> None:
    seen: set[Any] = set()

    def check(state: TwoDisks) -> None:
        assert state.told == [state.files["db"].read_text()]
        seen.add((state.told[0], state.files["web"].read_text()))

    found = tracelock.explore(
        setup=TwoDisks, workers=[writes, kills], check=check, crash_consistency=HOSTS_ALONE,
        **QUIET,
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), found
    texts = (crashing.OLD, crashing.NEW, "", "\0" * len(crashing.NEW))
    assert seen == {(text, crashing.NEW) for text in texts}


def test_what_is_lost_is_named_made_small_and_replayed() -> None:
    def check(state: TwoDisks) -> None:
        assert state.told == [crashing.NEW], state.told

    program: dict[str, Any] = {"setup": TwoDisks, "workers": [writes, kills], "check": check}
    found = tracelock.explore(
        **program, crash_consistency=HOSTS_ALONE, instrument=[], schedules=50, seed=1
    )
    assert found.failed, found
    assert found.trace.scenario["python"]["crash_consistency"]["machine"] == "0"
    assert "not-synced" in {one.kind for one in analyze(found.trace).findings}
    for _ in range(2):
        assert tracelock.replay(found.trace, **program).reproduced


def test_tasks_of_one_loop_have_disks_too() -> None:
    """A crash comes between two steps: none of what the task has written is lost, or any of it."""
    seen: set[Any] = set()

    def with_disk() -> Any:
        files = crashing.settings()
        tracelock.host("db", disk=files.folder)
        return files

    async def crash(files: crashing.Files) -> None:
        crashes(files)

    found = tracelock.explore(
        setup=with_disk, workers=[tracelock.host("db")(crashing.save_unsynced_task), crash],
        check=lambda files: seen.add(left(files.folder)), backend="asyncio",
        crash_consistency=HOSTS_ALONE, **QUIET,
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), found
    assert (("a", crashing.NEW),) in seen


def test_without_crash_consistency_nothing_is_lost() -> None:
    seen: set[Any] = set()
    found = tracelock.explore(
        setup=TwoDisks, workers=[writes, kills], check=lambda state: seen.add(state.told[0]),
        **QUIET,
    )  # fmt: skip
    assert found.verdict in ("passed", "verified"), found
    assert seen == {crashing.NEW}


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(tracelock.UsageError, match="path of a directory"):
        tracelock.host("db", disk=3)  # type: ignore[arg-type]
    with pytest.raises(tracelock.UsageError, match="machine is True, or False"):
        tracelock.explore(workers=[print], crash_consistency={"machine": 1})
    with pytest.raises(tracelock.UsageError, match="a crash of the machine, which there is none"):
        tracelock.explore(workers=[print], recover=print, crash_consistency=HOSTS_ALONE)

    def setup() -> None:
        tracelock.host("db", disk=os.sep)
        with pytest.raises(tracelock.UsageError, match="files in common"):
            tracelock.host("web", disk=tempfile.gettempdir())

    assert not tracelock.explore(setup=setup, workers=[print], schedules=1).failed
