"""A use of each row of the table of patches for threads, time, files and processes.

What a row says is so: its replacement is called, and makes a scheduling point or none.
"""

from __future__ import annotations

import atexit
import colorsys
import concurrent.futures
import contextlib
import datetime
import fcntl
import importlib
import multiprocessing as mp
import os
import queue
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import threading
import time
import uuid
from _thread import RLock as ImportedRLock
from _thread import allocate_lock as imported_allocate
from collections.abc import Callable, Iterator
from concurrent.futures import _base
from datetime import datetime as ImportedDatetime
from functools import partial
from multiprocessing import shared_memory
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.patch_uses import Happened, Seen, explore_uses, judge, worker_name
from tracelock.instrument.clock import START
from tracelock.instrument.files.access import paths_of
from tracelock.instrument.hub import contexts
from tracelock.instrument.patches import Patch, table
from tracelock.instrument.processes.memory import touching

Use = Callable[..., Any]
#: Clocks, and the time of day where none is given.
CLOCKS = (
    "process_time", "process_time_ns", "thread_time", "thread_time_ns", "localtime", "gmtime",
    "ctime", "asctime",
)  # fmt: skip
GIVEN_CLOCKS = ("clock_gettime", "clock_gettime_ns")


def fails(now: bool) -> None:
    threading.Event().wait(10_000.0)
    if now:
        raise RuntimeError("the last one, so that there is a trace")


def registered() -> Any:
    """For a while: this module is not looked into, so that it stays registered in the process."""
    function = atexit.register(fails, False)
    atexit.unregister(fails)
    return function


def check(uses: dict[str, Use], rows: list[Patch], seen: Seen, makers: frozenset[str]) -> None:
    """Assert of all rows that they say what is so, and that there are no other uses."""
    assert uses.keys() == {row.name for row in rows}
    assert_true(rows, seen, makers)


def assert_true(rows: list[Patch], seen: Seen, makers: frozenset[str] = frozenset()) -> None:
    wrong = {}
    for row in rows:
        try:
            judge(row, seen, makers)
        except AssertionError as error:
            wrong[row.name] = f"{error}; {seen.of(row.name)}; {seen.gave[row.name]}"
    assert not wrong
    trace = seen.explored.trace
    assert trace.verdict.message.startswith("RuntimeError: the last one"), trace.verdict
    assert seen.explored.confirmed == {"threading": "1/1"}, seen.explored.notes


# --- threads, queues, time -------------------------------------------------------------------
def nothing() -> None:
    """What a thread runs that is started."""


def started() -> threading.Thread:
    thread = threading.Thread(target=nothing)
    thread.start()
    return thread


def condition(use: Callable[[threading.Condition], Any]) -> Use:
    def work() -> None:
        made = threading.Condition()
        with made:
            use(made)

    return work


def semaphore(kind: Any = None) -> None:
    made = (kind or threading.Semaphore)(1)
    made.acquire()
    made.release()


def entered() -> None:
    with threading.Semaphore(1):
        pass


def event(method: str, *arguments: Any) -> Use:
    def work() -> None:
        made = threading.Event()
        getattr(made, method)(*arguments)

    return work


def queued(kind: str, *calls: tuple[Any, ...]) -> Use:
    def work() -> None:
        made = getattr(queue, kind)()
        for method, *arguments in calls:
            getattr(made, method)(*arguments)

    return work


def lock(make: Callable[[], Any]) -> Use:
    def work() -> None:
        made = make()
        made.acquire()

    return work


def in_order() -> tuple[str, ...]:
    futures: list[Any] = [concurrent.futures.Future() for _ in range(5)]
    names = dict(zip(futures, "abcde", strict=True))
    concurrent.futures.wait(futures[::-1], timeout=0)
    taken = _base._AcquireFutures(futures[::-1])  # type: ignore[attr-defined]
    return tuple(names[future] for future in taken.futures)


