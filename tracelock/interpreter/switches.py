"""Between which accesses of a frame a CPython with its GIL may let another thread go on.

    found = look(code)                          # once for each code object
    found.accesses                              # in the order of the code
    found.pairs(known)                          # neighbours, each with its class

Two accesses are neighbours where a path leads from one to the other with none between them. A pair
has the worst class of all its paths, also where ``finally`` stands twice in the bytecode.
"""

from __future__ import annotations

import ast
import dis
import itertools
import math
import sys
import types
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any

from tracelock.interpreter import plainness
from tracelock.interpreter.expressions import Expressions, Span, span_of
from tracelock.interpreter.instructions import (
    WORDS,
    Access,
    access_of,
    handlers_of,
    innermost,
    span_at,
    what_of,
)
from tracelock.interpreter.tables import (
    ACCESSES,
    ALLOCATES,
    ALWAYS_JUMPS,
    DROPS,
    ENDS,
    SILENT,
    TRUTH_JUMPS,
    Table,
    table_for,
)  # fmt: skip


class SwitchClass(IntEnum):
    """Whether a switch can come at a place. What cannot be told has to be treated as can."""

    ONLY_WITHOUT_GIL = 0
    CANNOT_TELL = 1
    CAN = 2

    @property
    def word(self) -> str:
        """As it stands in JSON: ``only-without-gil``."""
        return self.name.lower().replace("_", "-")


#: The values that an expression was seen to have, by its position; None: never seen. The values,
#: for a list of objects with an ``__eq__`` of their own is not as silent as one of numbers.
Known = Callable[[Span], "Sequence[Any] | None"]
GOES_BACK = "the way goes back: a loop"
_NO, _UNSURE, _CAN = SwitchClass.ONLY_WITHOUT_GIL, SwitchClass.CANNOT_TELL, SwitchClass.CAN


@dataclass(frozen=True)
class Pair:
    """Two neighbours, the class of the way between them, why, and at which instruction."""

    before: Access
    after: Access
    switch: SwitchClass
    why: str
    at: int


@dataclass(frozen=True)
class Effect:
    """What an instruction does: before it has had its effect, after it, and if it raised."""

    before: SwitchClass
    after: SwitchClass
    raised: SwitchClass
    why: str


_QUIET = Effect(_NO, _NO, _NO, "")


