"""The program that the arguments of ``explore`` describe, and the bounds of its schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from tracelock.engine.limits import RunLimits
from tracelock.errors import UsageError
from tracelock.instrument.program import PythonProgram, module_of

STEPS: Final = 20_000
STALL: Final = 5.0


def default_limits() -> RunLimits:
    """The bounds of one schedule of real code."""
    return RunLimits(steps=STEPS, stall=STALL)


def make_program(
    workers: Sequence[Callable[..., Any]],
    setup: Callable[[], Any] | None,
    check: Callable[..., Any] | None,
    instrument: Sequence[str] | None,
    expected_errors: Sequence[type[BaseException]] = (),
    cancellations: int = 0,
    gc: bool | int = False,
    source: dict[str, Any] | None = None,
    name: str = "",
) -> PythonProgram:
    """The program that these arguments describe. Raises UsageError where they make no sense.

    Where ``instrument`` is None it is the modules in which the workers were written.
    """
    if isinstance(instrument, str):
        raise UsageError(f"instrument is a list of modules: instrument=[{instrument!r}]")
    if cancellations < 0:
        raise UsageError("cancellations is how many a schedule may have: 0 or more")
    modules: list[str] = []
    if instrument is None:
        for work in workers:
            found = module_of(work)
            if found is not None and found not in modules:
                modules.append(found)
    else:
        modules = list(instrument)
    return PythonProgram(
        list(workers), setup, check, modules, tuple(expected_errors), int(gc), cancellations,
        name or module_of(workers[0] if workers else None) or "python", dict(source or {}),
    )  # fmt: skip
