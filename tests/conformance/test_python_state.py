"""Every schedule begins from the same state: modules, classes, closures, caches, the process."""

from __future__ import annotations

import collections
import functools
import io
import itertools
import locale
import logging
import os
import random
import signal
import sys
import threading
import types
import weakref
from array import array
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

import tracelock
from tests.helpers.apart import ticks
from tracelock.instrument.state.places import covering, home_of, own_modules


def explore(*workers: Callable[[], Any], **options: Any) -> tracelock.Explored:
    options.setdefault("schedules", 200)
    options.setdefault("shrink", False)
    return tracelock.explore(workers=workers, **options)


# --- what schedules find again as it was -----------------------------------------------------
CACHE: dict[str, object] = {}
MADE = 0
FIRST: list[str] = []
NAMES: set[str] = set()
LINE: collections.deque[int] = collections.deque(maxlen=5)
COUNTS: collections.Counter[str] = collections.Counter()
GROUPS: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
ORDERED: collections.OrderedDict[str, int] = collections.OrderedDict(a=1, b=2)
NESTED: dict[str, list[int]] = {"inner": [1]}
DATA = bytearray(b"ab")
NUMBERS = array("i", [1, 2])
TEXT = io.StringIO("")
IDS = itertools.count(7)
next_id = itertools.count(1).__next__
DICE = random.Random(4)
GATE = threading.Lock()
FLAG = threading.Event()
CONFIG: object = None


class Service:
    """A singleton that is built at first use."""

    instance: Service | None = None
    built = 0
    registry: ClassVar[dict[str, type]] = {}

    def __init__(self) -> None:
        Service.built += 1

    @classmethod
    def get(cls) -> Service:
        if cls.instance is None:
            cls.instance = Service()
        return cls.instance


class Slotted:
    __slots__ = ("value", "unset")

    def __init__(self) -> None:
        self.value = 0


class Settings(dict[str, int]):
    """Its own methods must not be called by anybody but the program."""

    def items(self) -> Any:
        raise AssertionError("called")

    __iter__ = keys = values = update = clear = __contains__ = items  # type: ignore[assignment]


SLOTTED = Slotted()
SETTINGS = Settings(a=1)


@functools.lru_cache
def configured() -> object:
    return object()


def counted() -> None:
    counted.calls += 1  # type: ignore[attr-defined]


counted.calls = 0  # type: ignore[attr-defined]


def remembering(key: str, seen: list[str] = []) -> int:  # noqa: B006
    seen.append(key)
    return len(seen)


def closure() -> tuple[Callable[[], int], Callable[[], list[int]]]:
    number, parts = 0, [0]

    def bump() -> int:
        nonlocal number
        number += 1
        parts.append(number)
        return number

    return bump, lambda: parts


bump, parts_of = closure()


def use_all() -> None:
    global MADE, CONFIG
    CACHE["key"] = object()
    MADE += 1
    FIRST.append("one")
    NAMES.add("name")
    LINE.append(3)
    COUNTS["x"] += 1
    GROUPS["g"].append(1)
    ORDERED.move_to_end("a")
    NESTED["inner"].append(2)
    DATA.extend(b"c")
    NUMBERS.append(3)
    TEXT.write("written")
    next(IDS)
    next_id()
    DICE.random()
    GATE.acquire()
    FLAG.set()
    CONFIG = object()
    Service.get()
    Service.extra = 1  # type: ignore[attr-defined]
    Service.registry["s"] = Service
    SLOTTED.value = SLOTTED.unset = 1  # type: ignore[attr-defined]
    dict.__setitem__(SETTINGS, "b", 2)
    configured()
    counted()
    remembering("a")
    bump()


def state() -> list[Any]:
    return [
        len(CACHE), MADE, list(FIRST), set(NAMES), list(LINE), dict(COUNTS), dict(GROUPS),
        list(ORDERED), list(NESTED["inner"]), bytes(DATA), list(NUMBERS), TEXT.getvalue(),
        repr(IDS), DICE.getstate(), GATE.locked(), FLAG.is_set(), CONFIG, Service.instance,
        Service.built, hasattr(Service, "extra"), dict(Service.registry), SLOTTED.value,
        hasattr(SLOTTED, "unset"), dict(dict.items(SETTINGS)), configured.cache_info()[3],
        counted.calls, len(remembering.__defaults__[0]), parts_of()[:],  # type: ignore
    ]  # fmt: skip


