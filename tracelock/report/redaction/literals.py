"""Constants in Python source that are given to a variable, an attribute or an argument of a name.

``password = "x"``, ``self.password: str = "x"``, ``login(password="x")``,
``def login(password="x")``, ``login("x")`` where ``login`` is defined in one of the files,
``{"password": "x"}``, ``settings["password"] = "x"`` and ``password == "x"``.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["arguments_of", "literals", "parameters"]

_DEFINITION = ast.FunctionDef | ast.AsyncFunctionDef
_OWN: Final = frozenset({"self", "cls"})


def parameters(trees: Collection[ast.Module]) -> dict[str, list[list[str]]]:
    """The names of the positional parameters of each function, of a class those of its
    ``__init__``, by the name alone: several functions may have one name."""
    found: dict[str, list[list[str]]] = {}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, _DEFINITION):
                found.setdefault(node.name, []).append(_positional(node))
            elif isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, _DEFINITION) and inner.name == "__init__":
                        found.setdefault(node.name, []).append(_positional(inner))
    return found


def _positional(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    names = [one.arg for one in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names and names[0] in _OWN else names


def literals(
    tree: ast.AST, names: Collection[str], known: Mapping[str, Sequence[Sequence[str]]]
) -> Iterator[ast.Constant]:
    """The constants in whatever is given to something of these names. ``known``: the parameters of
    functions."""
    for node in ast.walk(tree):
        for value in _given(node, names, known):
            for inner in ast.walk(value):
                if isinstance(inner, ast.Constant) and type(inner.value) in _SECRET:
                    yield inner


#: What may be one; None, booleans and Ellipsis tell nothing.
_SECRET: Final = (str, bytes, int, float, complex)


def _given(
    node: ast.AST, names: Collection[str], known: Mapping[str, Sequence[Sequence[str]]]
) -> Iterator[ast.expr]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            yield from _assigned(target, node.value, names)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr):
        if node.value is not None:
            yield from _assigned(node.target, node.value, names)
    elif isinstance(node, ast.Call):
        yield from arguments_of(node, names, known)
    elif isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        with_default = positional[len(positional) - len(node.defaults) :]
        for argument, default in zip(with_default, node.defaults, strict=True):
            if argument.arg in names:
                yield default
        for argument, value in zip(node.kwonlyargs, node.kw_defaults, strict=True):
            if argument.arg in names and value is not None:
                yield value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in names:
                yield value
    elif isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        if any(_named(side, names) for side in sides):
            yield from (side for side in sides if not _named(side, names))


def _assigned(target: ast.expr, value: ast.expr, names: Collection[str]) -> Iterator[ast.expr]:
    if _named(target, names):
        yield value
    elif isinstance(target, ast.Tuple | ast.List):
        if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts):
            for one, given in zip(target.elts, value.elts, strict=True):
                yield from _assigned(one, given, names)
        elif any(_named(one, names) for one in target.elts):
            yield value


def _named(node: ast.expr, names: Collection[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    if isinstance(node, ast.Attribute):
        return node.attr in names
    return (
        isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.Constant)
        and node.slice.value in names
    )


def arguments_of(
    call: ast.Call, names: Collection[str], known: Mapping[str, Sequence[Sequence[str]]]
) -> Iterator[ast.expr]:
    """The arguments of a call for parameters of these names."""
    for keyword in call.keywords:
        if keyword.arg in names:
            yield keyword.value
    function: Any = call.func
    name = getattr(function, "id", getattr(function, "attr", ""))
    for order in known.get(name, ()):
        for parameter, value in zip(order, call.args, strict=False):
            if isinstance(value, ast.Starred):
                break
            if parameter in names:
                yield value
