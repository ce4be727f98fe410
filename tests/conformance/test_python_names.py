"""The short names of objects that real code creates, as it runs: the right ones, or none."""

from __future__ import annotations

import dataclasses
import importlib
import queue
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tracelock.names import display_names, for_display


@dataclasses.dataclass
class Record:
    """Its lock is made by code that has no line: it is known by the attribute that has it."""

    lock: Any = dataclasses.field(default_factory=threading.Lock)
    count: int = 0


class Kept:
    def __init__(self) -> None:
        self._first, self._second = threading.Lock(), threading.Lock()
        self.all = [threading.Lock() for _ in range(2)]
        self.ready = threading.Event()
        self.full = threading.Condition()
        self.jobs: queue.Queue[int] = queue.Queue()
        self.permits = threading.BoundedSemaphore(2)
        self.chosen = threading.Lock() if threading else threading.RLock()


def use(kept: Kept) -> None:
    """Uses each object in this order."""
    record = Record()
    local = threading.RLock()
    for lock in (kept._first, kept._second, *kept.all, record.lock, local, kept.chosen):
        with lock:
            pass
    kept.ready.set()
    kept.jobs.put(1)
    with kept.permits, kept.full:
        kept.full.notify()
    total = 0

    def add(amount: int) -> None:
        nonlocal total
        total += amount

    threads = [threading.Thread(target=add, args=(n,)) for n in (5, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    raise ValueError(total)


def test_objects_have_the_names_that_hold_them() -> None:
    found = tracelock.explore(
        setup=Kept, workers=[use], instrument=[__name__], schedules=30, shrink=False, confirm=0
    )
    trace = found.trace
    assert trace is not None
    shown = for_display(trace)
    used = dict.fromkeys(one.target for one in shown.events if one.op == "release")
    assert [*used] == [
        "Kept._first", "Kept._second", "Kept.all[]#1", "Kept.all[]#2", "Record.lock", "local",
        "Kept.chosen", "Kept.full.lock", "Kept.permits",
    ]  # fmt: skip
    table = {short: stable for stable, short in display_names(trace).table.items()}
    for name in ("Kept._first", "Kept._second", "Kept.ready", "Kept.full", "Kept.jobs", "local",
                 "Kept.permits", "Kept.chosen", "total", "add(5)", "add(7)"):  # fmt: skip
        assert name in table, (name, sorted(table))
    assert "_second@" in table["Kept._first"], "the stable name is what it always was: a guess"
    assert table["Record.lock"].startswith("record@"), "a guess: it is not the record"
    assert trace.digest() == dataclasses.replace(trace, extra={}).digest()


class Account:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.balance = 0


def two_accounts() -> tuple[Account, Account]:
    first = Account()
    return Account(), first  # the second one is met first


def move(accounts: tuple[Account, Account]) -> None:
    for account in accounts:
        with account.lock:
            account.balance += 1


def fails(accounts: tuple[Account, Account]) -> None:
    raise AssertionError([account.balance for account in accounts])


def test_a_lock_and_the_account_that_has_it_have_one_number() -> None:
    found = tracelock.explore(
        setup=two_accounts, workers=[move, move], check=fails, instrument=[__name__],
        schedules=20, shrink=False, confirm=0,
    )  # fmt: skip
    assert found.trace is not None
    shown = for_display(found.trace)
    names = [str(event.target) for event in shown.events if event.worker == 0]
    for number in (1, 2):
        taken = names.index(f"Account#{number}.lock")
        assert f"Account#{number}.balance" in names[taken : taken + 4]


_MODULE = """
import threading


class Account:
    def __init__(self):
        self.n = 0
        self.lock = threading.Lock()


def {name}(account):
    with account.lock:
        n = account.n
    account.n = n + 1
"""


def test_places_are_those_of_the_file_that_has_the_name_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("deposit", "withdraw"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "bank_of_two.py").write_text(_MODULE.format(name=name))
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "bank_of_two", raising=False)
        module: Any = importlib.import_module("bank_of_two")
        found = tracelock.explore(
            workers=[getattr(module, name)] * 2, setup=module.Account, check=lambda s: s.n == 2
        )
        assert found.trace is not None
        assert set(found.trace.scenario["python"]["places"].values()) == {name}
    monkeypatch.delitem(sys.modules, "bank_of_two")


class Filled:
    """Uses what it has before anybody else does."""

    def __init__(self) -> None:
        self._items, self._more, self._log = {"a": 1}, {"b": 2}, ["made"]
        self._items["b"] = self._more.pop("b")
        self._log.append("filled")


def iterates(filled: Filled) -> None:
    filled._log.append("read")
    for _ in filled._items:
        filled._more["read"] = 1


def inserts(filled: Filled) -> None:
    filled._items["c"] = 3
    filled._more["c"] = 3
    filled._log.append("written")


def test_containers_that_setup_has_used_are_called_as_what_has_them() -> None:
    explored = tracelock.explore(
        setup=Filled, workers=[iterates, inserts], backend="threading", strategy="dpor",
        instrument=[__name__],
    )  # fmt: skip
    trace = explored.trace
    assert explored.verdict == "failed" and trace is not None
    stable = {event.target for event in trace.events}
    assert stable == {"dict#1", "dict#2", "list#1"}, "as they are called in traces of before"
    shown = {event.target for event in for_display(trace).events}
    assert shown == {"Filled._items", "Filled._more", "Filled._log"}
