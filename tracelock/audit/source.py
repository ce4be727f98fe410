"""Calls as the text of a module, which is imported and looked into like any other."""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

from tracelock.audit import results
from tracelock.audit.reading import AuditedClass, MethodCall
from tracelock.errors import UsageError

#: Names that the texts have besides those of the module of the class.
_OWN = {"it", "give_seven", "items_of", "THING", "OTHER", "within", "rest", "pause"}


def imports_for(subject: AuditedClass, texts: Iterable[str]) -> list[str]:
    """The import statements for the names in some texts. Raises UsageError for a text that is no
    expression, and for a name that is not known."""
    wanted: set[str] = set()
    for text in texts:
        try:
            tree = ast.parse(text, mode="eval")
        except SyntaxError as error:
            raise UsageError(f"{text!r} is no expression of Python: {error.msg}") from None
        bound = {
            node.id if isinstance(node, ast.Name) else node.arg
            for node in ast.walk(tree)
            if isinstance(node, ast.arg)
            or (isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load))
        }
        wanted |= {
            node.id for node in ast.walk(tree) if isinstance(node, ast.Name)
        } - bound  # fmt: skip
    wanted -= _OWN | set(subject.given) | set(dir(builtins))
    home = sys.modules[subject.module]
    lines = []
    for name in sorted(wanted):
        if hasattr(home, name):
            lines.append(f"from {subject.module} import {name}")
        elif importlib.util.find_spec(name) is not None:
            lines.append(f"import {name}")
        else:
            raise UsageError(f"{name} is neither a name of {subject.module} nor a module")
    return lines


def results_text() -> str:
    """The text of ``results``, without what is said of it as a file."""
    text = inspect.getsource(results)
    first = ast.parse(text).body[1]
    return "\n".join(text.split("\n")[first.lineno - 1 :]).rstrip() + "\n"


def ignoring(ignore: Iterable[str]) -> str:
    """The statement that leaves fields of results out, "" where there are none."""
    names = sorted(set(ignore))
    return f"\nIGNORED = frozenset({names!r})\n" if names else ""


def module_text(
    subject: AuditedClass, calls: Sequence[MethodCall], ignore: Iterable[str] = ()
) -> str:
    """A module that makes an object and has a function for each call, in the list ``CALLS``."""
    imports = imports_for(subject, [subject.init, *(one.source for one in calls)])
    parts = [
        f'"""Calls of {subject.name}, written by tracelock audit."""\n', results_text(),
        ignoring(ignore),
        "\n".join(imports), f"\n\ndef make():\n    return {subject.init}\n",
    ]  # fmt: skip
    for number, call in enumerate(calls):
        parts.append(f"\n\ndef call_{number}(it):\n    return {call.source}\n")
    names = ", ".join(f"call_{number}" for number in range(len(calls)))
    return "\n".join([*parts, f"\n\nCALLS = [{names}]\n"])


@contextmanager
def imported(folder: str, name: str, text: str) -> Iterator[ModuleType]:
    """A module of this text, written to ``folder``; it is importable as long as this lasts."""
    path = os.path.join(folder, f"{name}.py")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    place = os.path.abspath(folder)
    sys.path.insert(0, place)
    try:
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        yield importlib.import_module(name)
    finally:
        sys.modules.pop(name, None)
        sys.path.remove(place)
