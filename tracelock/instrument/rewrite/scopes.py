"""Which variables several functions share: the scopes of a module, worked out from its tree."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tracelock.instrument.contexts import identity

Kind = Literal["module", "class", "function", "comprehension"]


@dataclass(eq=False)
class LexicalScope:
    """One scope: what it binds and which of its variables are shared and rebound.

    ``rebound`` (of functions): variables that functions inside use and that are bound again, here
    or there, after those functions were created. ``rebound`` (of the module): globals that some
    function binds. ``qualname`` is spelled as the interpreter does.
    """

    kind: Kind
    parent: LexicalScope | None
    name: str
    qualname: str
    order: int = 0  # its place among the bindings of the module
    loops: frozenset[int] = frozenset()
    starred: bool = False  # of the module: ``from x import *`` may bind anything
    bound: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    globals: set[str] = field(default_factory=set)
    nonlocals: set[str] = field(default_factory=set)
    rebound: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    bindings: dict[str, list[tuple[int, frozenset[int]]]] = field(default_factory=dict)

    def outwards(self) -> Iterator[LexicalScope]:
        """This scope and those around it, up to the module."""
        scope: LexicalScope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    @property
    def function(self) -> LexicalScope:
        """The scope whose frame runs the code here: comprehensions count as their function."""
        return next(scope for scope in self.outwards() if scope.kind != "comprehension")

    @property
    def module(self) -> LexicalScope:
        *_, module = self.outwards()
        return module

    def owner(self, name: str) -> LexicalScope | None:
        """The scope that ``name`` means here; None: a global or a built-in."""
        here = True
        for scope in self.outwards():
            if scope.kind == "module":
                break
            if scope.kind != "class" or here:
                if name in scope.globals:
                    return None
                if name in scope.bound and name not in scope.nonlocals:
                    return scope
            here = here and scope.kind == "comprehension"
        return None

    def mangled(self, name: str) -> str:
        """``name`` as the innermost class mangles it."""
        if not name.startswith("__") or name.endswith("__") or "." in name:
            return name
        for scope in self.outwards():
            if scope.kind == "class":
                bare = scope.name.lstrip("_")
                return f"_{bare}{name}" if bare else name
        return name


def scopes_of(tree: ast.Module) -> dict[ast.AST, LexicalScope]:
    """The scope of the module and of each function, lambda, class and comprehension in it."""
    collector = _Collector(tree)
    collector.visit_each(tree.body)
    _find_rebound(collector.scopes.values())
    return collector.scopes


def _find_rebound(scopes: Iterable[LexicalScope]) -> None:
    first_capture: dict[tuple[LexicalScope, str], list[tuple[int, frozenset[int]]]] = {}
    for scope in scopes:
        if scope.kind == "function":
            module = scope.module
            module.rebound |= scope.globals & scope.bound
        for name in scope.uses | scope.nonlocals:
            owner = scope.owner(name)
            if owner is None or owner.kind not in ("function", "comprehension"):
                continue
            inner = _enclosing_in(scope, owner)
            if inner is None:
                continue
            if name in scope.nonlocals and name in scope.bound:
                owner.rebound.add(name)
            first_capture.setdefault((owner, name), []).append((inner.order, inner.loops))
    for (owner, name), captures in first_capture.items():
        earliest = min(order for order, _ in captures)
        loops = frozenset[int]().union(*(each for _, each in captures))
        for order, around in owner.bindings.get(name, ()):
            if order > earliest or around & loops:
                owner.rebound.add(name)


def _enclosing_in(scope: LexicalScope, owner: LexicalScope) -> LexicalScope | None:
    """The function or class right inside ``owner``'s frame that leads to ``scope``."""
    found: LexicalScope | None = None
    for each in scope.outwards():
        if each is owner:
            break
        if each.kind in ("function", "class"):
            found = each
    return found


class _Collector(ast.NodeVisitor):
    def __init__(self, tree: ast.Module) -> None:
        self.here = LexicalScope("module", None, "<module>", "<module>")
        self.scopes: dict[ast.AST, LexicalScope] = {tree: self.here}
        self.clock = 0
        self.loops: frozenset[int] = frozenset()

    def visit_each(self, nodes: Iterable[ast.AST | None]) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    # --- names ---

    def bind(self, name: str, scope: LexicalScope | None = None, imported: bool = False) -> None:
        scope = scope or self.here
        name = scope.mangled(name)
        if imported:
            if name not in scope.bound:
                scope.imported.add(name)
        else:
            scope.imported.discard(name)
        scope.bound.add(name)
        self.clock += 1
        scope.bindings.setdefault(name, []).append((self.clock, self.loops))

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.here.uses.add(self.here.mangled(node.id))
        else:
            self.bind(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bind(node.target.id, self.here.function)

    def visit_Global(self, node: ast.Global) -> None:
        self.here.globals.update(self.here.mangled(name) for name in node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.here.nonlocals.update(self.here.mangled(name) for name in node.names)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.partition(".")[0], imported=True)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self.here.module.starred = True
            else:
                self.bind(alias.asname or alias.name)

    def visit_ExceptHandler(self, node: Any) -> None:
        name: str | None = node.rest if isinstance(node, ast.MatchMapping) else node.name
        if name:
            self.bind(name)
        self.generic_visit(node)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = visit_ExceptHandler

    # --- loops ---

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        around, self.loops = self.loops, self.loops | {identity(node)}
        self.visit_each([node.target, *node.body])
        self.loops = around
        self.visit_each(node.orelse)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        around, self.loops = self.loops, self.loops | {identity(node)}
        self.generic_visit(node)
        self.loops = around

    # --- scopes ---

    @contextlib.contextmanager
    def inside(
        self, kind: Kind, node: ast.AST, name: str, loops: frozenset[int] = frozenset()
    ) -> Iterator[None]:
        """While this is entered, nodes are in a new scope, which is ``node``'s."""
        parent, around = self.here, self.loops
        frame = parent.function
        if name in frame.globals or frame.kind == "module":
            qualname = name
        elif frame.kind == "function":
            qualname = f"{frame.qualname}.<locals>.{name}"
        else:
            qualname = f"{frame.qualname}.{name}"
        self.clock += 1
        scope = LexicalScope(kind, parent, name, qualname, self.clock, around)
        self.here, self.scopes[node], self.loops = scope, scope, loops
        yield
        self.here, self.loops = parent, around

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, name: str
    ) -> None:
        arguments = node.args
        self.visit_each((*arguments.defaults, *arguments.kw_defaults))
        with self.inside("function", node, name):
            for each in (
                *arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs,
                arguments.vararg, arguments.kwarg,
            ):  # fmt: skip
                if each is not None:
                    self.bind(each.arg)
            body: Sequence[ast.AST] = node.body if isinstance(node.body, list) else [node.body]
            self.visit_each(body)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_each(node.decorator_list)
        self.bind(node.name)
        self.function(node, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.function(node, "<lambda>")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_each((*node.decorator_list, *node.bases, *node.keywords))
        self.bind(node.name)
        with self.inside("class", node, node.name):
            self.visit_each(node.body)

    def visit_ListComp(self, node: Any) -> None:
        generators: list[ast.comprehension] = node.generators
        self.visit(generators[0].iter)
        loops = self.loops | {identity(node)}
        with self.inside("comprehension", node, "<comprehension>", loops):
            for number, generator in enumerate(generators):
                if number:
                    self.visit(generator.iter)
                self.visit_each((generator.target, *generator.ifs))
            self.visit_each(getattr(node, name) for name in node._fields if name != "generators")

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp
