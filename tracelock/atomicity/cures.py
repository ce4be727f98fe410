"""The smallest change that makes a statement atomic, with the GIL and without it."""

from __future__ import annotations

import ast


def cure_of(text: str, tasks: bool = False) -> str:
    """An operation of one step that does the same, where there is one; else a lock around it.

    ``tasks``: what must not come in between are other tasks of one event loop.
    """
    with_ = "async with" if tasks else "with"
    body = ast.parse(text).body
    one = body[0] if len(body) == 1 else None
    found = None
    if isinstance(one, ast.AugAssign) and isinstance(one.op, ast.Add):
        found = _added(one)
    elif isinstance(one, ast.If) and not one.orelse and len(one.body) == 1:
        found = _tested(one)
    if found is not None:
        return found
    if one is not None and not isinstance(one, _COMPOUND) and "\n" not in text:
        return f"{with_} lock: {text.strip()}"
    inside = "\n".join(f"    {line}" for line in text.splitlines())
    return f"{with_} lock:\n{inside}"


_COMPOUND = (
    ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef,
)  # fmt: skip


def _added(one: ast.AugAssign) -> str | None:
    """``l += [x]``: of a display it is certain that the left side is a list too."""
    if isinstance(one.value, ast.List) and len(one.value.elts) == 1:
        item = one.value.elts[0]
        if not isinstance(item, ast.Starred):
            return f"{ast.unparse(one.target)}.append({ast.unparse(item)})"
    return None


def _tested(one: ast.If) -> str | None:
    """``if k not in d: d[k] = v`` and ``if k in d: del d[k]``."""
    test, inner = one.test, one.body[0]
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    key, held = ast.unparse(test.left), ast.unparse(test.comparators[0])
    place = f"{held}[{key}]"
    if isinstance(test.ops[0], ast.NotIn) and isinstance(inner, ast.Assign):
        plain = isinstance(inner.value, ast.Constant | ast.Name)
        if plain and [ast.unparse(target) for target in inner.targets] == [place]:
            return f"{held}.setdefault({key}, {ast.unparse(inner.value)})"
    if (
        isinstance(test.ops[0], ast.In)
        and isinstance(inner, ast.Delete)
        and [ast.unparse(target) for target in inner.targets] == [place]
    ):
        return f"{held}.pop({key}, None)"
    return None
