"""Whether a statement is atomic: which of its accesses others can see, and what is between them."""

from __future__ import annotations

import ast
import builtins
import dis
import inspect
import sys
import types
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tracelock.interpreter.expressions import span_of
from tracelock.interpreter.instructions import Access
from tracelock.interpreter.plainness import LOCKS
from tracelock.interpreter.samples import namespace, only_waits
from tracelock.interpreter.statement import Statement
from tracelock.interpreter.switches import CodeFlow, Known, SwitchClass, values_of

_IMMUTABLE = (
    int, float, complex, bool, str, bytes, type(None), tuple, frozenset, range, type(...),
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type, slice,
)  # fmt: skip
_MUTABLE_PARTS = 10_000
#: Containers that lock themselves on a free-threaded build.
_LOCKED = (list, dict, set)
#: Methods that hold that lock from their beginning to their end.
_ONE_STEP: dict[type, frozenset[str]] = {
    list: frozenset({"append", "extend", "insert", "pop", "clear", "reverse", "copy"}),
    dict: frozenset({
        "get", "setdefault", "pop", "popitem", "update", "clear", "copy", "keys", "values", "items",
    }),
    set: frozenset({"add", "discard", "remove", "pop", "clear", "copy", "update"}),
}  # fmt: skip


@dataclass
class Judged:
    """A statement on the running interpreter.

    ``switch``: the worst class between its first and its last access that others can see (with the
    GIL); ``steps``: whether there are several of them, so that others come between without a GIL.
    """

    statement: str
    accesses: list[dict[str, Any]]
    switch: SwitchClass
    why: str
    several: bool
    own_code: str
    fragile: list[str]
    bytecode: list[dict[str, Any]]
    locked: str = ""
    #: Whether it may write what cannot be seen in it.
    opaque: bool = False
    #: Whether its one access is a step by itself on a build without a GIL.
    own_lock: bool = True


@dataclass(frozen=True)
class Written:
    """What the statements that run at the same time assign: names, and attributes by their name.

    ``attributes`` is None where that cannot be told: one of them calls Python code.
    """

    names: frozenset[str]
    attributes: frozenset[str] | None


def judge_all(statements: Sequence[Statement], source: str) -> list[Judged]:
    """Each of several statements that run at the same time. Raises StatementProblem."""
    names = frozenset().union(*(statement.stored for statement in statements))
    rough = [judge(one, source, Written(names, None)) for one in statements]
    if any(one.opaque for one in rough):
        return rough
    attributes = frozenset(
        node.attr
        for statement in statements
        for node in ast.walk(statement.tree)
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load)
    )
    return [judge(one, source, Written(names, attributes)) for one in statements]


def judge(statement: Statement, source: str, written: Written) -> Judged:
    """One statement, with the values that ``source`` makes. Raises StatementProblem."""
    space = namespace(source)
    function = statement.code(space)
    frame = CodeFlow(function.__code__, statement.tree)
    known = statement.watched(space)
    shared = shared_accesses(frame, known, statement.shared(space), written)
    worst, why = SwitchClass.ONLY_WITHOUT_GIL, ""
    after: dict[int, tuple[SwitchClass, str]] = {}
    pairs = [
        pair
        for pair in frame.pairs(known, shared)
        if pair.before is not pair.after or pair.before.what != "await"
    ]
    marks: dict[int, str] = {}
    for pair in pairs:
        old = after.get(pair.before.offset, (SwitchClass.ONLY_WITHOUT_GIL, ""))
        after[pair.before.offset] = max(old, (pair.switch, pair.why))
        if pair.switch:
            marks[pair.at] = max(marks.get(pair.at, ""), pair.why)
        if pair.switch > worst:
            between = (
                f"between {access_text(pair.before, frame)} and {access_text(pair.after, frame)}"
            )
            worst, why = pair.switch, f"{pair.why} ({between})"
    own_code = ""
    for one in shared:
        effect = frame.effect(frame.instructions[one.offset], known)
        if effect.before and one.what != "enter" and not _is_of_lock(one, frame, known):
            own_code = own_code or f"{effect.why} ({access_text(one, frame)})"
            marks.setdefault(one.offset, effect.why)
            if effect.before > worst:
                worst, why = effect.before, own_code
    return Judged(
        statement.text,
        [
            {
                "access": one.how, "of": one.what, "text": access_text(one, frame),
                "line": None if one.span is None else one.span[0],
                "column": None if one.span is None else one.span[2] + 1,
                "then": _then(after, one),
            }
            for one in shared
        ],
        worst, why, bool(pairs), own_code, _fragile(shared, frame),
        _listing(frame, marks), lock_of(statement, known),
        bool(own_code) or _opaque(statement, known),
        all(_has_lock(one, frame, known) for one in shared),
    )  # fmt: skip


def shared_accesses(
    frame: CodeFlow, known: Known, space: dict[str, Any], written: Written
) -> list[Access]:
    """The accesses that others can see, or whose result they can change."""
    shared = _reachable(space)
    return [one for one in frame.accesses if _is_shared(one, frame, known, shared, written)]


