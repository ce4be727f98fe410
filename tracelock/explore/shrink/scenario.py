"""Reducing the scenario itself: fewer workers, rounds, steps and declarations, the same failure.

The document is plain data, a tree; a candidate is the tree with one thing left out or made smaller.
What is no valid scenario is passed over, so that no edit has to know the language's rules, and the
gate says whether a valid one still has the trouble. Each edit makes the document smaller, so it
ends; when no edit is left that the gate takes, the result is 1-minimal with regard to them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.errors import ScenarioError, UsageError
from tracelock.explore.running import Runner
from tracelock.explore.shrink.fewest import fewest
from tracelock.objects import Rules
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.usage import features_of
from tracelock.scenario.language.verbs import verbs_in
from tracelock.scenario.loading import scenario_from_data
from tracelock.scenario.program import Program
from tracelock.trace import Verdict

Gate = Callable[[Scenario], bool]
#: Where a value is in a document: keys and positions from the root.
Path = tuple[str | int, ...]
Edit = tuple[str, Path, Any]

#: The keys of a step under which there are steps.
_BLOCKS: Final = ("do", "then", "else", "try", "finally", "atomic")
_GONE: Final = object()
_PART: Final = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
#: Rounds without a visible step: a candidate may loop for ever where the scenario did not.
_FUEL: Final = 100_000


@dataclass(slots=True)
class Reduced:
    """``data``, ``scenario``: the smaller document. ``tried``: candidates that the gate judged.
    ``certified``: no single edit is left that it takes (else ``tries`` or ``seconds`` ended it).
    ``history``: the edits that were made, in words."""

    data: dict[str, Any]
    scenario: Scenario
    tried: int
    certified: bool
    history: list[str] = field(default_factory=list)


def reduce_scenario(
    data: dict[str, Any], gate: Gate, *, tries: int = 3_000, seconds: float | None = 60.0
) -> Reduced:
    """The smallest document that edits lead to while ``gate`` is true of it.

    ``data``: a scenario as ``Scenario.to_data`` gives it. What it says under ``expect`` is left
    out, as it is not known of the smaller one. Raises ScenarioError where ``data`` is no scenario,
    UsageError where the gate is not true of it.
    """
    scenario = scenario_from_data({key: v for key, v in data.items() if key != "expect"})
    if not gate(scenario):
        raise UsageError("the scenario that is to be reduced does not have this failure")
    end = None if seconds is None else monotonic() + seconds
    best = Reduced(scenario.to_data(), scenario, 1, False)
    seen: set[str] = set()
    while True:
        for what, path, value in edits(best.data):
            candidate = _edited(best.data, path, value)
            text = json.dumps(candidate)
            if text in seen:
                continue
            seen.add(text)
            try:
                smaller = scenario_from_data(candidate)
            except ScenarioError:
                continue
            if best.tried >= tries or (end is not None and monotonic() > end):
                return best
            best.tried += 1
            if gate(smaller):
                best.data, best.scenario = smaller.to_data(), smaller
                best.history.append(what)
                break
        else:
            best.certified = True
            return best


# --- edits -------------------------------------------------------------------------------------
def edits(data: dict[str, Any]) -> Iterator[Edit]:
    """Everything that could be left out or made smaller, the largest parts first.

    Each is what it does in words, where, and the value to put there (or that it is gone).
    """
    workers = data["workers"]
    for name in workers:
        yield f"without worker {name}", ("workers", name), _GONE
    for name, worker in workers.items():
        path: Path = ("workers", name, "count")
        yield from _smaller(f"{name}: fewer instances", path, worker.get("count"), 1)
    blocks = list(_blocks(data))
    for path, steps in blocks:
        yield from _parts(f"{_text(path)}: fewer steps", path, steps)
    for path, steps in blocks:
        for number, step in enumerate(steps):
            if isinstance(step, dict):
                yield from _opened((*path, number), steps, step)
    for path, steps in blocks:
        for number, step in enumerate(steps):
            if isinstance(step, dict):
                yield from _plainer((*path, number), step)
    for part in ("always", "finally"):
        yield from _parts(f"{part}: fewer conditions", (part,), data.get(part, []))
    for part in ("objects", "shared"):
        for name, declared in data.get(part, {}).items():
            yield f"without {name}", (part, name), _GONE
            if isinstance(declared, dict):
                for key in declared:
                    if key not in ("type", "count"):
                        yield f"{name}: without {key}", (part, name, key), _GONE
                yield from _smaller(
                    f"{name}: fewer", (part, name, "count"), declared.get("count"), 1
                )
            elif isinstance(declared, list) and declared:
                yield f"{name}: shorter", (part, name), declared[:-1]


def _blocks(data: dict[str, Any]) -> Iterator[tuple[Path, list[Any]]]:
    """Every list of steps, outer ones first."""
    todo: list[tuple[Path, Any]] = [
        (("workers", name, "steps"), worker["steps"]) for name, worker in data["workers"].items()
    ]
    while todo:
        path, steps = todo.pop(0)
        yield path, steps
        for number, step in enumerate(steps):
            if isinstance(step, dict):
                todo += [
                    ((*path, number, key), step[key])
                    for key in _BLOCKS
                    if isinstance(step.get(key), list)
                ]


def _parts(what: str, path: Path, items: list[Any]) -> Iterator[Edit]:
    """A list without half of it, a quarter, ... a single item, from its end on."""
    size = len(items)
    while size:
        for end in range(len(items), 0, -size):
            yield what, path, items[: max(end - size, 0)] + items[end:]
        size //= 2


def _opened(path: Path, steps: list[Any], step: dict[str, Any]) -> Iterator[Edit]:
    """A step with blocks is replaced by what is in one of them."""
    number = path[-1]
    assert isinstance(number, int)
    for key in _BLOCKS:
        if isinstance(step.get(key), list):
            opened = steps[:number] + step[key] + steps[number + 1 :]
            yield f"{_text(path)}: only its {key} block", path[:-1], opened


def _plainer(path: Path, step: dict[str, Any]) -> Iterator[Edit]:
    """A step without one of its options, or with fewer rounds."""
    yield from _smaller(f"{_text(path)}: fewer rounds", (*path, "repeat"), step.get("repeat"), 1)
    for key in step:
        if key not in verbs_in(step) and key != "message":
            yield f"{_text(path)}: without {key}", (*path, key), _GONE


def _smaller(what: str, path: Path, number: Any, least: int) -> Iterator[Edit]:
    """A whole number made smaller: the least, a half, one less."""
    if type(number) is int:
        for value in sorted({least, number // 2, number - 1}):
            if least <= value < number:
                yield what, path, value


def _edited(data: Any, path: Path, value: Any) -> Any:
    """A copy of ``data`` with another value at ``path``; it shares what is not on the way."""
    if not path:
        return value
    head, rest = path[0], path[1:]
    copy = data.copy()
    if not rest and value is _GONE:
        del copy[head]
    else:
        copy[head] = _edited(data[head], rest, value) if rest else value
    return copy


def _text(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


# --- the gate ------------------------------------------------------------------------------------
def same_trouble(
    scenario: Scenario,
    rules: Rules,
    target: Verdict,
    *,
    clock: str = "virtual",
    states: int = 20_000,
    seconds: float | None = 2.0,
) -> Gate:
    """A gate: the failure that ``target`` tells of ``scenario`` is there under these rules.

    Paths change with every edit, so the step or condition that fails is compared as it is
    written (``signature``). A document that always fails is easy to come by, two workers of three
    cannot count to three, and so is one that fails in some other way: a smaller one must pass on
    some schedule, need a preemptive switch, and have no other failure, each if that is so of the
    scenario. ``states`` and ``seconds`` bound each search through a candidate (a tenth of them the
    one for other failures, which as a rule has to see them all); one whose failure is not found so
    is not taken.
    """
    wanted = signature(scenario, target)
    limits = RunLimits(steps=10_000)

    def search(candidate: Scenario, look: Callable[[Verdict], bool], part: int = 1) -> int:
        """The fewest preemptive switches to such a verdict, -1 where none is found."""
        runner = Runner(Program(candidate, fuel=_FUEL), rules, clock=clock, limits=limits)
        found = fewest(runner, look, states=states // part, seconds=seconds)
        return -1 if found.picks is None else found.switches

    def switches(candidate: Scenario) -> int:
        if any(feature in rules.refuses for feature, _ in features_of(candidate)):
            return -1
        return search(candidate, lambda verdict: signature(candidate, verdict) == wanted)

    def passes(candidate: Scenario) -> bool:
        return search(candidate, lambda verdict: verdict.kind == "passed") >= 0

    def fails_else(candidate: Scenario) -> bool:
        def other(verdict: Verdict) -> bool:
            return verdict.kind != "passed" and signature(candidate, verdict) != wanted

        return search(candidate, other, 10) >= 0

    least = min(switches(scenario), 1)
    passed = least >= 0 and passes(scenario)
    alone = least >= 0 and not fails_else(scenario)

    def gate(candidate: Scenario) -> bool:
        if switches(candidate) < max(least, 0):
            return False
        return (not passed or passes(candidate)) and not (alone and fails_else(candidate))

    return gate


def signature(scenario: Scenario, verdict: Verdict) -> tuple[Any, ...]:
    """What a failure is about, in words that an edit elsewhere in the document does not change:
    its kind, and the condition or step that fails as it is written (of a deadlock the kinds of
    step at which workers wait)."""
    about: Any = None
    if verdict.kind == "deadlock":
        about = frozenset(one.op for one in verdict.blocked)
    elif verdict.at is not None:
        step = value_at(scenario.to_data(), verdict.at)
        about = step
        if isinstance(step, dict):
            about = next(((verb, str(step[verb])) for verb in verbs_in(step)), None)
        if verdict.failure == "error":
            kind = verdict.message.partition(":")[0]
            about = (about[0] if isinstance(about, tuple) else about, kind)
    return (verdict.kind, verdict.failure, about)


def value_at(data: Any, at: str) -> Any:
    """What is at a path such as ``workers.transfer.steps[0].do[1]``; None: nothing."""
    for number, name in _PART.findall(at):
        try:
            data = data[int(number)] if number else data[name]
        except (KeyError, IndexError, TypeError):
            return None
    return data
