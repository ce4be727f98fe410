"""``python -m tests.system.soaking MODULES TESTS``: CPython's own tests, on rewritten modules.

Every thread is under a context that lets each access happen. Prints one JSON line: tests run,
points made, what failed, what could not be rewritten.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import unittest
from typing import Any

from tests.helpers.watching import SilentContext
from tracelock.instrument.accesses import functions, hooks, stand_ins
from tracelock.instrument.rewrite.loading import Instrumentation
from tracelock.instrument.rewrite.sites import Site


class Counting(SilentContext):
    points = 0

    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        self.points += 1


class Everyone(dict[int, Any]):
    """A table of contexts that has one for every thread."""

    def __init__(self, context: Counting) -> None:
        super().__init__()
        self.context = context

    def __bool__(self) -> bool:
        return True

    def get(self, key: int, default: object = None) -> Any:
        return self.context


def main() -> None:
    modules, tests = (argument.split(",") for argument in sys.argv[1:3])
    for name in (*modules, *tests):
        importlib.import_module(name)
    suite = unittest.defaultTestLoader.loadTestsFromNames(tests)
    counting = Counting()
    with Instrumentation([*modules, *tests]) as made:
        for module in (hooks, stand_ins, functions):
            module.contexts = Everyone(counting)  # type: ignore[attr-defined]
        with contextlib.redirect_stdout(io.StringIO()):
            result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)
    bad = [*result.failures, *result.errors]
    answer = {
        "run": result.testsRun,
        "points": counting.points,
        "failed": sorted(test.id() for test, _ in bad),
        "texts": [text for _, text in bad][:3],
        "notes": made.notes,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