def _has_lock(one: Access, frame: CodeFlow, known: Known) -> bool:
    """Whether an access is one step on a build without a GIL: of an attribute or a name, or of a
    container of the language under the lock that each of them has there."""
    if one.what in ("attribute", "global", "name", "closure"):
        return True
    nodes = frame.operands(one.what, one.span)
    if not nodes:
        return False
    seen = [values_of(node, known) or () for node in nodes]
    if not all(seen):
        return False
    if one.what == "call":
        return all(_is_one_step(function) for function in seen[0])
    if one.what == "item":
        return all(isinstance(value, (*_LOCKED, *_IMMUTABLE)) for value in seen[0])
    if one.what == "contains":  # a list is searched item by item
        return all(isinstance(value, (dict, set, *_IMMUTABLE)) for value in seen[-1])
    if one.what in ("truth", "operator"):
        return all(isinstance(v, (*_LOCKED, *_IMMUTABLE)) for values in seen for v in values)
    return False


def _is_one_step(function: Any) -> bool:
    """Of a callee: not those that go through a list item by item (``index``, ``sum``), and not
    ``sort``, which empties the list meanwhile."""
    if any(function is known for known in (len, list, dict, set, sorted)):
        return True
    owner = getattr(function, "__self__", None)
    if isinstance(owner, LOCKS):
        return True
    name = getattr(function, "__name__", "")
    return any(type(owner) is kind and name in names for kind, names in _ONE_STEP.items())


def _is_of_lock(one: Access, frame: CodeFlow, known: Known) -> bool:
    """Whether an access is a method of a lock: who has to wait there has done nothing yet."""
    nodes = frame.operands("call", one.span) if one.what == "call" else None
    functions = known(span_of(nodes[0])) if nodes else None
    return bool(functions) and all(
        isinstance(getattr(function, "__self__", None), LOCKS) for function in functions or ()
    )


def _then(after: dict[int, tuple[SwitchClass, str]], one: Access) -> str | None:
    level = after.get(one.offset)
    return None if level is None else level[0].word


def _reachable(space: dict[str, Any]) -> set[int]:
    """The identities of all mutable objects that the names lead to."""
    found: set[int] = set()
    left = list(space.values())
    while left and len(found) < _MUTABLE_PARTS:
        value = left.pop()
        if id(value) in found:
            continue
        if isinstance(value, tuple | frozenset):
            left += list(value)
        if isinstance(value, _IMMUTABLE):
            root = getattr(value, "__module__", None) or ""
            own = root.partition(".")[0] not in sys.stdlib_module_names
            if isinstance(value, type) and own:
                found.add(id(value))
            continue
        found.add(id(value))
        if type(value) in (list, set):
            left += list(value)
        elif type(value) is dict:
            left += [*value.keys(), *value.values()]
        space_of = getattr(type(value), "__dict__", {}) and getattr(value, "__dict__", None)
        if type(space_of) is dict:
            found.add(id(space_of))
            left += list(space_of.values())
    return found


def _is_shared(
    one: Access, frame: CodeFlow, known: Known, shared: set[int], written: Written
) -> bool:
    """Whether others can see an access, or change what it sees."""
    if one.what in ("global", "name"):
        name = frame.instructions[one.offset].argval
        return one.how == "write" or name in written.names
    if one.what == "closure":
        return True
    if one.what == "await":
        nodes = frame.operands("await", one.span)
        awaited = known(span_of(nodes[0])) if nodes else None
        return not awaited or not all(only_waits(value) for value in awaited)
    nodes = frame.operands(one.what, one.span)
    if not nodes:
        return True  # nothing is known: it counts
    if one.what in ("attribute", "item") and one.how == "read" and one.span is not None:
        base = known(span_of(nodes[0]))
        got = known(one.span)
        method = types.MethodType | types.BuiltinMethodType | types.MethodWrapperType
        if one.what == "attribute" and got and all(isinstance(value, method) for value in got):
            return False
        name = frame.instructions[one.offset].argval
        if one.what == "attribute" and written.attributes is not None:
            # what nobody writes is the same whenever it is read
            return name in written.attributes
        return base is None or any(_may_change(value, shared) for value in base)
    if one.what == "call":
        return _call_is_shared(nodes, known, shared)
    if one.what in ("attribute", "item"):
        nodes = nodes[:1]
    seen = [values_of(node, known) for node in nodes]
    return any(v is None or any(_may_change(one, shared) for one in v) for v in seen)


_WRITING = frozenset({"setattr", "delattr", "vars", "exec", "eval", "globals", "locals"})


def _opaque(statement: Statement, known: Known) -> bool:
    for node in ast.walk(statement.tree):
        if isinstance(node, ast.Attribute) and node.attr.startswith("__"):
            return True
        if isinstance(node, ast.Name) and node.id in _WRITING:
            return True
        if isinstance(node, ast.Call):
            functions = known(span_of(node.func))
            if not functions or any(not isinstance(one, _IN_C) for one in functions):
                return True
    return False


