"""Statements run for real on two threads, at the smallest switch interval: what goes wrong."""

from __future__ import annotations

import sys
import threading
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tracelock.interpreter.statement import Statement, namespace

INTERVAL = 1e-6
#: Executions of each thread before what they did is looked at.
_CHUNK = 20_000
#: ... and at most a part of all of them, so that several comparisons are made.
_PARTS = 5
_DEEPEST = 8


@dataclass
class Stressed:
    """``rounds``: executions of each thread; ``anomalies``: of ``chunks`` comparisons those in
    which the two together did what they never do one after the other; None: see ``why``."""

    rounds: int
    chunks: int
    anomalies: int | None
    why: str = ""


def module_data(module: types.ModuleType) -> dict[str, Any]:
    """The data of a module, and that of its classes, by their names."""
    plain = types.FunctionType | types.BuiltinFunctionType | types.ModuleType | property
    silent = (staticmethod, classmethod, types.GetSetDescriptorType, types.MemberDescriptorType)
    found: dict[str, Any] = {}
    for name, value in list(vars(module).items()):
        if name.startswith("__") or isinstance(value, plain):
            continue
        if not isinstance(value, type):
            found[f"{module.__name__}.{name}"] = value
        elif value.__module__ == module.__name__:
            for inner, one in list(vars(value).items()):
                if not inner.startswith("__") and not isinstance(one, (plain, *silent)):
                    found[f"{module.__name__}.{name}.{inner}"] = one
    return found


def picture(value: Any, depth: int = 0) -> str:
    """A value and all in it as text: the same for the same state, whatever object it is in."""
    if depth > _DEEPEST:
        return "..."
    if isinstance(value, int | float | str | bytes | type(None)):
        return repr(value)
    if isinstance(value, dict):
        inside = sorted(
            f"{picture(k, depth + 1)}: {picture(v, depth + 1)}" for k, v in list(value.items())
        )
        return f"{{{', '.join(inside)}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(picture(one, depth + 1) for one in list(value)))}}}"
    if isinstance(value, list | tuple) or hasattr(type(value), "popleft"):
        inside = [picture(one, depth + 1) for one in list(value)]
        return f"[{', '.join(inside)}]"
    if isinstance(value, types.ModuleType | types.FunctionType | type | types.BuiltinFunctionType):
        return getattr(value, "__name__", "")
    if hasattr(type(value), "acquire") and hasattr(type(value), "release"):
        return "a lock"  # in a schedule it is another class's
    parts = dict(getattr(value, "__dict__", {}))
    for owner in type(value).__mro__:
        slots = owner.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                parts[name] = getattr(value, name)
    if not parts:
        return type(value).__name__
    # what tracelock writes into the objects of a schedule is no part of them
    inside = sorted(
        f"{name}={picture(one, depth + 1)}"
        for name, one in parts.items()
        if not name.startswith("_tracelock")
    )
    return f"{type(value).__name__}({', '.join(inside)})"


def state(space: dict[str, Any], modules: Sequence[str] = ()) -> str:
    """What the names of a namespace, and the data of modules, have come to."""
    space = dict(space)
    for name in modules:
        space.update(module_data(sys.modules[name]))
    names = sorted(name for name in space if not name.startswith("__"))
    kinds = types.ModuleType | types.FunctionType
    parts = [f"{n} = {picture(space[n])}" for n in names if not isinstance(space[n], kinds)]
    return "; ".join(part for part in parts if "Object'" not in part and part != "Object = Object")


def difference(got: str, in_turn: Sequence[str]) -> str:
    """What is wrong about a state, in words: the names that are as in all right ones are left
    away."""
    right = [one.split("; ") for one in in_turn]
    parts = [part for part in got.split("; ") if not all(part in one for one in right)]
    wanted = ["; ".join(part for part in one if part not in got.split("; ")) for one in right]
    ends = " or ".join(dict.fromkeys(one for one in wanted if one)) or " or ".join(in_turn)
    return f"{'; '.join(parts) or got}: one after the other gives {ends}"


