"""Expressions rewritten: loads, calls and loops ask a hook first."""

from __future__ import annotations

import ast
import builtins
from typing import Any, Final

from tracelock.instrument.accesses import hooks, spread_calls
from tracelock.instrument.accesses.callbacks import ABOUT, MENTIONED, TAKERS
from tracelock.instrument.accesses.containers import METHOD_NAMES
from tracelock.instrument.accesses.functions import FUNCTION_NAMES, READERS
from tracelock.instrument.rewrite.operators import FRESH, PYTESTS, SETS, OperatorRewriter
from tracelock.instrument.rewrite.trees import at_place, copied

#: What built-in functions do with each item that a generator gives them.
_LOOKED_INTO: Final = {
    "any": "__bool__", "all": "__bool__", "sum": "__iter__", "dict": "__iter__",
    "min": "__lt__", "max": "__lt__", "sorted": "__lt__",
}  # fmt: skip
#: Built-in functions and classes of which no call is an access that is not seen elsewhere.
_PLAIN_CALLS = frozenset(
    {
        "isinstance", "issubclass", "callable", "super", "range", "type", "id",
        "abs", "chr", "hex", "bin", "oct", "round", "divmod", "pow", "locals", "globals",
        "eval", "exec", "compile", "property", "staticmethod", "classmethod", "object",
        "slice", "open", "input", "breakpoint", "__import__", "complex",
        *(name for name in dir(builtins) if name.endswith(("Error", "Exception", "Warning"))),
    }
)  # fmt: skip


def nesting(target: ast.expr) -> int:
    """How often what is taken apart for this target has something in it that is, too."""
    if isinstance(target, ast.Starred):
        return nesting(target.value)
    if not isinstance(target, ast.Tuple | ast.List):
        return -1
    return 1 + max((-1, *map(nesting, target.elts)))


