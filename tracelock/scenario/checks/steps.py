"""Checks of a worker's steps: what they name, where they may stand, which locals are set.

One walk in the order of execution. For locals it is a forward analysis of what *may* be set:
branches are joined by union and what a loop's body sets counts at its start, so that a local is
reported only where no way at all sets it first.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, NamedTuple

from tracelock.scenario.checks.names import Declarations, Locals, least_of, name_trouble
from tracelock.scenario.faults import MAX_FAULTS, Fault, Path
from tracelock.scenario.language.base import BaseStep, StepField
from tracelock.scenario.language.expressions import ExpressionError, constant_index, parse, quote
from tracelock.scenario.language.kinds import kind_of
from tracelock.scenario.language.usage import base_name
from tracelock.scenario.language.verbs import (
    VERBS,
    Acquire,
    Atomic,
    Break,
    Call,
    Continue,
    If,
    Let,
    Notify,
    Release,
    Repeat,
    Wait,
    While,
)

MAX_NESTING: Final = 45  # blocks in blocks: what a document of 100 levels can hold
#: How a function is named in a document: ``module:function``.
FUNCTION: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_IN_ATOMIC: Final = [verb for verb, row in VERBS.items() if row.in_atomic]


def check_steps(names: Declarations, worker: str, steps: Sequence[BaseStep]) -> list[Fault]:
    """All that is wrong with the steps of one worker."""
    walk = _StepChecker(names, worker, steps)
    known: set[str] = set()
    walk.block(steps, ("workers", worker, "steps"), known, _Around())
    return walk.faults


class _Around(NamedTuple):
    """What stands around a step."""

    loop: bool = False
    atomic: bool = False
    depth: int = 0


class _StepChecker:
    def __init__(self, names: Declarations, worker: str, steps: Sequence[BaseStep]) -> None:
        self.names = names
        self.faults: list[Fault] = []
        self.assigned: dict[int, dict[str, None]] = {}  # by loop: what its body sets
        self.anywhere = self.collect(steps, 0)
        self.damaged = worker in names.damage.workers
        self.lost = names.damage.workers.get(worker, set())

    def collect(self, steps: Sequence[BaseStep], depth: int) -> dict[str, None]:
        """The locals that the steps, and those inside them, set, as an ordered set."""
        found: dict[str, None] = {}
        for step in steps:
            found.update(dict.fromkeys(step.assigned()))
            if depth <= MAX_NESTING:
                for _, block in step.blocks():
                    inner = self.collect(block, depth + 1)
                    found.update(inner)
                    if isinstance(step, While | Repeat):
                        self.assigned[id(step)] = inner
        return found

    def locals(self, known: set[str], later: Container[str] = ()) -> Locals:
        return Locals(known, self.anywhere, later, self.lost)

    def block(
        self, steps: Sequence[BaseStep], path: Path, known: set[str], around: _Around
    ) -> None:
        """Checks the steps one after the other; adds to ``known`` what they set."""
        if around.depth > MAX_NESTING:
            self.faults.append(Fault(path, f"blocks nested more than {MAX_NESTING} deep"))
            return
        for place, step in enumerate(steps):
            if len(self.faults) > MAX_FAULTS:
                return
            self.step(step, (*path, place), known, around)

    def step(self, step: BaseStep, path: Path, known: set[str], around: _Around) -> None:
        if around.atomic and step.verb not in _IN_ATOMIC:
            allowed = f"{', '.join(_IN_ATOMIC[:-1])} and {_IN_ATOMIC[-1]}"
            message = f"atomic holds only {allowed}, not {step.verb}"
            self.faults.append(Fault(path, message))
        elif isinstance(step, Break | Continue) and not around.loop:
            self.faults.append(Fault(path, f"{step.verb} stands outside of while and repeat"))
        self.mentions(step, path, known)
        self.faults += _details(step, path, self.names, self.damaged)
        inside = around._replace(
            loop=around.loop or isinstance(step, While | Repeat),
            atomic=around.atomic or isinstance(step, Atomic),
            depth=around.depth + 1,
        )
        self.blocks(step, path, known, inside)
        for key, name in step.of_kind("local"):
            if name is not None:
                self.set(name, (*path, key), known)

    def mentions(self, step: BaseStep, path: Path, known: set[str]) -> None:
        """The references and expressions of a step itself, before its blocks."""
        later = self.assigned.get(id(step), ()) if isinstance(step, While) else ()
        local = self.locals(known, later)
        for name, key, kind in step.parts:
            value = getattr(step, name)
            at = (*path, key)
            if kind.name == "expression":
                self.faults += self.names.expression(value, at, local)
            elif kind.name in ("object", "variable", "worker"):
                self.faults += self.names.reference(kind.name, step.verb, value, at, local)
        if isinstance(step, Let):
            for name, value in step.let.items():
                at = (*path, "let", name)
                self.faults += self.names.expression(value, at, self.locals(known))
                self.set(name, at, known, on_key=True)
        elif isinstance(step, Call):
            for place, value in enumerate(step.args):
                self.faults += self.names.expression(value, (*path, "args", place), local)

    def blocks(self, step: BaseStep, path: Path, known: set[str], inside: _Around) -> None:
        if isinstance(step, If):
            before, other = set(known), set(known)
            self.block(step.then, (*path, "then"), before, inside)
            self.block(step.else_, (*path, "else"), other, inside)
            known |= before | other
            return
        if isinstance(step, While | Repeat):
            known.update(self.assigned.get(id(step), ()))
            if isinstance(step, Repeat) and step.index is not None:
                known.add(step.index)
        for key, block in step.blocks():
            self.block(block, (*path, key), known, inside)

    def set(self, name: str, path: Path, known: set[str], on_key: bool = False) -> None:
        """Notes that a local gets a value, and what is wrong with its name."""
        reason = name_trouble(name)
        if not reason and name in self.names.scenario.shared:
            reason = f"{quote(name)} is a shared variable: a local needs another name"
        if reason:
            self.faults.append(Fault(path, reason, on_key=on_key))
        known.add(name)


def _details(step: BaseStep, path: Path, names: Declarations, lost: bool) -> Iterable[Fault]:
    """What a step's keys must not say together, and constants that can never do."""
    match step:
        case Acquire(blocking=False, timeout=timeout) if timeout is not None:
            message = "with blocking: false nothing waits, so there is no timeout"
            yield Fault((*path, "timeout"), message, on_key=True)
        case Notify(all=True, n=n) if n != 1:
            yield Fault((*path, "n"), "notify takes n or all: true, not both", on_key=True)
        case If() if not lost and not step.model_fields_set & {"then", "else_"}:
            yield Fault(path, 'missing key "then" (if needs it)')
        case Call(call=name) if not FUNCTION.fullmatch(name):
            yield Fault((*path, "call"), f'"module:function" belongs here, not {quote(name)}')
        case Wait(until=until) if until is not None and _is_not(names, step.wait, "condition"):
            yield Fault((*path, "until"), "until is for conditions only", on_key=True)
        case Release(n=n) if n != 1 and _is_not(
            names, step.release, "semaphore", "bounded_semaphore"
        ):
            yield Fault((*path, "n"), "n is for semaphores only", on_key=True)
    for part in step.parts:
        if part.kind.name == "expression":
            value = _constant(getattr(step, part.name))
            if value is not ...:
                yield from _constant_trouble(part, value, (*path, part.key))


def _is_not(names: Declarations, reference: str, *types: str) -> bool:
    decl = names.scenario.objects.get(base_name(reference))
    return decl is not None and decl.type not in types


def _constant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return constant_index(parse(value))
    except ExpressionError:
        return ...


def _constant_trouble(part: StepField, value: Any, path: Path) -> Iterable[Fault]:
    least, whole = part.kind.least, part.kind.whole
    if least is None or (value is None and part.kind.optional):
        return
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        wanted = "a whole number" if whole else "a number"
        yield Fault(path, f"{wanted} belongs here, not {_said(value)}")
    else:
        yield from least_of(path, value, least)


def _said(value: Any) -> str:
    return str(value) if isinstance(value, float) else kind_of(value)