class Results:
    """What calls of functions came to, by who made them: one more part of the state."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def run(self, name: str, call: Callable[[], Any]) -> bool:
        """Make a call; whether it raised."""
        try:
            self._found[name] = f"{name} gets {picture(call())}"
        except Exception as error:
            self._found[name] = f"{name} gets {type(error).__name__}"
            return True
        return False

    def clear(self) -> None:
        """Before the next schedule."""
        self._found.clear()

    def text(self) -> str:
        """All of them."""
        return "; ".join(self._found[name] for name in sorted(self._found))


def modules_of(statements: Sequence[Statement]) -> list[str]:
    """The modules whose functions are called."""
    return sorted({one.module for one in statements if one.module is not None})


def serial(statements: Sequence[Statement], source: str) -> tuple[list[str], bool]:
    """What comes of two statements one after the other, in each of the two orders; and whether one
    of them then raises."""
    found, raises = [], False
    modules = modules_of(statements)
    for order in ([0, 1], [1, 0]):
        space, results = namespace(source), Results()
        for place in order:
            worker, name = statements[place].worker(space), ("first", "second")[place]
            raises |= results.run(name, worker) if modules else _raises(worker)
        got = state(space, modules)
        found.append("; ".join(part for part in (results.text(), got) if part))
    return found, raises


def _raises(worker: Callable[[], Any]) -> bool:
    try:
        worker()
    except Exception:
        return True
    return False


def stress(
    statements: Sequence[Statement], source: str, rounds: int, seconds: float = 60.0
) -> Stressed:
    """Run two statements on two threads, ``rounds`` times each, and compare with one at a time.

    That can be told where their order makes no difference to what they come to: where it does,
    ``anomalies`` is None.
    """
    chunk = max(1, min(_CHUNK, rounds // _PARTS))
    try:
        spaces = [in_turn(statements, source, 40, how) for how in ("12", "21", "mixed")]
        right = {chunk: in_turn(statements, source, chunk, "12")}
    except Exception as error:
        return Stressed(0, 0, None, f"repeated, it raises {type(error).__name__} by itself")
    if len(set(spaces)) > 1:
        why = "the order of the two makes a difference: no end state is wrong by itself"
        return Stressed(0, 0, None, why)
    old = sys.getswitchinterval()
    done = chunks = anomalies = 0
    end = time.monotonic() + seconds
    sys.setswitchinterval(INTERVAL)
    try:
        while done < rounds and time.monotonic() < end:
            number = min(chunk, rounds - done)
            if number not in right:
                right[number] = in_turn(statements, source, number, "12")
            space = namespace(source)
            raised = _both([_loop(statement, space) for statement in statements], number)
            anomalies += raised or state(space, modules_of(statements)) != right[number]
            chunks += 1
            done += number
    finally:
        sys.setswitchinterval(old)
    return Stressed(done, chunks, anomalies)


def _loop(statement: Statement, space: dict[str, Any]) -> Callable[[int], None]:
    """The statement in a loop of its own frame: nothing but it and the jump back."""
    worker = statement.looping(space)

    def run(number: int) -> None:
        worker(range(number))

    return run


def in_turn(statements: Sequence[Statement], source: str, number: int, how: str) -> str:
    """What comes of so many executions of each, one after the other: "12", "21" or "mixed"."""
    space = namespace(source)
    first, second = (_loop(statement, space) for statement in statements)
    if how == "12":
        first(number)
        second(number)
    elif how == "21":
        second(number)
        first(number)
    else:
        for _ in range(number):
            second(1)
            first(1)
    return state(space, modules_of(statements))


def _both(loops: Sequence[Callable[[int], None]], number: int) -> bool:
    """Run each in a thread; whether one raised."""
    raised: list[BaseException] = []
    ready = threading.Barrier(len(loops))

    def run(loop: Callable[[int], None]) -> None:
        ready.wait(30)
        try:
            loop(number)
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(loop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return bool(raised)
