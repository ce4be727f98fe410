"""Checks of a worker's steps: what they name, where they may stand, which locals are set.

One walk in the order of execution. For locals it is a forward analysis of what *may* be set:
branches are joined by union and what a loop's body sets counts at its start, so that a local is
reported only where no way at all sets it first.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from tracelock.scenario.checks.names import Locals, Names, name_trouble
from tracelock.scenario.faults import MAX_FAULTS, Fault, Path
from tracelock.scenario.language.expressions import ExpressionError, constant_index, parse, quote
from tracelock.scenario.language.models import (
    Acquire,
    Assert,
    Atomic,
    BaseStep,
    Break,
    Call,
    Continue,
    If,
    Let,
    Notify,
    Read,
    Release,
    Repeat,
    Shape,
    Timeout,
    Try,
    Wait,
    While,
    With,
    Write,
    kind_of,
)

MAX_NESTING: Final = 45  # blocks in blocks: what a document of 100 levels can hold
_ATOMIC: Final = (Read, Write, Let, If, Assert)
#: How a function is named in a document: ``module:function``.
FUNCTION: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
#: (model, field) whose constant must be a whole number -> the least.
_WHOLE: Final[dict[tuple[type[BaseStep], str], int]] = {
    (Repeat, "repeat"): 0,
    (Release, "n"): 1,
    (Notify, "n"): 0,
}
_SECONDS: Final = frozenset({"timeout", "sleep", "work"})


class _Field(NamedTuple):
    name: str
    key: str
    shape: str


def _fields(step: type[BaseStep]) -> tuple[_Field, ...]:
    return tuple(
        _Field(name, info.serialization_alias or name, shape.name)
        for name, info in step.model_fields.items()
        for shape in info.metadata
        if isinstance(shape, Shape)
    )


_FIELDS: dict[type[BaseStep], tuple[_Field, ...]] = {}


def fields_of(step: BaseStep) -> tuple[_Field, ...]:
    """The fields of a step that hold a name or an expression."""
    kind = type(step)
    if kind not in _FIELDS:
        _FIELDS[kind] = _fields(kind)
    return _FIELDS[kind]


def blocks_of(step: BaseStep) -> Iterator[tuple[str, Sequence[BaseStep]]]:
    """The lists of steps inside a step, each with its key, in order of execution."""
    match step:
        case With(do=block) | While(do=block) | Repeat(do=block) | Timeout(do=block):
            yield "do", block
        case Atomic(atomic=block):
            yield "atomic", block
        case If(then=block, else_=other):
            yield "then", block
            yield "else", other
        case Try(try_=block, finally_=other):
            yield "try", block
            yield "finally", other


def check_steps(names: Names, worker: str, steps: Sequence[BaseStep]) -> list[Fault]:
    """All that is wrong with the steps of one worker."""
    walk = _Walk(names, worker, steps)
    known: set[str] = set()
    walk.block(steps, ("workers", worker, "steps"), known, _Around())
    return walk.faults


class _Around(NamedTuple):
    """What stands around a step."""

    loop: bool = False
    atomic: bool = False
    depth: int = 0


class _Walk:
    def __init__(self, names: Names, worker: str, steps: Sequence[BaseStep]) -> None:
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
            if isinstance(step, Let):
                found.update(dict.fromkeys(step.let))
            for field in fields_of(step):
                if field.shape == "local" and getattr(step, field.name) is not None:
                    found[getattr(step, field.name)] = None
            if depth <= MAX_NESTING:
                for _, block in blocks_of(step):
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
        if around.atomic and not isinstance(step, _ATOMIC):
            allowed = "read, write, let, if and assert"
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
        for field in fields_of(step):
            name = getattr(step, field.name)
            if field.shape == "local" and name is not None:
                self.set(name, (*path, field.key), known)

    def mentions(self, step: BaseStep, path: Path, known: set[str]) -> None:
        """The references and expressions of a step itself, before its blocks."""
        later = self.assigned.get(id(step), ()) if isinstance(step, While) else ()
        local = self.locals(known, later)
        for field in fields_of(step):
            value = getattr(step, field.name)
            at = (*path, field.key)
            if field.shape == "expression":
                self.faults += self.names.expression(value, at, local)
            elif field.shape in ("object", "variable", "worker"):
                self.faults += self.names.reference(field.shape, step.verb, value, at, local)
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
        for key, block in blocks_of(step):
            self.block(block, (*path, key), known, inside)

    def set(self, name: str, path: Path, known: set[str], on_key: bool = False) -> None:
        """Notes that a local gets a value, and what is wrong with its name."""
        reason = name_trouble(name)
        if not reason and name in self.names.scenario.shared:
            reason = f"{quote(name)} is a shared variable: a local needs another name"
        if reason:
            self.faults.append(Fault(path, reason, on_key=on_key))
        known.add(name)


def _details(step: BaseStep, path: Path, names: Names, lost: bool) -> Iterable[Fault]:
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
    for field in fields_of(step):
        if field.shape == "expression":
            value = _constant(getattr(step, field.name))
            if value is not ...:
                yield from _constant_trouble(step, field, value, (*path, field.key))


def _is_not(names: Names, reference: str, *types: str) -> bool:
    decl = names.scenario.objects.get(reference.split("[")[0].strip())
    return decl is not None and decl.type not in types


def _constant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return constant_index(parse(value))
    except ExpressionError:
        return ...


def _constant_trouble(step: BaseStep, field: _Field, value: Any, path: Path) -> Iterable[Fault]:
    least = _WHOLE.get((type(step), field.name))
    if least is not None:
        if isinstance(value, bool) or not isinstance(value, int):
            yield Fault(path, f"a whole number belongs here, not {_said(value)}")
        elif value < least:
            yield Fault(path, f"{field.key} must be {least} or more, not {value}")
    elif field.key in _SECONDS:
        if value is None and field.key == "timeout" and not isinstance(step, Timeout):
            return
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield Fault(path, f"a number belongs here, not {_said(value)}")
        elif value < 0:
            yield Fault(path, f"{field.key} must be 0 or more, not {value}")


def _said(value: Any) -> str:
    return str(value) if isinstance(value, float) else kind_of(value)
