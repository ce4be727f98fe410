"""Files as shared objects, on threads: what is a scheduling point, and what they are called."""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import io
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.oracles.python_ends import ends_of
from tracelock.instrument.files.patches import DESCRIBED
from tracelock.instrument.patches import CONTROLLED, Patches, table
from tracelock.objects.files import END, FileLockModel
from tracelock.ops import ACQUIRE, RELEASE, Op
from tracelock.session import api
from tracelock.session.explored import Explored

from tracelock.engine.limits import RunLimits  # isort: skip

made: list[Path] = []
OS_FUNCTIONS = [row.attribute for row in table("files") if row.name.startswith("os.")]


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    yield
    while made:
        shutil.rmtree(made.pop(), ignore_errors=True)


def setup() -> Path:
    while made:
        shutil.rmtree(made.pop(), ignore_errors=True)
    made.append(Path(tempfile.mkdtemp()))
    (made[0] / "counter").write_text("0")
    return made[0]


def explore(*workers: Callable[..., Any], check: Any = None, **more: Any) -> Explored:
    more = {"strategy": "dpor", "instrument": [], "setup": setup, "seconds": None, **more}
    return api.explore(workers=workers, check=check, **more)


def events(found: Explored) -> list[tuple[str, str, str | None]]:
    assert found.trace is not None
    return [(found.trace.workers[e.worker], e.op, e.target) for e in found.trace.events]


# --- the classics -------------------------------------------------------------------------
def check_then_create(d: Path) -> None:
    if not os.path.exists(d / "x"):
        with open(d / "x", "a") as file:
            file.write("made\n")


def created_once(d: Path) -> None:
    assert (d / "x").read_text() == "made\n"


def test_check_then_create_is_a_race() -> None:
    found = explore(check_then_create, check_then_create, check=created_once)
    assert found.failed
    assert found.switches == 1
    x = "file:tmp/tmp#1@setup/x"
    assert [e[1:] for e in events(found)[:2]] == [("read", x), ("read", x)]
    assert found.confirmed == {"threading": "3/3"}


