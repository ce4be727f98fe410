"""What a name in a scenario means, and whether a reference or an expression is sound."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tracelock.scenario.faults import Damage, Fault, Path
from tracelock.scenario.language.expressions import (
    FUNCTIONS,
    GIVEN,
    ExpressionError,
    Mention,
    constant_index,
    is_name,
    mentions,
    offset_of,
    parse,
    parse_reference,
    quote,
    suggest,
)
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.objects import APPLIES_TO, OBJECTS


def name_trouble(name: str) -> str:
    """Why ``name`` cannot name something, or an empty text."""
    if name in GIVEN:
        return f"{quote(name)} has a meaning of its own in every worker: choose another name"
    if is_name(name):
        return ""
    if name.isidentifier():
        return f"{quote(name)} is a word of the language: choose another name"
    return f"{quote(name)} is not a name: it needs letters, digits and _ only, a letter first"


@dataclass(slots=True)
class Locals:
    """The locals of a worker at one of its steps.

    ``maybe``: set on some path to this step. ``later``: set on a path that first goes round a loop.
    ``anywhere``: set by any step of the worker. ``lost``: perhaps set by a step that is damaged.
    """

    maybe: Container[str]
    anywhere: Collection[str]
    later: Container[str]
    lost: Container[str]

    def has(self, mention: Mention) -> bool:
        """Whether what is mentioned can have been set when it is read."""
        name = mention.name
        return name in self.maybe or name in self.lost or (not mention.sure and name in self.later)


class Declarations:
    """Everything that a scenario declares, and the checks that ask for it."""

    def __init__(self, scenario: Scenario, damage: Damage) -> None:
        self.scenario = scenario
        self.damage = damage

    def unknowable(self, name: str) -> bool:
        """Whether nothing certain can be said of ``name``."""
        return self.damage.everything or name in self.damage.names

    def what_is(self, name: str) -> str:
        """``a shared variable``, ``a lock``, ..., or an empty text."""
        if name in self.scenario.shared:
            return "a shared variable"
        if name in self.scenario.objects:
            return article(self.scenario.objects[name].type)
        if name in self.scenario.workers:
            return "a worker"
        return ""

    # --- expressions ---------------------------------------------------------------------
    def expression(self, text: Any, path: Path, local: Locals | None = None) -> Iterable[Fault]:
        """Faults of an EXPR: in a step, where ``local`` are the locals, or without them of one
        about the whole state, in ``always`` and ``finally``."""
        if not isinstance(text, str):
            return
        try:
            tree = parse(text)
        except ExpressionError as error:
            yield Fault(path, error.message, error.offset)
            return
        reported: set[str] = set()
        for mention in mentions(tree):
            if local is None:
                yield from self._state_mention(mention, text, path)
                continue
            for fault in self._mention(mention, text, path, local):
                # A name that is wrong in one place is wrong in the others.
                if fault.message not in reported:
                    reported.add(fault.message)
                    yield fault

    def _state_mention(self, mention: Mention, text: str, path: Path) -> Iterable[Fault]:
        name = mention.name
        if name in self.scenario.shared or self.unknowable(name):
            yield from self._variable(mention, text, path)
            return
        what = self.what_is(name)
        if what:
            reason = f"{quote(name)} is {what}: here only shared variables can be seen"
        elif name in GIVEN:
            reason = f"{quote(name)} belongs to a worker: here only shared variables are seen"
        else:
            reason = f"unknown shared variable {quote(name)}{suggest(name, self.scenario.shared)}"
        yield Fault(path, reason, offset_of(text, mention.node))

    def _mention(self, mention: Mention, text: str, path: Path, local: Locals) -> Iterable[Fault]:
        name = mention.name
        if name in GIVEN or self.unknowable(name):
            return
        if name in self.scenario.shared:
            yield from self._variable(mention, text, path)
            return
        if local.has(mention):
            return
        what = self.what_is(name)
        if name in local.anywhere:
            reason = f"the local {quote(name)} is read before any step sets it"
        elif what:
            reason = f"{quote(name)} is {what}, which has no value to compute with"
        elif name in FUNCTIONS:
            reason = f"{quote(name)} is a function: write {name}(...)"
        else:
            known = chain(local.anywhere, sorted(GIVEN), self.scenario.shared)
            reason = f"unknown name {quote(name)}{suggest(name, known)}"
        yield Fault(path, reason, offset_of(text, mention.node))

    def _variable(self, mention: Mention, text: str, path: Path) -> Iterable[Fault]:
        value = self.scenario.shared.get(mention.name)
        if mention.index is None:
            return
        at = offset_of(text, mention.node)
        if isinstance(value, list):
            yield from _in_range(mention.name, mention.index, len(value), path, at)
        elif isinstance(value, bool | int | float):
            # A text can be indexed, and a variable that is null now may hold one later.
            yield Fault(path, f"{quote(mention.name)} is one variable, not an array", at)

    # --- references ----------------------------------------------------------------------
    def reference(
        self, kind: str, verb: str, text: str, path: Path, local: Locals
    ) -> Iterable[Fault]:
        """Faults of a reference: ``kind`` is "object", "variable" or "worker"."""
        try:
            name, index = parse_reference(text)
        except ExpressionError as error:
            yield Fault(path, error.message, error.offset)
            return
        if index is not None:
            for mention in mentions(index):
                yield from self._mention(mention, text, path, local)
        if self.unknowable(name):
            return
        checks = {"object": self._object, "variable": self._target, "worker": self._worker}
        yield from checks[kind](verb, name, index, path)

    def _object(self, verb: str, name: str, index: Any, path: Path) -> Iterable[Fault]:
        fitting = APPLIES_TO[verb]
        decl = self.scenario.objects.get(name)
        if decl is None:
            objects = self.scenario.objects
            known = (key for key, value in objects.items() if value.type in fitting)
            yield Fault(path, self._stranger("object", name, chain(known, objects)))
            return
        if decl.type not in fitting:
            if decl.type in OBJECTS:
                verbs = _any(OBJECTS[decl.type].verbs)
                what = self.what_is(name)
                message = f"{verb} does not apply to {quote(name)}, {what} (use {verbs})"
                yield Fault(path, message)
            return
        yield from _subscript(name, index, decl.count, path)

    def _target(self, verb: str, name: str, index: Any, path: Path) -> Iterable[Fault]:
        if name not in self.scenario.shared:
            message = self._stranger("shared variable", name, self.scenario.shared)
            yield Fault(path, message)
            return
        value = self.scenario.shared[name]
        yield from _subscript(name, index, len(value) if isinstance(value, list) else None, path)

    def _worker(self, verb: str, name: str, index: Any, path: Path) -> Iterable[Fault]:
        worker = self.scenario.workers.get(name)
        if worker is None:
            known = (
                key
                for key, value in self.scenario.workers.items()
                if verb != "spawn" or value.start == "manual"
            )
            yield Fault(path, self._stranger("worker", name, known))
            return
        if name in self.damage.workers:
            return
        if verb == "spawn" and worker.start == "auto":
            message = f"{quote(name)} starts by itself: declare it with start: manual to spawn it"
            yield Fault(path, message)
        if index is not None:
            yield from _subscript(name, index, worker.count if worker.count > 1 else None, path)

    def _stranger(self, wanted: str, name: str, known: Iterable[str]) -> str:
        what = self.what_is(name)
        if what:
            return f"{quote(name)} is {what}, and {article(wanted)} belongs here"
        return f"unknown {wanted} {quote(name)}{suggest(name, known)}"


def least_of(path: Path, value: int | None, least: int) -> Iterable[Fault]:
    """The fault of a number that is smaller than it may be."""
    if value is not None and value < least:
        yield Fault(path, f"{path[-1]} must be {least} or more, not {value}")


def article(noun: str) -> str:
    """``an event``, ``a lock``."""
    return f"an {noun}" if noun[:1] in "aeiou" else f"a {noun}"


def _any(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def _subscript(name: str, index: Any, length: int | None, path: Path) -> Iterable[Fault]:
    if length is None:
        if index is not None:
            yield Fault(path, f"{quote(name)} is not an array: write {quote(name)} alone")
    elif index is None:
        message = f"{quote(name)} is an array of {length}: name one, as in {quote(name + '[0]')}"
        yield Fault(path, message)
    else:
        yield from _in_range(name, index, length, path, 0)


def _in_range(name: str, index: Any, length: int, path: Path, at: int) -> Iterable[Fault]:
    value = constant_index(index)
    if value is ...:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        yield Fault(path, f"the index of {quote(name)} must be a whole number", at)
    elif not -length <= value < length:
        last = f"0 to {length - 1}" if length else "none at all"
        yield Fault(path, f"{quote(name)} has no element {value}: there are {last}", at)
