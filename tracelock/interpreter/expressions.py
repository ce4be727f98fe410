"""Which expressions an instruction works on: instructions and syntax meet at their positions."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

#: First line, last line, first column, end column: as ``dis.Positions``.
Span = tuple[int, int, int, int]


def span_of(node: ast.AST) -> Span:
    """Where a node stands."""
    return (
        getattr(node, "lineno", 0), getattr(node, "end_lineno", 0),
        getattr(node, "col_offset", 0), getattr(node, "end_col_offset", 0),
    )  # fmt: skip


class Expressions:
    """The nodes of a syntax tree by their positions."""

    def __init__(self, tree: ast.AST) -> None:
        self._at: defaultdict[Span, list[ast.AST]] = defaultdict(list)
        self._parents: dict[ast.AST, ast.AST] = {}
        for node in ast.walk(tree):
            if hasattr(node, "lineno"):
                self._at[span_of(node)].append(node)
            for child in ast.iter_child_nodes(node):
                self._parents[child] = node

    def _one(self, span: Span, *kinds: type[ast.AST]) -> ast.AST | None:
        return next((node for node in self._at.get(span, ()) if isinstance(node, kinds)), None)

    def operands(self, what: str, span: Span) -> list[ast.AST] | None:
        """The operands of an operation that stands at ``span``; None where they are not found."""
        find = getattr(self, f"_{what}", None)
        found: list[ast.AST] | None = None if find is None else find(span)
        return found

    def _attribute(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Attribute)
        return [node.value] if isinstance(node, ast.Attribute) else None

    def _item(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Subscript)
        if not isinstance(node, ast.Subscript):
            return None
        index = node.slice
        if isinstance(index, ast.Slice):
            ends = [index.lower, index.upper, index.step]
            return [node.value, *(end for end in ends if end is not None)]
        return [node.value, index]

    def _operator(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.BinOp, ast.AugAssign)
        if isinstance(node, ast.BinOp):
            return [node.left, node.right]
        return [node.target, node.value] if isinstance(node, ast.AugAssign) else None

    def _unary(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.UnaryOp)
        return [node.operand] if isinstance(node, ast.UnaryOp) else None

    def _compare(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Compare)
        return [node.left, *node.comparators] if isinstance(node, ast.Compare) else None

    _contains = _compare

    def _truth(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.expr)
        if isinstance(node, ast.Call):
            # any() and all() of a generator may stand in the bytecode as a loop: whose truth it
            # is that the instruction tests cannot be told then
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            return None if name in ("any", "all") else [node]
        if isinstance(node, ast.IfExp):
            return [*_tested(node.test), node]
        if node is not None:
            return _tested(node)
        statement = self._one(span, ast.If, ast.While, ast.Assert)  # where 3.11 says it is
        if isinstance(statement, ast.If | ast.While | ast.Assert):
            return _tested(statement.test)
        return None

    def _iterate(self, span: Span) -> list[ast.AST] | None:
        loop = self._one(span, ast.For)
        if isinstance(loop, ast.For):
            return [loop.iter]
        node = self._one(span, ast.expr)
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            return None
        return None if node is None else [node]

    _next = _iterate

    def _enter(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.With)  # where 3.11 says it is
        if isinstance(node, ast.With):
            return [node.items[0].context_expr] if len(node.items) == 1 else None
        node = self._one(span, ast.expr)
        return None if node is None else [node]

    def _unpack(self, span: Span) -> list[ast.AST] | None:
        """Of a target the value, of a display what is starred in it."""
        node = self._one(span, ast.Tuple, ast.List)
        if isinstance(node, ast.Tuple | ast.List):
            parent = self._parents.get(node)
            if isinstance(node.ctx, ast.Store):
                if isinstance(parent, ast.Assign):
                    return [parent.value]
                return None
            return [one.value for one in node.elts if isinstance(one, ast.Starred)]
        return None

    def _spread(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Dict, ast.Set)
        if isinstance(node, ast.Dict):
            keys = [key for key in node.keys if key is not None]
            return [*keys, *(v for k, v in zip(node.keys, node.values, strict=True) if k is None)]
        return list(node.elts) if isinstance(node, ast.Set) else None

    def _build(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Dict, ast.Set)
        if isinstance(node, ast.Dict):
            return [key for key in node.keys if key is not None]
        return list(node.elts) if isinstance(node, ast.Set) else None

    def _format(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.FormattedValue)
        if isinstance(node, ast.FormattedValue) and node.format_spec is None:
            return [node.value]
        return None

    def _call(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Call)
        if not isinstance(node, ast.Call):
            return None
        parent = self._parents.get(node)
        if isinstance(parent, ast.withitem | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return None  # __exit__ and what is decorated are called at the same position
        return [node.func, *node.args, *(word.value for word in node.keywords)]

    def _await(self, span: Span) -> list[ast.AST] | None:
        node = self._one(span, ast.Await)
        return [node.value] if isinstance(node, ast.Await) else None

    def text(self, what: str, span: Span) -> str:
        """The source of what stands at ``span``, as one line; "" where nothing does."""
        kinds: tuple[type[ast.AST], ...] = (ast.expr, ast.stmt)
        node = self._one(span, *kinds)
        if isinstance(node, ast.AugAssign):
            return f"{ast.unparse(node.target)} {_sign(node.op)} {ast.unparse(node.value)}"
        return "" if node is None else " ".join(ast.unparse(node).split())

    def dropped(self, opname: str, span: Span) -> ast.AST | None:
        """The expression whose value an instruction lets go of."""
        if opname == "POP_TOP":
            node = self._one(span, ast.expr)
            return node if node and isinstance(self._parents.get(node), ast.Expr) else None
        return self._one(span, ast.Name) if "STORE" in opname or "DELETE" in opname else None

    def nodes(self) -> Iterator[ast.AST]:
        """All nodes that stand somewhere."""
        for nodes in self._at.values():
            yield from nodes

    def names(self) -> Iterator[ast.Name]:
        """All plain names."""
        for nodes in self._at.values():
            yield from (node for node in nodes if isinstance(node, ast.Name))


def _tested(node: ast.AST) -> list[ast.AST]:
    """The values whose truth decides about ``node``."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return _tested(node.operand)
    if isinstance(node, ast.BoolOp):
        return [one for value in node.values for one in _tested(value)]
    return [node]


def _sign(operator: ast.operator) -> str:
    whole = ast.unparse(ast.BinOp(ast.Name("a"), operator, ast.Name("b")))
    return whole[1:-1].strip()
