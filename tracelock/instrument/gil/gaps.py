"""The class of the way between two steps of a worker that has gone it, and was watched meanwhile.

``interpreter.switches`` judges ways that nobody has gone. Here each frame of Python code and each
call of a function in C was told of (``watching``); what is left to be read off the code is ways
back, the callees that are not told of (classes in C), and operations on objects of libraries in C,
which may let the GIL go without a call.
"""

from __future__ import annotations

import ast
import types
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from tracelock.instrument.gil.values import UNKNOWN, Values
from tracelock.interpreter.instructions import span_at, what_of
from tracelock.interpreter.plainness import METHODS, found_in
from tracelock.interpreter.switches import GOES_BACK, CodeFlow, SwitchClass
from tracelock.interpreter.tables import ACCESSES, ALLOCATES, DROPS, ENDS, SILENT, TRUTH_JUMPS

NO, UNSURE, CAN = SwitchClass.ONLY_WITHOUT_GIL, SwitchClass.CANNOT_TELL, SwitchClass.CAN
_CALLED: Final = "a check follows every call"
#: Callees of which the interpreter tells: see ``sys.setprofile``.
_TOLD: Final = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodDescriptorType,
)  # fmt: skip
_IN_C: Final = (
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.BuiltinFunctionType,
)  # fmt: skip
#: Modules in C whose objects keep the GIL in all that is no call.
_KEEPING: Final = frozenset({
    "builtins", "collections", "itertools", "array", "math", "types", "_thread", "functools",
    "decimal", "datetime", "_random", "_weakref", "weakref", "operator", "_operator",
    "_contextvars", "_collections", "_functools", "re",
})  # fmt: skip
#: Instructions that switch, if at all, in frames of Python code: these are told of.
_WATCHED: Final = frozenset({
    *SILENT, *ALLOCATES, *DROPS, *ENDS, "RESUME", "YIELD_VALUE", "SEND", "GET_AWAITABLE",
    "GET_YIELD_FROM_ITER", "GET_AITER", "GET_ANEXT", "END_SEND", "CHECK_EXC_MATCH",
    "CHECK_EG_MATCH", "CLEANUP_THROW", "END_ASYNC_FOR", "PREP_RERAISE_STAR", "CALL_INTRINSIC_1",
    "CALL_INTRINSIC_2", "ASYNC_GEN_WRAP", "SETUP_ANNOTATIONS", "SET_ADD", "MAP_ADD",
    "LIST_TO_TUPLE", "STOPITERATION_ERROR", "MATCH_KEYS", "MATCH_CLASS", "GET_LEN",
})  # fmt: skip
_PLAIN: Final = frozenset({int, str, float, bool, bytes, types.NoneType, list, dict, tuple, set})
#: Accesses that run no code of a library in C.
_OF_PYTHON: Final = frozenset({"attribute", "global", "name", "closure", "super", "await", "match"})


@dataclass(frozen=True, slots=True)
class Route:
    """What there is to know of all ways between two places of a frame.

    ``callees``: of calls of which it is not known whether they are told of; ``operands``: of
    operations, each with its kind, that may be those of a library in C.
    """

    level: SwitchClass
    why: str = ""
    callees: tuple[ast.AST | None, ...] = ()
    operands: tuple[tuple[str, ast.AST | None], ...] = ()

    def judge(self, frame: FrameType) -> tuple[SwitchClass, str]:
        """The class of the way that was gone, with the values that ``frame`` has now."""
        if self.level is CAN or not (self.callees or self.operands):
            return self.level, self.why
        values = Values(frame)
        for node in self.callees:
            if not isinstance(values.of(node), _TOLD):
                return UNSURE, "what is called may be a class in C, after which a check comes"
        for what, node in self.operands:
            value = values.of(node)
            if value is UNKNOWN or not _keeps(type(value), what):
                return UNSURE, "an operation on an object of which not enough is known"
        return self.level, self.why


