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
- it is *spun on*: one worker reads it at one place again and again, doing nothing in between that
  others could notice, until another has written it (traces without a scenario's steps); or
- it is *double-checked*: looked at without the lock that guards its writes, and again with it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any, Final

from tracelock.analysis.locksets import Locksets
from tracelock.analysis.steps import Steps
from tracelock.ops import CHECKPOINT, READ, SLEEP, WRITE

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
    if not writers:
        return {}
    scenario = steps.trace.scenario
    conditions = None if "python" in scenario else _only_conditions(scenario.get("workers"))
    if conditions is not None:
        found = {
            name: "every look at it only decides whether to go on"
            for name in writers if name.partition("[")[0] in conditions
        }  # fmt: skip
    else:
        found = {}
    for name, why in _watched(steps, locks, writers, guards, spins=conditions is None).items():
        found.setdefault(name, why)
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
                    if isinstance(value, list):
                        elsewhere |= {name for one in value for name in _names(one)}
                    else:
                        for inner in value.values():
                            elsewhere |= _names(inner)
                else:
                    elsewhere |= _names(value)
    return frozenset(inside - elsewhere) if steps else None


def _names(expression: Any) -> set[str]:
    if not isinstance(expression, str):
        return set()
    return set(_NAME.findall(_STRING.sub("", expression)))


def _watched(
    steps: Steps,
    locks: Locksets,
    writers: dict[str, set[int]],
    guards: dict[str, frozenset[str]],
    *,
    spins: bool,
) -> dict[str, str]:
    """What the run itself shows to be spun on or double-checked."""
    looks: dict[str, set[int]] = defaultdict(set)  # shapes of the reads that can race
    good: dict[str, dict[int, str]] = defaultdict(dict)
    spun: dict[int, tuple[int, int] | None] = {}  # by worker: the place it looks at, how often
    peeks: dict[tuple[int, str], int] = {}  # by worker and name: where it looked without the lock
    for seq, kind in enumerate(steps.kinds):
        worker, shape, name = steps.workers[seq], steps.shapes[seq], steps.targets[seq]
        last = spun.get(worker)
        if kind not in _QUIET:
            spun[worker] = None
        if kind != READ or name not in writers or name is None:
            continue
        guard = guards[name]
        if guard & locks.at(seq):
            peek = peeks.pop((worker, name), None)
            if peek is not None:
                good[name][peek] = (
                    f"it is looked at again with {min(guard)} held before anything is changed"
                )
            continue
        if guard:
            peeks[worker, name] = shape
        if not writers[name] - {worker}:
            continue
        looks[name].add(shape)
        again = last[1] + 1 if last is not None and last[0] == shape else 1
        spun[worker] = (shape, again)
        if spins and again >= 3:
            good[name].setdefault(shape, "it is spun on: read at one place until another writes it")
    return {
        name: next(iter(good[name].values()))
        for name, shapes in looks.items() if shapes <= good[name].keys()
    }  # fmt: skip
