"""Values for the free names of statements, and namespaces with them."""

from __future__ import annotations

import ast
import asyncio
import builtins
import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracelock.interpreter.statement import Statement

#: What free names stand for unless the set-up says otherwise: the source of a value. Numbers are
#: such that what was lost can be told from what never was.
SAMPLES: dict[str, str] = {
    "d": "{'k': 10}", "d1": "{'k': 10}", "d2": "{'j': 20}", "D": "{'k': 10}",
    "D1": "{'k': 10}", "D2": "{'j': 20}", "cache": "{'k': 10}",
    "l": "[3, 1, 2]", "l1": "[3, 1, 2]", "l2": "[6, 4]", "L": "[3, 1, 2]", "L1": "[3, 1, 2]",
    "L2": "[6, 4]", "items": "[3, 1, 2]",
    "s": "{1, 2}", "s2": "{2, 3}", "q": "collections.deque([1, 2])",
    "n": "10", "count": "10", "total": "10", "i": "0", "j": "1", "x": "7", "y": "8",
    "k": "'k'", "key": "'k'", "v": "7", "value": "7", "item": "7", "lock": "threading.Lock()",
}  # fmt: skip
#: Names of objects with attributes; which ones they have is taken from the statement.
OBJECTS = ("self", "c", "o", "obj", "counter", "other")
_MODULES = ("collections", "threading")
#: Modules that do something visible when they are imported.
_LOUD = frozenset({"this", "antigravity", "turtle", "tkinter", "idlelib", "test", "__main__"})
#: What an unknown name that is awaited stands for.
_CALLED = "async def {0}(*given): await asyncio.sleep(0); return 1"
_AWAITED = {
    "lock": "asyncio.Lock()", "event": "asyncio.Event(); event.set()",
    "q": "asyncio.Queue(); q.put_nowait(7); q.put_nowait(8)",
}  # fmt: skip
_LISTS = frozenset("append extend insert pop sort reverse remove index".split())  # noqa: SIM905
_DICTS = frozenset("get setdefault update items keys values popitem".split())  # noqa: SIM905
_SETS = frozenset("add discard union difference".split())  # noqa: SIM905
#: Methods -> what has them, for names of which nothing else is known.
_BY_METHODS = (
    (_LISTS, "[3, 1, 2]"), (_DICTS, "{'k': 10}"), (_SETS, "{1}"),
    (frozenset("appendleft popleft extendleft rotate append".split()),  # noqa: SIM905
     "collections.deque([1, 2])"),
    (frozenset({"acquire", "release", "locked"}), "threading.Lock()"),
    (frozenset({"set", "clear", "is_set", "wait"}), "threading.Event()"),
)  # fmt: skip


class StatementProblem(Exception):
    """What is wrong with a statement or a set-up, for whoever wrote it."""


class Object:
    """What ``self`` is, where the set-up does not say."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    @staticmethod
    async def waits(*given: Any) -> int:
        """A coroutine method of which nothing is known: it suspends once."""
        await asyncio.sleep(0)
        return 1

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"Object({inside})"


def parsed(text: str, what: str) -> ast.Module:
    """The syntax tree. Raises StatementProblem with the place of what is wrong."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        place = f"line {error.lineno}, column {error.offset}" if error.lineno else "somewhere"
        raise StatementProblem(f"{what} is no Python: {error.msg} ({place}): {text!r}") from None
    except ValueError as error:  # a null byte
        raise StatementProblem(f"{what} is no Python: {error}") from None


def setup_source(statements: Sequence[Statement], setup: str) -> tuple[str, dict[str, str]]:
    """The source that makes the values of all free names, and those of them that are samples.

    Raises StatementProblem for a name of which nothing is known.
    """
    given = parsed(setup, "the set-up")
    bound = bound_names(given)
    free: set[str] = set()
    for statement in statements:
        free |= statement.loaded
    free |= {n.id for n in ast.walk(given) if isinstance(n, ast.Name)} & {*SAMPLES, *OBJECTS}
    awaits = any(statement.kind == "coroutine" for statement in statements)
    lines = [f"import {', '.join([*_MODULES, 'asyncio'] if awaits else _MODULES)}"]
    made: dict[str, str] = {}
    for statement in statements:
        lines += statement.setup_lines(setup)
        made.update(statement.made)
    bound |= {statement.module.partition(".")[0] for statement in statements if statement.module}
    samples: dict[str, str] = {}
    uses = _Uses([*(statement.tree for statement in statements), given])
    for name in sorted(free - bound - set(_MODULES)):
        waited = uses.of(name, awaited=True)
        if name in made:
            samples[name] = made[name]
        elif name in OBJECTS:
            samples[name] = _object(name, statements, given)
        elif name in _AWAITED and waited:
            samples[name] = _AWAITED[name]
        elif name in SAMPLES:
            samples[name] = SAMPLES[name]
        elif not hasattr(builtins, name):
            module, value = _module(name, uses.of(name)), _guess(uses.of(name))
            if module:
                lines.append(module)
                continue
            if value is None and "call" in waited:
                samples[name] = _CALLED.format(name)
                lines.append(f"{samples[name]}")
                continue
            if value is None:
                raise StatementProblem(
                    f"nothing is known of the name {name!r}: give it a value, as in "
                    f"--setup '{name} = ...'"
                )
            samples[name] = value
        else:
            continue
        lines.append(f"{name} = {samples[name]}")
    return "\n".join([*lines, setup]), samples