#: With a row for what ``queue.Queue`` has from Python 3.13 on.
SHUTDOWN: dict[str, Use] = (
    {"queue.Queue.shutdown": queued("Queue", ("shutdown",))}
    if hasattr(queue.Queue, "shutdown") else {}
)  # fmt: skip
THREADS: dict[str, Use] = {
    "threading.Thread.__init__": started,
    "threading.Thread.start": started,
    "threading.Thread.join": lambda: started().join(),
    "threading.Thread.is_alive": lambda: started().is_alive(),
    "threading.active_count": threading.active_count,
    "threading.enumerate": threading.enumerate,
    "threading.Thread.__hash__": lambda: hash(threading.Thread()),
    "threading.Condition.__init__": condition(lambda one: None),
    "threading.Condition.__enter__": condition(lambda one: None),
    "threading.Condition.__exit__": condition(lambda one: None),
    "threading.Condition.wait": condition(lambda one: one.wait(1.0)),
    "threading.Condition.notify": condition(lambda one: one.notify()),
    "threading.Condition.notify_all": condition(lambda one: one.notify_all()),
    "threading.Semaphore.__init__": semaphore,
    "threading.Semaphore.acquire": semaphore,
    "threading.Semaphore.__enter__": entered,
    "threading.Semaphore.release": semaphore,
    "threading.BoundedSemaphore.release": lambda: semaphore(threading.BoundedSemaphore),
    "threading.Event.__init__": event("set"),
    "threading.Event.is_set": event("is_set"),
    "threading.Event.set": event("set"),
    "threading.Event.clear": event("clear"),
    "threading.Event.wait": event("wait", 1.0),
    "threading.Lock": lock(lambda: threading.Lock()),
    "threading.RLock": lock(lambda: threading.RLock()),
    "_thread.allocate_lock": lock(lambda: imported_allocate()),
    "_thread.RLock": lock(lambda: ImportedRLock()),
    "importlib._bootstrap._ModuleLock.acquire": lambda: importlib.reload(colorsys).__name__,
    "importlib._bootstrap._ModuleLock.release": lambda: importlib.reload(colorsys).__name__,
    "queue.Queue.__init__": queued("Queue", ("put", 1)),
    "queue.Queue.put": queued("Queue", ("put", 1)),
    "queue.Queue.get": queued("Queue", ("put", 1), ("get",)),
    "queue.Queue.qsize": queued("Queue", ("qsize",)),
    "queue.Queue.empty": queued("Queue", ("empty",)),
    "queue.Queue.full": queued("Queue", ("full",)),
    "queue.Queue.task_done": queued("Queue", ("put", 1), ("get",), ("task_done",)),
    "queue.Queue.join": queued("Queue", ("join",)),
    **SHUTDOWN,
    "queue.SimpleQueue": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.put": queued("SimpleQueue", ("put", 1)),
    "queue.SimpleQueue.get": queued("SimpleQueue", ("put", 1), ("get",)),
    "queue.SimpleQueue.qsize": queued("SimpleQueue", ("qsize",)),
    "queue.SimpleQueue.empty": queued("SimpleQueue", ("empty",)),
    "concurrent.futures.Future.__init__": lambda: hash(concurrent.futures.Future()),
    "concurrent.futures.Future.__hash__": lambda: hash(concurrent.futures.Future()),
    "concurrent.futures.wait": in_order,
    "time.sleep": lambda: time.sleep(3600),
    "os.urandom": lambda: os.urandom(16),
    **({"os.getrandom": lambda: os.getrandom(16)} if hasattr(os, "getrandom") else {}),
    "uuid.uuid1": uuid.uuid1,
    "datetime.datetime.now": lambda: ImportedDatetime.now(),
    "datetime.datetime.utcnow": lambda: datetime.datetime.utcnow(),
    "datetime.date.today": lambda: datetime.date.today(),
    **{f"time.{name}": lambda name=name: getattr(time, name)() for name in CLOCKS},
    **{
        f"time.{name}": lambda name=name: getattr(time, name)(1)
        for name in ("clock_gettime", "clock_gettime_ns")
    },
    "atexit.register": lambda: registered().__name__,
    "atexit.unregister": lambda: atexit.unregister(print) or "done",
    "time.strftime": lambda: time.strftime("%c"),
    "random.Random.seed": lambda: random.Random().random(),
    # found when they are called, which is when they are patched
    **{f"time.{name}": lambda name=name: getattr(time, name)() for name in START},
    **{f"time.{name}_ns": lambda name=name: getattr(time, f"{name}_ns")() for name in START},
}
THREAD_MAKERS = frozenset({
    "threading.Thread.__init__", "threading.Condition.__init__", "threading.Semaphore.__init__",
    "threading.Event.__init__", "threading.Lock", "threading.RLock", "_thread.allocate_lock",
    "_thread.RLock", "queue.Queue.__init__", "queue.SimpleQueue",
})  # fmt: skip


