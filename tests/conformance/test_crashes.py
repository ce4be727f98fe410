"""Crashes of the machine under real code: what is lost is found, told, replayed and put back."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.helpers import crashing
from tracelock.errors import UnsupportedError, UsageError
from tracelock.instrument.contexts import contexts
from tracelock.instrument.crashes.points import lose


def explore(worker: Any, **given: Any) -> tracelock.Explored:
    given = {"setup": crashing.settings, "recover": crashing.one_of_both,
             "crash_consistency": True, "seconds": None,
        "strategy": "dpor", **given}  # fmt: skip
    workers = worker if isinstance(worker, list) else [worker]
    return tracelock.explore(workers=workers, **given)


def told(found: tracelock.Explored) -> str:
    assert found.trace is not None
    text: str = found.trace.events[-1].extra["chosen"]
    return text


def test_a_rename_before_the_data_is_durable_is_found_and_named() -> None:
    found = explore(crashing.save_unsynced, check=crashing.new_one)
    assert found.verdict == "failed"
    assert found.confirmed == {"threading": "3/3"}
    assert found.trace is not None
    assert "torn: ''" in found.trace.verdict.message
    text = told(found)
    lost, kept = text.split(", and not ")
    assert lost == "a crash that loses the 11 bytes written to a.tmp at 0 (event 1)"
    assert "the rename of a.tmp to a (event 2)" in kept
    root = next(one for one in tracelock.analyze(found.trace).findings if one.root)
    assert root.kind == "not-synced"
    assert root.cure.startswith("call flush and os.fsync on a.tmp, before a rename")
    assert "event 1" in root.diagnosis


def test_with_both_syncs_it_is_verified() -> None:
    found = explore(crashing.save_synced, check=crashing.new_one)
    assert found.verdict == "verified", found.summary


def test_without_the_sync_of_the_directory_it_is_whole_but_not_durable() -> None:
    found = explore(crashing.save_file_synced)
    assert found.verdict == "failed"
    assert found.trace is not None
    assert "not durable" in found.trace.verdict.message
    assert told(found).startswith("a crash that loses the rename of a.tmp to a")
    root = next(one for one in tracelock.analyze(found.trace).findings if one.root)
    assert root.cure.startswith("after the rename open the directory of a with os.open")


def test_tasks_crash_too() -> None:
    found = explore(crashing.save_unsynced_task)
    assert found.verdict == "failed"
    assert found.confirmed == {"asyncio": "3/3"}
    assert "the 11 bytes written to a.tmp" in told(found)


def test_a_thread_that_a_task_waits_for_crashes_too() -> None:
    async def worker(files: crashing.Files) -> None:
        await asyncio.to_thread(crashing.save, files, file=False)

    found = explore(worker)
    assert found.verdict == "failed"
    assert found.confirmed == {"asyncio": "3/3"}
    assert found.trace is not None
    assert "torn" in found.trace.verdict.message


def test_a_file_overwritten_in_place_is_torn_at_a_block() -> None:
    found = explore(
        crashing.overwrite, setup=crashing.counter, recover=crashing.whole_counter,
        crash_consistency={"block": 4},
    )  # fmt: skip
    assert found.verdict == "failed"
    assert told(found).startswith("a crash that loses bytes ")
    whole = explore(crashing.overwrite, setup=crashing.counter, recover=crashing.whole_counter)
    assert whole.verdict == "verified", "eight bytes of one block are written at once"


@pytest.mark.parametrize(("checks", "expected"), [(False, "failed"), (True, "verified")])
def test_a_log_with_a_torn_record(checks: bool, expected: str) -> None:
    found = explore(
        crashing.log_of(2, checks=checks), setup=crashing.log_file,
        recover=crashing.read_checked_log if checks else crashing.read_log,
        crash_consistency={"block": 16}, schedules=5_000,
    )  # fmt: skip
    assert found.verdict == expected, found.summary


def test_a_record_that_was_promised_before_the_sync_is_missed() -> None:
    found = explore(
        crashing.log_of(1, checks=True, sync=False), setup=crashing.log_file,
        recover=crashing.read_checked_log,
    )  # fmt: skip
    assert found.verdict == "failed"
    assert found.trace is not None
    assert "promised, and gone" in found.trace.verdict.message


def test_what_is_not_a_crash_is_checked_as_ever() -> None:
    found = explore(
        crashing.save_synced, check=lambda files: (files.folder / "a").read_text() == "other"
    )
    assert found.verdict == "failed"
    assert found.trace is not None
    assert all(event.op != "choose" for event in found.trace.events)


def test_check_is_called_on_what_a_crash_has_left_where_nothing_recovers() -> None:
    found = explore(crashing.save_unsynced, recover=None, check=crashing.one_of_both)
    assert found.verdict == "failed"
    assert "the 11 bytes written" in told(found)


def test_what_the_program_does_when_it_is_started_again_may_be_given_by_itself() -> None:
    def worker(files: crashing.Files) -> None:
        tracelock.after_crash(lambda: crashing.one_of_both(files))
        crashing.save(files, file=False)

    found = explore(worker, recover=None)
    assert found.verdict == "failed"
    assert "torn" in found.ways[-1].message


def test_a_replay_comes_to_the_same_crash() -> None:
    given = {"setup": crashing.settings, "workers": [crashing.save_file_synced],
             "recover": crashing.one_of_both}  # fmt: skip
    found = explore(crashing.save_file_synced)
    assert found.trace is not None
    for _ in range(3):
        assert tracelock.replay(found.trace, **given).reproduced  # type: ignore[arg-type]


def test_files_are_put_back_after_each_schedule(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("as it was")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inside").write_text("too")
    before = sorted(tmp_path.rglob("*"))

    def worker() -> None:
        with open(tmp_path / "kept", "w") as file:
            file.write("changed")
        (tmp_path / "made").write_text("new")
        os.rename(tmp_path / "folder", tmp_path / "moved")
        os.symlink("made", tmp_path / "link")
        (tmp_path / "moved" / "inside").unlink()

    found = explore(worker, setup=None, recover=lambda: None, schedules=12)
    assert found.verdict != "failed"
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "kept").read_text() == "as it was"
    assert (tmp_path / "folder" / "inside").read_text() == "too"


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy2])
def test_a_copy_is_seen_however_it_is_made(copy: Any) -> None:
    def worker(files: crashing.Files) -> None:
        copy(files.folder / "a", files.folder / "b")
        sync = os.open(files.folder / "b", os.O_RDONLY)
        os.fsync(sync)
        os.close(sync)
        crashing.sync_directory(files.folder)
        files.done.append("b")

    def recover(files: crashing.Files) -> None:
        copied = files.folder / "b"
        assert not files.done or copied.read_text() == crashing.OLD
        assert (files.folder / "a").read_text() == crashing.OLD

    assert explore(worker, recover=recover).verdict == "verified"


def test_a_write_that_is_synced_by_its_flag_needs_no_fsync() -> None:
    def worker(files: crashing.Files) -> None:
        file = os.open(files.folder / "a", os.O_WRONLY | os.O_SYNC)
        os.write(file, b"new")
        os.close(file)
        files.done.append("new")

    def recover(files: crashing.Files) -> None:
        found = (files.folder / "a").read_text()
        assert found == "new" if files.done else found in ("old", "new")

    assert explore(worker, recover=recover).verdict == "verified"


def test_a_file_that_changes_behind_our_back_is_refused() -> None:
    import mmap

    def worker(files: crashing.Files) -> None:
        with open(files.folder / "a", "r+b") as file:
            file.write(b"xyz")
            file.flush()
            with mmap.mmap(file.fileno(), 0) as memory:
                memory[0:1] = b"m"

    with pytest.raises(UsageError, match="has another content than the calls that were seen"):
        explore(worker, recover=lambda files: None)


def test_two_threads_crash_together() -> None:
    """What one has stored, and said so, is there after a crash of the other."""

    def store(name: str, sync: bool) -> Any:
        def worker(files: crashing.Files) -> None:
            file = os.open(files.folder / name, os.O_WRONLY | os.O_CREAT)
            os.write(file, name.encode())
            if sync:
                os.fsync(file)
                crashing.sync_directory(files.folder)
            files.done.append(name)

        return worker

    def recover(files: crashing.Files) -> None:
        for name in files.done:
            assert (files.folder / name).read_text() == name

    found = explore(
        [store("x", True), store("y", False)], setup=crashing.empty, recover=recover
    )  # fmt: skip
    assert found.verdict == "failed"
    assert found.confirmed == {"threading": "3/3"}


def test_without_it_nothing_is_lost_and_nothing_is_put_back() -> None:
    folder = Path(tempfile.mkdtemp())
    found = tracelock.explore(workers=[lambda: (folder / "a").write_text("stays")], schedules=2)
    assert found.verdict == "passed"
    assert (folder / "a").read_text() == "stays"
    shutil.rmtree(folder)


def test_what_is_lost_while_workers_go_on_is_gone_for_them() -> None:
    """``lose``: for a machine that crashes while others do not."""
    seen: set[tuple[str, str]] = set()

    def worker(files: crashing.Files) -> None:
        with open(files.folder / "a", "w") as file:
            file.write(crashing.NEW)
        told_as = lose(contexts[threading.get_ident()], "here.py:1")
        seen.add((told_as.partition(",")[0], (files.folder / "a").read_text()))
        with open(files.folder / "a", "a") as file:
            file.write("!")
            file.flush()
            os.fsync(file.fileno())

    def whole(files: crashing.Files) -> None:
        text = (files.folder / "a").read_text().rstrip("!\0")
        assert text in (crashing.OLD, crashing.NEW, ""), text

    assert explore(worker, recover=whole, check=whole).verdict == "verified"
    assert {text for _, text in seen} == {"old", "new content", "", "\0" * 11}
    assert ("a crash that loses nothing", "new content") in seen


async def _recovers_later(files: crashing.Files) -> None:
    """A recovery that has to be awaited."""


@pytest.mark.parametrize("hidden", [False, True])
def test_nothing_is_awaited_after_a_crash(hidden: bool) -> None:
    """The tasks of the program that has crashed would go on with it."""
    recover = (lambda files: _recovers_later(files)) if hidden else _recovers_later
    with pytest.raises(UsageError, match="the loop is gone with the program"):
        explore(crashing.save_unsynced_task, recover=recover)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(UsageError, match="recover is called after a crash"):
        explore(crashing.save_synced, crash_consistency=False)
    with pytest.raises(UsageError, match="there is no 'depth'"):
        explore(crashing.save_synced, crash_consistency={"depth": 3})
    with pytest.raises((UsageError, UnsupportedError), match="crash_consistency"):
        explore(crashing.save_synced, backend="multiprocessing")


def _worker(operations: str, name: str) -> Any:
    """A thread that appends to its file (w), syncs it (f), renames it (r), notes what it has done
    where only it does so (n) or both do (b)."""

    def worker(files: crashing.Files) -> None:
        path = files.folder / name
        for one in operations:
            if one == "w":
                file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.write(file, name.encode())
                os.close(file)
            elif one == "f":
                file = os.open(path, os.O_RDONLY)
                os.fsync(file)
                os.close(file)
            elif one == "r":
                os.replace(path, files.folder / "z")
            else:
                files.done.append(name)

    return worker


@pytest.mark.parametrize(("one", "other"), [("w", "nn"), ("nw", "n"), ("wr", "w"), ("wn", "wf")])
def test_partial_order_reduction_misses_no_ending(one: str, other: str) -> None:
    """What a recovery can find, the files with what was noted: by the search that leaves schedules
    out, and by drawing a great many."""

    def endings(**given: Any) -> set[Any]:
        found: set[Any] = set()

        def recover(files: crashing.Files) -> None:
            there = ((path.name, path.read_text()) for path in files.folder.iterdir())
            found.add((frozenset(there), tuple(files.done)))

        explored = explore(
            [_worker(one, "x"), _worker(other, "y")], setup=crashing.empty, recover=recover, **given
        )
        assert explored.verdict in ("verified", "passed")
        found.add(explored.verdict)
        return found

    assert endings(schedules=5_000) >= endings(strategy="random", schedules=150) - {"passed"}
