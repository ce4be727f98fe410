"""What is called at the end of a schedule: its check, or after a crash what recovers from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from tracelock.errors import UsageError
from tracelock.instrument.contexts import contexts
from tracelock.instrument.crashes.disk import disk_of
from tracelock.instrument.hub import Hub, Phase, get_ident
from tracelock.instrument.program import PythonProgram, name_of


def after_crash(function: Callable[[], Any]) -> None:
    """Have ``function()`` called on the files that a crash has left, should one come in what is run
    after this: what the program does when it is started again, and a check of what that finds. It
    raises, or returns False, on the bug.

    Called by what ``explore`` runs, its ``setup`` too, with ``crash_consistency``; several calls
    have all of these functions called, in order. Elsewhere it does nothing. Raises UsageError for
    what cannot be called.
    """
    if not callable(function):
        raise UsageError(f"after_crash: {function!r:.80} cannot be called")
    worker: Any = contexts.get(get_ident())
    if worker is None or worker.hub.phase not in (Phase.SETUP, Phase.RUN):
        return
    disk = disk_of(worker.hub)
    if disk is not None:
        disk.afterwards.append(function)


def final_checks(
    hub: Hub, program: PythonProgram, arguments: tuple[Any, ...]
) -> Iterator[tuple[str, str, Callable[..., Any], tuple[Any, ...]]]:
    """What is called when a schedule has come to its end: what that is, in words, its name, the
    function and its arguments. After a crash the files are what that has left of them."""
    disk = disk_of(hub)
    if disk is None or disk.crashed is None:
        if disk is not None:
            disk.compare()
        if program.check is not None:
            yield "the check", program.outcome.text, program.check, arguments
        return
    disk.materialise()
    after = "the recovery after the crash"
    for function in disk.afterwards:
        yield after, name_of(function), partial(_at_once, hub, function), ()
    if program.recover is not None:
        yield after, name_of(program.recover), partial(_at_once, hub, program.recover), arguments
    elif program.check is not None:
        check = partial(_at_once, hub, program.check)
        yield "the check", program.outcome.text, check, arguments


def _at_once(hub: Hub, function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` gives. It cannot be awaited: the loop that could is that of the program
    that has crashed, whose tasks would go on with it."""
    result = function(*arguments)
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        hub.error = UsageError(
            f"{name_of(function)} is to be awaited after a crash, when the loop is gone with the "
            "program: give recover= a plain function (a fixture that has something to await at its "
            "end cannot be used with crash_consistency)"
        )
        raise hub.error
    return result
