"""Two statements as a program of two workers: a module that can be explored and replayed."""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tracelock.interpreter.statement import Statement, bound_names

_HEAD = '''"""Two statements that run at the same time, written by ``tracelock atomic``."""

from tracelock.interpreter.statement import Object
from tracelock.interpreter.stress import Results, difference, state

#: What they come to one after the other.
IN_TURN = {in_turn!r}
NAMES = {names!r}
MODULES = {modules!r}
RESULTS = Results()
'''
_CHECK = """

def check(shared):
    got = state({name: globals()[name] for name in NAMES if name in globals()}, MODULES)
    got = "; ".join(part for part in (RESULTS.text(), got) if part)
    assert got in IN_TURN, difference(got, IN_TURN)
"""


def module_text(
    first: Statement, second: Statement, source: str, in_turn: list[str], calls: Sequence[str] = (),
    modules: Sequence[str] = (),
) -> str:  # fmt: skip
    """The source of the module. ``calls``: of those that are functions the calls of them; of
    ``modules``."""
    setup = ast.parse(source)
    names = bound_names(setup)
    tasks = first.kind == "coroutine"
    return "".join(
        [
            _HEAD.format(in_turn=sorted(set(in_turn)), names=sorted(names), modules=list(modules)),
            _function("setup", "", [*ast.parse("RESULTS.clear()").body, *setup.body], names),
            *(
                _worker(name, one, names, tasks, bool(call), bool(modules))
                for name, one, call in zip(
                    ("first", "second"), (first, second), calls or ("", ""), strict=True
                )
            ),
            _CHECK,
        ]
    )


def _worker(
    name: str, statement: Statement, names: set[str], tasks: bool, called: bool, results: bool
) -> str:
    body, shared = statement.tree.body, statement.stored & names
    if called:
        body = ast.parse(f"RESULTS.run({name!r}, lambda: {statement.text})").body
    elif results and statement.kind == "plain":
        inner = _function(f"_{name}", "", body, shared)
        return inner + _function(
            name, "shared", ast.parse(f"RESULTS.run({name!r}, _{name})").body, set()
        )
    if statement.kind != "generator":
        word = "async def" if tasks else "def"
        return _function(name, "shared", body, shared, word)
    going = f"{'async ' if tasks else ''}def {name}(shared):\n    for _ in _{name}():\n        pass"
    return _function(f"_{name}", "", body, shared) + f"\n\n{going}\n"


def _function(
    name: str, argument: str, body: list[ast.stmt], shared: set[str], word: str = "def"
) -> str:
    inside: list[str] = [f"global {', '.join(sorted(shared))}"] if shared else []
    inside += [ast.unparse(ast.fix_missing_locations(one)) for one in body]
    lines = "\n".join(inside).split("\n")
    text = f"{word} {name}({argument}):\n" + "\n".join(f"    {line}" for line in lines)
    # strings of several lines are written in one by unparse: nothing changes by the indentation
    return f"\n\n{text}\n"


@contextmanager
def imported(folder: str, text: str) -> Iterator[tuple[ModuleType, str]]:
    """The module, written to ``folder``, and its path; it is importable as long as this lasts."""
    name = f"atomic_{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    path = os.path.join(folder, f"{name}.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    sys.path.insert(0, os.path.abspath(folder))
    try:
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        yield importlib.import_module(name), path
    finally:
        sys.modules.pop(name, None)
        sys.path.remove(os.path.abspath(folder))


def workers_of(module: ModuleType, modules: Sequence[str] = ()) -> dict[str, Any]:
    """What ``explore`` is given: it looks into ``modules`` too."""
    workers = [module.first, module.second]
    given = {"setup": module.setup, "workers": workers, "check": module.check}
    return {**given, "instrument": list(modules)} if modules else given