def test_threads_queues_and_time() -> None:
    seen = explore_uses(THREADS, fails=fails)
    check(THREADS, table("threads", "time", "exits"), seen, THREAD_MAKERS)
    for name, start in START.items():
        assert set(seen.gave[f"time.{name}"]) == {start}, "the time at which a schedule starts"
        assert set(seen.gave[f"time.{name}_ns"]) == {start * 1_000_000_000}
    assert set(seen.gave["concurrent.futures.wait"]) == {("a", "b", "c", "d", "e")}


# --- files -----------------------------------------------------------------------------------
def descriptor(use: Callable[[int], Any], flags: int = os.O_RDWR) -> Use:
    """A use of an open file, which is closed afterwards."""

    def work(d: Path) -> None:
        fd = os.open(d / "a", flags)
        try:
            use(fd)
        finally:
            with contextlib.suppress(OSError):
                os.close(fd)

    return work


def between(use: Callable[[int, int], Any]) -> Use:
    def work(d: Path) -> None:
        source, target = os.open(d / "a", os.O_RDONLY), os.open(d / "b", os.O_WRONLY)
        use(source, target)
        os.close(source)
        os.close(target)

    return work


def closed(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.close(fd)


def duplicated(fd: int) -> None:
    copy = os.dup(fd)
    os.read(copy, 1)
    os.close(copy)


def dressed(fd: int) -> None:
    with os.fdopen(fd, "rb", closefd=False) as file:
        file.read()


def opened(d: Path) -> None:
    with open(d / "a") as file:
        file.read()


def temporary(d: Path) -> None:
    with tempfile.NamedTemporaryFile(dir=d):
        pass


def random_name(d: Path) -> str:
    """What the next random name is called in a trace."""
    name = next(tempfile._RandomNameSequence())  # type: ignore[attr-defined]
    worker: Any = contexts[threading.get_ident()]
    return paths_of(worker.hub).label(str(d / name))


#: The method that removes the file is another one since Python 3.12.
REMOVES = "cleanup" if sys.version_info >= (3, 12) else "close"
FILES: dict[str, Use] = {
    "os.stat": lambda d: os.stat(d / "a"),
    "os.access": lambda d: os.access(d / "a", os.R_OK),
    "os.lstat": lambda d: os.lstat(d / "a"),
    "os.readlink": lambda d: os.readlink(d / "link"),
    "os.listdir": lambda d: os.listdir(d),
    "os.scandir": lambda d: os.scandir(d).close(),
    "os.chmod": lambda d: os.chmod(d / "a", 0o600),
    "os.utime": lambda d: os.utime(d / "a"),
    "os.truncate": lambda d: os.truncate(d / "a", 1),
    "os.mkdir": lambda d: os.mkdir(d / "new"),
    "os.mkfifo": lambda d: os.mkfifo(d / "new"),
    "os.mknod": lambda d: os.mknod(d / "new"),
    "os.unlink": lambda d: os.unlink(d / "a"),
    "os.remove": lambda d: os.remove(d / "a"),
    "os.rmdir": lambda d: os.rmdir(d / "sub"),
    "os.rename": lambda d: os.rename(d / "a", d / "new"),
    "os.replace": lambda d: os.replace(d / "a", d / "new"),
    "os.link": lambda d: os.link(d / "a", d / "new"),
    "os.symlink": lambda d: os.symlink(d / "a", d / "new"),
    "os.read": descriptor(lambda fd: os.read(fd, 1)),
    "os.pread": descriptor(lambda fd: os.pread(fd, 1, 0)),
    "os.readv": descriptor(lambda fd: os.readv(fd, [bytearray(1)])),
    "os.preadv": descriptor(lambda fd: os.preadv(fd, [bytearray(1)], 0)),
    "os.fstat": descriptor(lambda fd: os.fstat(fd)),
    "os.write": descriptor(lambda fd: os.write(fd, b"x")),
    "os.pwrite": descriptor(lambda fd: os.pwrite(fd, b"x", 0)),
    "os.writev": descriptor(lambda fd: os.writev(fd, [b"x"])),
    "os.pwritev": descriptor(lambda fd: os.pwritev(fd, [b"x"], 0)),
    "os.ftruncate": descriptor(lambda fd: os.ftruncate(fd, 1)),
    "os.fchmod": descriptor(lambda fd: os.fchmod(fd, 0o600)),
    "os.sendfile": between(lambda a, b: os.sendfile(b, a, 0, 1)),
    "os.copy_file_range": between(lambda a, b: os.copy_file_range(a, b, 1)),
    "os.open": descriptor(lambda fd: None),
    "os.close": descriptor(closed),
    "os.dup": descriptor(duplicated),
    "os.lseek": descriptor(lambda fd: os.lseek(fd, 0, os.SEEK_END)),
    "os.fdopen": descriptor(dressed),
    "os.fsync": descriptor(lambda fd: os.fsync(fd)),
    "os.fdatasync": descriptor(lambda fd: os.fdatasync(fd)),
    "builtins.open": opened,
    "fcntl.flock": descriptor(lambda fd: fcntl.flock(fd, fcntl.LOCK_EX)),
    "fcntl.lockf": descriptor(lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX)),
    f"tempfile._TemporaryFileCloser.{REMOVES}": temporary,
    "tempfile._RandomNameSequence.__next__": random_name,
}


