"""Runs exported programs inside the tests: each in a namespace of its own, many side by side."""

from __future__ import annotations

import functools
import linecache
import multiprocessing
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

from tracelock.export.program import PlainProgram
from tracelock.scenario.language.models import Scenario

_numbers = count()

#: Seconds that a test in a process of its own may take.
_LONGEST: Final = 300


@dataclass
class Ran:
    """How a program ended: exit status, what it printed, and its shared variables."""

    status: int
    lines: list[str] = field(default_factory=list)
    values: tuple[Any, ...] = ()

    @property
    def kind(self) -> str:
        """The verdict that the program came to."""
        if self.status == 0:
            return "passed"
        if any(" waits" in line for line in self.lines):
            return "deadlock"
        return "failed"

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


def ran(source: str, plain: PlainProgram | None = None, scenario: Scenario | None = None,
        patience: float | None = None) -> Ran:  # fmt: skip
    """Execute a program's ``main`` here. ``patience``: seconds instead of its own."""
    if patience is not None:
        source = re.sub(r"^PATIENCE = \S+", f"PATIENCE = {patience}", source, flags=re.M)
    # the watchdog of a whole process is not for one of many in it
    source = re.sub(r"^ +faulthandler\..*\n", "", source, flags=re.M)
    file = f"<program {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    lines: list[str] = []
    space: dict[str, Any] = {
        "__name__": "program", "__file__": file,
        "print": lambda *parts, **_: lines.append(" ".join(map(str, parts))),
    }  # fmt: skip
    exec(compile(source, file, "exec", dont_inherit=True), space)
    status = space["main"]()
    values: list[Any] = []
    if plain is not None and scenario is not None:
        for name, initial in scenario.shared.items():
            value = space[plain.variables[name]]
            values += list(value) if isinstance(initial, list) else [value]
    linecache.cache.pop(file, None)
    return Ran(status, lines, tuple(values))


def in_a_child(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a forked process: a program that deadlocks leaves its threads behind, which
    would stay in the process of all tests that come after."""

    @functools.wraps(test)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        context = multiprocessing.get_context("fork")
        there, here = context.Pipe(duplex=False)

        def run() -> None:
            try:
                test(*args, **kwargs)
            except BaseException:
                here.send(traceback.format_exc())
            else:
                here.send("")

        child = context.Process(target=run, daemon=True)
        child.start()
        here.close()
        try:
            assert there.poll(_LONGEST), "the test does not end"
            told = there.recv()
        finally:
            child.kill()
            child.join()
        assert not told, told

    return wrapper
