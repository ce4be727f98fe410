"""The smallest change that makes a statement atomic, with the GIL and without it."""

from __future__ import annotations

import ast


def cure_of(text: str) -> str:
    """An operation of one step that does the same, where one is known; else a lock around it."""
    body = ast.parse(text).body
    one = body[0] if len(body) == 1 else None
    found = None
    if isinstance(one, ast.AugAssign):
        found = _added(one)
    elif isinstance(one, ast.If) and not one.orelse and len(one.body) == 1:
        found = _tested(one)
    elif isinstance(one, ast.Assign) and len(one.targets) == 1:
        found = _got(one.targets[0], one.value)
    elif isinstance(one, ast.For) and len(one.body) == 1 and not one.orelse:
        found = _each(one, one.body[0])
    return found or lock_around(text)


def lock_around(text: str, tasks: bool = False) -> str:
    """The statement under a lock; ``tasks``: what must not come in are tasks of the same loop."""
    with_ = "async with" if tasks else "with"
    body = ast.parse(text).body
    if len(body) == 1 and not isinstance(body[0], _COMPOUND) and "\n" not in text:
        return f"{with_} lock: {text.strip()}"
    inside = "\n".join(f"    {line}" for line in text.splitlines())
    return f"{with_} lock:\n{inside}"


_COMPOUND = (
    ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.FunctionDef, ast.ClassDef,
)  # fmt: skip


def _added(one: ast.AugAssign) -> str | None:
    """``l += [x]``, ``s |= {x}``, ``d |= {k: v}``: of a display it is certain what the left side
    is."""
    value, target = one.value, ast.unparse(one.target)
    if isinstance(value, ast.List | ast.Set) and len(value.elts) == 1:
        if isinstance(value.elts[0], ast.Starred):
            return None
        item = ast.unparse(value.elts[0])
        methods = {
            (ast.List, ast.Add): "append", (ast.Set, ast.BitOr): "add",
            (ast.Set, ast.Sub): "discard",
        }  # fmt: skip
        method = methods.get((type(value), type(one.op)))
        return method and f"{target}.{method}({item})"
    if isinstance(value, ast.Dict) and isinstance(one.op, ast.BitOr):
        return f"{target}.update({ast.unparse(value)})"
    return None


def _got(target: ast.expr, value: ast.expr) -> str | None:
    """``x = d[k] if k in d else y``, and ``d[k] = d.get(k, y)``."""
    if isinstance(value, ast.IfExp) and isinstance(value.test, ast.Compare):
        test = value.test
        if len(test.ops) == 1 and isinstance(test.ops[0], ast.In):
            key, held = ast.unparse(test.left), ast.unparse(test.comparators[0])
            if ast.unparse(value.body) == f"{held}[{key}]":
                return f"{ast.unparse(target)} = {held}.get({key}, {ast.unparse(value.orelse)})"
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        held, given = ast.unparse(value.func.value), [ast.unparse(one) for one in value.args]
        same = given and ast.unparse(target) == f"{held}[{given[0]}]"
        if value.func.attr == "get" and len(given) == 2 and same and not value.keywords:
            return f"{held}.setdefault({', '.join(given)})"
    return None


def _each(loop: ast.For, inner: ast.stmt) -> str | None:
    """``for y in l2: l.append(y)``."""
    call = inner.value if isinstance(inner, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return None
    words = {"append": "extend", "add": "update"}
    same = [ast.unparse(one) for one in call.args] == [ast.unparse(loop.target)]
    if same and call.func.attr in words and not call.keywords:
        held = ast.unparse(call.func.value)
        return f"{held}.{words[call.func.attr]}({ast.unparse(loop.iter)})"
    return None


def _tested(one: ast.If) -> str | None:
    """``if k not in d: d[k] = v``, ``if k in d: del d[k]``, ``if x not in s: s.add(x)``, ``if l:
    l.pop()`` and the like."""
    test, inner = one.test, one.body[0]
    call = ast.unparse(inner)
    if isinstance(test, ast.Name | ast.Attribute):
        held = ast.unparse(test)
        if call in (f"{held}.pop()", f"{held}.popleft()", f"{held}.pop(0)"):
            return f"try: {call}\nexcept IndexError: pass"
        return None
    if not isinstance(test, ast.Compare) or len(test.ops) != 1:
        return None
    key, held = ast.unparse(test.left), ast.unparse(test.comparators[0])
    place = f"{held}[{key}]"
    if isinstance(test.ops[0], ast.NotIn) and call == f"{held}.add({key})":
        return call
    if isinstance(test.ops[0], ast.In) and call == f"{held}.remove({key})":
        return f"{held}.discard({key})"
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
