"""What may stand on the command line of ``tracelock teeth``. Imports nothing of substance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tracelock.cli.usage.parsers import one_of
from tracelock.cli.usage.values import named, positive

#: As ``tracelock.teeth`` has them, which would take too long to import; a test holds them together.
CHANGES = ("removed", "narrowed", "swapped", "replaced", "widened")
_Row = TypeVar("_Row")


def teeth_rows(
    value: Callable[..., _Row], flag: Callable[..., _Row], number: Callable[..., _Row]
) -> tuple[_Row, ...]:
    """The arguments of ``teeth``, of which the given functions make rows."""
    several: dict[str, Any] = {"action": "append", "default": []}
    return (
        value("subject", "TEST|SCENARIO|CLASS",
              "a test (tests/test_bank.py::test_add), a function that is a whole program "
              "(module:function), a scenario (a file or @NAME), or a class, whose audit is the "
              "test (module:Class)"),
        value("--module", "MODULE,...", "change the locks of these modules, and of no others",
              type=named),
        value("--change", "KIND", "make changes of this kind alone; may be repeated: "
              f"{', '.join(CHANGES)}", type=one_of(CHANGES), choices=CHANGES, **several),
        value("--seconds", "S", "for everything (60); each change has its share of what is left",
              type=positive, default=60.0),
        value("--backend", "BACKEND", "of a function or a scenario: what runs it; of a class: see "
              "audit", default=""),
        value("--init", "EXPR", "of a class: how one is made, see audit"),
        value("--methods", "A,B,...", "of a class: those to look at (all public ones)",
              type=named),
        value("--before", "A,B,...", "of a class, with --methods: see audit", type=named,
              default=[]),
        number("--calls", "of a class: calls of each worker (1: pairs alone)", default=1),
        value("--contract", "[METHOD=]WORD", "of a class: what is promised, see audit", **several),
        value("--ignore", "FIELD", "of a class: do not compare this field of results", **several),
        value("--strategy", "NAME=EXPR", "of a class: values for a parameter, see audit",
              **several),
        value("--invariant", "EXPR", "of a class: of the object 'it', see audit"),
        flag("--audit", "of a test: audit the class of each lock that it would not miss, too; its "
             "methods are called with arguments made up"),
        number("--jobs", "so many changes of Python code are tried at the same time (1)",
               default=1),
        flag("--allow-call", "let a scenario run the Python code that it names"),
    )  # fmt: skip
