"""The same scenario with its locks elsewhere: none, inside the loop, around the loop."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import Any, Final

from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import scenario_from_data

LOCKS: Final = frozenset({"lock", "rlock", "semaphore", "bounded_semaphore"})
NONE, INSIDE, AROUND, WRITTEN = "no locks", "lock in the loop", "lock around the loop", "as written"
_BLOCKS: Final = ("do", "then", "else", "try", "finally")


@dataclass(frozen=True, slots=True)
class Variant:
    """One form of a scenario. ``own``: it is the one that was given."""

    name: str
    scenario: Scenario
    own: bool = False


def variants(scenario: Scenario) -> list[Variant]:
    """The forms that can be derived, cheapest lock first; the given one is among them.

    Locks that a condition uses, and locks taken with a timeout or tried, stay: without them it
    would be another program.
    """
    data = scenario.to_data()
    free = _free_locks(data)
    if not free:
        return [Variant(WRITTEN, scenario, True)]
    nesting = {_nesting(worker["steps"], free) for worker in data["workers"].values()}
    nesting.discard(None)
    unlocked = _changed(data, lambda steps: _without(steps, free))
    if nesting == {INSIDE}:
        around = _changed(data, lambda steps: _around(steps, free))
        forms = [Variant(INSIDE, scenario, True), Variant(AROUND, around)]
    elif nesting == {AROUND}:
        inside = _changed(data, lambda steps: _inside(steps, free))
        forms = [Variant(INSIDE, inside), Variant(AROUND, scenario, True)]
    else:
        forms = [Variant(WRITTEN, scenario, True)]
    return [Variant(NONE, unlocked), *forms]


def rounds(scenario: Scenario) -> int | None:
    """How often the loops of all workers go round, where that can be read off; None otherwise."""
    data = scenario.to_data()
    total = 0
    for worker in data["workers"].values():
        count = _rounds(worker["steps"])
        if count is None:
            return None
        total += count * worker.get("count", 1)
    return total or None


def shortened(scenario: Scenario, most: int, to: int) -> Scenario | None:
    """The scenario with loops longer than ``most`` cut to ``to`` rounds, and the multiples of their
    length in what must hold cut likewise; None where there is no such loop."""
    data = scenario.to_data()
    long: set[int] = set()
    for step in _all(data["workers"]):
        if isinstance(step.get("repeat"), int) and step["repeat"] > most:
            long.add(step["repeat"])
            step["repeat"] = to
    if not long:
        return None
    for part in ("finally", "always"):
        data[part] = [_scaled(expr, long, to) for expr in data.get(part, [])]
    data.pop("expect", None)
    return scenario_from_data(data)


def _scaled(expr: Any, long: set[int], to: int) -> Any:
    if not isinstance(expr, str):
        return expr

    def scale(found: re.Match[str]) -> str:
        number = int(found[0])
        for length in sorted(long, reverse=True):
            if number and number % length == 0:
                return str(number // length * to)
        return found[0]

    return re.sub(r"(?<![\w.])\d+(?![\w.])", scale, expr)


def _rounds(steps: list[Any]) -> int | None:
    total = 0
    for step in steps:
        if not isinstance(step, dict):
            continue
        if "while" in step or ("repeat" in step and not isinstance(step["repeat"], int)):
            return None
        inner = 0
        for key in _BLOCKS:
            if isinstance(step.get(key), list):
                count = _rounds(step[key])
                if count is None:
                    return None
                inner += count
        total += step["repeat"] * max(inner, 1) if "repeat" in step else inner
    return total


def _free_locks(data: dict[str, Any]) -> set[str]:
    """The names of the locks that are only held and given back."""
    objects = data.get("objects") or {}
    kinds = {n: d if isinstance(d, str) else d["type"] for n, d in objects.items()}
    free = {name for name, kind in kinds.items() if kind in LOCKS}
    free -= {d.get("lock") for d in objects.values() if isinstance(d, dict)}
    used: set[str] = set()
    for step in _all([w["steps"] for w in data["workers"].values()]):
        for verb in ("with", "acquire", "release"):
            if isinstance(step.get(verb), str):
                used.add(_base(step[verb]))
        if "acquire" in step and set(step) - {"acquire"}:
            free.discard(_base(step["acquire"]))
    # a semaphore that starts at 0, or is released elsewhere than taken, is a signal and no lock
    for name, decl in objects.items():
        if isinstance(decl, dict) and decl.get("value") == 0:
            free.discard(name)
    for worker in data["workers"].values():
        steps = list(_all(worker["steps"]))
        taken = {_base(s["acquire"]) for s in steps if "acquire" in s}
        given = {_base(s["release"]) for s in steps if "release" in s}
        free -= taken ^ given
    return free & used


def _all(part: Any) -> Any:
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for value in part:
            yield from _all(value)


def _base(reference: str) -> str:
    return reference.partition("[")[0].strip()


def _locks(steps: list[Any], free: set[str]) -> list[str]:
    """The locks in ``free`` that the steps take, each once."""
    names = [step.get("with") or step.get("acquire") or "" for step in _all(steps)]
    return [name for name in dict.fromkeys(names) if _base(name) in free]


def _loops(step: Any) -> bool:
    return isinstance(step, dict) and ("repeat" in step or "while" in step)


def _nesting(steps: list[Any], free: set[str]) -> str | None:
    """Whether a worker takes its lock in its loop, or has the loop in the lock."""
    for step in steps:
        if not isinstance(step, dict):
            continue
        if _loops(step):
            return INSIDE if _locks(step["do"], free) else None
        if "with" in step and _base(step["with"]) in free:
            if any(map(_loops, _all(step["do"]))):
                return AROUND
            return WRITTEN
        if "acquire" in step and _base(step["acquire"]) in free:
            return WRITTEN
    return None


def _changed(data: dict[str, Any], change: Any) -> Scenario:
    data = copy.deepcopy(data)
    for worker in data["workers"].values():
        worker["steps"] = change(worker["steps"])
    data.pop("expect", None)
    return scenario_from_data(data)


def _without(steps: list[Any], free: set[str]) -> list[Any]:
    """The steps without the locks in ``free``."""
    kept: list[Any] = []
    for step in steps:
        if not isinstance(step, dict):
            kept.append(step)
        elif "with" in step and _base(step["with"]) in free:
            kept += _without(step["do"], free)
        elif _base(step.get("acquire") or step.get("release") or "") in free:
            continue
        else:
            inner = {key: _without(step[key], free) for key in _BLOCKS if key in step}
            kept.append({**step, **inner})
    return kept


def _around(steps: list[Any], free: set[str]) -> list[Any]:
    """The lock of each loop's body, around the loop."""
    found = []
    for step in steps:
        if _loops(step):
            loop = {**step, "do": _without(step["do"], free)}
            for name in reversed(_locks(step["do"], free)):
                loop = {"with": name, "do": [loop]}
            found.append(loop)
        else:
            found.append(step)
    return found


def _inside(steps: list[Any], free: set[str]) -> list[Any]:
    """The lock around a loop, in each of its rounds."""
    found = []
    for step in steps:
        if isinstance(step, dict) and "with" in step and _base(step["with"]) in free:
            for inner in step["do"]:
                if _loops(inner):
                    body = [{"with": step["with"], "do": inner["do"]}]
                    found.append({**inner, "do": body})
                else:
                    found.append({"with": step["with"], "do": [inner]})
        else:
            found.append(step)
    return found