def files(directories: list[str]) -> Path:
    """A directory for each use. ``directories``: what is to be removed, in no module, where it
    would be put back."""
    while directories:
        shutil.rmtree(directories.pop())
    directories.append(tempfile.mkdtemp())
    top = Path(directories[0])
    for name in FILES:
        d = top / worker_name(name)
        (d / "sub").mkdir(parents=True)
        for file in ("a", "b"):
            (d / file).write_text("text")
        (d / "link").symlink_to("b")
    return top


def rival(top: Path) -> None:
    """Touches what the uses touch, so that it is shared."""
    for name in FILES:
        d = top / worker_name(name)
        for file in ("a", "b", "link"):
            with contextlib.suppress(OSError):
                os.utime(d / file, follow_symlinks=False)
        (d / "other").touch()
        os.listdir(d)


def in_its_directory(name: str, use: Use) -> Use:
    return lambda top: use(top / worker_name(name))


def test_files() -> None:
    uses = {name: in_its_directory(name, use) for name, use in FILES.items()}
    directories: list[str] = []
    try:
        seen = explore_uses(uses, rival, fails=fails, setup=lambda: files(directories))
    finally:
        shutil.rmtree(directories.pop())
    makers = frozenset({"os.dup", "os.fdopen"})
    syncs = frozenset({"os.fsync", "os.fdatasync"})  # steps where a crash may come
    check(uses, table("files"), seen, makers | syncs)
    for name in makers:  # opening is one; what is done with what they give is another
        places = [e for e in seen.events[worker_name(name)] if e.target.endswith("/a")]
        assert len(places) == 2, name
    (label,) = set(seen.gave["tempfile._RandomNameSequence.__next__"])
    assert label.endswith("/#1@tempfile__RandomNameSequence___next__")


# --- databases -------------------------------------------------------------------------------
#: Two connections to one database in memory, which workers share.
SHARED_CACHE = "file:used?mode=memory&cache=shared"


def shares() -> None:
    with contextlib.closing(sqlite3.connect(SHARED_CACHE, uri=True)) as base:
        base.execute("CREATE TABLE IF NOT EXISTS t (n)")


