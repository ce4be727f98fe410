"""Hypothesis strategies for scenarios that are right, and for ways to spoil them."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.integers(0, 9) | st.sampled_from([0.5, 1e3, 10**20])
VALUES = NUMBERS | st.sampled_from(
    ["counter + 1", "balance[index]", "seen", "'on'", "len(balance)", "true", "-1", None, True]
)
CONDITIONS = st.sampled_from(["counter < 3", "not seen", "flag == 'no'", True, "balance[1] > seen"])
LOCALS = st.sampled_from(["seen", "got", "k", "ok"])
VARIABLES = st.sampled_from(["counter", "flag", "balance[0]", "balance[index]", "balance[-1]"])
LOCKS = st.sampled_from(["guard", "account[index]", "account[1 - index]", "reentrant", "permits"])
TEXTS = st.sampled_from(["it broke", "on", "010", "1e3", "é: x", "a\nb"])


def _step(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A step; its keys that begin with ``o_`` here may be left out."""
    must = {name.rstrip("_"): value for name, value in keys.items() if not name.startswith("o_")}
    may = {name[2:]: value for name, value in keys.items() if name.startswith("o_")}
    return st.fixed_dictionaries(must, optional=may)


ATOMIC_STEPS = st.lists(
    _step(read=VARIABLES, o_into=LOCALS)
    | _step(write=VARIABLES, value=VALUES)
    | st.fixed_dictionaries({"let": st.dictionaries(LOCALS, VALUES, max_size=2)})
    | st.fixed_dictionaries({"assert": CONDITIONS}, optional={"message": TEXTS}),
    max_size=2,
)

LEAVES = st.one_of(
    _step(acquire=LOCKS, o_timeout=NUMBERS, o_into=LOCALS),
    _step(acquire=LOCKS, blocking=st.booleans(), o_into=LOCALS),
    _step(release=LOCKS),
    _step(release=st.just("permits"), o_n=st.integers(1, 3)),
    _step(read=VARIABLES, o_into=LOCALS),
    _step(write=VARIABLES, value=VALUES),
    st.fixed_dictionaries({"let": st.dictionaries(LOCALS, VALUES, max_size=3)}),
    _step(atomic=ATOMIC_STEPS),
    _step(compare_exchange=VARIABLES, expect=VALUES, value=VALUES, o_into=LOCALS),
    _step(exchange=VARIABLES, value=VALUES, o_into=LOCALS),
    _step(fetch_add=VARIABLES, by=VALUES, o_into=LOCALS),
    _step(wait=st.just("ready"), o_timeout=NUMBERS, o_into=LOCALS, o_until=CONDITIONS),
    _step(wait=st.sampled_from(["go", "meet"]), o_timeout=NUMBERS, o_into=LOCALS),
    _step(notify=st.just("ready"), o_n=st.integers(0, 3)),
    _step(notify=st.just("ready"), all=st.booleans()),
    _step(set=st.just("go")),
    _step(clear=st.just("go")),
    _step(put=st.just("jobs"), value=VALUES, o_blocking=st.booleans(), o_into=LOCALS),
    _step(get=st.just("jobs"), o_into=LOCALS, o_timeout=NUMBERS, o_got=LOCALS),
    _step(sleep=NUMBERS),
    _step(work=NUMBERS),
    _step(fail=TEXTS),
    st.fixed_dictionaries({"assert": CONDITIONS}, optional={"message": TEXTS}),
    _step(spawn=st.just("helper")),
    _step(join=st.sampled_from(["helper", "main[0]"]), o_timeout=NUMBERS, o_into=LOCALS),
    _step(cancel=st.just("helper")),
    _step(call=st.just("package.module:function"), o_args=st.lists(VALUES, max_size=2)),
    st.sampled_from(["checkpoint", "stop", "crash"]),
)


def _around(steps: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    block = st.lists(steps, max_size=3)
    loop = st.lists(steps | st.sampled_from(["break", "continue"]), max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"with": LOCKS, "do": block}),
        st.fixed_dictionaries({"if": CONDITIONS, "then": block}, optional={"else": block}),
        st.fixed_dictionaries({"if": CONDITIONS, "else": block}),
        st.fixed_dictionaries({"while": CONDITIONS, "do": loop}),
        st.fixed_dictionaries(
            {"repeat": st.integers(0, 3), "do": loop}, optional={"index": st.just("i")}
        ),
        st.fixed_dictionaries({"try": block, "finally": block}),
        st.fixed_dictionaries({"timeout": NUMBERS, "do": block}, optional={"into": LOCALS}),
    )


STEPS = st.lists(st.recursive(LEAVES, _around, max_leaves=6), max_size=5)
# Every local is set first, so that any step may read any of them.
FIRST: dict[str, Any] = {"let": {"seen": 0, "got": False, "k": "index", "ok": True}}


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """A document of the language, as data, that has nothing wrong with it."""
    return {
        "format": "tracelock-scenario/1",
        "name": draw(TEXTS),
        **draw(st.fixed_dictionaries({}, optional={"description": TEXTS})),
        "shared": {"counter": draw(NUMBERS), "flag": draw(TEXTS), "balance": [100, 1.5]},
        "objects": {
            "guard": draw(st.sampled_from(["lock", {"type": "lock"}])),
            "account": {"type": "lock", "count": 2},
            "reentrant": "rlock",
            "permits": {"type": "semaphore", "value": draw(st.integers(0, 2))},
            "ready": draw(st.sampled_from(["condition", {"type": "condition", "lock": "guard"}])),
            "go": "event",
            "meet": {"type": "barrier", "parties": 2},
            "jobs": {"type": "queue", "order": draw(st.sampled_from(["fifo", "lifo"]))},
        },
        "workers": {
            "main": {"count": 2, "steps": [FIRST, *draw(STEPS)]},
            "helper": {"start": "manual", "steps": [FIRST, *draw(STEPS)]},
        },
        "always": draw(st.lists(st.sampled_from(["counter >= 0", True, "sum(balance) > 1"]))),
        "expect": draw(
            st.dictionaries(
                st.sampled_from(["threading", "asyncio"]),
                st.sampled_from(["passes", "fails", {"verdict": "deadlock", "switches": 1}]),
            )
        ),
    }


JUNK = st.sampled_from(
    [None, True, -1, 1.5, "", "counter +", "x y", [], [[]], {}, {"a": 1}, "aquire", {"with": "x"}]
)


def places(data: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every path in ``data`` but the empty one."""
    found: list[tuple[str | int, ...]] = []
    items: Any = ()
    if isinstance(data, dict):
        items = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    for key, value in items:
        found.append((*path, key))
        found += places(value, (*path, key))
    return found


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """A document after a few random changes: some are wrong, some happen to be right."""
    data: dict[str, Any] = copy.deepcopy(draw(scenarios()))
    for _ in range(draw(st.integers(1, 4))):
        paths = places(data)
        if not paths:
            break
        *outer, last = draw(st.sampled_from(paths))
        inner: Any = data
        for part in outer:
            inner = inner[part]
        change = draw(st.sampled_from(["replace", "delete", "rename", "copy"]))
        if change == "replace":
            inner[last] = draw(JUNK)
        elif change == "delete":
            del inner[last]
        elif change == "rename" and isinstance(inner, dict):
            inner[f"{last}x"] = inner.pop(last)
        elif isinstance(inner, dict):
            inner[draw(st.sampled_from(["into", "value", "acquire", "do", "count"]))] = inner[last]
    return data