def test_all_that_a_module_holds_is_as_it_was_when_a_schedule_begins() -> None:
    before = state()
    seen: list[Any] = []

    def worker() -> None:
        seen.append(state())
        use_all()

    explored = explore(worker, schedules=5)
    assert explored.verdict != "failed", explored.summary
    assert len(seen) > 4
    for one in seen:
        assert one == before
    assert state() == before
    assert next_id() == 1
    assert not [note for note in explored.notes if "lives on" in note]


def lazily() -> None:
    global MADE
    if "key" not in CACHE:
        MADE += 1
        CACHE["key"] = object()


def singly() -> None:
    Service.get()


def numbered() -> None:
    global MADE
    MADE = MADE + 1


def cached() -> None:
    if not FIRST:
        FIRST.append("made")


RACES: dict[str, tuple[Callable[[], None], Callable[[], bool]]] = {
    "check-then-act on a global": (lazily, lambda: MADE == 1),
    "a singleton": (singly, lambda: Service.built == 1),
    "a counter in a module": (numbered, lambda: MADE == 2),
    "check-then-act on a list": (cached, lambda: len(FIRST) == 1),
}


@pytest.mark.parametrize("case", RACES)
def test_a_race_in_what_is_set_up_at_first_use_is_found_every_time(case: str) -> None:
    work, check = RACES[case]
    for seed in range(6):
        explored = explore(work, work, check=check, seed=seed)
        assert explored.verdict == "failed", f"{case}, seed {seed}"
        assert explored.confirmed == {"threading": "3/3"}


async def lazily_as_a_task() -> None:
    import asyncio

    if not FIRST:
        await asyncio.sleep(0)
        FIRST.append("made")


def test_a_race_of_tasks_on_a_global_is_found_every_time() -> None:
    for seed in range(6):
        explored = explore(
            lazily_as_a_task, lazily_as_a_task, check=lambda: len(FIRST) == 1, seed=seed
        )
        assert explored.verdict == "failed"


def logs_once(name: str) -> Callable[[], None]:
    log = logging.getLogger(f"{__name__}.{name}")

    def work() -> None:
        log.debug("who asks for the first time would take a lock")

    return work


def test_a_trace_of_programs_that_log_is_that_of_a_new_process() -> None:
    program: dict[str, Any] = {
        "workers": [logs_once("one"), logs_once("other")], "check": lambda: False,
    }  # fmt: skip
    found = tracelock.explore(**program, schedules=2, shrink=False)
    assert found.trace is not None
    assert not [event for event in found.trace.events if event.target == "logging._lock"]
    for _ in range(2):  # the second time with what the first one has left
        assert tracelock.replay(found.trace, **program).reproduced
    logging.root.manager._clear_cache()  # type: ignore[attr-defined]  # as in a new process
    assert tracelock.replay(found.trace, **program).reproduced


# --- closures of the given functions ---------------------------------------------------------
def test_what_closures_hold_is_put_back_and_what_was_added_is_kept_for_the_end() -> None:
    cache: dict[str, int] = {}
    made: list[int] = []
    wholes: list[int] = []

    def worker() -> None:
        if "key" not in cache:
            made.append(1)
            cache["key"] = 1

    def check() -> bool:
        wholes.append(len(made))
        return len(made) == 1

    explored = explore(worker, worker, check=check)
    assert explored.verdict == "failed"
    assert len(made) > 2  # of all schedules
    assert 2 in wholes
    assert 1 in wholes


def test_a_variable_of_a_closure_is_put_back() -> None:
    made = None
    count = 0

    def worker() -> None:
        nonlocal made, count
        if made is None:
            count += 1
            made = object()

    assert explore(worker, worker, check=lambda: count == 1).verdict == "failed"