class ExpressionRewriter(OperatorRewriter):
    """The half of the rewriter that deals with expressions; ``rewriting`` has the rest."""

    # --- loads ---

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if not self.active or not isinstance(node.ctx, ast.Load):
            return node
        shared = self.sharing(node.id)
        if shared is None:
            return node
        place, name = shared
        stored = self.constant(name, node)
        point = self.hook(hooks.variable, node, self.mark(place, node), stored, self.place(node))
        both = at_place(ast.BoolOp(ast.Or(), [point, node]), node)
        return self.hook(hooks.seen, node, both)

    def attribute_of(
        self, node: ast.Attribute, value: ast.expr, hook: object = hooks.attribute
    ) -> ast.expr:
        """``value``, asked for before ``node.attr`` is loaded from it."""
        name = self.constant(self.scope.mangled(node.attr), node.value)
        return self.hook(hook, node.value, value, name, self.place(node))

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        before = node.value
        node.value = self.visited(before)
        if self.active and isinstance(node.ctx, ast.Load) and not self._unshared(node, before):
            node.value = self.attribute_of(node, node.value)
        return node

    def _unshared(self, node: ast.Attribute, value: ast.expr, called: bool = False) -> bool:
        match value:
            case ast.Constant(value=bytes() | int()) if called:
                return False
            case ast.Constant() | ast.JoinedStr():
                return not called or node.attr not in ("join", "translate", "maketrans")
            case ast.Call(func=ast.Name(id="super")):
                return node.attr not in METHOD_NAMES and node.attr not in (
                    "__setattr__", "__delattr__", "__getattribute__",
                )  # fmt: skip
            case ast.Name(id=name):
                return name in PYTESTS
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
            again = self.key(copied(key))
            node.value = self.hook(hooks.item, base, node.value, place, again)
        elif cheap_base:
            node.slice = self.hook(hooks.item_key, key, copied(base), self.key(node.slice), place)
        else:
            late = self.hook(hooks.item_late, node, node.value, self.key(node.slice), place)
            return at_place(ast.Call(func=late, args=[], keywords=[]), node)
        return node

    # --- calls ---

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if not self.active:
            self.generic_visit(node)
            return node
        function = node.func
        match function:
            case ast.Attribute(value=ast.Name(id=name)) if name[0] == "@":
                # pytest's: methods of the program's objects have got a name before the call
                node.args = [
                    each if isinstance(each, ast.Name | ast.Tuple) else self.visited(each)
                    for each in node.args
                ]
                return node
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        one = len(node.args) == 1 and all(self.simple(each) for each in arguments[1:])
        one = one and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp)
        one = one and not any(keyword.arg == "key" for keyword in node.keywords)
        place = self.place(node)
        spread = any(isinstance(each, ast.Starred) for each in node.args)
        by = spread_calls if spread or any(not each.arg for each in node.keywords) else hooks
        wraps = [self._handing(function, each) for each in arguments]
        match function:
            case ast.Name(id=name) | ast.Attribute(attr=name) if (
                self.renamed.get(name, name) == "partial"
            ):
                wraps[len(node.args) :] = [None] * len(node.keywords)  # kept, and handed on
        match function:
            case ast.Name(id=name) | ast.Attribute(attr=name) if (
                self.renamed.get(name, name) in ABOUT
            ):
                wraps[:1] = [None] if wraps else []
        taken = self._taken(function, node.args)
        self.visit_fields(node, "args", "keywords")
        for each, operation in taken:
            each.elt = self.reading(each.elt, operation)
        for number, wrap in enumerate(wraps):
            if wrap is not None and number < len(node.args):
                node.args[number] = self.hook(wrap, node, node.args[number], copied(place))
            elif wrap is not None:
                keyword = node.keywords[number - len(node.args)]
                keyword.value = self.hook(wrap, node, keyword.value, copied(place))
        match function:
            case ast.Name(id=name) if name in READERS:
                if all(isinstance(each, ast.GeneratorExp | ast.Constant) for each in arguments):
                    return node
                if one and self.builtin(name) and not (name == "print" and node.keywords):
                    node.args[0] = self.reading(node.args[0], READERS[name], place)
                    return node
            case ast.Attribute(value=ast.Constant(value=str()), attr="join") if one:
                node.args[0] = self.reading(node.args[0], "__iter__", place)
                return node
            case ast.Attribute(value=ast.Constant(value=str()), attr="format" | "format_map"):
                function.value = self.attribute_of(function, function.value, by.method)
                return node
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in FUNCTION_NAMES:
                pass
            case ast.Attribute(value=ast.Name(id=name)) if (
                self.scope.owner(name) is None and name in self.module_scope.imported
            ):
                # of a module that an import statement of this module bound
                node.func = self.hook(by.calling_any, function, function, place)
                return node
            case ast.Name(id=name) if name in _PLAIN_CALLS and self.builtin(name):
                return node
            case ast.Attribute(value=before):
                function.value = self.visited(before)
                if not self._unshared(function, before, True):
                    function.value = self.attribute_of(function, function.value, by.method)
                return node
            case _:
                node.func = self.hook(by.calling_any, function, self.visited(function), place)
                return node
        node.func = self.hook(by.calling, function, self.visited(function), place)
        return node

    def _taken(
        self, function: ast.expr, arguments: list[ast.expr]
    ) -> list[tuple[ast.GeneratorExp, str]]:
        """Generators whose items code in C looks into as it takes them, and by which operation."""
        match function:
            case ast.Name(id=name) if name in _LOOKED_INTO and self.builtin(name):
                operation = _LOOKED_INTO[name]
            case ast.Attribute(attr="from_iterable"):
                operation = "__iter__"
            case _:
                return []
        return [
            (each, operation) for each in arguments
            if isinstance(each, ast.GeneratorExp)
            and not isinstance(each.elt, ast.Compare | ast.Constant | ast.UnaryOp | ast.JoinedStr)
        ]  # fmt: skip

    def _handing(self, function: ast.expr, argument: ast.expr) -> Any:
        """The hook to ask about an argument of a call that may be a function in C."""
        match function:
            case ast.Name(id=name) | ast.Attribute(attr=name) if (
                name in TAKERS
                or (name == "map" and isinstance(function, ast.Attribute))  # of an executor
                or name[0] == "@"  # pytest has taken the name away
            ):
                if isinstance(argument, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
                    return hooks.handing
        match argument:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in MENTIONED:
                return hooks.mentioning
        return None

    def visit_Starred(self, node: Any) -> Any:
        node.value = self.visited(node.value)
        stores = isinstance(node, ast.Starred) and not isinstance(node.ctx, ast.Load)
        named = isinstance(node, ast.keyword) and node.arg is not None
        if self.active and not stores and not named:
            node.value = self.reading(node.value, "__iter__")
        return node

    visit_keyword = visit_Starred

    def visit_Dict(self, node: ast.Dict) -> ast.Dict:
        self.generic_visit(node)
        if self.active:
            node.values = [
                value if key else self.reading(value, "__iter__")
                for key, value in zip(node.keys, node.values, strict=True)
            ]
        return node

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.FormattedValue:
        self.generic_visit(node)
        if self.active:
            node.value = self.reading(node.value, "__repr__")
        return node

    # --- loops inside expressions ---

    def looping(self, before: ast.expr, node: ast.expr, target: ast.expr) -> ast.expr:
        """``node``, the iterable of a loop; ``target`` is bound to each item."""
        if not isinstance(before, FRESH) or isinstance(before, SETS):
            node = self.hook(hooks.iterating, before, node, self.place(before))
        elif isinstance(before, ast.GeneratorExp | ast.Constant | ast.JoinedStr):
            return node
        if isinstance(target, ast.Tuple | ast.List):
            nested = nesting(target)
            more = [at_place(ast.Constant(nested), before)] if nested else []
            node = self.hook(hooks.rows, before, node, self.place(before), *more)
        return node

    def storing(self, target: ast.Attribute, base: ast.expr, *value: ast.expr) -> ast.expr:
        name = self.constant(self.scope.mangled(target.attr), target)
        return self.hook(hooks.storing, target.value, base, name, self.place(target), *value)

    def storing_item(self, target: ast.Subscript, *value: ast.expr) -> None:
        """Wrap the base or the key of a store or delete, whichever is evaluated last."""
        base, key, place = target.value, target.slice, self.place(target)
        if self.simple(key):
            again = self.key(copied(key))
            target.value = self.hook(
                hooks.storing_item, base, self.visited(base), place, again, *value
            )
        else:
            new = self.key(self.visited(key))
            target.slice = self.hook(hooks.storing_key, key, copied(base), new, place, *value)

    def target(self, node: ast.expr) -> ast.expr:
        """The target of a loop in an expression, which has no statement for what it stores."""
        match node:
            case ast.Attribute() if self.active:
                node.value = self.storing(node, self.visited(node.value))
            case ast.Subscript(value=base, slice=key) if self.active:
                if self.simple(base) or self.simple(key):
                    self.storing_item(node)
                else:  # the key is not known yet
                    node.slice = self.visited(key)
                    node.value = self.hook(
                        hooks.storing_item, base, self.visited(base), self.place(node),
                        self.constant(None, key),
                    )  # fmt: skip
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                node.elts = [self.target(each) for each in elements]
            case ast.Starred(value=value):
                node.value = self.target(value)
            case _:
                return self.visited(node)
        return node

    def visit_ListComp(self, node: Any) -> Any:
        outer = self.scope
        for number, generator in enumerate(node.generators):
            before = generator.iter
            generator.iter = self.visited(before)
            if self.active and not generator.is_async:
                generator.iter = self.looping(before, generator.iter, generator.target)
            if not number:
                self.scope = self.scopes[node]
            generator.target = self.target(generator.target)
            generator.ifs = [self.test(each) for each in generator.ifs]
        self.visit_fields(node, *(field for field in node._fields if field != "generators"))
        self.scope = outer
        return node

    visit_SetComp = visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.DictComp:
        self.visit_ListComp(node)
        if self.active and node.value is None:  # ``{**each for each in tables}``, from 3.15 on
            node.key = self.reading(node.key, "__iter__")
        return node

    def visit_YieldFrom(self, node: ast.YieldFrom) -> ast.expr:
        before = node.value
        node.value = self.visited(before)
        if self.active and (not isinstance(before, FRESH) or isinstance(before, SETS)):
            node.value = self.hook(hooks.delegating, before, node.value, self.place(before))
        return node

    # --- scopes inside expressions ---

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        self.visit_fields(node.args, "defaults", "kw_defaults")
        self.visit_body(node)
        return node

    def visit_body(self, node: ast.AST) -> None:
        """What is inside of the scope of ``node``."""
        outer, self.scope = self.scope, self.scopes[node]
        self.visit_fields(node, "body")
        self.scope = outer

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
        place, stored = self.mark(shared[0], at), self.constant(shared[1], at)
        return self.hook(hooks.rebinding, at, place, stored, self.place(at), value)
