"""A statement as a worker: with values for its free names, and seen at work once.

found = Statement("d[k] += 1")
found.made({...})                 # a namespace in which it can run
found.worker(space)               # a function without arguments
found.watched(space)              # what values its expressions had: for ``CodeFlow.pairs``
"""

from __future__ import annotations

import ast
import builtins
import types
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from tracelock.interpreter.expressions import Span, span_of
from tracelock.interpreter.plainness import NOTHING

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
_LISTS = frozenset("append extend insert pop sort reverse remove index".split())  # noqa: SIM905
_DICTS = frozenset("get setdefault update items keys values popitem".split())  # noqa: SIM905
_SETS = frozenset("add discard union difference".split())  # noqa: SIM905


class StatementProblem(Exception):
    """What is wrong with a statement or a set-up, for whoever wrote it."""


class Object:
    """What ``self`` is, where the set-up does not say."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def __repr__(self) -> str:
        inside = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"Object({inside})"


class Statement:
    """One statement, or several, as they were written. Raises StatementProblem."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = parsed(text, "the statement")
        if not self.tree.body:
            raise StatementProblem("there is no statement")
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.Return):
                word = type(node).__name__.lower()
                raise StatementProblem(
                    f"{text!r} is run as it stands in a thread: it cannot hold {word!r}"
                )
            if isinstance(node, ast.Yield | ast.YieldFrom | ast.Global | ast.Nonlocal):
                word = type(node).__name__.lower()
                raise StatementProblem(f"{text!r}: {word!r} has no meaning here")
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
            body = _Watching().body(self.text)
        function = ast.FunctionDef(
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

    def worker(self, space: dict[str, Any]) -> types.FunctionType:
        """The statement as a function whose globals are ``space``."""
        return _compiled(self.function(set(space)), space)

    def looping(self, space: dict[str, Any]) -> types.FunctionType:
        """A function that runs the statement once for each of the numbers it is given."""
        module = self.function(set(space))
        (worker,) = module.body
        assert isinstance(worker, ast.FunctionDef)
        number, numbers = "__number__", "__numbers__"
        worker.args.args.append(ast.arg(numbers))
        shared = [one for one in worker.body if isinstance(one, ast.Global)]
        body = [one for one in worker.body if not isinstance(one, ast.Global)]
        loop = ast.For(ast.Name(number, ast.Store()), ast.Name(numbers, ast.Load()), body, [])
        worker.body = [*shared, loop]
        return _compiled(ast.fix_missing_locations(module), space)

    def watched(self, space: dict[str, Any]) -> Callable[[Span], Sequence[Any] | None]:
        """Run it once in ``space``: what values its expressions had, by their positions."""
        seen: defaultdict[Span, list[Any]] = defaultdict(list)

        def note(first: int, last: int, column: int, end: int, value: Any) -> Any:
            values = seen[first, last, column, end]
            if len(values) < 8 and not any(value is one for one in values):
                values.append(value)
            return value

        def before(first: int, last: int, column: int, end: int, get: Callable[[], Any]) -> None:
            try:
                value = get()
            except (AttributeError, LookupError, NameError):
                value = NOTHING
            note(first, last, column, end, value)

        watching = {**space, "__watch__": note, "__before__": before}
        function = _compiled(self.function(set(space), instrumented=True), watching)
        try:
            function()
        except Exception as error:
            raise StatementProblem(
                f"{self.text!r} raises {type(error).__name__}: {error}"
            ) from error
        for name in self.tree_names():
            for space_of in (space, watching):
                if name.id in space_of and isinstance(name.ctx, ast.Store):
                    note(*span_of(name), space_of[name.id])
        return seen.get

    def tree_names(self) -> list[ast.Name]:
        """All its plain names."""
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.Name)]


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

    def visit_For(self, node: ast.For) -> None:
        self._in_order(node.iter, node.target, *node.body, *node.orelse)

    def _comprehension(self, node: Any) -> None:
        for one in node.generators:
            self._in_order(one.iter, one.target, *one.ifs)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        self._in_order(*parts)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _in_order(self, *nodes: ast.AST) -> None:
        for node in nodes:
            self.visit(node)