_routes: dict[tuple[int, tuple[int, ...], tuple[int, ...], bool], tuple[CodeFlow, Route]] = {}


def forget() -> None:
    """What is known of ways through code that is not kept any more."""
    _routes.clear()


def route(
    flow: CodeFlow, starts: Sequence[int], stops: Sequence[int], python: bool = False
) -> Route:
    """The ways from after one of ``starts`` to one of ``stops`` (none given: to the frame's end).

    ``python``: what was called at ``starts`` is a function of Python code, and has returned: no
    check comes after that.
    """
    key = id(flow), tuple(starts), tuple(stops), python
    found = _routes.get(key)
    if found is None:
        found = _routes[key] = flow, _look(flow, starts, stops, python)
    return found[1]


def _look(flow: CodeFlow, starts: Sequence[int], stops: Sequence[int], python: bool) -> Route:
    instructions = flow.instructions
    ends = set(stops) or {o for o, one in instructions.items() if one.opname in ENDS}
    after = {offset: flow.successors(offset) for offset in instructions}
    forth = _reach({o: [to for to, _ in found] for o, found in after.items()}, starts, ends)
    before: dict[int, list[int]] = {offset: [] for offset in instructions}
    for offset, found in after.items():
        for to, _ in found:
            before[to].append(offset)
    between = forth & _reach(before, list(ends), set(starts))
    level, why = NO, ""
    callees: list[ast.AST | None] = []
    operands: list[tuple[str, ast.AST | None]] = []
    gone = False
    for offset in (*starts, *sorted(between)):
        for to, how in after[offset]:
            if to in between or to in ends:
                gone = True
                if how == "back" and level < CAN:
                    level, why = CAN, GOES_BACK
    if not gone:
        return Route(CAN, GOES_BACK)
    for start in starts:
        if instructions[start].opname in flow.table.calls and not python:
            special = flow.is_special(start)
            if not special or flow.table.entering_with:
                return Route(CAN, "entering 'with' is followed by a check" if special else _CALLED)
    for offset in between:
        one = instructions[offset]
        name = one.opname
        if name in flow.table.calls:
            called = flow.operands("call", span_at(one))
            callees.append(called[0] if called else None)
        elif name in ACCESSES or name in TRUTH_JUMPS:
            what = "truth" if name in TRUTH_JUMPS else what_of(one)
            if what not in _OF_PYTHON and not (what == "truth" and _is_bool(flow, offset)):
                nodes: Sequence[ast.AST | None] = flow.operands(what, span_at(one)) or (None,)
                operands += [(what, node) for node in nodes]
        elif name not in _WATCHED and level is NO:
            level, why = UNSURE, f"nothing is known of {name}"
    return Route(level, why, tuple(callees), tuple(operands))


def _reach(edges: dict[int, list[int]], starts: Sequence[int], stops: set[int]) -> set[int]:
    """What is reached from ``starts`` without going through one of these or of ``stops``."""
    found: set[int] = set()
    work = [to for start in starts for to in edges[start]]
    while work:
        at = work.pop()
        if at not in found and at not in stops and at not in starts:
            found.add(at)
            work += edges[at]
    return found


def _is_bool(flow: CodeFlow, offset: int) -> bool:
    """Whether a jump tests what a comparison has just given."""
    return flow.previous(offset) in (
        "COMPARE_OP", "CONTAINS_OP", "IS_OP", "TO_BOOL", "UNARY_NOT",
    )  # fmt: skip


def _keeps(kind: type, what: str) -> bool:
    """Whether an operation on values of this type lets the GIL go in Python code at most."""
    if kind in _PLAIN:
        return True
    for name in METHODS.get(what, ("__enter__", "__exit__", "__getitem__", "__setitem__")):
        found: tuple[type, Any] | None = found_in(kind, name)
        if found is not None and isinstance(found[1], _IN_C):
            module = type.__getattribute__(found[0], "__module__")
            if module not in _KEEPING:
                return False
    return True