class _Uses:
    """How names are used: their attributes, "call", "item", "with" and "bare"."""

    def __init__(self, trees: Sequence[ast.AST]) -> None:
        self._found: dict[str, set[tuple[str, bool]]] = {}
        for tree in trees:
            parents: dict[ast.AST, ast.AST] = {}
            names: list[ast.Name] = []
            for node in ast.walk(tree):
                names += [node] if isinstance(node, ast.Name) else []
                parents.update(dict.fromkeys(ast.iter_child_nodes(node), node))
            for name in names:
                self._found.setdefault(name.id, set()).add(_use_of(name, parents))

    def of(self, name: str, awaited: bool = False) -> set[str]:
        """The uses of a name; if ``awaited``, only where what comes of it is awaited."""
        return {use for use, waits in self._found.get(name, ()) if waits or not awaited}


def _use_of(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> tuple[str, bool]:
    up = parents.get(node)
    use = "bare"
    if isinstance(up, ast.Attribute):
        use, called = up.attr, parents.get(up)
        up = parents.get(called) if isinstance(called, ast.Call) else called
    elif isinstance(up, ast.Call) and up.func is node:
        use, up = "call", parents.get(up)
    elif isinstance(up, ast.Subscript) and up.value is node:
        use = "item"
    elif isinstance(up, ast.withitem):
        use, up = "with", parents.get(up)
    return use, isinstance(up, ast.Await | ast.AsyncWith | ast.AsyncFor)


def _module(name: str, uses: set[str]) -> str | None:
    """The import of a module of the standard library that has all that is used of it."""
    if name not in sys.stdlib_module_names or name in _LOUD or name.startswith("_"):
        return None
    if not uses or uses & {"call", "item", "with", "bare"}:
        return None
    try:
        module = importlib.import_module(name)
    except ImportError:
        return None
    return f"import {name}" if all(hasattr(module, use) for use in uses) else None


def _guess(uses: set[str]) -> str | None:
    """A value that has what is used of a name; None where that says too little."""
    if "with" in uses and uses <= {"with", "bare"}:
        return "threading.Lock()"
    methods = uses - {"item", "with", "bare"}
    if not methods:
        return None
    return next((value for words, value in _BY_METHODS if methods <= words), None)


def bound_names(tree: ast.Module) -> set[str]:
    """The names that the statements of a module bind."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
    return found


def _object(name: str, statements: Sequence[Statement], setup: ast.Module) -> str:
    """An object with the attributes that the statements use, each with a value that goes."""
    attributes: dict[str, str] = {}
    called = _called(name, [*(statement.tree for statement in statements), setup])
    for tree in [*(statement.tree for statement in statements), setup]:
        for node in ast.walk(tree):
            inner = getattr(node, "value", None)
            if not isinstance(inner, ast.Attribute) or not _is_name(inner.value, name):
                continue
            if isinstance(node, ast.Attribute):
                for words, value in ((_LISTS, "[3, 1, 2]"), (_DICTS, "{'k': 10}"), (_SETS, "{1}")):
                    if node.attr in words:
                        attributes[inner.attr] = value
                        break
                else:
                    attributes[inner.attr] = "Object(n=10)"
            elif isinstance(node, ast.Subscript):
                attributes[inner.attr] = "{'k': 10}"
                if isinstance(node.slice, ast.Constant):
                    attributes[inner.attr] = f"{{{node.slice.value!r}: 10}}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and _is_name(node.value, name):
                value = "threading.Lock()" if "lock" in node.attr else "10"
                if node.attr in called:
                    value = "Object.waits" if called[node.attr] else "lambda *given: 1"
                attributes.setdefault(node.attr, value)
    inside = ", ".join(f"{attribute}={value}" for attribute, value in attributes.items())
    return f"Object({inside})"


def _called(name: str, trees: Sequence[ast.AST]) -> dict[str, bool]:
    """The attributes of a name that are called -> whether what comes of it is awaited."""
    found: dict[str, bool] = {}
    for tree in trees:
        for node in ast.walk(tree):
            call = node.value if isinstance(node, ast.Await) else node
            function = call.func if isinstance(call, ast.Call) else None
            if isinstance(function, ast.Attribute) and _is_name(function.value, name):
                awaited = isinstance(node, ast.Await)
                found[function.attr] = found.get(function.attr, False) or awaited
    return found


def only_waits(value: Any) -> bool:
    """Whether a coroutine does nothing but to wait: asyncio's own sleep, or one made here."""
    code = getattr(value, "cr_code", None)
    if code is None:
        return False
    if code in (asyncio.sleep.__code__, Object.waits.__code__):
        return True
    return bool(code.co_filename == "<setup>") and code.co_names == ("asyncio", "sleep")


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


#: Modules that are imported anew for each namespace: their state is a part of it.
anew: set[str] = set()


def namespace(source: str) -> dict[str, Any]:
    """The names that a set-up makes. Raises StatementProblem where it raises."""
    for name in anew:
        sys.modules.pop(name, None)
    space: dict[str, Any] = {"__name__": "statement", "Object": Object}
    try:
        exec(compile(source, "<setup>", "exec"), space)
    except Exception as error:
        raise StatementProblem(f"the set-up raises {type(error).__name__}: {error}") from error
    space.pop("__builtins__", None)
    return space
