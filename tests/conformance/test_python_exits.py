"""How threads, schedules and processes end, and what is left of a schedule in the process."""

from __future__ import annotations

import atexit
import builtins
import concurrent.futures
import contextlib
import faulthandler
import gc
import io
import locale
import logging
import multiprocessing as mp
import os
import pyexpat
import signal
import socket
import sys
import threading
import time
import warnings
import weakref
import zlib
from collections.abc import Callable, Generator
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tracelock.errors import UsageError

HERE = [__name__]
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def explore(*workers: Callable[..., Any], **more: Any) -> Any:
    return tracelock.explore(
        setup=more.pop("setup", SimpleNamespace), workers=list(workers), instrument=HERE,
        **{"schedules": 20, "shrink": False, "confirm": 1, **more},
    )  # fmt: skip


# --- what nobody catches ---------------------------------------------------------------------
def raises(*_: object) -> None:
    raise ValueError("nobody catches this")


def starts_one_that_raises(s: Any) -> None:
    thread = threading.Thread(target=raises)
    thread.start()
    thread.join()


def test_an_error_of_a_thread_is_a_failure() -> None:
    found = explore(starts_one_that_raises)
    assert found.failed and "nobody catches this" in found.trace.verdict.message


def test_where_the_program_has_a_hook_of_its_own_the_error_is_its_business() -> None:
    before = threading.excepthook
    told: list[Any] = []

    def setup() -> Any:
        s = SimpleNamespace(n=0)

        def hook(args: Any) -> None:
            s.n += 1
            told.append((args.exc_type, str(args.exc_value), args.thread.name))

        threading.excepthook = hook
        return s

    def check(s: Any) -> None:
        assert s.n == 1

    found = explore(starts_one_that_raises, setup=setup, check=check)
    assert found.verdict == "verified", (found.summary, found.story())
    assert told[0][:2] == (ValueError, "nobody catches this")
    assert threading.excepthook is before


def test_a_hook_of_threads_is_code_under_control() -> None:
    """It races with what the others do."""

    def setup() -> Any:
        s = SimpleNamespace(n=0)
        threading.excepthook = lambda args: setattr(s, "n", s.n + 1)
        return s

    def check(s: Any) -> None:
        assert s.n == 2

    assert explore(starts_one_that_raises, starts_one_that_raises, setup=setup, check=check).failed


def test_a_hook_that_raises_is_a_failure() -> None:
    def setup() -> Any:
        threading.excepthook = raises
        return SimpleNamespace()

    assert explore(starts_one_that_raises, setup=setup).failed


class Noisy:
    def __del__(self) -> None:
        raise ValueError("in a finalizer")


@pytest.mark.parametrize("how", ["__del__", "weakref"])
def test_an_error_where_an_object_dies_is_a_failure_unless_the_program_hears_it(how: str) -> None:
    before = sys.unraisablehook

    def setup() -> Any:
        if how == "__del__":
            return SimpleNamespace(thing=Noisy())
        thing = threading.local()
        return SimpleNamespace(thing=thing, ref=weakref.ref(thing, raises))

    def hearing() -> Any:
        sys.unraisablehook = lambda unraisable: None
        return setup()

    def drop(s: Any) -> None:
        s.thing = None

    assert explore(drop, setup=setup).failed
    assert not explore(drop, setup=hearing).failed
    assert sys.unraisablehook is before


# --- atexit ----------------------------------------------------------------------------------
def kept_in(told: list[str]) -> Generator[None, str, None]:
    """What is sent to it is not put back, as what a list in a closure holds would be."""
    while True:
        told.append((yield))


