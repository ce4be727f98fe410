"""The replay of a trace of a mutant: the change is made again, as its module is imported.

A trace tells of the change what a reader sees of it (its kind, the line, and what stands there
before and after). It is looked for among the changes that there are of the module now, so that a
trace can bring no code of its own.
"""

from __future__ import annotations

import ast
import sys
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.rewrite.changing import ChangingFinder, TreeChange
from tracelock.instrument.rewrite.codes import changed_code
from tracelock.report.wording import clean
from tracelock.teeth.mutations import mutations_of

if TYPE_CHECKING:
    from tracelock.trace import Trace

#: What a trace calls its mutant.
MUTANT: Final = "mutant"
_TOLD: Final = ("kind", "line", "was", "now")


def label_of(place: int) -> str:
    """What a changed source is told from others by, in the digests of a trace."""
    return f"\0mutant {place}"


def mutated(trace: Trace) -> bool:
    """Have the module of the mutant that a trace is of imported with its change, in this process.
    False where the trace is of the code as it is, or does not tell of which module.

    Raises UsageError where the module was imported before, cannot be found, or has no such lock
    region any more.
    """
    mutant = trace.extra.get(MUTANT)
    module = mutant.get("module") if isinstance(mutant, dict) else None
    if not isinstance(module, str) or not module:
        return False
    assert isinstance(mutant, dict)
    if module in sys.modules:
        raise UsageError(
            f"the trace is of a mutant of {clean(module)}, which was imported before it could be "
            "changed: replay it in a process of its own (tracelock replay)"
        )

    def wanted(name: str, path: str) -> TreeChange | None:
        return _change(mutant, path) if name == module else None

    finder = ChangingFinder(wanted, changed_code)
    finder.install()
    try:
        found = find_spec(module)
    except (ImportError, ValueError) as error:
        finder.uninstall()
        raise UsageError(f"the trace is of a mutant of {clean(module)}: {error}") from None
    except BaseException:
        finder.uninstall()
        raise
    if found is None or module not in finder.loaded:
        finder.uninstall()
        raise UsageError(f"the trace is of a mutant of {clean(module)}, which is no module here")
    return True


def _change(mutant: dict[str, Any], path: str) -> TreeChange:
    try:
        with open(path, "rb") as file:
            tree = ast.parse(file.read(), path)
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"the trace is of a mutant of {path}: {error}") from None
    wanted = [mutant.get(name) for name in _TOLD]
    for one in mutations_of(tree):
        if [getattr(one, name) for name in _TOLD] == wanted:
            return TreeChange(partial(_apply, one.number), label_of(one.number))
    line, was = clean(str(mutant.get("line"))), clean(str(mutant.get("was")))
    raise UsageError(
        f"the trace is of a mutant of {path}: line {line} was {was!r} there, which has changed "
        "since (tracelock teeth makes the mutants of the code as it is now)"
    )


def _apply(place: int, tree: ast.Module) -> None:
    mutations_of(tree)[place].apply(0)
