"""A statement rewritten so that it tells the values of its expressions."""

from __future__ import annotations

import ast
from typing import Any

from tracelock.interpreter.expressions import Span, span_of


class Watching(ast.NodeTransformer):
    """Every expression tells its value, and every target what stood there before."""

    def body(self, tree: ast.Module | ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.stmt]:
        """The statements of ``tree``, which is changed."""
        block = ast.Module(tree.body, [])
        found: list[ast.stmt] = self.visit(block).body
        return found

    def visit(self, node: ast.AST) -> Any:
        before = []
        if isinstance(node, ast.Assign | ast.AugAssign | ast.Delete | ast.For | ast.AsyncFor):
            before = [self._before(one) for one in _targets(node) if not _suspends(one)]
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


def _suspends(target: ast.expr) -> bool:
    kinds = ast.Await | ast.Yield | ast.YieldFrom
    return any(isinstance(node, kinds) for node in ast.walk(target))


def _targets(node: ast.AST) -> list[ast.expr]:
    found: list[ast.expr] = list(getattr(node, "targets", ()))
    if isinstance(node, ast.AugAssign | ast.For | ast.AsyncFor):
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
