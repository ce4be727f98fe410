"""Plain variables that are there to synchronise: what is polled, or looked at to branch.

Two accesses to such a variable race by any definition, and are meant to: Peterson's lock, a flag
that is spun on, the first look of double-checked locking. Here every step is indivisible and steps
come in one order (sequential consistency, as under CPython's GIL), so such a race alone cannot go
wrong: what can is to rely on what was seen, and that is judged elsewhere (``atomicity``). A
detector that does not know them drowns its reader in false alarms; see Jannesari and Tichy,
*Identifying ad-hoc synchronization for enhanced race detection* (IPDPS 2010).

A variable is a flag where every look at it that can race only decides a branch:

- the scenario mentions it in the conditions of ``if``, ``while`` and ``wait ... until`` only,
  never in a value, an assertion or a ``read``; or
- it is *double-checked*: looked at without the lock that guards its writes, and again with it held
  before it is written (a read that is part of the update itself, as of ``x += 1``, is no look); or
- in traces of Python code, which have no steps that say what a look is for: it is *spun on*, that
  is read at one place again and again, with nothing in between that others could notice, until
  another has written it; or it is a mere yes or no, and no worker that looks at it also writes it,
  nor waits at a condition because of it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

from tracelock.analysis.derived.locksets import Locksets
from tracelock.analysis.derived.steps import Steps
from tracelock.ops import CHECKPOINT, READ, SLEEP, WAIT, WRITE

__all__ = ["flags"]

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_STRING: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_CONDITIONS: Final = frozenset({"if", "while", "until"})
#: Keys whose text names an object, a worker or a local, or is for people.
_NO_EXPRESSION: Final = frozenset({
    "acquire", "release", "with", "wait", "notify", "set", "clear", "put", "get", "spawn", "join",
    "cancel", "write", "into", "got", "index", "message", "description", "fail", "call", "start",
    "count",
})  # fmt: skip
_QUIET: Final = frozenset({READ, SLEEP, CHECKPOINT})


def flags(steps: Steps, locks: Locksets) -> dict[str, str]:
    """Each flag with the reason, in words that end the sentence "it is a flag: ..."."""
    writers: dict[str, set[int]] = defaultdict(set)
    guards: dict[str, frozenset[str]] = {}
    for seq, kind in enumerate(steps.kinds):
        name = steps.targets[seq]
        if kind == WRITE and name is not None:
            held = locks.at(seq)
            guards[name] = guards[name] & held if name in writers else held
            writers[name].add(steps.workers[seq])
    for name in steps.atomics:
        writers.pop(name, None)
    scenario = steps.trace.scenario
    conditions = None if "python" in scenario else _only_conditions(scenario.get("workers"))
    found: dict[str, str] = {}
    if conditions is not None:
        why = "every look at it only decides whether to go on"
        found = {name: why for name in writers if name.partition("[")[0] in conditions}
        # what is not guarded when it is written cannot be double-checked
        writers = {name: who for name, who in writers.items() if guards[name]}
    if writers:
        watch = _Watch(steps, locks, writers, guards)
        for seq, kind in enumerate(steps.kinds):
            watch.event(seq, kind)
        found = {**watch.flags(python=conditions is None), **found}
    return found


def _only_conditions(workers: Any) -> frozenset[str] | None:
    """Names mentioned in conditions and nowhere else; None where there are no steps to read."""
    inside: set[str] = set()
    elsewhere: set[str] = set()
    steps = 0
    pending: list[Any] = [workers]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            for key, value in node.items():
                if key == "steps" and isinstance(value, list):
                    steps += len(value)
                if key in _CONDITIONS:
                    inside |= _names(value)
                elif key in _NO_EXPRESSION and not isinstance(value, dict | list):
                    elsewhere |= _names(str(value).partition("[")[2])
                elif isinstance(value, dict | list):
                    pending.append(value)
                    for one in value.values() if isinstance(value, dict) else value:
                        elsewhere |= _names(one)
                else:
                    elsewhere |= _names(value)
    return frozenset(inside - elsewhere) if steps else None


def _names(expression: Any) -> set[str]:
    if not isinstance(expression, str):
        return set()
    return set(_NAME.findall(_STRING.sub("", expression)))


class _Watch:
    """What the run itself shows of each variable, one event after the other.

    A *look* is a read that another's write can race with: without the lock that guards all writes,
    and not just a second read of what the worker has seen already. A variable is a flag where the
    places of all looks at it are ``good``, by what their worker does next, and none is ``bad``.
    """

    def __init__(
        self,
        steps: Steps,
        locks: Locksets,
        writers: dict[str, set[int]],
        guards: dict[str, frozenset[str]],
    ) -> None:
        self.steps, self.locks, self.writers, self.guards = steps, locks, writers, guards
        self.looks: dict[str, set[int]] = defaultdict(set)
        self.good: dict[str, dict[int, str]] = defaultdict(dict)
        self.bad: dict[str, set[int]] = defaultdict(set)
        self.relied: set[str] = set()  # written by a worker that had looked at it
        self.odd: set[str] = set()  # has a value that is no yes or no
        self.pending: dict[int, dict[str, int]] = defaultdict(dict)  # looks not looked at again
        self.again: dict[tuple[int, str], tuple[int, str]] = {}  # with the lock: the look, the step
        self.written: dict[str, tuple[int, int]] = {}  # the last write, its worker
        self.seen: dict[tuple[int, str], int] = {}  # a worker's last read
        self.spun: dict[int, tuple[int, int, int]] = {}  # by worker: shape, how often, last read

    def event(self, seq: int, kind: int) -> None:
        """Take one event into account."""
        steps = self.steps
        worker, name = steps.workers[seq], steps.targets[seq]
        if kind not in _QUIET:
            self.spun.pop(worker, None)
        if kind == WAIT and name is not None and steps.objects[name].type == "condition":
            for looked, shape in self.pending[worker].items():
                self.bad[looked].add(shape)  # it waits because of what it saw without the lock
        if kind > WRITE or name is None or name not in self.writers:
            return
        value = steps.results[seq] if kind == READ else steps.events.values[seq]
        if value is not None and type(value) is not bool:
            self.odd.add(name)
        looked_again = self.again.pop((worker, name), None)
        if looked_again is not None:
            look, at = looked_again
            if kind == WRITE and steps.at(seq) == at:  # no look of its own: part of an update
                self.bad[name].add(look)
            else:
                self._checked(name, look)
        if kind == WRITE:
            if name in self.pending[worker]:
                self.relied.add(name)
            self.written[name] = (seq, worker)
        else:
            self._read(seq, worker, name)

    def _read(self, seq: int, worker: int, name: str) -> None:
        steps = self.steps
        guard, shape = self.guards[name], steps.shapes[seq]
        before = self.seen.get((worker, name), -1)
        self.seen[worker, name] = seq
        if guard & self.locks.at(seq):
            look = self.pending[worker].pop(name, None)
            if look is not None:
                self.again[worker, name] = (look, steps.at(seq))
            return
        write, by = self.written.get(name, (-1, -1))
        changed = write > before and by != worker
        shape_before, times, last = self.spun.get(worker, (-1, 0, -1))
        times = times + 1 if shape_before == shape else 1
        self.spun[worker] = (shape, times, seq)
        if times >= 3 or (times == 2 and changed and write > last):
            self.good[name].setdefault(
                shape, "it is spun on: read at one place until another writes it"
            )
        if before >= 0 and not changed and times == 1:
            return  # it has seen this value already
        self.pending[worker][name] = shape
        if self.writers[name] - {worker}:
            self.looks[name].add(shape)

    def _checked(self, name: str, look: int) -> None:
        lock = min(self.guards[name])
        why = f"it is looked at again with {lock} held before anything is changed"
        self.good[name].setdefault(look, why)

    def flags(self, *, python: bool) -> dict[str, str]:
        """The flags; ``python``: there are no steps that say what a look is for."""
        for (_, name), (look, _) in self.again.items():
            self._checked(name, look)
        found = {}
        for name, shapes in self.looks.items():
            known = self.good[name]
            spins = [why for why in known.values() if "spun" in why]
            if shapes & self.bad[name]:
                continue
            if shapes <= known.keys() and (python or not spins):
                found[name] = next(iter(known.values()))
            elif python and name not in self.odd and name not in self.relied:
                found[name] = "it is a yes or no that some set and others look at"
        return found
