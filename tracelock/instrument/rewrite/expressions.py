"""Expressions rewritten: loads, calls, tests, searches and loops ask a hook first."""

from __future__ import annotations

import ast
import builtins
import operator
from typing import Any

from tracelock.instrument.accesses import hooks
from tracelock.instrument.accesses.callbacks import ABOUT, MENTIONED, TAKERS
from tracelock.instrument.accesses.containers import DEEP, METHOD_NAMES
from tracelock.instrument.accesses.functions import FUNCTION_NAMES, READERS
from tracelock.instrument.accesses.unordered import SHOWING_ORDER
from tracelock.instrument.rewrite.trees import TreeBuilder, at_place, copied

_ANSWERS_BOOL = frozenset(
    {"isinstance", "issubclass", "callable", "hasattr", "any", "all", "bool", "len"}
)
#: The modules that an assertion uses which pytest has rewritten. Its other names (``@py_assert1``)
#: are those of what it has taken apart: objects of the program.
_PYTESTS = frozenset({"@py_builtins", "@pytest_ar"})
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
#: Objects that the expression itself creates are not shared.
_FRESH = (
    ast.Constant, ast.JoinedStr, ast.Compare, ast.Lambda, ast.GeneratorExp, ast.Tuple, ast.List,
    ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp,
)  # fmt: skip
#: Of which the order of the items is none that the code says.
_SETS = (ast.Set, ast.SetComp)
#: Operators that look into containers, as functions that do the same.
_COMPARED: dict[type[ast.cmpop], Any] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: hooks.contained, ast.NotIn: hooks.left_out,
}  # fmt: skip
_COMBINED: dict[type[ast.operator], Any] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.BitOr: operator.or_, ast.BitAnd: operator.and_, ast.BitXor: operator.xor,
}  # fmt: skip
_SPELLED = {
    each: f"__{each.__name__.rstrip('_')}__" for each in (*_COMPARED.values(), *_COMBINED.values())
} | dict.fromkeys((hooks.contained, hooks.left_out), "__contains__")


def _of_scalars(node: ast.expr) -> bool:
    """Whether a new object has no others in it that may be shared."""
    match node:
        case ast.Tuple(elts=elements) | ast.List(elts=elements) | ast.Set(elts=elements):
            return all(isinstance(each, ast.Constant) for each in elements)
        case ast.Dict(values=elements):
            return all(isinstance(each, ast.Constant) for each in elements)
        case ast.ListComp() | ast.SetComp() | ast.DictComp():
            return False
    return True