class CodeFlow:
    """The instructions of one code object of the running interpreter, and the ways through them."""

    def __init__(self, code: types.CodeType, tree: ast.AST | None = None) -> None:
        self._is_module = code.co_name == "<module>"
        self.table: Table = table_for(sys.version_info[:2])
        self.expressions = Expressions(tree) if tree is not None else None
        self.instructions = {one.offset: one for one in dis.get_instructions(code)}
        order = list(self.instructions)
        self.following = dict(itertools.pairwise(order))
        self._before = dict(zip(order[1:], order, strict=False))
        self._handlers = handlers_of(code)
        self.accesses = [
            access for one in self.instructions.values() if (access := access_of(one)) is not None
        ]

    def is_special(self, offset: int) -> bool:
        """Whether this is the call that enters ``with``, from 3.14 on."""
        return self.previous(offset) == "LOAD_SPECIAL"

    def previous(self, offset: int) -> str:
        """The name of the instruction before this one, "" where it is the first."""
        before = self._before.get(offset)
        return "" if before is None else self.instructions[before].opname

    def operands(self, what: str, span: Span | None) -> list[ast.AST] | None:
        """The operands of an operation that stands at ``span``; None where they are not known."""
        if self.expressions is None or span is None:
            return None
        return self.expressions.operands(what, span)

    # --- what an instruction does ------------------------------------------------------------
    def effect(self, one: dis.Instruction, known: Known | None = None) -> Effect:
        """Of one instruction, as far as the values in ``known`` tell."""
        name = one.opname
        if name in self.table.calls:
            return self._call(one, known)
        if name == "RESUME":
            if (one.arg or 0) & 3 in self.table.resume:
                return Effect(_CAN, _CAN, _CAN, "a frame begins or goes on here")
            return _QUIET
        if name == "YIELD_VALUE":
            return Effect(_CAN, _CAN, _CAN, "other frames run meanwhile")
        if name in ("LOAD_GLOBAL", "LOAD_NAME") and self._is_global(one, known):
            return _QUIET
        if name in TRUTH_JUMPS:
            # from 3.13 on TO_BOOL or a comparison has made it a bool already
            if self.table.version >= (3, 13):
                return _QUIET
            return self._typed(one, "truth", known)
        if name in SILENT:
            return _QUIET
        if name in ALLOCATES:
            return self._allocates(one, known)
        if name in DROPS:
            return self._dropping(one, known)
        if name == "CALL_INTRINSIC_1" and "LIST_TO_TUPLE" in one.argrepr:
            return _QUIET
        if name in ACCESSES:
            return self._typed(one, what_of(one), known)
        return Effect(_UNSURE, _UNSURE, _UNSURE, f"{name} may run Python code")

    def _is_global(self, one: dis.Instruction, known: Known | None) -> bool:
        if one.opname == "LOAD_NAME" and not self._is_module:
            return False  # the body of a class, whose namespace may be anything
        if not self.table.lazy_imports:
            return True
        span = span_at(one)
        return known is not None and span is not None and bool(known(span))

    def _allocates(self, one: dis.Instruction, known: Known | None) -> Effect:
        hashing = one.opname in ("BUILD_MAP", "BUILD_SET") and bool(one.arg)
        effect = self._typed(one, "build", known) if hashing else _QUIET
        if self.table.collects_at_allocation and not effect.after:
            return _unsure("a collection, with finalizers, can begin at an allocation")
        return effect

    def _dropping(self, one: dis.Instruction, known: Known | None) -> Effect:
        values = None
        span = span_at(one)
        if self.expressions is not None and known is not None and span is not None:
            node = self.expressions.dropped(one.opname, span)
            values = None if node is None else known(span_of(node))
        if values and all(plainness.drops_silently(value) for value in values):
            return _QUIET
        if one.opname in ENDS:
            return _QUIET
        before = self._before.get(one.offset, one.offset)
        entered = self.instructions[before].opname in ("BEFORE_WITH", "CALL")
        if one.opname == "POP_TOP" and entered and self._is_lock(one, known):
            return _QUIET  # True, which the lock gave
        if one.opname in ("END_FOR", "POP_ITER") or self.instructions[before].opname == "END_FOR":
            if self._verdict(one, "next", known):
                return _QUIET
            return _unsure("an iterator is let go of")
        if one.opname == "POP_EXCEPT":
            return _unsure("an exception is let go of, with what only it held")
        return _unsure("a value is let go of, whose finalizer may run")

    def _call(self, one: dis.Instruction, known: Known | None) -> Effect:
        if self.is_special(one.offset):
            waits = self._is_lock(one, known)
            after = _CAN if self.table.entering_with else _NO if waits else _UNSURE
            return Effect(_CAN if waits else _UNSURE, after, _UNSURE, "__enter__ is called")
        verdict = self._verdict(one, "call", known)
        if verdict is False:
            return Effect(_CAN, _CAN, _CAN, "Python code is called")
        level = _NO if verdict else _UNSURE
        why = "a check follows every call"
        if level:
            why = f"the callee may run Python code, and {why}"
        return Effect(level, _CAN, level, why)

    def _typed(self, one: dis.Instruction, what: str, known: Known | None) -> Effect:
        verdict = self._verdict(one, what, known)
        if what == "enter" and self._is_lock(one, known):
            why = "the lock may be held: waiting for it lets the GIL go"
            return Effect(_CAN, _NO, _CAN, why)
        if verdict is True:
            if ACCESSES.get(one.opname, ("",))[0] == "write" and not self._replaces(one, known):
                return Effect(_NO, _UNSURE, _NO, "the finalizer of the value replaced may run")
            return _QUIET
        if verdict is False:
            return Effect(_CAN, _CAN, _CAN, f"{WORDS.get(what, what)} runs Python code")
        return _unsure(f"{WORDS.get(what, what)} may run Python code, as far as is known")

    def _replaces(self, one: dis.Instruction, known: Known | None) -> bool:
        """Whether nothing runs when what stood there before is let go of."""
        span = span_at(one)
        values = None if known is None or span is None else known(span)
        if self.table.collects_at_allocation and values and plainness.is_new(values):
            return False  # a new attribute may need a new dictionary
        return bool(values) and all(plainness.drops_silently(value) for value in values or ())

    def _is_lock(self, one: dis.Instruction, known: Known | None) -> bool:
        nodes = self.operands("enter", span_at(one))
        values = known(span_of(nodes[0])) if nodes and known is not None else None
        return bool(values) and all(isinstance(value, plainness.LOCKS) for value in values or ())

    def _verdict(self, one: dis.Instruction, what: str, known: Known | None) -> plainness.Verdict:
        nodes = self.operands(what, span_at(one))
        if known is None or not nodes or any(isinstance(node, ast.Starred) for node in nodes):
            return None
        seen = []
        for node in nodes:
            values = values_of(node, known)
            if not values:
                return None
            seen.append(values)
        if math.prod(len(values) for values in seen) > _MOST_COMBINATIONS:
            return None
        verdicts = [_judge(one, what, list(values)) for values in itertools.product(*seen)]
        for node, values in zip(nodes, seen, strict=True):
            if not isinstance(node, ast.Name | ast.Constant) and what != "call":
                verdicts += [plainness.drops_silently(value) for value in values]
        if self.table.collects_at_allocation and self._makes_container(one, what, known, seen):
            verdicts.append(None)
        return plainness.all_of(verdicts)

    def _makes_container(
        self, one: dis.Instruction, what: str, known: Known, seen: list[Sequence[Any]]
    ) -> bool:
        """Whether the operation makes an object that the collector looks after."""
        if what in ("iterate", "spread") or one.opname == "UNPACK_EX":
            return True
        if what in ("operator", "item") and one.opname not in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            held = (tuple, list, dict, set, slice)
            first = seen if what == "operator" else seen[1:]
            return any(isinstance(value, held) for values in first for value in values)
        span = span_at(one)
        got = None if what != "attribute" or span is None else known(span)
        return one.opname == "LOAD_ATTR" and any(isinstance(v, _BOUND) for v in got or ())

    # --- the ways ----------------------------------------------------------------------------
    def successors(self, offset: int) -> list[tuple[int, str]]:
        """Where the frame can be next, and how it gets there: ``next``, by a ``jump``, by one that
        checks (``back``), or because the instruction has raised (``raise``)."""
        one = self.instructions[offset]
        name = one.opname
        found = []
        if one.opcode in _JUMPS:
            found.append((self._at(one.argval), "back" if name in self.table.jumps else "jump"))
        if name not in ENDS and name not in ALWAYS_JUMPS and offset in self.following:
            found.append((self.following[offset], "next"))
        handler = innermost(self._handlers, offset)
        if handler is not None and (name not in SILENT or name in ("RERAISE", "LOAD_DEREF")):
            found.append((self._at(handler), "raise"))
        return found

    def _edges(self, offset: int, effect: Effect) -> list[tuple[int, SwitchClass, str]]:
        levels = {
            "next": (effect.after, effect.why), "jump": (effect.after, effect.why),
            "back": (_CAN, GOES_BACK), "raise": (effect.raised, effect.why),
        }  # fmt: skip
        return [(to, *levels[how]) for to, how in self.successors(offset)]

    def _at(self, offset: int) -> int:
        while offset not in self.instructions:  # an inline cache stands there
            offset += 2
        return offset

    def ways(
        self,
        start: int,
        stops: Iterable[int],
        known: Known | None = None,
        effects: dict[int, Effect] | None = None,
    ) -> dict[int, tuple[SwitchClass, str, int]]:
        """The worst class from after ``start`` to each of ``stops`` that comes next on a path."""
        wanted = set(stops)
        found: dict[int, tuple[SwitchClass, str, int]] = {}
        worst: dict[int, SwitchClass] = {}
        effects = {} if effects is None else effects

        def effect_at(offset: int) -> Effect:
            if offset not in effects:
                effects[offset] = self.effect(self.instructions[offset], known)
            return effects[offset]

        first = effect_at(start)
        work = [(to, level, why, start) for to, level, why in self._edges(start, first)]
        while work:
            at, level, why, where = work.pop()
            if worst.get(at, -1) >= level:
                continue
            worst[at] = level
            effect = effect_at(at)
            if at in wanted:
                if effect.before > level:
                    level, why, where = effect.before, effect.why, at
                old = found.get(at)
                if old is None or level > old[0]:
                    found[at] = level, why if level else "", where
                continue
            for to, further, reason in self._edges(at, effect):
                if further > level:
                    work.append((to, further, reason, at))
                else:
                    work.append((to, level, why, where))
        return found

    def pairs(self, known: Known | None = None, only: Iterable[Access] | None = None) -> list[Pair]:
        """All neighbours (of ``only``, if given), with the class of each."""
        accesses = self.accesses if only is None else list(only)
        stops = {access.offset: access for access in accesses}
        effects: dict[int, Effect] = {}
        return [
            Pair(before, stops[to], level, why, at)
            for before in accesses
            for to, (level, why, at) in sorted(
                self.ways(before.offset, stops, known, effects).items()
            )
        ]

    def by_position(
        self, known: Known | None = None
    ) -> dict[tuple[Span | None, str, Span | None, str], SwitchClass]:
        """The class by the positions and the kinds of two accesses: of several copies the worst."""
        table: dict[tuple[Span | None, str, Span | None, str], SwitchClass] = {}
        for pair in self.pairs(known):
            key = pair.before.span, pair.before.how, pair.after.span, pair.after.how
            table[key] = max(table.get(key, _NO), pair.switch)
        return table


