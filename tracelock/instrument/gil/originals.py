"""The code of a frame as it was written: where in it a rewritten frame stands.

Rewritten code has the positions of the source that it was made from, so an instruction of it leads
to those of the original code object at the same place. The original is compiled again from the
file, once for each.
"""

from __future__ import annotations

import ast
import bisect
import dis
import linecache
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from types import CodeType
from typing import Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.rewrite.changing import change_of
from tracelock.interpreter.expressions import Span
from tracelock.interpreter.instructions import Access, span_at
from tracelock.interpreter.switches import CodeFlow, look
from tracelock.interpreter.tables import ACCESSES

#: How many accesses after a hook are looked at for the one that it was called for.
_AHEAD: Final = 8

#: So many functions are known from one exploration to the next.
_FUNCTIONS: Final = 200
#: What a step is in the code.
READ, WRITE, ENTER, LEAVE, CALL = range(5)
#: What stands in the code for that.
_HOW: Final = {
    READ: ("read", "call"), WRITE: ("write", "call"), ENTER: ("call",), LEAVE: ("call",),
    CALL: ("call", "write", "read"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame is. ``flow``: of the original code, None where that is not known; ``there``:
    the accesses of that in their order, from this place on; ``calls``: whether this is a call in
    the original, too."""

    code: CodeType  # kept, so that its identity stays its own
    flow: CodeFlow | None
    there: tuple[tuple[Access, ...], ...]
    calls: bool

    def of(self, kind: int) -> list[int]:
        """Where in the original code a step of this kind is: offsets of instructions."""
        for accesses in self.there:
            if kind in (ENTER, LEAVE) and any(one.what == "enter" for one in accesses):
                found = [one for one in accesses if (one.what == "enter") is (kind == ENTER)]
                return [one.offset for one in found if one.how == "call"]
            found = [one for one in accesses if one.how in _HOW[kind]]
            if found:
                return [one.offset for one in found]
        return []


class DefinitionsByLine:
    """The functions and classes of a syntax tree, by the lines that they take: one look at all."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        #: By line, the innermost that has it, with its last line and what it is in.
        self._at: dict[int, _Part] = {}
        pending: list[tuple[ast.AST, _Part | None]] = [(tree, None)]
        while pending:
            node, around = pending.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                begins = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                around = _Part(node, node.end_lineno or 0, around)
                for line in range(begins, around.last + 1):
                    self._at[line] = around  # those further in come later
            pending += [(inner, around) for inner in ast.iter_child_nodes(node)]

    def of(self, code: CodeType) -> ast.AST:
        """What of the tree a code object was made of, or what that is in."""
        first = code.co_firstlineno
        last = max((line for _, _, line in code.co_lines() if line is not None), default=first)
        part = self._at.get(first)
        while part is not None and part.last < last:
            part = part.around
        return self._tree if part is None else part.node


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    node: ast.AST
    last: int
    around: _Part | None


_places: dict[tuple[int, int, bool], Place] = {}
_flows: dict[int, tuple[CodeType, CodeFlow | None]] = {}
_files: dict[str, tuple[DefinitionsByLine | None, dict[tuple[str, int], list[CodeType]]]] = {}
_known: dict[tuple[str, str, int], CodeFlow | None] = {}
_codes: dict[int, _Spans] = {}


def forget() -> bool:
    """An exploration has ended: let go of the code that was rewritten for it, and of whole syntax
    trees, whose many objects would be in the way of all that looks at objects. Whether what is
    known of single functions was let go of too: of more than a few it is."""
    _places.clear()
    _flows.clear()
    _files.clear()
    _codes.clear()
    if len(_known) <= _FUNCTIONS:
        return False
    _known.clear()
    return True


def place_of(code: CodeType, at: int, hooked: bool = False) -> Place:
    """Where ``code`` is at instruction ``at`` (``f_lasti``). ``hooked``: in a hook, which rewritten
    code calls before the access itself."""
    key = identity(code), at, hooked
    found = _places.get(key)
    if found is None:
        found = _places[key] = _find(code, at, hooked)
    return found


def flow_of(code: CodeType) -> CodeFlow | None:
    """The flow of the original of a code object; None where it is not known."""
    found = _flows.get(identity(code))
    if found is None:
        found = _flows[identity(code)] = code, _original(code)
    return found[1]


def _original(code: CodeType) -> CodeFlow | None:
    key = code.co_filename, code.co_qualname, code.co_firstlineno
    if key not in _known and not _learn(key):  # code made by ``exec`` is not rewritten
        return look(code)
    return _known[key]


def _learn(key: tuple[str, str, int]) -> bool:
    """Look at a function as it stands in its file. Whether there is one."""
    name = key[0]
    if name not in _files:
        _files[name] = _compiled(name)
    parts, codes = _files[name]
    if parts is None:
        return False
    found = codes.get(key[1:], ())
    _known[key] = CodeFlow(found[0], parts.of(found[0])) if len(found) == 1 else None
    return True


def functions() -> dict[tuple[str, str, int], CodeFlow | None]:
    """The functions that were looked at: by file, qualified name and first line, in the order in
    which they were."""
    return _known


def learn(keys: Iterable[tuple[str, str, int]]) -> None:
    """Look at functions that a forked process has looked at, so that no further one has to: to
    compile a file takes longer than a schedule. What is not needed any more then is let go of."""
    for key in keys:
        if key not in _known:
            _learn(key)
    _files.clear()


def _compiled(
    name: str,
) -> tuple[DefinitionsByLine | None, dict[tuple[str, int], list[CodeType]]]:  # fmt: skip
    source = "".join(linecache.getlines(name))
    codes: defaultdict[tuple[str, int], list[CodeType]] = defaultdict(list)
    if not source:
        return None, codes
    try:
        tree = ast.parse(source)
        change = change_of(name)
        if change is None:
            left = [compile(source, name, "exec", dont_inherit=True)]
        else:
            change.apply(tree)
            left = [compile(tree, name, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return None, codes
    while left:
        one = left.pop()
        codes[one.co_qualname, one.co_firstlineno].append(one)
        left += [inner for inner in one.co_consts if isinstance(inner, CodeType)]
    return DefinitionsByLine(tree), codes


def _find(code: CodeType, at: int, hooked: bool) -> Place:
    flow = flow_of(code)
    if flow is None:
        return Place(code, None, (), True)
    known = _codes.get(identity(code))
    if known is None:
        known = _codes[identity(code)] = _Spans(code, flow)
    instructions = code.co_code
    while at > 0 and dis.opname[instructions[at]] == "CACHE":
        at -= 2  # where 3.11 says that a call is
    span = known.spans[at // 2]
    calls = dis.opname[instructions[at]].startswith("CALL") and span in known.calls
    if not hooked:
        same = _at_the_same(code, flow, at, known.spans, known.accesses[span])
        return Place(code, flow, (tuple(same),) if same else (), calls)
    first = bisect.bisect_left(known.hooked, at + 2)
    spans = [known.spans[offset // 2] for offset in known.hooked[first : first + _AHEAD]]
    return Place(code, flow, tuple(tuple(known.accesses[one]) for one in spans), calls)


class _Spans:
    """What is where in a rewritten code object, and in the ``flow`` of its original."""

    def __init__(self, code: CodeType, flow: CodeFlow) -> None:
        self.code = code  # kept, so that its identity stays its own
        self.accesses: defaultdict[Span | None, list[Access]] = defaultdict(list)
        for access in flow.accesses:
            self.accesses[access.span].append(access)
        self.spans = [_span(one) for one in code.co_positions()]
        instructions = code.co_code
        #: Offsets of instructions that are accesses of the original, too.
        self.hooked = [
            offset for offset in range(0, len(instructions), 2)
            if self.spans[offset // 2] in self.accesses
            and dis.opname[instructions[offset]] in ACCESSES
        ]  # fmt: skip
        self.calls = {
            span_at(one) for one in flow.instructions.values() if one.opname in flow.table.calls
        }


def _at_the_same(
    code: CodeType, flow: CodeFlow, at: int, spans: list[Span | None], there: list[Access]
) -> list[Access]:
    """Of the accesses at one position (the items of a ``with`` may have one) that which the
    instruction ``at`` is: the first, the second and so on of its kind."""
    instructions, span = code.co_code, spans[at // 2]

    def kind(offset: int) -> tuple[str, bool]:
        # since 3.14 a call enters ``with``, and another one, at the same position, leaves it
        name, before = instructions[offset], offset - 2
        while before > 0 and dis.opname[instructions[before]] == "CACHE":
            before -= 2
        return dis.opname[name], before >= 0 and dis.opname[instructions[before]] == "LOAD_SPECIAL"

    wanted = kind(at)
    alike = [
        one for one in there
        if (flow.instructions[one.offset].opname, flow.is_special(one.offset)) == wanted
    ]  # fmt: skip
    mine = [
        offset for offset in range(0, len(instructions), 2)
        if spans[offset // 2] == span and kind(offset) == wanted
    ]  # fmt: skip
    if len(alike) == len(mine):
        return [alike[mine.index(at)]]
    return alike or there


def _span(position: tuple[int | None, ...]) -> Span | None:
    return None if None in position else position  # type: ignore[return-value]