DATABASES: dict[str, Use] = {"sqlite3.connect": shares}


def test_databases() -> None:
    seen = explore_uses(DATABASES, shares, fails=fails)
    (worker,) = map(worker_name, DATABASES)
    rows = table("databases")
    assert DATABASES.keys() == {row.name for row in rows}
    assert seen.of("sqlite3.connect")
    assert any(event.target.startswith("database:used") for event in seen.events[worker])


# --- processes -------------------------------------------------------------------------------
def child(target: Any = nothing, *arguments: Any) -> Any:
    process = mp.Process(target=target, args=arguments)
    process.start()
    return process


def held() -> None:
    mp.Event().wait()


def ended(method: str) -> Use:
    def work() -> None:
        process = child(held)
        getattr(process, method)()
        process.join()

    return work


def forked(use: Callable[[int], Any], run: Callable[[], Any] = nothing) -> Use:
    def work() -> None:
        pid = os.fork()
        if not pid:
            run()
            os._exit(0)
        use(pid)

    return work


def synchronized(kind: str, *calls: tuple[Any, ...]) -> Use:
    """Make an object of ``multiprocessing`` and call these methods of it."""

    def work() -> None:
        made = getattr(mp, kind)()
        with contextlib.ExitStack() as stack:
            if kind == "Condition":
                stack.enter_context(made)
            for method, *arguments in calls:
                getattr(made, method)(*arguments)

    return work


def shared(make: Callable[[], Any], use: Callable[[Any], Any], other: Callable[[Any], Any]) -> Use:
    """Make a piece of shared memory, which another worker uses too."""

    def work() -> None:
        made = make()
        thread = threading.Thread(target=other, args=(made,))
        thread.start()
        use(made)
        thread.join()
        for method in ("close", "unlink"):
            getattr(getattr(made, "shm", made), method, nothing)()

    return work


def assign(name: str, value: Any) -> Callable[[Any], None]:
    return lambda one: setattr(one, name, value)


def put_item(one: Any) -> None:
    one[0] = 1


def touched(one: Any) -> None:
    touching(one, 0, write=True)


