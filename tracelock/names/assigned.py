"""What the value of a call is assigned to, from the syntax tree: ``Pool._cond``, ``lock``.

The call is told by its span, of which a file has one call. A name is given only where the value of
the call itself becomes the value of that name, so that it cannot be the name of anything else:
``self.a, self.b = Lock(), Lock()`` are two names, ``self.pool = Pool(Lock())`` is none for the
lock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

__all__ = ["Span", "assignments"]

#: Line and column (in bytes, from 0) where an expression begins and ends.
Span = tuple[int, int, int, int]

#: So many sources.
_KEPT: Final = 16
_DISPLAYS: Final = (ast.List, ast.Tuple, ast.Set)
_COMPREHENSIONS: Final = (ast.ListComp, ast.SetComp, ast.GeneratorExp)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Scope = _Function | ast.ClassDef | ast.Module


@lru_cache(maxsize=_KEPT)
def assignments(source: str) -> Mapping[Span, str]:
    """The calls of a source that are assigned to a name -> that name; an element of what is
    assigned has ``[]`` at its end. Raises SyntaxError. Kept of the last few sources: the traces of
    one exploration after the other ask for the same ones."""
    found: dict[Span, str] = {}
    tree = ast.parse(source)
    todo: list[tuple[ast.AST, _Scope, str]] = [(tree, tree, "")]
    while todo:
        node, scope, within = todo.pop()
        for target, value in _assigned(node):
            name = _name(target, scope, within)
            if name:
                for call, text in _calls(value, name):
                    found[_span(call)] = text
        if isinstance(node, ast.ClassDef):
            inner: tuple[_Scope, str] = (node, node.name)
        elif isinstance(node, _Function):
            inner = (node, within if isinstance(scope, ast.ClassDef) else "")
        else:
            inner = (scope, within)
        todo += [(child, *inner) for child in ast.iter_child_nodes(node)]
    return MappingProxyType(found)


def _assigned(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """The targets and values of a statement, or of an expression that assigns."""
    if isinstance(node, ast.Assign):
        # of several names an attribute says more than a variable that goes away
        targets = sorted(node.targets, key=lambda one: isinstance(one, ast.Name))
        for target in reversed(targets):  # what comes last stays
            yield from _pairs(target, node.value)
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
        yield node.target, node.value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    if not isinstance(target, ast.Tuple | ast.List):
        yield target, value
        return
    if isinstance(value, ast.Tuple | ast.List) and len(target.elts) == len(value.elts):
        stars = [*target.elts, *value.elts]
        if not any(isinstance(one, ast.Starred) for one in stars):
            for one, other in zip(target.elts, value.elts, strict=True):
                yield from _pairs(one, other)


def _calls(value: ast.expr, name: str) -> Iterator[tuple[ast.Call, str]]:
    """The calls of which one gives the value, or an element of it."""
    if isinstance(value, ast.Call):
        yield value, name
    elif isinstance(value, ast.IfExp):
        yield from _calls(value.body, name)
        yield from _calls(value.orelse, name)
    elif isinstance(value, ast.BoolOp):
        for one in value.values:
            yield from _calls(one, name)
    elif isinstance(value, ast.NamedExpr):
        yield from _calls(value.value, name)
    elif isinstance(value, _DISPLAYS):
        for one in value.elts:
            yield from _calls(one, f"{name}[]")
    elif isinstance(value, ast.Dict):
        for one in value.values:
            yield from _calls(one, f"{name}[]")
    elif isinstance(value, _COMPREHENSIONS):
        yield from _calls(value.elt, f"{name}[]")
    elif isinstance(value, ast.DictComp):
        yield from _calls(value.value, f"{name}[]")


def _name(target: ast.expr, scope: _Scope, within: str) -> str:
    """A target as people say it: ``Pool._cond`` for ``self._cond`` in a method of ``Pool``."""
    if isinstance(target, ast.Name):
        return f"{scope.name}.{target.id}" if isinstance(scope, ast.ClassDef) else target.id
    if isinstance(target, ast.Attribute):
        base = _base(target.value, scope, within)
        return f"{base}.{target.attr}" if base else ""
    if isinstance(target, ast.Subscript):
        base = _base(target.value, scope, within)
        return f"{base}[]" if base else ""
    return ""


def _base(node: ast.expr, scope: _Scope, within: str) -> str:
    if isinstance(node, ast.Name):
        if within and not isinstance(scope, ast.ClassDef | ast.Module | ast.Lambda):
            first = [*scope.args.posonlyargs, *scope.args.args][:1]
            if first and first[0].arg == node.id and not _static(scope):
                return within
        return node.id
    if isinstance(node, ast.Attribute):
        base = _base(node.value, scope, within)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(
        isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list
    )


def _span(node: ast.expr) -> Span:
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0