def parsed(text: str, what: str) -> ast.Module:
    """The syntax tree. Raises StatementProblem with the place of what is wrong."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        place = f"line {error.lineno}, column {error.offset}" if error.lineno else "somewhere"
        raise StatementProblem(f"{what} is no Python: {error.msg} ({place}): {text!r}") from None
    except ValueError as error:  # a null byte
        raise StatementProblem(f"{what} is no Python: {error}") from None


class _Watching(ast.NodeTransformer):
    """Every expression tells its value, and every target what stood there before."""

    def body(self, text: str) -> list[ast.stmt]:
        module = self.visit(ast.parse(text))
        found: list[ast.stmt] = module.body
        return found

    def visit(self, node: ast.AST) -> Any:
        before = []
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete | ast.For):
            before = [self._before(one) for one in _targets(node)]
        if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.If | ast.While):
            walrus = (one for one in ast.walk(node) if isinstance(one, ast.NamedExpr))
            before += [self._before(one.target) for one in walrus]
        if isinstance(node, ast.expr) and not _is_value(node):
            return self.generic_visit(node)
        here = span_of(node) if isinstance(node, ast.expr) else None
        node = self.generic_visit(node)
        if here is None:
            return [*before, node] if before else node
        return _noting("__watch__", here, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return node

    visit_Lambda = visit_ClassDef = visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.match_case):  # patterns hold no expressions of their own
            node.body = [self.visit(one) for one in node.body]
            return node
        if isinstance(node, ast.JoinedStr):
            for one in node.values:
                if isinstance(one, ast.FormattedValue):
                    one.value = self.visit(one.value)
            return node
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef | ast.AsyncFunctionDef):
            return node
        return super().generic_visit(node)

    def _before(self, target: ast.expr) -> ast.stmt:
        read = ast.parse(ast.unparse(target), mode="eval").body
        get = ast.Lambda(ast.arguments([], [], None, [], [], None, []), read)
        return ast.Expr(_noting("__before__", span_of(target), get))


def _is_value(node: ast.expr) -> bool:
    if isinstance(node, ast.Starred | ast.Slice | ast.Constant | ast.JoinedStr):
        return False
    if isinstance(node, ast.FormattedValue | ast.GeneratorExp | ast.Lambda):
        return False
    return isinstance(getattr(node, "ctx", ast.Load()), ast.Load)


def _targets(node: ast.AST) -> list[ast.expr]:
    found: list[ast.expr] = list(getattr(node, "targets", ()))
    if isinstance(node, ast.AugAssign | ast.For):
        found.append(node.target)
    plain: list[ast.expr] = []
    while found:
        one = found.pop()
        if isinstance(one, ast.Tuple | ast.List):
            found += one.elts
        elif isinstance(one, ast.Starred):
            found.append(one.value)
        else:
            plain.append(one)
    return plain


def _noting(function: str, span: Span, value: Any) -> ast.Call:
    numbers: list[ast.expr] = [ast.Constant(number) for number in span]
    return ast.Call(ast.Name(function, ast.Load()), [*numbers, value], [])


def _compiled(module: ast.Module, space: dict[str, Any]) -> types.FunctionType:
    code = compile(module, "<statement>", "exec")
    made: dict[str, Any] = {}
    exec(code, space, made)
    function: types.FunctionType = made["worker"]
    return function


# --- values for free names -------------------------------------------------------------------
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
    lines = [f"import {', '.join(_MODULES)}"]
    samples: dict[str, str] = {}
    for name in sorted(free - bound - set(_MODULES)):
        if name in OBJECTS:
            samples[name] = _object(name, statements, given)
        elif name in SAMPLES:
            samples[name] = SAMPLES[name]
        elif not hasattr(builtins, name):
            raise StatementProblem(
                f"nothing is known of the name {name!r}: give it a value, as in "
                f"--setup '{name} = ...'"
            )
        else:
            continue
        lines.append(f"{name} = {samples[name]}")
    return "\n".join([*lines, setup]), samples


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
                lock = "lock" in node.attr
                attributes.setdefault(node.attr, "threading.Lock()" if lock else "10")
    inside = ", ".join(f"{attribute}={value}" for attribute, value in attributes.items())
    return f"Object({inside})"


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def namespace(source: str) -> dict[str, Any]:
    """The names that a set-up makes. Raises StatementProblem where it raises."""
    space: dict[str, Any] = {"__name__": "statement", "Object": Object}
    try:
        exec(compile(source, "<setup>", "exec"), space)
    except Exception as error:
        raise StatementProblem(f"the set-up raises {type(error).__name__}: {error}") from error
    space.pop("__builtins__", None)
    return space
