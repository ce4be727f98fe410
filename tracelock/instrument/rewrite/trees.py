"""Parts of a rewritten tree: marks, hooks and places."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from tracelock.instrument.accesses.places import Closure, Home
from tracelock.instrument.contexts import identity
from tracelock.instrument.rewrite.scopes import scopes_of
from tracelock.instrument.rewrite.sites import Site, Sites

#: What stands in the tree for an object that becomes a constant of the code.
MARK = "\0tracelock:"
_Node = TypeVar("_Node", bound=ast.AST)


class TreeBuilder(ast.NodeTransformer):
    """What both halves of the rewriter build with.

    ``objects`` collects what the marks in the tree stand for; ``scope`` is where the visitor is.
    """

    def __init__(self, tree: ast.Module, file: str, module: str, sites: Sites) -> None:
        self.file = file
        self.sites = sites
        self.home = Home(module)
        self.scopes = scopes_of(tree)
        self.scope = self.scopes[tree]
        self.module_scope = self.scope
        self.objects: list[object] = []
        #: What pytest has given names of its own in assertions -> what it is called before that.
        self.renamed: dict[str, str] = {}
        self._marks: dict[int, int] = {}
        self._closures: dict[str, Closure] = {}

    @property
    def active(self) -> bool:
        """Whether this code runs in a function: the rest runs once, at import."""
        return self.scope.function.kind == "function"

    def mark(self, obj: object, at: ast.AST) -> ast.Constant:
        number = self._marks.get(identity(obj))
        if number is None:
            number = self._marks[identity(obj)] = len(self.objects)
            self.objects.append(obj)
        return self.constant(f"{MARK}{number}", at)

    def hook(self, function: object, at: ast.AST, *arguments: ast.expr) -> ast.Call:
        call = ast.Call(func=self.mark(function, at), args=list(arguments), keywords=[])
        return at_place(call, at)

    def site(self, node: ast.AST) -> Site:
        line: int = node.lineno  # type: ignore[attr-defined]
        return self.sites.site(self.file, line, self.scope.function.qualname)

    def place(self, node: ast.AST) -> ast.Constant:
        return self.mark(self.site(node), node)

    def sharing(self, name: str) -> tuple[object, str] | None:
        """Where a variable that others may rebind lives, and its name there; else None."""
        name = self.scope.mangled(name)
        owner = self.scope.owner(name)
        if owner is None:
            return (self.home, name) if name in self.module_scope.rebound else None
        if name not in owner.rebound:
            return None
        function = owner.function.qualname
        closure = self._closures.get(function)
        if closure is None:
            closure = self._closures[function] = Closure(self.file, function)
        return closure, name

    def simple(self, node: ast.expr | None) -> bool:
        """Whether evaluating ``node`` once more, or a little later, changes nothing."""
        match node:
            case None | ast.Constant():
                return True
            case ast.Name(id=name):
                return self.sharing(name) is None
            case ast.UnaryOp(operand=ast.Constant()):
                return True
            case ast.Tuple(elts=elements):
                return all(self.simple(each) for each in elements)
            case ast.Slice(lower=lower, upper=upper, step=step):
                return self.simple(lower) and self.simple(upper) and self.simple(step)
        return False

    def key(self, node: ast.expr) -> ast.expr:
        """A subscript as a value: slices are written only between brackets."""
        if isinstance(node, ast.Slice):
            nothing = ast.Constant(None)
            parts = [
                each or at_place(nothing, node) for each in (node.lower, node.upper, node.step)
            ]
            return self.hook(slice, node, *parts)
        if isinstance(node, ast.Tuple):
            return at_place(ast.Tuple([self.key(each) for each in node.elts], ast.Load()), node)
        return node

    def builtin(self, name: str) -> bool:
        """Whether ``name`` can only mean the built-in of that name here."""
        module = self.module_scope
        return self.scope.owner(name) is None and name not in module.bound and not module.starred

    def visited(self, node: _Node) -> _Node:
        return cast(_Node, self.visit(node))

    def visit_fields(self, node: ast.AST, *fields: str) -> None:
        """Visit what is in these fields, in this order, and put the result in its place."""
        for field in fields:
            value = getattr(node, field)
            setattr(node, field, self.block(value) if isinstance(value, list) else
                    value and self.visit(value))  # fmt: skip

    def block(self, nodes: Sequence[Any]) -> list[Any]:
        """These nodes, or statements, visited; one may become several."""
        done: list[Any] = []
        for node in nodes:
            new = node and self.visit(node)
            if isinstance(new, list):
                done += new
            else:
                done.append(new)
        return done

    def constant(self, value: str | None, at: ast.AST) -> ast.Constant:
        return at_place(ast.Constant(value), at)


def at_place(node: _Node, at: ast.AST) -> _Node:
    return ast.copy_location(node, at)


def copied(node: _Node) -> _Node:
    """A copy of an expression without scopes in it."""
    fields: dict[str, Any] = {}
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            fields[name] = [copied(each) for each in value]
        else:
            fields[name] = copied(value) if isinstance(value, ast.AST) else value
    return ast.copy_location(type(node)(**fields), node)
