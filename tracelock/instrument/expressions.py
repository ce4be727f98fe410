"""Expressions rewritten: loads, calls, tests, searches and loops ask a hook first."""

from __future__ import annotations

import ast
from typing import Any, TypeVar, cast

from tracelock.instrument import hooks
from tracelock.instrument.containers import METHOD_NAMES
from tracelock.instrument.functions import FUNCTION_NAMES, READERS
from tracelock.instrument.places import Closure, Home
from tracelock.instrument.scopes import scopes_of
from tracelock.instrument.sites import Site, Sites

__all__ = ["MARK", "ExpressionRewriter"]

#: What stands in the tree for an object that becomes a constant of the code.
MARK = "\0tracelock:"
_Node = TypeVar("_Node", bound=ast.AST)
_ANSWERS_BOOL = frozenset(
    {"isinstance", "issubclass", "callable", "hasattr", "any", "all", "bool", "len"}
)


class ExpressionRewriter(ast.NodeTransformer):
    """The half of the rewriter that deals with expressions; ``rewriting`` has the rest.

    ``objects`` collects what the marks in the tree stand for.
    """

    def __init__(self, tree: ast.Module, file: str, module: str, sites: Sites) -> None:
        self.file = file
        self.sites = sites
        self.home = Home(module)
        self.scopes = scopes_of(tree)
        self.scope = self.scopes[tree]
        self.module_scope = self.scope
        self.objects: list[object] = []
        self._marks: dict[int, int] = {}
        self._closures: dict[str, Closure] = {}

    # --- parts of the new tree ---

    @property
    def active(self) -> bool:
        """Whether this code runs in a function: the rest runs once, at import."""
        return self.scope.function.kind == "function"

    def mark(self, obj: object, at: ast.AST) -> ast.Constant:
        number = self._marks.get(id(obj))
        if number is None:
            number = self._marks[id(obj)] = len(self.objects)
            self.objects.append(obj)
        return _at(ast.Constant(f"{MARK}{number}"), at)

    def hook(self, function: object, at: ast.AST, *arguments: ast.expr) -> ast.Call:
        call = ast.Call(func=self.mark(function, at), args=list(arguments), keywords=[])
        return _at(call, at)

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
            parts = [each or _at(nothing, node) for each in (node.lower, node.upper, node.step)]
            return self.hook(slice, node, *parts)
        if isinstance(node, ast.Tuple):
            return _at(ast.Tuple([self.key(each) for each in node.elts], ast.Load()), node)
        return node

    def builtin(self, name: str) -> bool:
        """Whether ``name`` can only mean the built-in of that name here."""
        module = self.module_scope
        return self.scope.owner(name) is None and name not in module.bound and not module.starred

    def visited(self, node: _Node) -> _Node:
        return cast(_Node, self.visit(node))

    # --- loads ---

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not self.active or not isinstance(node.ctx, ast.Load):
            return node
        shared = self.sharing(node.id)
        if shared is None:
            return node
        place, name = shared
        point = self.hook(
            hooks.variable, node, self.mark(place, node), _at(ast.Constant(name), node),
            self.place(node),
        )  # fmt: skip
        both = _at(ast.BoolOp(ast.Or(), [point, node]), node)
        return self.hook(hooks.seen, node, both)

    def attribute_of(self, node: ast.Attribute, value: ast.expr) -> ast.expr:
        """``value``, asked for before ``node.attr`` is loaded from it."""
        name = _at(ast.Constant(self.scope.mangled(node.attr)), node.value)
        return self.hook(hooks.attribute, node.value, value, name, self.place(node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        before = node.value
        node.value = self.visited(before)
        if self.active and isinstance(node.ctx, ast.Load) and not self._unshared(node, before):
            node.value = self.attribute_of(node, node.value)
        return node

    def _unshared(self, node: ast.Attribute, value: ast.expr) -> bool:
        match value:
            case ast.Constant() | ast.JoinedStr():
                return True
            case ast.Call(func=ast.Name(id="super")):
                return node.attr not in METHOD_NAMES and node.attr not in (
                    "__setattr__", "__delattr__", "__getattribute__",
                )  # fmt: skip
            case ast.Name(id=name):
                return name.startswith("@")  # pytest's own names in rewritten assertions
        return False

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        base, key = node.value, node.slice
        if not self.active or not isinstance(node.ctx, ast.Load):
            self.generic_visit(node)
            return node
        cheap_base, cheap_key = self.simple(base), self.simple(key)
        node.value, node.slice = self.visited(base), self.visited(key)
        place = self.place(node)
        if isinstance(base, ast.Constant | ast.JoinedStr):
            return node
        if cheap_key:
            again = self.key(_copy(key))
            node.value = self.hook(hooks.item, base, node.value, place, again)
        elif cheap_base:
            node.slice = self.hook(hooks.item_key, key, _copy(base), self.key(node.slice), place)
        else:
            late = self.hook(hooks.item_late, node, node.value, self.key(node.slice), place)
            return _at(ast.Call(func=late, args=[], keywords=[]), node)
        return node

    # --- calls ---

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not self.active:
            self.generic_visit(node)
            return node
        function = node.func
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        one = len(node.args) == 1 and all(self.simple(each) for each in arguments[1:])
        one = one and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp)
        node.args = [self.visited(each) for each in node.args]
        node.keywords = [self.visited(each) for each in node.keywords]
        place = self.place(node)
        match function:
            case ast.Name(id=name) if name in READERS:
                if not arguments or isinstance(arguments[0], ast.GeneratorExp | ast.Constant):
                    return node
                if one and self.builtin(name):
                    node.args[0] = self.reading(node.args[0], READERS[name], place)
                    return node
                node.func = self.hook(hooks.calling, function, self.visited(function), place)
                return node
            case ast.Name(id=name) if name in FUNCTION_NAMES:
                node.func = self.hook(hooks.calling, function, self.visited(function), place)
                return node
            case ast.Attribute(value=ast.Constant(value=str()), attr="join") if one:
                node.args[0] = self.reading(node.args[0], "__iter__", place)
                return node
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if self._imported(name):
                if attr in FUNCTION_NAMES:
                    node.func = self.hook(hooks.calling, function, function, place)
                return node
        node.func = self.visited(function)
        return node

    def _imported(self, name: str) -> bool:
        """Whether ``name`` is a module that an import statement of this module bound."""
        return self.scope.owner(name) is None and name in self.module_scope.imported

    def reading(self, node: ast.expr, operation: str, place: ast.Constant) -> ast.expr:
        """``node``, read as a whole if it is a container."""
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.Compare | ast.Lambda):
            return node
        return self.hook(
            hooks.reading, node, node, _at(ast.Constant(operation), node), _copy(place)
        )

    def visit_keyword(self, node: ast.keyword) -> ast.keyword:
        node.value = self.visited(node.value)
        if self.active and node.arg is None:
            node.value = self.reading(node.value, "__iter__", self.place(node.value))
        return node

    def visit_Starred(self, node: ast.Starred) -> ast.Starred:
        node.value = self.visited(node.value)
        if self.active and isinstance(node.ctx, ast.Load):
            node.value = self.reading(node.value, "__iter__", self.place(node.value))
        return node

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        self.generic_visit(node)
        if self.active:
            node.values = [
                value if key else self.reading(value, "__iter__", self.place(value))
                for key, value in zip(node.keys, node.values, strict=True)
            ]
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.FormattedValue:
        self.generic_visit(node)
        if self.active:
            node.value = self.reading(node.value, "__repr__", self.place(node.value))
        return node

    # --- tests, searches, comparisons ---

    def test(self, node: ast.expr) -> ast.expr:
        """``node`` where its truth is asked for."""
        if not self.active:
            return self.visited(node)
        match node:
            case ast.BoolOp():
                node.values = [self.test(each) for each in node.values]
                return node
            case ast.UnaryOp(op=ast.Not()) | ast.Compare() | ast.Constant() | ast.Lambda():
                return self.visited(node)
            case ast.Call(func=ast.Name(id=name)) if name in _ANSWERS_BOOL:
                return self.visited(node)
        place = self.place(node)
        return self.reading(self.visited(node), "__bool__", place)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        *tested, last = node.values
        node.values = [*(self.test(each) for each in tested), self.visited(last)]
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        is_not = isinstance(node.op, ast.Not)
        node.operand = self.test(node.operand) if is_not else self.visited(node.operand)
        return node

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        node.test = self.test(node.test)
        node.body = self.visited(node.body)
        node.orelse = self.visited(node.orelse)
        return node

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        cheap = [self.simple(each) for each in node.comparators]
        flat = [isinstance(each, ast.Constant) for each in (node.left, *node.comparators)]
        self.generic_visit(node)
        if not self.active:
            return node
        for number, operator in enumerate(node.ops):
            right = node.comparators[number]
            if isinstance(operator, ast.In | ast.NotIn):
                place = self.place(right)
                node.comparators[number] = self.reading(right, "__contains__", place)
            elif len(node.ops) == 1 and not isinstance(operator, ast.Is | ast.IsNot):
                # One point for each side, and the left one must come after the right operand.
                if not flat[1]:
                    node.comparators[0] = self.reading(right, "__eq__", self.place(right))
                if not flat[0] and cheap[0]:
                    node.left = self.reading(node.left, "__eq__", self.place(node.left))
        return node

    # --- loops inside expressions ---

    def looping(self, before: ast.expr, node: ast.expr) -> ast.expr:
        """``node``, the iterable of a loop."""
        if isinstance(before, ast.Constant | ast.GeneratorExp):
            return node
        return self.hook(hooks.iterating, before, node, self.place(before))

    def _comprehension(self, node: Any, *fields: str) -> Any:
        outer = self.scope
        for number, generator in enumerate(node.generators):
            before = generator.iter
            generator.iter = self.visited(before)
            if self.active and not generator.is_async:
                generator.iter = self.looping(before, generator.iter)
            if not number:
                self.scope = self.scopes[node]
            generator.target = self.visited(generator.target)
            generator.ifs = [self.test(each) for each in generator.ifs]
        for field in fields:
            setattr(node, field, self.visited(getattr(node, field)))
        self.scope = outer
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.expr:
        return cast(ast.expr, self._comprehension(node, "elt"))

    def visit_SetComp(self, node: ast.SetComp) -> ast.expr:
        return cast(ast.expr, self._comprehension(node, "elt"))

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        return cast(ast.expr, self._comprehension(node, "elt"))

    def visit_DictComp(self, node: ast.DictComp) -> ast.expr:
        return cast(ast.expr, self._comprehension(node, "key", "value"))

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        before = node.value
        node.value = self.visited(before)
        if self.active:
            node.value = self.looping(before, node.value)
        return node

    # --- scopes inside expressions ---

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.visit_defaults(node.args)
        outer, self.scope = self.scope, self.scopes[node]
        node.body = self.visited(node.body)
        self.scope = outer
        return node

    def visit_defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visited(each) for each in arguments.defaults]
        arguments.kw_defaults = [each and self.visited(each) for each in arguments.kw_defaults]

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        node.value = self.visited(node.value)
        if self.active:
            node.value = self.bound(node.target.id, node.value, node)
        return node

    def bound(self, name: str, value: ast.expr, at: ast.AST) -> ast.expr:
        """``value``, about to be bound to the variable ``name``."""
        shared = self.sharing(name)
        if shared is None:
            return value
        place, stored = shared
        return self.hook(
            hooks.rebinding, at, self.mark(place, at), _at(ast.Constant(stored), at),
            self.place(at), value,
        )  # fmt: skip


def _at(node: _Node, at: ast.AST) -> _Node:
    return ast.copy_location(node, at)


def _copy(node: _Node) -> _Node:
    """A copy of an expression without scopes in it."""
    fields: dict[str, Any] = {}
    for name, value in ast.iter_fields(node):
        if isinstance(value, list):
            fields[name] = [_copy(each) for each in value]
        else:
            fields[name] = _copy(value) if isinstance(value, ast.AST) else value
    return ast.copy_location(type(node)(**fields), node)
