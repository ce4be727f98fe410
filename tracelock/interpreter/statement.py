"""A statement as a worker: with values for its free names, and seen at work once.

found = Statement("d[k] += 1")
space = namespace(source)         # a namespace in which it can run
found.worker(space)               # runs it once
found.watched(space)              # what values its expressions had: for ``CodeFlow.pairs``

A statement with ``await`` is a coroutine, run in an event loop of its own; one with ``yield`` is a
generator, which is gone through.
"""

from __future__ import annotations

import ast
import asyncio
import types
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tracelock.interpreter.expressions import Span, span_of
from tracelock.interpreter.plainness import NOTHING
from tracelock.interpreter.samples import Object as Object
from tracelock.interpreter.samples import StatementProblem as StatementProblem
from tracelock.interpreter.samples import bound_names as bound_names
from tracelock.interpreter.samples import namespace as namespace
from tracelock.interpreter.samples import parsed
from tracelock.interpreter.samples import setup_source as setup_source
from tracelock.interpreter.watching import Watching

_AWAITS = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda, ast.GeneratorExp)
_SHOWN = 120


class Statement:
    """One statement, or several, as they were written. Raises StatementProblem."""

    #: The module of the function that it is; None: it is a statement.
    module: str | None = None
    #: The source of values that names of it have to have.
    made: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree: ast.Module | ast.FunctionDef = parsed(text, "the statement")
        if not self.tree.body:
            raise StatementProblem("there is no statement")
        own = list(own_nodes(self.tree))
        for node in own:
            if isinstance(node, ast.Return):
                raise StatementProblem(
                    f"{text!r}: leave 'return' away, and ask of what is returned: "
                    "who calls is no part of it"
                )
            if isinstance(node, ast.Global | ast.Nonlocal):
                word = type(node).__name__.lower()
                raise StatementProblem(
                    f"{text!r}: leave {word!r} away: the names of a statement are global already"
                )
        awaits = any(isinstance(node, _AWAITS) for node in own)
        awaits |= any(isinstance(node, ast.comprehension) and node.is_async for node in own)
        yields = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own)
        if awaits and yields:
            raise StatementProblem(
                f"{text!r} awaits and yields: an asynchronous generator goes on only when somebody "
                "asks for its next item, who is no part of the statement; ask of the parts"
            )
        #: "plain", "coroutine" or "generator".
        self.kind = "coroutine" if awaits else "generator" if yields else "plain"
        names = [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]
        self.stored = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
        order = _Order()
        order.visit(self.tree)
        #: Names that are read before the statement itself has given them a value.
        self.loaded = {name for name, how in order.first.items() if how is ast.Load}

    def function(self, known_names: set[str], instrumented: bool = False) -> ast.Module:
        """The module with the function ``worker`` in it."""
        body = self.tree.body
        if instrumented:
            body = Watching().body(ast.parse(self.text))
        kind = ast.AsyncFunctionDef if self.kind == "coroutine" else ast.FunctionDef
        function = kind(
            name="worker",
            args=ast.arguments([], [], None, [], [], None, []),
            body=list(body), decorator_list=[], returns=None, type_comment=None,
        )  # fmt: skip
        shared = sorted(self.stored & known_names)
        if shared:
            function.body.insert(0, ast.Global(shared))
        if hasattr(function, "type_params"):
            function.type_params = []
        return ast.fix_missing_locations(ast.Module([function], []))

    def code(self, space: dict[str, Any]) -> types.FunctionType:
        """The statement as a function whose globals are ``space``."""
        return _compiled(self.function(set(space)), space)

    def worker(self, space: dict[str, Any]) -> Callable[[], Any]:
        """What runs the statement once, to its end."""
        return running(self.kind, self.code(space))

    def looping(self, space: dict[str, Any]) -> Callable[..., Any]:
        """What runs the statement once for each of the numbers it is given, in one frame."""
        module = self.function(set(space))
        (worker,) = module.body
        assert isinstance(worker, ast.FunctionDef | ast.AsyncFunctionDef)
        number, numbers = "__number__", "__numbers__"
        worker.args.args.append(ast.arg(numbers))
        shared = [one for one in worker.body if isinstance(one, ast.Global)]
        body = [one for one in worker.body if not isinstance(one, ast.Global)]
        loop = ast.For(ast.Name(number, ast.Store()), ast.Name(numbers, ast.Load()), body, [])
        worker.body = [*shared, loop]
        return running(self.kind, _compiled(ast.fix_missing_locations(module), space))

    def watched(self, space: dict[str, Any]) -> Callable[[Span], Sequence[Any] | None]:
        """Run it once in ``space``: what values its expressions had, by their positions."""
        seen = ValuesSeen()
        watching = {**space, "__watch__": seen.note, "__before__": seen.before}
        function = _compiled(self.function(set(space), instrumented=True), watching)
        try:
            running(self.kind, function)()
        except Exception as error:
            raise StatementProblem(
                f"{self.text!r} raises {type(error).__name__}: {error}"
            ) from error
        for name in self.tree_names():
            for space_of in (space, watching):
                if name.id in space_of and isinstance(name.ctx, ast.Store):
                    seen.note(*span_of(name), space_of[name.id])
        return seen.values.get

    def setup_lines(self, setup: str) -> list[str]:
        """What has to come before the rest of the set-up."""
        return []

    def shared(self, space: dict[str, Any]) -> dict[str, Any]:
        """All that others may have too: what leads to it by names."""
        return space

    def tree_names(self) -> list[ast.Name]:
        """All its plain names."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]


class ValuesSeen:
    """The values that expressions had, by their positions: a few of each."""

    def __init__(self) -> None:
        self.values: defaultdict[Span, list[Any]] = defaultdict(list)

    def note(self, first: int, last: int, column: int, end: int, value: Any) -> Any:
        """An expression had this value."""
        values = self.values[first, last, column, end]
        if len(values) < 8 and not any(value is one for one in values):
            values.append(value)
        return value

    def before(self, first: int, last: int, column: int, end: int, get: Callable[[], Any]) -> None:
        """A target had this value before it was assigned to."""
        try:
            value = get()
        except (AttributeError, LookupError, NameError):
            value = NOTHING
        self.note(first, last, column, end, value)


def own_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run in the frame of ``tree``, not in a function of their own."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if not isinstance(node, _INNER):
            yield from own_nodes(node)


def running(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """What runs a function to its end: a coroutine in a loop of its own, a generator to its last
    item."""
    if kind == "coroutine":
        return lambda *given: asyncio.run(function(*given))
    if kind == "generator":
        return lambda *given: deque(function(*given), 0)
    return function


class _Order(ast.NodeVisitor):
    """Which names are read first and which are assigned first, as the statement runs."""

    def __init__(self) -> None:
        self.first: dict[str, type[ast.expr_context]] = {}

    def visit_Name(self, node: ast.Name) -> None:
        self.first.setdefault(node.id, type(node.ctx))

    def visit_Assign(self, node: ast.Assign) -> None:
        self._in_order(node.value, *node.targets)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._in_order(node.value, node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.first.setdefault(node.target.id, ast.Load)
        self._in_order(node.target, node.value)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._in_order(node.iter, node.target, *node.body, *node.orelse)

    visit_AsyncFor = visit_For

    def _comprehension(self, node: Any) -> None:
        for one in node.generators:
            self._in_order(one.iter, one.target, *one.ifs)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._in_order(*parts)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _in_order(self, *nodes: ast.AST) -> None:
        for node in nodes:
            self.visit(node)


def _compiled(module: ast.Module, space: dict[str, Any]) -> types.FunctionType:
    code = compile(module, "<statement>", "exec")
    made: dict[str, Any] = {}
    exec(code, space, made)
    function: types.FunctionType = made["worker"]
    return function