def test_exclusive_creation_is_none() -> None:
    def create(d: Path) -> None:
        try:
            descriptor = os.open(d / "x", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return
        os.write(descriptor, b"made\n")
        os.close(descriptor)

    assert explore(create, create, check=created_once).verdict == "verified"

    def create_by_mode(d: Path) -> None:
        try:
            with open(d / "x", "x") as file:
                file.write("made\n")
        except FileExistsError:
            pass

    assert explore(create_by_mode, create_by_mode, check=created_once).verdict == "verified"


def count(d: Path) -> None:
    number = int((d / "counter").read_text() or 0)
    (d / "counter").write_text(str(number + 1))


def counted(d: Path) -> bool:
    return (d / "counter").read_text() == "2"


def test_a_counter_in_a_file_loses_an_update() -> None:
    assert explore(count, count, check=counted).failed


@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
def test_a_lock_on_a_file(shared: bool) -> None:
    def locked(d: Path) -> None:
        with open(d / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            count(d)

    found = explore(locked, locked, check=counted)
    assert found.verdict == ("failed" if shared else "verified")


def test_lockf_does_not_shut_out_threads_of_one_process() -> None:
    def locked(d: Path) -> None:
        with open(d / "lock", "w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            count(d)

    assert explore(locked, locked, check=counted).failed


def test_a_lock_that_is_not_waited_for() -> None:
    def attempt(d: Path) -> None:
        with open(d / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                (d / "busy").touch()
                return
            count(d)

    def once(d: Path) -> bool:
        return (d / "counter").read_text() == ("1" if (d / "busy").exists() else "2")

    assert explore(attempt, attempt, check=once).verdict == "verified"
    assert explore(attempt, attempt, check=lambda d: not (d / "busy").exists()).failed
    assert explore(attempt, attempt, check=lambda d: (d / "busy").exists()).failed


def test_two_files_locked_the_other_way_round() -> None:
    def take(first: str, second: str) -> Callable[[Path], None]:
        def work(d: Path) -> None:
            with open(d / first, "w") as a, open(d / second, "w") as b:
                fcntl.flock(a, fcntl.LOCK_EX)
                fcntl.flock(b, fcntl.LOCK_EX)

        return work

    found = explore(take("a", "b"), take("b", "a"))
    assert found.failed and found.trace is not None
    assert found.trace.verdict.kind == "deadlock"
    assert "file:tmp/tmp#1@setup/a flock (held by" in found.trace.verdict.message


def test_upgrading_a_lock_gives_it_up_first() -> None:
    """As the kernel does: two holders of a shared lock who both want it alone do not deadlock,
    and what one has read may be changed before it has it."""

    def upgrade(d: Path) -> None:
        with open(d / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            number = int((d / "counter").read_text())
            fcntl.flock(lock, fcntl.LOCK_EX)
            (d / "counter").write_text(str(number + 1))

    found = explore(upgrade, upgrade, check=counted)
    assert found.failed and found.trace is not None
    assert found.trace.verdict.kind == "failed"


def test_renaming_over_is_one_step() -> None:
    def publish(d: Path) -> None:
        (d / "new").write_text("new")
        os.replace(d / "new", d / "counter")

    def read(d: Path) -> None:
        assert (d / "counter").read_text() in ("0", "new")

    assert explore(publish, read).verdict == "verified"

    def publish_badly(d: Path) -> None:
        os.remove(d / "counter")
        (d / "counter").write_text("new")

    found = explore(publish_badly, read, every=True, shrink=False, confirm=0)
    ends = {way.message.partition(":")[0] for way in found.ways}
    assert ends == {"", "FileNotFoundError", "AssertionError"}  # it is missing, or empty


def test_a_step_on_several_files_is_replayed_and_tried_first() -> None:
    def publish(d: Path) -> None:
        (d / "new").write_text("new")
        os.replace(d / "new", d / "counter")

    def read(d: Path) -> None:
        assert (d / "new").exists() or (d / "counter").read_text() == "0"

    found = explore(publish, read)
    assert found.trace is not None
    assert "atomic" in {event.op for event in found.trace.events}
    again = api.replay(found.trace, setup=setup, workers=[publish, read])
    assert again.reproduced, again.diverged
    first = explore(publish, read, first=[found.trace])
    assert first.strategy == "first" and first.schedules == 1


def test_a_reader_sees_what_is_flushed() -> None:
    """A buffered write is not seen before the buffer goes to the system, and can be torn there."""

    def write(d: Path) -> None:
        with open(d / "log", "w") as file:
            file.write("a")
            file.write("b")
            file.flush()
            file.write("c")

    seen: set[str] = set()

    def read(d: Path) -> None:
        if (d / "log").exists():
            seen.add((d / "log").read_text())

    assert explore(write, read).verdict == "verified"
    assert seen == {"", "ab", "abc"}


def test_unbuffered_and_updating_files() -> None:
    def write(d: Path) -> None:
        with open(d / "counter", "r+b", buffering=0) as file:
            file.seek(0, os.SEEK_END)
            file.write(b"1")
            file.truncate(1)

    seen: set[bytes] = set()

    def read(d: Path) -> None:
        seen.add((d / "counter").read_bytes())

    assert explore(write, read).verdict == "verified"
    assert seen == {b"0", b"01"}


def test_listing_a_directory() -> None:
    def make(name: str) -> Callable[[Path], None]:
        return lambda d: (d / name).touch()

    seen: set[tuple[str, ...]] = set()

    def look(d: Path) -> None:
        seen.add(tuple(sorted(p.name for p in d.iterdir() if p.name != "counter")))

    assert explore(make("a"), make("b"), look).verdict == "verified"
    assert seen == {(), ("a",), ("b",), ("a", "b")}


def test_paths_that_nobody_else_uses_cost_nothing() -> None:
    def work(name: str) -> Callable[[Path], None]:
        def run(d: Path) -> None:
            (d / name).mkdir()
            for k in range(5):
                (d / name / f"{k}").write_text("x")
                assert (d / name / f"{k}").read_text() == "x"
            os.rename(d / name, d / f"{name}2")
            shutil.rmtree(d / f"{name}2")

        return run

    found = explore(work("a"), work("b"))
    assert (found.verdict, found.schedules) == ("verified", 3)  # one, after the two warm-ups


def test_a_directory_that_another_makes() -> None:
    seen: set[bool] = set()

    def make(d: Path) -> None:
        os.makedirs(d / "sub" / "deeper")

    def put(d: Path) -> None:
        try:
            (d / "sub" / "x").write_text("x")
            seen.add(True)
        except FileNotFoundError:
            seen.add(False)

    assert explore(make, put).verdict == "verified"
    assert seen == {True, False}


def test_links_lead_to_the_same_file() -> None:
    def through_link(d: Path) -> None:
        with open(d / "soft", "w") as file:
            file.write("1")

    def linked() -> Path:
        d = setup()
        os.symlink(d / "counter", d / "soft")
        os.link(d / "counter", d / "hard")
        return d

    seen: set[str] = set()

    def read(name: str) -> Callable[[Path], None]:
        return lambda d: seen.add((d / name).read_text())

    for name in ("counter", "hard"):
        seen.clear()
        assert explore(through_link, read(name), setup=linked).verdict == "verified"
        assert seen == {"0", "", "1"}


FORMS: list[Callable[[Path, Path], object]] = [
    lambda d, x: os.path.exists(x),
    lambda d, x: os.path.isfile(x),
    lambda d, x: os.path.isdir(x),
    lambda d, x: os.path.islink(x),
    lambda d, x: os.path.lexists(x),
    lambda d, x: os.access(x, os.R_OK),
    lambda d, x: x.exists(),
    lambda d, x: x.is_file(),
    lambda d, x: x.is_dir(),
    lambda d, x: x.is_symlink(),
    lambda d, x: os.path.getsize(x),
    lambda d, x: os.stat(x),
    lambda d, x: os.lstat(x),
    lambda d, x: x.stat(),
    lambda d, x: x.lstat(),
    lambda d, x: open(x).close(),
    lambda d, x: open(x, "rb").close(),
    lambda d, x: x.read_text(),
    lambda d, x: x.read_bytes(),
    lambda d, x: x.open().close(),
    lambda d, x: os.close(os.open(x, os.O_RDONLY)),
    lambda d, x: x.name in os.listdir(d),
    lambda d, x: x.name in [entry.name for entry in os.scandir(d)],
    lambda d, x: list(d.glob(x.name)),
    lambda d, x: list(d.iterdir()),
    lambda d, x: list(os.walk(d)),
    lambda d, x: os.remove(x),
    lambda d, x: os.unlink(x),
    lambda d, x: x.unlink(),
    lambda d, x: os.rename(x, d / f"{x.name}-y"),
    lambda d, x: x.rename(d / f"{x.name}-y"),
    lambda d, x: os.replace(x, d / f"{x.name}-y"),
    lambda d, x: x.replace(d / f"{x.name}-y"),
    lambda d, x: os.link(x, d / f"{x.name}-y"),
    lambda d, x: (d / f"{x.name}-y").hardlink_to(x),
    lambda d, x: os.symlink("there", x),
    lambda d, x: x.symlink_to("there"),
    lambda d, x: os.mkdir(x),
    lambda d, x: x.mkdir(),
    lambda d, x: os.makedirs(x / "y"),
    lambda d, x: os.rmdir(x),
    lambda d, x: x.touch(exist_ok=False),
    lambda d, x: os.truncate(x, 0),
    lambda d, x: os.chmod(x, 0o600),
    lambda d, x: shutil.copy(x, d / f"{x.name}-y"),
    lambda d, x: shutil.move(x, d / f"{x.name}-y"),
]


#: Those of them that list the directory.
LISTING = {21, 22, 23, 24, 25}


def test_every_form_is_controlled() -> None:
    """One worker makes paths, another touches each in a way of its own: each has a step there."""
    calls: list[Path] = []

    def make(d: Path) -> None:
        for k in range(len(FORMS)):
            with contextlib.suppress(OSError):
                os.close(os.open(d / f"x{k}", os.O_CREAT | os.O_WRONLY))

    def work(d: Path) -> None:
        for k, form in enumerate(FORMS):
            with contextlib.suppress(OSError):
                form(d, d / f"x{k}")

    def check(d: Path) -> bool:
        calls.append(d)
        return len(calls) < 6  # what is shared is known by then

    found = explore(make, work, check=check, strategy="random", shrink=False, confirm=0)
    assert found.trace is not None
    touched: set[str] = set()
    for event in found.trace.events:
        if found.trace.workers[event.worker] == "work":
            names = [event.target or "", *event.value] if event.op == "atomic" else [event.target]
            names += list(event.result) if event.op == "atomic" else []
            touched.update(name for name in names if name)
    listing = "file:tmp/tmp#1@setup/"
    missing = [k for k in range(len(FORMS)) if f"{listing}x{k}" not in touched and k not in LISTING]
    assert not missing
    assert listing in touched


def test_temporary_files_have_stable_names() -> None:
    def work(d: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=d) as file:
            file.write(b"x")
        with tempfile.TemporaryDirectory(dir=d) as name:
            Path(name, "x").write_text("x")
        descriptor, name = tempfile.mkstemp(dir=d, prefix="pre", suffix=".txt")
        os.close(descriptor)
        os.replace(name, d / "counter")

    found = explore(work, work, check=lambda d: False)
    assert found.trace is not None
    again = explore(work, work, check=lambda d: False)
    assert events(found) == events(again)
    assert all("#" in (target or "#") for _, _, target in events(found))


def test_a_trace_is_replayed() -> None:
    found = explore(count, count, check=counted)
    assert found.trace is not None
    result = api.replay(
        found.trace, workers=[count, count], setup=setup, check=counted, instrument=[],
        limits=RunLimits(stall=5.0),
    )  # fmt: skip
    assert result.reproduced, result.diverged


# --- what is patched ----------------------------------------------------------------------
def test_patches_are_undone() -> None:
    names = [getattr(os, name) for name in OS_FUNCTIONS]
    abilities = set(os.supports_dir_fd)
    before = builtins.open, io.open, fcntl.flock, fcntl.lockf, tempfile._RandomNameSequence.__next__
    seen: list[Any] = []

    def work(d: Path) -> None:
        seen.append((os.stat is not names[0], open is not before[0], os.open in
                     os.supports_dir_fd))  # fmt: skip

    explore(work)
    assert set(seen) == {(True, True, True)}
    assert [getattr(os, name) for name in OS_FUNCTIONS] == names
    assert os.supports_dir_fd == abilities
    assert before == (
        builtins.open, io.open, fcntl.flock, fcntl.lockf, tempfile._RandomNameSequence.__next__,
    )  # fmt: skip
    assert Patches.active is None


def test_the_table_names_every_file_patch() -> None:
    named = {patch.name for patch in table() if patch.how == CONTROLLED}
    assert {f"os.{name}" for name in DESCRIBED if hasattr(os, name)} <= named
    durable = {"os.fsync", "os.fdatasync"}  # steps only where the machine may crash
    assert {f"os.{name}" for name in OS_FUNCTIONS} - durable <= named and len(OS_FUNCTIONS) > 30
    assert {"builtins.open", "fcntl.flock", "fcntl.lockf"} <= named


def test_opened_files_are_what_open_gives() -> None:
    def work(d: Path) -> None:
        for mode, kind in (
            ("r", io.TextIOWrapper), ("w", io.TextIOWrapper), ("rb", io.BufferedReader),
            ("wb", io.BufferedWriter), ("r+b", io.BufferedRandom), ("a+", io.TextIOWrapper),
        ):  # fmt: skip
            with open(d / "f", mode if mode != "r" else "w+") as file:
                assert type(file) is kind
                assert file.name == d / "f"
        with open(d / "f", "wb", 0) as raw:
            assert isinstance(raw, io.FileIO)
        with open(d / "f", "w", 1, encoding="utf-8", newline="\r\n") as file:
            assert file.line_buffering
            file.write("ä\n")
            assert Path(d / "f").read_bytes() == b"\xc3\xa4\r\n"
        for arguments in (("rw",), ("rt", 0), ("rb", -1, "utf-8"), ("q",)):
            with pytest.raises(ValueError):
                open(d / "f", *arguments)  # type: ignore[call-overload]  # noqa: SIM115

    found = explore(work)
    assert found.verdict == "verified", found.trace and found.trace.verdict.message


# --- the model of a lock ------------------------------------------------------------------
def test_ranges_of_a_file_are_locked_by_themselves() -> None:
    lock = FileLockModel()

    def take(holder: str, first: int, end: int, kind: str = "exclusive") -> Any:
        part = ((holder, 0), first, end)
        return lock.apply(Op(ACQUIRE, 0, "", kind, None, False, part), int(holder))

    assert take("0", 0, 10)
    assert not take("1", 5, 6)
    assert take("1", 10, END)
    assert take("0", 4, 6, "shared")
    assert not take("1", 5, 6)
    assert take("1", 5, 6, "shared")
    lock.apply(Op(RELEASE, 0, "", expect=(("0", 0), 2, 8)), 0)
    assert take("1", 2, 8)
    assert not take("1", 0, 1)
    assert not take("1", 8, 9)
    lock.drop("0")
    assert take("1", 0, 10)
    assert lock.holders() == (1,)


# --- the same as every order --------------------------------------------------------------
def append(word: str) -> Callable[[Path], None]:
    def work(d: Path) -> None:
        with open(d / "log", "a") as file:
            file.write(word)

    return work


def move(source: str, target: str) -> Callable[[Path], None]:
    def work(d: Path) -> None:
        try:
            os.rename(d / source, d / target)
        except FileNotFoundError:
            (d / f"no {source}").touch()

    return work


def put_all(d: Path) -> None:
    (d / "a").write_text("a")
    (d / "log").write_text(" ".join(sorted(os.listdir(d))))


def locked_count(d: Path) -> None:
    with open(d / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        count(d)


def files_of(d: Path) -> Any:
    return tuple(sorted((p.name, p.read_text()) for p in d.iterdir() if p.is_file()))


PROGRAMS: dict[str, list[Callable[[Path], None]]] = {
    "create": [check_then_create, check_then_create],
    "count": [count, count],
    "append": [append("a"), append("b"), append("c")],
    "locked": [locked_count, locked_count],
    "swap": [move("counter", "a"), move("a", "counter")],
    "chain": [move("counter", "a"), move("a", "b"), move("b", "c")],
    "list": [put_all, move("counter", "x")],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_dpor_finds_every_end(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = PROGRAMS[name]
    reduced, few = ends_of(setup, workers, files_of, "threading")
    everything, many = ends_of(setup, workers, files_of, "threading", monkeypatch)
    assert reduced == everything
    assert few <= many


class Opened:
    def __init__(self) -> None:
        self.first, self.second = threading.Lock(), threading.Lock()


def test_descriptors_of_workers_that_are_cut_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a deadlock and of a crash; those of workers that have ended are the program's own."""
    path = tmp_path / "a"
    kept: list[int] = []

    def opens(*locks: str) -> Callable[[Opened], None]:
        def worker(state: Opened) -> None:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
            for name in locks:
                getattr(state, name).acquire()
            for name in locks:
                getattr(state, name).release()
            os.close(descriptor)

        return worker

    def keeps(state: Opened) -> None:
        if not kept:
            kept.append(os.open(path, os.O_RDONLY | os.O_CREAT))
        with os.fdopen(os.open(path, os.O_RDONLY)) as file:
            file.read()

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    found = tracelock.explore(
        setup=Opened, workers=[opens("first", "second"), opens("second", "first")], schedules=40,
        backend="threading", strategy="random", every=True, isolation="never", shrink=False,
        confirm=0,
    )  # fmt: skip
    assert sum(way.count for way in found.ways if way.kind == "deadlock") > 4
    assert count() == before
    tracelock.explore(
        setup=Opened, workers=[opens(), opens()], schedules=40, backend="threading",
        strategy="random", crash_consistency=True, recover=lambda state: None,
    )  # fmt: skip
    assert count() == before
    tracelock.explore(setup=Opened, workers=[keeps], schedules=1, backend="threading")
    for descriptor in kept:
        os.close(descriptor)  # and raises nothing
    assert count() == before