_MOST_COMBINATIONS = 64
_BOUND = types.MethodType | types.BuiltinMethodType
_JUMPS = set(dis.hasjrel) | set(dis.hasjabs)


def _judge(one: dis.Instruction, what: str, values: list[Any]) -> plainness.Verdict:
    writing = ACCESSES.get(one.opname, ("", ""))[0] == "write"
    if what == "attribute":
        return plainness.attribute(values[0], str(one.argval), writing)
    if what == "item":
        return plainness.item(values, writing)
    if what == "call":
        return plainness.call(values[0], values[1:])
    return plainness.operation(what, values)


def values_of(node: ast.AST, known: Known) -> Sequence[Any] | None:
    """The values that an expression had; None where that is not known."""
    if isinstance(node, ast.Constant):
        return [node.value]
    return known(span_of(node))


def _unsure(why: str) -> Effect:
    return Effect(_UNSURE, _UNSURE, _UNSURE, why)


#: By identity: equal code objects may come from other files. Each until its code object dies.
_looked: dict[int, tuple[weakref.ref[types.CodeType], CodeFlow]] = {}


def look(code: types.CodeType, tree: ast.AST | None = None) -> CodeFlow:
    """The frame of a code object, read when it is first asked for.

    ``code`` must be of the running interpreter and of the source as it is, not of a rewritten one;
    ``tree`` is the syntax tree of its file: without it nothing is known of operands. Raises
    LookupError for a version without a table.
    """
    key = id(code)
    found = _looked.get(key)
    if found is None or (tree is not None and found[1].expressions is None):
        # one may die when the names of this module have gone
        gone = weakref.ref(code, partial(_forget, _looked, key))
        found = _looked[key] = gone, CodeFlow(code, tree)
    return found[1]


def _forget(table: dict[int, Any], key: int, _: object) -> None:
    table.pop(key, None)
