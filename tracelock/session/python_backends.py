"""Which backend runs real code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracelock.errors import UsageError

if TYPE_CHECKING:
    from tracelock.instrument.program import PythonProgram
    from tracelock.session.exploring import Plan


def make_python_backend(program: PythonProgram, plan: Plan) -> Any:
    """The backend of that name for real code. Raises UsageError for one that there is not."""
    if plan.backend == "threading":
        from tracelock.instrument.threads.backend import ThreadBackend

        return ThreadBackend(program, plan.limits)
    if plan.backend == "multiprocessing":
        from tracelock.backends.rules import MULTIPROCESSING_RULES
        from tracelock.instrument.processes.backend import ProcessBackend

        return ProcessBackend(program, plan.limits, MULTIPROCESSING_RULES)
    if plan.backend == "asyncio":
        from tracelock.instrument.loops.asyncio_backend import AsyncioLoopBackend

        return AsyncioLoopBackend(program, plan.limits)
    if plan.backend == "trio":
        from tracelock.instrument.loops.trio_backend import TrioLoopBackend

        return TrioLoopBackend(program, plan.limits)
    raise UsageError(
        f"unknown backend {plan.backend!r} for Python code: it is one of threading, "
        "multiprocessing, asyncio, trio"
    )