def _call_is_shared(nodes: Sequence[ast.AST], known: Known, shared: set[int]) -> bool:
    functions = known(span_of(nodes[0]))
    if functions and all(inspect.iscoroutinefunction(f) for f in functions):
        return False  # what it makes does nothing until it is awaited
    if not functions or any(not isinstance(f, _IN_C) for f in functions):
        return True
    if any(_acts(f) for f in functions):
        return True
    values = [getattr(function, "__self__", None) for function in functions]
    for node in nodes[1:]:
        if isinstance(node, ast.Constant):
            continue
        seen = known(span_of(node))
        if seen is None:
            return True
        values += seen
    return any(_may_change(value, shared) for value in values)


#: Modules in C whose functions only compute.
_COMPUTING = frozenset({"builtins", "math", "cmath", "operator", "_operator", "time", "itertools"})
#: Built-in functions that do something which others see.
_ACTING = frozenset({"print", "input", "open", "exec", "eval", "__import__", "breakpoint"})


def _acts(function: Any) -> bool:
    """Whether a function in C may do something that others see, whatever it is given."""
    owner = getattr(function, "__self__", None)
    if not isinstance(owner, types.ModuleType):
        return False
    if owner is builtins:
        return function.__name__ in _ACTING
    return owner.__name__ not in _COMPUTING


_IN_C = (types.BuiltinFunctionType, types.MethodWrapperType, type)


def _may_change(value: Any, shared: set[int]) -> bool:
    if isinstance(value, types.ModuleType):
        return value is not builtins and id(value) in shared
    return id(value) in shared


def access_text(one: Access, frame: CodeFlow) -> str:
    """An access in words."""
    text = ""
    if frame.expressions is not None and one.span is not None:
        text = frame.expressions.text(one.what, one.span)
    if one.what == "operator":
        return f"the operator of {text!r}" if text else "an operator"
    if one.what == "enter":
        return "entering 'with'"
    if one.what == "await":
        nodes = frame.operands("await", one.span)
        if not nodes:
            return f"awaiting at {text.partition(':')[0]!r}"
        return f"awaiting {ast.unparse(nodes[0])}"
    if one.what in ("truth", "iterate", "next", "unpack"):
        nodes = frame.operands(one.what, one.span)
        if nodes:
            word = {"truth": "testing", "unpack": "unpacking"}.get(one.what, "going through")
            return f"{word} {ast.unparse(nodes[0])}"
    how = {"read": "reading", "write": "writing", "call": "calling"}[one.how]
    return f"{how} {text or one.what}"


def _fragile(shared: Sequence[Access], frame: CodeFlow) -> list[str]:
    """What has to stay as it is: each with the words that say what lets others in."""
    found: dict[str, None] = {}
    for one in shared:
        nodes = frame.operands(one.what, one.span)
        words = [ast.unparse(node) for node in nodes or ()]
        if one.what == "attribute" and words:
            name = frame.instructions[one.offset].argval
            found[
                f"{words[0]}.{name} is a plain attribute: a property, or a __getattribute__ or "
                "__setattr__ in Python, lets others in"
            ] = None
        elif one.what == "item" and len(words) > 1 and not isinstance(nodes[1], ast.Constant):  # type: ignore[index]
            found[
                f"{words[1]} hashes and compares in C: a Python __hash__ or __eq__, of it or of a "
                "key of the same hash, lets others in"
            ] = None
        elif one.what == "call" and words:
            found[f"{words[0]} is in C and calls nothing in Python"] = None
        if one.how == "write" and one.what in ("attribute", "item"):
            found[
                "no finalizer (__del__, a callback of a weak reference) runs for what is replaced"
            ] = None
    return list(found)


def _listing(frame: CodeFlow, marks: dict[int, str]) -> list[dict[str, Any]]:
    """The bytecode, with why a switch can come at an instruction."""
    hidden = ("CACHE", "RESUME", "EXTENDED_ARG")
    return [
        {
            "offset": o,
            "opcode": one.opname,
            "argument": one.argrepr,
            "switch": marks.get(o),
            "line": None if one.positions is None else one.positions.lineno,
        }
        for o, one in frame.instructions.items()
        if one.opname not in hidden and o in _body(frame)
    ]


def _body(frame: CodeFlow) -> set[int]:
    lines = {one.offset for one in frame.instructions.values() if _placed(one)}
    return lines or set(frame.instructions)


def _placed(one: dis.Instruction) -> bool:
    at = one.positions
    return at is not None and at.col_offset is not None


def lock_of(
    statement: Statement, known: Known,
    block: type[ast.With] | type[ast.AsyncWith] = ast.With, locks: tuple[type, ...] = LOCKS,
) -> str:  # fmt: skip
    """The lock that a statement holds from its beginning to its end; "" where it holds none."""
    body = statement.tree.body
    if ast.get_docstring(statement.tree, clean=False) is not None:
        body = body[1:]
    if len(body) != 1 or not isinstance(body[0], block) or len(body[0].items) != 1:
        return ""
    item = body[0].items[0]
    values = known(span_of(item.context_expr))
    if item.optional_vars is not None or not values:
        return ""
    if all(isinstance(value, locks) for value in values):
        return ast.unparse(item.context_expr)
    return ""