def test_what_is_registered_for_the_exit_is_called_after_the_check_and_forgotten() -> None:
    told: list[str] = []
    keep = kept_in(told)
    next(keep)
    before = atexit._ncallbacks()

    def work(s: Any) -> None:
        atexit.register(keep.send, "first")
        atexit.register(keep.send, "second")
        atexit.register(raises)
        atexit.unregister(raises)

    found = explore(work, check=lambda s: keep.send("check"))
    assert found.verdict == "verified", found.summary
    assert told == ["check", "second", "first"] * (len(told) // 3) != []
    assert atexit._ncallbacks() == before


def test_an_error_there_is_a_failure() -> None:
    @atexit.register
    def kept() -> None:
        """Registered before: it stays."""

    def work(s: Any) -> None:
        atexit.register(raises)

    before = atexit._ncallbacks()
    assert explore(work).failed
    assert not explore(work, expected_errors=(ValueError,)).failed
    assert atexit._ncallbacks() == before
    atexit.unregister(kept)


# --- signals ---------------------------------------------------------------------------------
def raises_a_signal(s: Any) -> None:
    signal.raise_signal(signal.SIGUSR1)


def sends_a_signal(s: Any) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def sends_the_thread_a_signal(s: Any) -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def sets_an_alarm(s: Any) -> None:
    signal.setitimer(signal.ITIMER_VIRTUAL, 1_000)


@pytest.mark.parametrize(
    "work", [raises_a_signal, sends_a_signal, sends_the_thread_a_signal, sets_an_alarm]
)
def test_when_handlers_of_signals_run_is_not_under_control(work: Any) -> None:
    """They run in the main thread, whenever it gets to it: then nothing is verified."""
    before = signal.getsignal(signal.SIGUSR1)

    def setup() -> Any:
        s = SimpleNamespace(got=[])
        signal.signal(signal.SIGUSR1, lambda number, frame: s.got.append(number))
        return s

    found = explore(work, work, setup=setup, strategy="dpor", schedules=None)
    assert found.verdict == "passed" and len(found.account.outside) == 1, found.summary
    assert signal.getsignal(signal.SIGUSR1) is before


# --- the process -----------------------------------------------------------------------------
def process() -> dict[str, Any]:
    mask = os.umask(0)
    os.umask(mask)
    return {
        "switch": sys.getswitchinterval(), "cwd": os.getcwd(), "mask": mask,
        "faults": faulthandler.is_enabled(), "locale": locale.setlocale(locale.LC_ALL),
        "streams": (sys.stdout, sys.stderr), "recursion": sys.getrecursionlimit(),
        "collections": gc.get_threshold(), "stack": threading.stack_size(),
        "display": sys.displayhook, "arguments": list(sys.argv), "trace": threading.gettrace(),
        "profile": threading.getprofile(), "filters": list(warnings.filters),
        "logging": (logging.root.manager.disable, logging.root.level, logging.root.handlers[:]),
        "timeout": socket.getdefaulttimeout(), "environment": dict(os.environ),
        "names": sorted(vars(builtins)), "alarm": signal.getitimer(signal.ITIMER_REAL)[0] > 0,
        "handler": signal.getsignal(signal.SIGUSR1), "callbacks": list(gc.callbacks),
    }  # fmt: skip


NULL = open(os.devnull, "w")  # noqa: SIM115


def changes_the_process(s: Any) -> None:
    sys.setswitchinterval(0.123)
    os.chdir("/")
    os.umask(0o7)
    faulthandler.enable(NULL) if not faulthandler.is_enabled() else faulthandler.disable()
    locale.setlocale(locale.LC_ALL, "C")
    sys.stdout = sys.stderr = io.StringIO()
    sys.setrecursionlimit(5_000)
    gc.set_threshold(5)
    gc.callbacks.append(lambda phase, info: None)
    threading.stack_size(1 << 20)
    sys.displayhook = print
    sys.argv.append("--more")
    threading.settrace(lambda *about: None)  # type: ignore[arg-type, return-value]
    threading.setprofile(lambda *about: None)  # type: ignore[arg-type, return-value]
    warnings.simplefilter("error")
    logging.disable(50)
    logging.getLogger().setLevel(1)
    logging.getLogger().addHandler(logging.NullHandler())
    socket.setdefaulttimeout(3)
    os.environ["TRACELOCK_EXAMPLE"] = "1"
    vars(builtins)["tracelock_example"] = 1


def test_what_a_schedule_changes_of_the_process_is_put_back() -> None:
    seen = []

    def setup() -> Any:
        seen.append(process())
        signal.signal(signal.SIGUSR1, raises)
        signal.setitimer(signal.ITIMER_REAL, 1_000)
        return SimpleNamespace()

    before = process()
    explore(changes_the_process, changes_the_process, setup=setup)
    assert len(seen) > 2
    for now in (*seen, process()):
        assert {name: value for name, value in now.items() if value != before[name]} == {}


# --- processes that are not under control ------------------------------------------------------
def add_one(number: int) -> int:
    return number + 1


def by_spawn(s: Any) -> None:
    mp.get_context("spawn").Process(target=add_one, args=(1,)).start()


def by_forkserver(s: Any) -> None:
    mp.get_context("forkserver").Process(target=add_one, args=(1,)).start()


def by_default(s: Any) -> None:
    mp.Process(target=add_one, args=(1,)).start()


def by_executor(s: Any) -> None:
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        assert pool.submit(add_one, 1).result() == 2


def by_executor_of_spawn(s: Any) -> None:
    context = mp.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(add_one, [1])) == [2]


