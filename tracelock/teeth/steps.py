"""Mutants of the lock regions of a scenario: its document, with other steps.

A region is a ``with`` step, or an ``acquire`` step with the ``release`` of the same object after it
in the same block, in the ``finally`` of the next step or plainly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from tracelock.teeth.mutations import NARROWED, REMOVED, REPLACED, SWAPPED, WIDENED

_Steps = list[Any]
#: Keys of steps whose values are blocks, of which an ``atomic`` one can hold no lock.
_BLOCKS: Final = ("do", "then", "else", "try", "finally")
_LOCKS: Final = ("lock", "rlock", "semaphore", "bounded_semaphore")
#: What a probe fails with.
REACHED: Final = "tracelock: the changed steps were reached"
_SHOWN: Final = 60


@dataclass(frozen=True)
class StepMutation:
    """One change. ``at``: the path of its region; ``document``: the changed one; ``probe``: the
    original, which fails with ``REACHED`` where what was changed is reached."""

    kind: str
    at: str
    lock: str
    was: str
    now: str
    document: dict[str, Any]
    probe: dict[str, Any]


@dataclass(frozen=True)
class StepRegion:
    """A region: ``path`` leads to its block, in which it has ``length`` steps from ``start`` on."""

    path: tuple[Any, ...]
    start: int
    length: int
    lock: str
    body: _Steps
    around: Callable[[_Steps, str], _Steps]
    without: _Steps

    @property
    def at(self) -> str:
        return f"{_text_of(self.path)}[{self.start}]"


def step_mutations(data: dict[str, Any]) -> list[StepMutation]:
    """All mutants of a scenario, given as plain data."""
    return [
        StepMutation(
            kind, region.at, region.lock, was, now,
            _with_steps(data, region.path, start, length, made),
            _with_steps(data, path, place, 0, [{"fail": REACHED}]),
        )
        for region in _regions(data)
        for kind, was, now, start, length, made, (path, place) in _changes(data, region)
    ]  # fmt: skip


_Row = tuple[str, str, str, int, int, _Steps, tuple[tuple[Any, ...], int]]


def _text_of(path: tuple[Any, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def _block(data: dict[str, Any], path: tuple[Any, ...]) -> _Steps:
    found: Any = data
    for part in path:
        found = found[part]
    assert isinstance(found, list)
    return found


def _with_steps(
    data: dict[str, Any], path: tuple[Any, ...], start: int, length: int, steps: _Steps
) -> dict[str, Any]:
    """A copy of a document with other steps in a block."""
    made = deepcopy(data)
    _block(made, path)[start : start + length] = deepcopy(steps)
    return made


# --- regions ------------------------------------------------------------------------------------
def _regions(data: dict[str, Any]) -> Iterator[StepRegion]:
    for group, worker in data.get("workers", {}).items():
        steps = worker.get("steps") if isinstance(worker, dict) else worker
        where = ("workers", group, "steps") if isinstance(worker, dict) else ("workers", group)
        if isinstance(steps, list):
            yield from _in_block(steps, where)


def _in_block(block: _Steps, path: tuple[Any, ...]) -> Iterator[StepRegion]:
    for place, step in enumerate(block):
        if not isinstance(step, dict):
            continue
        region = _region(block, place, path)
        if region is not None:
            yield region
        for key in _BLOCKS:
            if isinstance(step.get(key), list):
                yield from _in_block(step[key], (*path, place, key))


def _region(block: _Steps, place: int, path: tuple[Any, ...]) -> StepRegion | None:
    step = block[place]
    if "with" in step and isinstance(step.get("do"), list):
        body = step["do"]
        return StepRegion(
            path, place, 1, step["with"], body,
            lambda steps, lock: [{**step, "with": lock, "do": steps}], body,
        )  # fmt: skip
    if set(step) != {"acquire"}:
        return None
    lock = step["acquire"]
    following = block[place + 1] if place + 1 < len(block) else None
    if isinstance(following, dict) and "try" in following and "finally" in following:
        ending = [one for one in following["finally"] if _released(one) != lock]
        if len(ending) == len(following["finally"]):
            return None
        body = following["try"]

        def tried(steps: _Steps, other: str) -> _Steps:
            release = [
                {"release": other} if _released(one) == lock else one
                for one in following["finally"]
            ]
            return [{"acquire": other}, {**following, "try": steps, "finally": release}]

        without = [{**following, "finally": ending}] if ending else body
        return StepRegion(path, place, 2, lock, body, tried, without)
    for end in range(place + 2, len(block)):
        if _released(block[end]) == lock:
            body = block[place + 1 : end]
            return StepRegion(
                path, place, end - place + 1, lock, body,
                lambda steps, other: [{"acquire": other}, *steps, {"release": other}], body,
            )  # fmt: skip
        if isinstance(block[end], dict) and block[end].get("acquire") == lock:
            return None
    return None


def _released(step: Any) -> str | None:
    return step["release"] if isinstance(step, dict) and set(step) == {"release"} else None


# --- changes ------------------------------------------------------------------------------------
def _changes(data: dict[str, Any], region: StepRegion) -> Iterator[_Row]:
    body, lock, block = region.body, region.lock, _block(data, region.path)
    head = f"with: {lock}"
    here = (region.path, region.start)
    start, length = region.start, region.length
    end = start + length
    yield REMOVED, head, f"without {lock}", start, length, region.without, here
    if len(body) > 1:
        first, last = body[0], body[-1]
        made = [first, *region.around(body[1:], lock)]
        yield (
            NARROWED, f"{head}: {_step(first)}; ...", f"{_step(first)}; then {head}: ...",
            start, length, made, here,
        )  # fmt: skip
        made = [*region.around(body[:-1], lock), last]
        yield (
            NARROWED, f"{head}: ...; {_step(last)}",
            f"{head}: ...; then, without it: {_step(last)}", start, length, made,
            _last_of(region),
        )  # fmt: skip
    yield from _swapped(region, block)
    for other in _others(data, lock):
        yield (REPLACED, head, f"with: {other}", start, length, region.around(body, other), here)
    if start and not _uses(block[start - 1], lock):
        before = block[start - 1]
        yield (
            WIDENED, f"{_step(before)}; then {head}: ...", f"{head}: {_step(before)}; ...",
            start - 1, length + 1, region.around([before, *body], lock),
            (region.path, start - 1),
        )  # fmt: skip
    if end < len(block) and not _uses(block[end], lock):
        after = block[end]
        yield (
            WIDENED, f"{head}: ...; then {_step(after)}", f"{head}: ...; {_step(after)}", start,
            length + 1, region.around([*body, after], lock), (region.path, end),
        )  # fmt: skip


def _last_of(region: StepRegion) -> tuple[tuple[Any, ...], int]:
    """Where the last step of its body is."""
    count = len(region.body)
    if region.length == 1:
        return (*region.path, region.start, "do"), count - 1
    if region.length == 2:
        return (*region.path, region.start + 1, "try"), count - 1
    return region.path, region.start + count


def _swapped(region: StepRegion, block: _Steps) -> Iterator[_Row]:
    here = (region.path, region.start)
    for place, step in enumerate(region.body):
        inner = _region(region.body, place, ()) if isinstance(step, dict) else None
        if inner is None or inner.lock == region.lock:
            continue
        body = [
            *region.body[:place], *inner.around(inner.body, region.lock),
            *region.body[place + inner.length :],
        ]  # fmt: skip
        yield (
            SWAPPED, f"{region.lock}, and inside it {inner.lock}",
            f"{inner.lock}, and inside it {region.lock}", region.start, region.length,
            region.around(body, inner.lock), here,
        )  # fmt: skip
    end = region.start + region.length
    after = _region(block, end, ()) if end < len(block) and isinstance(block[end], dict) else None
    if after is not None and after.lock != region.lock:
        made = [*region.around(region.body, after.lock), *after.around(after.body, region.lock)]
        yield (
            SWAPPED, f"{region.lock}, and after it {after.lock}",
            f"{after.lock}, and after it {region.lock}", region.start,
            region.length + after.length, made, here,
        )  # fmt: skip


def _others(data: dict[str, Any], lock: str) -> list[str]:
    """Other objects of the same kind."""
    objects = data.get("objects", {})
    kinds = {name: _kind(one) for name, one in objects.items()}
    mine = kinds.get(lock)
    if mine is None or mine not in _LOCKS:
        return []
    return [name for name, kind in kinds.items() if kind == mine and name != lock][:2]


def _kind(declared: Any) -> str | None:
    if isinstance(declared, str):
        return declared
    if isinstance(declared, dict) and "count" not in declared:
        return declared.get("type")
    return None


def _uses(step: Any, lock: str) -> bool:
    """Whether a step, or one inside of it, takes or needs the lock, or is none that can be done
    under it."""
    if isinstance(step, dict):
        if any(step.get(key) == lock for key in ("with", "acquire", "release")):
            return True
        return any(_uses(one, lock) for value in step.values() if isinstance(value, list)
                   for one in value)  # fmt: skip
    return False


def _step(step: Any) -> str:
    """A step in a few words."""
    if not isinstance(step, dict):
        return str(step)
    parts = [
        f"{key}: {value if not isinstance(value, list) else '...'}" for key, value in step.items()
    ]
    text = ", ".join(parts[:2])
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
