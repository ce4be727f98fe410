"""Two statements as a program of two workers: a module that can be explored and replayed."""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from tracelock.interpreter.statement import Statement, bound_names

_HEAD = '''"""Two statements that run at the same time, written by ``tracelock atomic``."""

from tracelock.interpreter.statement import Object
from tracelock.interpreter.stress import state

#: What they come to one after the other.
IN_TURN = {in_turn!r}
NAMES = {names!r}
'''
_CHECK = """

def check(shared):
    got = state({name: globals()[name] for name in NAMES if name in globals()})
    assert got in IN_TURN, f"{got}: one after the other gives {' or '.join(IN_TURN)}"
"""


def module_text(first: Statement, second: Statement, source: str, in_turn: list[str]) -> str:
    """The source of the module."""
    setup = ast.parse(source)
    names = bound_names(setup)
    return "".join(
        [
            _HEAD.format(in_turn=sorted(set(in_turn)), names=sorted(names)),
            _function("setup", "", setup.body, names),
            _function("first", "shared", first.tree.body, first.stored & names),
            _function("second", "shared", second.tree.body, second.stored & names),
            _CHECK,
        ]
    )


def _function(name: str, argument: str, body: list[ast.stmt], shared: set[str]) -> str:
    inside: list[str] = [f"global {', '.join(sorted(shared))}"] if shared else []
    inside += [ast.unparse(ast.fix_missing_locations(one)) for one in body]
    lines = "\n".join(inside).split("\n")
    text = f"def {name}({argument}):\n" + "\n".join(f"    {line}" for line in lines)
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


def workers_of(module: ModuleType) -> dict[str, Any]:
    """What ``explore`` is given."""
    workers = [module.first, module.second]
    return {"setup": module.setup, "workers": workers, "check": module.check}