def by_pool(s: Any) -> None:
    with mp.Pool(1) as pool:
        assert pool.map(add_one, [1]) == [2]


def by_manager(s: Any) -> None:
    with mp.Manager() as manager:
        manager.dict()


def caught(s: Any) -> None:
    with contextlib.suppress(Exception):
        by_spawn(s)


@forks
@pytest.mark.parametrize(
    ("work", "told"),
    [
        (by_spawn, "a process by spawn at"), (by_forkserver, "a process by forkserver at"),
        (by_executor, "a ProcessPoolExecutor at"), (by_executor_of_spawn, "Executor at"),
        (by_pool, "a multiprocessing.Pool at"), (by_manager, "a multiprocessing.Manager at"),
        (caught, "a process by spawn at"),
        pytest.param(
            by_default, "a process by forkserver at",
            marks=pytest.mark.skipif(sys.version_info < (3, 14), reason="the default is fork"),
        ),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)  # fmt: skip
def test_of_processes_that_are_not_under_control_nothing_is_claimed(work: Any, told: str) -> None:
    begun, children = time.monotonic(), set(mp.active_children())
    found = explore(work, work, schedules=3)
    assert found.verdict == "unfinished"
    assert told in found.summary and "test_python_exits.py:" in found.summary
    assert "which is not under control: " in found.summary
    while set(mp.active_children()) - children and time.monotonic() - begun < 60:
        time.sleep(0.01)  # of an end that another thread waits for it is known a moment later
    assert not set(mp.active_children()) - children
    assert time.monotonic() - begun < 60, "no wait for what never comes"


@forks
def test_nor_may_setup_start_them() -> None:
    def setup() -> Any:
        pool = concurrent.futures.ProcessPoolExecutor(1)
        pool.submit(add_one, 1)
        return pool

    with pytest.raises(UsageError, match=r"^setup starts the processes of a ProcessPoolExecutor"):
        explore(lambda s: None, setup=setup)


# --- the account of other processes ------------------------------------------------------------
def packs() -> None:
    zlib.compressobj().compress(b"x")
    pyexpat.ParserCreate()


def packs_in_a_process(s: Any) -> None:
    process = mp.get_context("fork").Process(target=packs)
    process.start()
    process.join()


def packs_in_a_fork(s: Any) -> None:
    pid = os.fork()
    if not pid:
        packs()
        os._exit(0)
    os.waitpid(pid, 0)


@forks
@pytest.mark.parametrize("work", [packs_in_a_process, packs_in_a_fork])
def test_what_a_forked_process_calls_is_in_the_account(work: Any) -> None:
    found = explore(work, strategy="dpor", schedules=None)
    assert found.verdict == "passed"
    assert "pyexpat" in found.account.not_seen and "pyexpat" in found.summary


# --- counts ----------------------------------------------------------------------------------
def waits_in_vain(s: Any) -> None:
    threading.Event().wait(1)


@pytest.mark.parametrize("strategy", ["random", "dpor", "auto"])
@pytest.mark.parametrize("schedules", [1, 2, 7])
def test_in_so_many_of_so_many_schedules(strategy: str, schedules: int) -> None:
    """What happens in each is told to be in all of them, those that were run again apart."""
    found = explore(waits_in_vain, strategy=strategy, schedules=schedules)
    (note,) = [note for note in found.notes if "timed out" in note]
    assert note.startswith(f"in {found.schedules} of {found.schedules} schedules waits_in_vain")
