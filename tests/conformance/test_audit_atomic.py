"""What follows for all clients at once from calls one after the other, of real classes."""

from __future__ import annotations

import importlib
import random
import shutil
import sys
import tempfile
from itertools import product
from math import inf
from pathlib import Path

import pytest

from tests.conformance.test_audit_longer import goes_wrong, random_class
from tests.helpers.amount import amount
from tests.helpers.audited import NAMES, STRATEGIES
from tracelock.audit.atomic.sequences import AtomicCalls, all_atomic
from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf, Contracts
from tracelock.audit.judging import Judge
from tracelock.audit.reading import MethodCall, calls_of
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import strategies_of, subject_of

HERE = "tests.helpers.audited"
#: A lock around all, and what is not so.
CLASSES = '''
import threading
from collections import deque


class Bag:
    def __init__(self):
        self.lock = threading.RLock()
        self.items = deque()
        self.own = threading.local()

    def add(self):
        with self.lock:
            self.items.append(1)
            return self.count()

    def count(self):
        with self.lock:
            return len(self.items)

    def take(self):
        with self.lock:
            return self.items.pop() if self.items else None

    def peek(self):
        return len(self.items)

    def peek_and_take(self):
        if self.peek():
            with self.lock:
                return self.items.pop()

    def twice(self):
        return self.add() + self.add()

    def mine(self):
        return getattr(self.own, "times", 0)


class Late:
    """The lock of an item is made with it."""

    def __init__(self):
        self.items = {}
        self.lock = threading.Lock()

    def put(self):
        with self.lock:
            self.items[1] = [threading.Lock(), 0]

    def use(self):
        with self.lock:
            found = self.items.get(1)
        if found:
            with found[0]:
                found[1] += 1


class Plain(Bag):
    def __init__(self):
        self.lock = threading.RLock()
        self.items = deque()
        self.other = threading.Lock()

    def mine(self):
        return 0

    def both(self):
        with self.lock, self.other:
            self.items.clear()

    def both_back(self):
        with self.other, self.lock:
            self.items.clear()

    def tries(self):
        if self.other.acquire(False):
            self.other.release()

    def by_default(self, seen=[]):
        seen.append(len(seen))
        return len(seen)

    def given_away(self):
        with self.lock:
            return self.items


class Node:
    def __init__(self, below):
        self.below = below
        self.times = 0


class Linked:
    """Nodes are put in under the lock, and counted without it."""

    made = 0

    def __init__(self):
        self.lock = threading.Lock()
        self.top = None

    def push(self):
        with self.lock:
            self.top = Node(self.top)

    def pop(self):
        with self.lock:
            if self.top:
                self.top = self.top.below

    def touch(self):
        with self.lock:
            top = self.top
        if top:
            top.times += 1

    def count(self):
        Linked.made += 1
'''


#: Classes of which all clients are verified at once, and one bug in each.
SINGLE = [one for one in NAMES if one not in ("Queue", "Gate", "Once")]
#: Of each class: which methods are asked about, and why not all clients are verified at once.
WHY_NOT: dict[str, list[tuple[str, str]]] = {
    "Plain": [
        ("add count take peek mine", ""),
        ("both add", ""),
        ("both both_back", "locks are taken in several orders"),
        ("peek_and_take add", "peek_and_take() is no single step"),
        ("twice", "twice() is no single step"),
        ("tries", "is only tried"),
        ("by_default", "by_default() is no single step"),
        ("given_away add", "given_away() is no single step"),
    ],
    "Bag": [("mine", "it uses .local")],
    "Linked": [
        ("push pop", ""),
        ("push touch", "is no single step"),
        ("count", "count() is no single step"),
    ],
    "Late": [("put", ""), ("put use", "is not made with the object")],
}


