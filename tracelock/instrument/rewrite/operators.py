"""Operators, tests and comparisons rewritten: a hook reads first what they look at."""

from __future__ import annotations

import ast
import operator
from typing import Any

from tracelock.instrument.accesses import hooks
from tracelock.instrument.accesses.containers import DEEP
from tracelock.instrument.accesses.unordered import SHOWING_ORDER
from tracelock.instrument.rewrite.trees import TreeBuilder, at_place, copied

_ANSWERS_BOOL = frozenset(
    {"isinstance", "issubclass", "callable", "hasattr", "any", "all", "bool", "len"}
)
#: The modules that an assertion uses which pytest has rewritten. Its other names (``@py_assert1``)
#: are those of what it has taken apart: objects of the program.
PYTESTS = frozenset({"@py_builtins", "@pytest_ar"})
#: Objects that the expression itself creates are not shared.
FRESH = (
    ast.Constant, ast.JoinedStr, ast.Compare, ast.Lambda, ast.GeneratorExp, ast.Tuple, ast.List,
    ast.Dict, ast.Set, ast.ListComp, ast.SetComp, ast.DictComp,
)  # fmt: skip
#: Of which the order of the items is none that the code says.
SETS = (ast.Set, ast.SetComp)
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


def _has_no_items(node: ast.expr) -> bool:
    """Whether nothing that the other side of an operator holds is looked at: not so of bytes."""
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, bytes)
    return isinstance(node, ast.JoinedStr)


def _is_pytests(node: ast.expr) -> bool:
    """Whether this is (a part of) the text that pytest makes for an assertion that fails."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name in PYTESTS
        case ast.IfExp(body=shown):
            return _is_pytests(shown)
        case ast.Dict(values=values):
            return all(map(_is_pytests, values))
    return isinstance(node, ast.Name) and node.id.startswith("@py_format")


class OperatorRewriter(TreeBuilder):
    """The part of the rewriter that deals with what reads objects as a whole."""

    def reading(
        self, node: ast.expr, operation: str, place: ast.Constant | None = None
    ) -> ast.expr:
        """``node``, read as a whole if it is a container."""
        if _is_pytests(node):
            return node
        fresh = isinstance(node, FRESH) and (operation not in DEEP or _of_scalars(node))
        if fresh and not (isinstance(node, SETS) and operation in SHOWING_ORDER):
            return node
        place = copied(place) if place is not None else self.place(node)
        return self.hook(hooks.reading, node, node, self.constant(operation, node), place)

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
        before = [node.left, *node.comparators]
        after = [self.visited(each) for each in before]
        for number, operation in enumerate(node.ops if self.active else ()):
            function = _COMPARED.get(type(operation))
            searching = function in (hooks.contained, hooks.left_out)
            if searching and isinstance(before[number], ast.Constant | ast.JoinedStr):
                after[number + 1] = self.reading(after[number + 1], "__contains__")
            elif searching:
                self._compared_in_chain(before, after, number, "__contains__")
            elif function is not None and not any(map(_has_no_items, before[number : number + 2])):
                self._compared_in_chain(before, after, number, _SPELLED[function])
        node.left, *node.comparators = after
        return node

    def _compared_in_chain(
        self, before: list[ast.expr], after: list[ast.expr], number: int, operation: str
    ) -> None:
        """Of several comparisons at once that with this number: what both sides hold is read."""
        left, right = before[number : number + 2]
        if self.simple(left):  # where the right side is there
            again, called = self.key(copied(left)), self.constant(operation, right)
            after[number + 1] = self.hook(
                hooks.operands, right, again, after[number + 1], called, self.place(right)
            )
        else:
            looked = "__eq__" if operation == "__contains__" else operation
            after[number] = self.reading(after[number], looked)
            after[number + 1] = self.reading(after[number + 1], operation)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        function = _COMBINED.get(type(node.op))
        if self.active and function is not None:
            node.left, node.right, late = self._operands(node, function, node.left, node.right)
            return late or node
        self.generic_visit(node)
        if self.active and isinstance(node.op, ast.Mod):
            node.left = self.reading(node.left, "__iter__")  # a template of bytes
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
        named = (
            isinstance(text, ast.Constant) and isinstance(text.value, str) and "%(" in text.value
        )
        operation = "__missing__" if named else "__repr__"
        return node if isinstance(node, ast.Constant) else self.reading(node, operation)

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
        if searching and isinstance(right, FRESH) and _of_scalars(right):
            return new_left, new_right, None
        if (
            not searching
            and function is not operator.mul
            and any(map(_has_no_items, (left, right)))
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