# --- what stays ------------------------------------------------------------------------------
def test_an_imported_module_stays(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package_in_parts"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def worker() -> None:
        import package_in_parts.part  # type: ignore[import-not-found]

        assert package_in_parts.part.value == 1

    import package_in_parts

    assert package_in_parts is not None
    explored = explore(worker, schedules=3)
    assert explored.verdict != "failed", explored.summary


def test_objects_that_schedules_made_die_when_state_is_put_back() -> None:
    class Thing:
        pass

    things: list[weakref.ref[Thing]] = []

    def worker() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        CACHE["thing"] = thing

    explore(worker, schedules=5)
    assert not any(one() for one in things)


# --- what cannot be put back -----------------------------------------------------------------
TICKS = ticks()


def test_what_cannot_be_put_back_is_named() -> None:
    """Where it may be, each schedule has a process of its own, and so the state that there was."""

    def worker() -> None:
        next(TICKS)

    def told(isolation: str) -> str:
        workers = [worker, lambda: None]
        return "".join(
            tracelock.explore(
                workers=workers, schedules=20, strategy="random", isolation=isolation
            ).notes
        )

    lives_on = "lives on from schedule to schedule: the generator"
    apart = "ran in forked processes: what schedules change cannot be put back: the generator"
    for isolation, wanted, other in (("never", lives_on, apart), ("auto", apart, lives_on)):
        notes = told(isolation)
        assert wanted in notes and "TICKS" in notes and other not in notes


# --- the process -----------------------------------------------------------------------------
def _print_elsewhere() -> None:
    sys.stdout = io.StringIO()


def _set_environment() -> None:
    os.environ["TRACELOCK_TEST_STATE"] = "1"


def _remove_environment() -> None:
    del os.environ["PATH"]


def _change_directory() -> None:
    os.chdir("/")


def _hook() -> None:
    sys.excepthook = print


def _locale() -> None:
    locale.setlocale(locale.LC_ALL, "C")


def _search_path() -> None:
    sys.path.append("nowhere")


def _around() -> list[Any]:
    return [
        sys.stdout, dict(os.environ), os.getcwd(), sys.excepthook, list(sys.path),
        locale.setlocale(locale.LC_ALL),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        _print_elsewhere, _set_environment, _remove_environment, _change_directory, _hook, _locale,
        _search_path,
    ],
)  # fmt: skip
def test_what_a_schedule_changes_of_the_process_is_put_back(change: Callable[[], None]) -> None:
    before = _around()
    seen: list[Any] = []

    def worker() -> None:
        seen.append(_around())
        change()

    explore(worker, schedules=4)
    assert _around() == before
    assert all(one == before for one in seen)


def test_a_signal_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)

    def setup() -> None:
        assert signal.getsignal(signal.SIGUSR1) == before
        signal.signal(signal.SIGUSR1, lambda *_: None)

    explored = explore(lambda _: None, setup=setup, schedules=4)
    assert explored.verdict != "failed"
    assert signal.getsignal(signal.SIGUSR1) == before


# --- setup and check -------------------------------------------------------------------------
CHECKED: list[int] = []


def test_what_setup_changes_in_a_module_is_put_back_and_what_check_changes_is_not() -> None:
    global MADE
    numbers: list[int] = []

    def setup() -> None:
        global MADE
        numbers.append(MADE)
        MADE += 1

    def check(_: None) -> None:
        CHECKED.append(MADE)

    explored = explore(lambda _: use_all(), setup=setup, check=check, schedules=4)
    assert explored.verdict != "failed", explored.summary
    assert len(numbers) > 3
    assert set(numbers) == {0}
    assert set(CHECKED) == {2}
    assert len(CHECKED) == len(numbers)
    assert MADE == 0
    CHECKED.clear()


ACTIVE = 0


def test_what_unwinding_changes_is_put_back() -> None:
    before: list[int] = []

    def worker() -> None:
        global ACTIVE
        before.append(ACTIVE)
        lock = threading.Lock()
        lock.acquire()
        try:
            lock.acquire()
        finally:
            ACTIVE += 1

    explored = explore(worker, schedules=4, every=True)
    assert explored.verdict == "failed"
    assert len(before) > 3
    assert set(before) == {0}


def test_the_module_of_a_partial_is_the_programs_and_other_tests_are_not() -> None:
    """Whatever is instrumented, or not at all: its globals are put back."""
    other = types.ModuleType("somewhere.test_of_others")
    other.__file__, other.__dict__["kept"] = "/somewhere/test_of_others.py", []
    sys.modules[other.__name__] = other
    try:
        found = tracelock.explore(
            workers=[functools.partial(_count, 1), functools.partial(_count, 2)],
            check=lambda: len(_COUNTED) == 2, instrument=[], schedules=10, every=True,
        )  # fmt: skip
    finally:
        del sys.modules[other.__name__]
    assert found.verdict == "passed" and not _COUNTED
    homes = own_modules(covering([home_of(functools.partial(_count, 1))]))
    assert __name__ in homes and other.__name__ not in homes


_COUNTED: list[int] = []


def _count(by: int) -> None:
    _COUNTED.append(by)


# --- objects of classes that are built on types in C -------------------------------------------
class Prepared(functools.partial):  # type: ignore[type-arg]
    pass


prepared = Prepared(len, "")


def test_what_a_type_in_c_lets_nobody_set_is_named_only_where_it_changes() -> None:
    def sets() -> None:
        prepared.__setstate__((len, ("", *prepared.args), {}, {}))  # type: ignore[attr-defined]

    still = tracelock.explore(workers=[lambda: None, lambda: None])
    assert still.verdict == "verified"
    assert still.notes == []
    changed = tracelock.explore(workers=[sets, lambda: None])
    assert changed.lasting == [f"{__name__}.prepared"]