def found_of(folder: Path, text: str, name: str, asked: list[list[str]]) -> list[AtomicCalls]:
    """What is found of some methods of a class in a module of this text, of all orders of two
    calls, or of four where there is one question."""
    home = f"atomic_{name.lower()}_{random.Random(text).randrange(10**9)}"
    (folder / f"{home}.py").write_text(text)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        subject = subject_of(f"{home}:{name}", None, {})
        subject.init = f"{name}()"
        every = dict.fromkeys(one for methods in asked for one in methods)
        listed = {one: MethodCall(one, f"it.{one}()") for one in every}
        called = f"{home}_calls"
        with (
            imported(str(folder), called, module_text(subject, list(listed.values()))) as module,
            Bench(subject.cls, module, list(listed.values()), 2, [called, home]) as bench,
        ):
            found = []
            for methods in asked:
                calls = [listed[one] for one in methods]
                length = 4 if len(asked) == 1 else 2
                found.append(all_atomic(bench, subject.cls, calls, length, inf))
                assert not any(one.shared for one in bench.host.names.variables.values())
            return found
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(home, None)


@pytest.mark.parametrize("name", WHY_NOT)
def test_calls_are_single_steps_or_it_is_said_why_not(name: str, tmp_path: Path) -> None:
    # all of a class is looked at, whatever is asked of it
    text = CLASSES if name != "Plain" else CLASSES.replace("threading.local()", "None").replace(
        'getattr(self.own, "times", 0)', "0"
    )  # fmt: skip
    asked = [methods.split() for methods, _ in WHY_NOT[name]]
    found = found_of(tmp_path, text, name, asked)
    for (methods, why_not), one in zip(WHY_NOT[name], found, strict=True):
        assert why_not in one.reason, (methods, one)
        assert bool(one.reason) == bool(why_not), (methods, one)


@pytest.mark.parametrize("name", SINGLE[: amount(1, 7)])
def test_each_seeded_bug_is_no_single_step(name: str) -> None:
    texts, _ = strategies_of(STRATEGIES.get(name, {}))
    for end, wanted in (("Right", False), ("Wrong", True)):
        subject = subject_of(f"{HERE}:{name}{end}", None, {})
        subject.init = f"{name}{end}()"
        given, _ = calls_of(subject, None, texts)
        listed = [one for calls in given.values() for one in calls if not one.spare]
        called = f"atomic_calls_of_{name}{end}".lower()
        folder = tempfile.mkdtemp()
        with (
            imported(folder, called, module_text(subject, listed)) as module,
            Bench(subject.cls, module, listed, 2, [called, HERE]) as bench,
        ):
            found = all_atomic(bench, subject.cls, listed, 3, inf)
            assert bool(found.reason) == wanted, found
        shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(amount(1, 12)))
def test_random_classes_whose_calls_are_single_steps_go_wrong_in_no_client(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(f"atomic classes {seed}")
    text, methods = random_class(chance)
    (found,) = found_of(tmp_path, text, "Made", [[*methods]])
    lines = [*product(methods.values(), repeat=2)]
    wrong = any(goes_wrong(([*a], [*b])) for a in lines for b in lines)
    assert found.reason or not wrong, (text, found)


def test_what_was_told_to_be_shared_is_found_out_again() -> None:
    subject = subject_of(f"{HERE}:CounterWrong", None, {})
    subject.init = "CounterWrong()"
    call = MethodCall("increment", "it.increment()")
    with tempfile.TemporaryDirectory() as folder:  # noqa: SIM117
        with (
            imported(folder, "atomic_and_more", module_text(subject, [call])) as module,
            Bench(subject.cls, module, [call], 2, ["atomic_and_more", HERE]) as bench,
        ):
            for _ in range(2):
                assert all_atomic(bench, subject.cls, [call], 3, inf).reason
                client = ClientOf((), ((call,), (call,)))
                judge = Judge(bench, client, Contracts("linearizable"), module.numbered)
                judge.learn()
                bench.explore(judge, 1_000, 200.0)
                assert judge.anomaly is not None and judge.anomaly.kind == "wrong result"