PUT, TAKE, DONE = ("put", 1), ("get",), ("task_done",)
memory = partial(shared_memory.SharedMemory, create=True, size=8)
items = partial(shared_memory.ShareableList, [0])
PROCESSES: dict[str, Use] = {
    "os.fork": forked(lambda pid: os.waitpid(pid, 0)),
    "os.waitpid": forked(lambda pid: os.waitpid(pid, 0)),
    "multiprocessing.Process.start": lambda: child().join(),
    "multiprocessing.Process.join": lambda: child().join(),
    "multiprocessing.Process.is_alive": lambda: child().is_alive(),
    "multiprocessing.Process.exitcode": lambda: child().exitcode,
    "multiprocessing.Process.terminate": ended("terminate"),
    "multiprocessing.Process.kill": ended("kill"),
    "multiprocessing.RawValue": shared(
        lambda: mp.RawValue("i"), lambda one: one.value, assign("value", 1)
    ),
    "multiprocessing.RawArray": shared(lambda: mp.RawArray("i", 2), lambda one: one[0], put_item),
    "multiprocessing.SharedMemory.__init__": shared(memory, touched, touched),
    "multiprocessing.ShareableList.__getitem__": shared(items, lambda one: one[0], put_item),
    "multiprocessing.ShareableList.__setitem__": shared(items, put_item, lambda one: one[0]),
    "multiprocessing.SemLock.__init__": synchronized("Lock", ("acquire",)),
    "multiprocessing.Condition.__init__": synchronized("Condition", ("notify",)),
    "multiprocessing.Condition.wait": synchronized("Condition", ("wait", 1.0)),
    "multiprocessing.Condition.notify": synchronized("Condition", ("notify",)),
    "multiprocessing.Condition.notify_all": synchronized("Condition", ("notify_all",)),
    "multiprocessing.Event.__init__": synchronized("Event", ("set",)),
    "multiprocessing.Event.is_set": synchronized("Event", ("is_set",)),
    "multiprocessing.Event.set": synchronized("Event", ("set",)),
    "multiprocessing.Event.clear": synchronized("Event", ("clear",)),
    "multiprocessing.Event.wait": synchronized("Event", ("wait", 1.0)),
    "multiprocessing.Queue.__init__": synchronized("Queue", PUT),
    "multiprocessing.Queue.put": synchronized("Queue", PUT),
    "multiprocessing.Queue.get": synchronized("Queue", PUT, TAKE),
    "multiprocessing.Queue.qsize": synchronized("Queue", ("qsize",)),
    "multiprocessing.Queue.empty": synchronized("Queue", ("empty",)),
    "multiprocessing.Queue.full": synchronized("Queue", ("full",)),
    "multiprocessing.JoinableQueue.__init__": synchronized("JoinableQueue", PUT),
    "multiprocessing.JoinableQueue.put": synchronized("JoinableQueue", PUT),
    "multiprocessing.JoinableQueue.task_done": synchronized("JoinableQueue", PUT, TAKE, DONE),
    "multiprocessing.JoinableQueue.join": synchronized("JoinableQueue", ("join",)),
    "multiprocessing.SimpleQueue.__init__": synchronized("SimpleQueue", PUT),
    "multiprocessing.SimpleQueue.put": synchronized("SimpleQueue", PUT),
    "multiprocessing.SimpleQueue.get": synchronized("SimpleQueue", PUT, TAKE),
    "multiprocessing.SimpleQueue.empty": synchronized("SimpleQueue", ("empty",)),
}
PROCESS_MAKERS = frozenset(
    {name for name in PROCESSES if name.endswith("__init__")}
    | {"multiprocessing.RawValue", "multiprocessing.RawArray"}
)
#: Each is alone: any child is waited for; a worker dies; a process cannot tell of its own end.
ALONE: dict[str, Use] = {
    "os.wait": forked(lambda pid: os.wait()),
    "os.kill": forked(lambda pid: (os.kill(pid, signal.SIGKILL), os.waitpid(pid, 0)), held),
    "os._exit": forked(lambda pid: os.waitpid(pid, 0)),
}
#: Each ends the process of all workers.
DYING: dict[str, tuple[Use, str]] = {
    "os.abort": (os.abort, "the process was killed by SIGABRT"),
    "signal.raise_signal": (
        lambda: signal.raise_signal(signal.SIGKILL), "the process was killed by SIGKILL"
    ),
}  # fmt: skip
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.fixture
def by_fork() -> Iterator[None]:
    """Processes are started by fork where nothing else is said: from 3.14 on it is the default no
    more, and what is started in another way is not under control."""
    before = mp.get_start_method(allow_none=True)
    mp.set_start_method("fork", force=True)
    yield
    mp.set_start_method(before, force=True)


@needs_fork
def test_processes(by_fork: None) -> None:
    mp.RawValue("i")  # the memory of all of them is there then, whoever makes the first
    apart = {*ALONE, *DYING}
    rows = [row for row in table("processes", "multiprocessing") if row.name not in apart]
    check(PROCESSES, rows, explore_uses(PROCESSES, fails=fails), PROCESS_MAKERS)


@needs_fork
@pytest.mark.parametrize("name", DYING)
def test_ends_of_the_process(name: str) -> None:
    use, told = DYING[name]
    seen = explore_uses({name: use}, fails=fails)
    assert seen.explored.trace.verdict.message == f"{told}, in {worker_name(name)}"


@needs_fork
@pytest.mark.parametrize("name", ALONE)
def test_ends_of_processes(name: str) -> None:
    seen = explore_uses({name: ALONE[name]}, fails=fails)
    worker = worker_name(name)
    assert Happened("join", f"{worker}/fork") in seen.events[worker]
    message = seen.explored.trace.verdict.message
    if name == "os.kill":
        assert message.startswith(f"{worker}/fork died (SIGKILL from {worker})")
        assert any(seen.of(name))
        return
    assert message.startswith("RuntimeError: the last one"), "nobody died"
    if name == "os.wait":
        assert any(seen.of(name))