def _is_pytests(node: ast.expr) -> bool:
    """Whether this is (a part of) the text that pytest makes for an assertion that fails."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name in _PYTESTS
        case ast.IfExp(body=shown):
            return _is_pytests(shown)
        case ast.Dict(values=values):
            return all(map(_is_pytests, values))
    return isinstance(node, ast.Name) and node.id.startswith("@py_format")


class ExpressionRewriter(TreeBuilder):
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
                return name in _PYTESTS
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
        wraps = [self._handing(function, each) for each in arguments]
        match function:
            case ast.Name(id=name) | ast.Attribute(attr=name) if (
                self.renamed.get(name, name) in ABOUT
            ):
                wraps[:1] = [None] if wraps else []
        self.visit_fields(node, "args", "keywords")
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
                function.value = self.attribute_of(function, function.value, hooks.method)
                return node
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in FUNCTION_NAMES:
                pass
            case ast.Attribute(value=ast.Name(id=name)) if (
                self.scope.owner(name) is None and name in self.module_scope.imported
            ):
                # of a module that an import statement of this module bound
                node.func = self.hook(hooks.calling_any, function, function, place)
                return node
            case ast.Name(id=name) if name in _PLAIN_CALLS and self.builtin(name):
                return node
            case ast.Attribute(value=before):
                function.value = self.visited(before)
                if not self._unshared(function, before, True):
                    function.value = self.attribute_of(function, function.value, hooks.method)
                return node
            case _:
                node.func = self.hook(hooks.calling_any, function, self.visited(function), place)
                return node
        node.func = self.hook(hooks.calling, function, self.visited(function), place)
        return node

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

    def reading(
        self, node: ast.expr, operation: str, place: ast.Constant | None = None
    ) -> ast.expr:
        """``node``, read as a whole if it is a container."""
        if _is_pytests(node):
            return node
        fresh = isinstance(node, _FRESH) and (operation not in DEEP or _of_scalars(node))
        if fresh and not (isinstance(node, _SETS) and operation in SHOWING_ORDER):
            return node
        place = copied(place) if place is not None else self.place(node)
        return self.hook(hooks.reading, node, node, self.constant(operation, node), place)

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

    def visit_If(self, node: Any) -> Any:
        node.test = self.test(node.test)
        self.visit_fields(node, *(field for field in node._fields if field != "test"))
        return node

    visit_While = visit_IfExp = visit_Assert = visit_If

    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        function = _COMPARED.get(type(node.ops[0])) if len(node.ops) == 1 else None
        if self.active and function is not None:
            node.left, node.comparators[0], late = self._operands(
                node, function, node.left, node.comparators[0]
            )
            return late or node
        self.generic_visit(node)
        for number, operation in enumerate(node.ops if self.active else ()):
            if isinstance(operation, ast.In | ast.NotIn):
                searched = node.comparators[number]
                node.comparators[number] = self.reading(searched, "__contains__")
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        function = _COMBINED.get(type(node.op))
        if self.active and function is not None:
            node.left, node.right, late = self._operands(node, function, node.left, node.right)
            return late or node
        self.generic_visit(node)
        if self.active and isinstance(node.op, ast.Mod):
            node.right = self._formatted(node.left, node.right)
        return node

    def _formatted(self, text: ast.expr, node: ast.expr) -> ast.expr:
        """What stands after a ``%``, read where it is put into a text."""
        if isinstance(text, ast.Constant) and not isinstance(text.value, str | bytes):
            return node
        if isinstance(node, ast.Tuple):
            node.elts = [
                each if isinstance(each, ast.Starred) else self.reading(each, "__repr__")
                for each in node.elts
            ]
            return node
        return node if isinstance(node, ast.Constant) else self.reading(node, "__repr__")

    def _operands(
        self, node: ast.expr, function: Any, left: ast.expr, right: ast.expr
    ) -> tuple[ast.expr, ast.expr, ast.expr | None]:
        """Both sides of an operator that reads them, with the points after both are there.

        The third is what stands for the whole where neither side can be evaluated twice.
        """
        new_left, new_right = self.visited(left), self.visited(right)
        searching = function in (hooks.contained, hooks.left_out)
        if searching and isinstance(left, ast.Constant | ast.JoinedStr):
            return new_left, self.reading(new_right, "__contains__"), None
        if searching and isinstance(right, _FRESH) and _of_scalars(right):
            return new_left, new_right, None
        if (
            not searching
            and function is not operator.mul
            and any(isinstance(each, ast.Constant | ast.JoinedStr) for each in (left, right))
        ):
            return new_left, new_right, None
        operation, place = self.constant(_SPELLED[function], node), self.place(node)
        if self.simple(left):
            again = self.key(copied(left))
            wrapped = self.hook(hooks.operands, right, again, new_right, operation, place)
            return new_left, wrapped, None
        if self.simple(right):
            again = self.key(copied(right))
            wrapped = self.hook(hooks.operands_left, left, new_left, again, operation, place)
            return wrapped, new_right, None
        late = self.hook(
            hooks.operands_late, node, self.mark(function, node), new_left, new_right,
            operation, place,
        )  # fmt: skip
        return new_left, new_right, at_place(ast.Call(func=late, args=[], keywords=[]), node)

    # --- loops inside expressions ---

    def looping(self, before: ast.expr, node: ast.expr, target: ast.expr) -> ast.expr:
        """``node``, the iterable of a loop; ``target`` is bound to each item."""
        if not isinstance(before, _FRESH) or isinstance(before, _SETS):
            node = self.hook(hooks.iterating, before, node, self.place(before))
        elif isinstance(before, ast.GeneratorExp | ast.Constant | ast.JoinedStr):
            return node
        if isinstance(target, ast.Tuple | ast.List):
            nested = any(isinstance(each, ast.Tuple | ast.List) for each in target.elts)
            flag = [at_place(ast.Constant(True), before)] if nested else []
            node = self.hook(hooks.rows, before, node, self.place(before), *flag)
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
            generator.target = self.visited(generator.target)
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
        if self.active and (not isinstance(before, _FRESH) or isinstance(before, _SETS)):
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
