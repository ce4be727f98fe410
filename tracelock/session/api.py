"""``explore`` and ``replay`` as they are called from outside: of a scenario, or of Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tracelock.errors import UsageError
from tracelock.session.exploring import SECONDS
from tracelock.session.exploring import explore as explore_scenario
from tracelock.session.replaying import ReplayResult
from tracelock.session.replaying import replay as replay_scenario

if TYPE_CHECKING:
    from tracelock.engine.limits import RunLimits
    from tracelock.explore.search import Progress
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.explored import Explored
    from tracelock.session.spreading import Spreading
    from tracelock.trace import Trace

#: Schedules of Python code that are tried unless told otherwise.
SCHEDULES = 1_000


def explore(
    scenario: Scenario | None = None,
    *,
    setup: Callable[[], Any] | None = None,
    workers: Sequence[Callable[..., Any]] = (),
    check: Callable[..., Any] | None = None,
    instrument: Sequence[str] | None = None,
    expected_errors: Sequence[type[BaseException]] = (),
    cancellations: int = 0,
    gc: bool | int = False,
    backend: str | None = None,
    strategy: str = "auto",
    schedules: int | None = None,
    seconds: float | None = SECONDS,
    seed: int = 0,
    clock: str = "virtual",
    every: bool = False,
    shrink: bool = True,
    confirm: int = 3,
    engine: str = "simulated",
    first: Sequence[Trace] = (),
    limits: RunLimits | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    progress: Callable[[Progress], None] | None = None,
    spreading: Spreading | None = None,
) -> Explored:
    """Search the schedules of a scenario, or of real Python code, for one that goes wrong.

    Python code: ``setup()`` makes what the workers share, anew for each schedule; each of
    ``workers`` (callables, or coroutine functions) is called with it (with nothing where there is
    no ``setup``); ``check`` is called with it when they have ended, and raises or returns False
    on the bug. ``instrument``: names of modules whose shared accesses are scheduling points, with
    all that is below them (default: the modules in which the workers were written).
    ``expected_errors``: exceptions that may end a worker. ``cancellations``: how many of its awaits
    a schedule may cancel. ``gc``: whether a garbage collection may come at any step (a number: so
    many). ``schedules`` is 1,000 there unless given.

    ``backend``: ``threading``, ``multiprocessing``, ``asyncio`` or ``trio`` (default: threads, or
    asyncio for coroutine functions). ``strategy``: ``auto``, ``random``, ``pct``, ``pos``,
    ``surw``, ``preemption``, ``delay``, ``dpor``, or ``states`` (scenarios). ``schedules``,
    ``seconds``: the budget (None: unbounded). ``seed``: of samplers. ``every``: do not stop at the
    first failure. ``shrink``: reduce a failing schedule to the smallest. ``confirm``: how often
    a failing trace is replayed before it is reported. ``first``: failing traces of earlier runs,
    tried before anything else. ``limits``: of each schedule. For scenarios alone: ``engine``
    (``simulated``, or ``real``), ``allow_call``, ``start_method``, ``spreading``.

    Raises ScenarioError, UnsupportedError or UsageError for what cannot be run as asked;
    InternalError where a failure that was found cannot be confirmed.
    """
    if scenario is None:
        from tracelock.session.python import explore_python

        return explore_python(
            workers=workers, setup=setup, check=check, instrument=instrument, backend=backend,
            strategy=strategy, schedules=SCHEDULES if schedules is None else schedules,
            seconds=seconds, seed=seed, clock=clock, cancellations=cancellations, gc=gc,
            every=every, shrink=shrink, confirm=confirm, expected_errors=expected_errors,
            first=first, limits=limits, progress=progress,
        )  # fmt: skip
    if workers or setup is not None or check is not None:
        raise UsageError("a scenario has workers of its own: give the one or the other")
    if scenario.python is not None:
        from tracelock.session.python import explore_program
        from tracelock.session.python_named import program_of

        program = program_of(
            scenario, allow_call=allow_call, cancellations=cancellations or None, gc=gc or None,
            instrument=instrument, expected_errors=expected_errors,
        )  # fmt: skip
        return explore_program(
            program, backend=backend, strategy=strategy,
            schedules=SCHEDULES if schedules is None else schedules, seconds=seconds, seed=seed,
            clock=clock, every=every, shrink=shrink, confirm=confirm, first=first, limits=limits,
            progress=progress,
        )  # fmt: skip
    return explore_scenario(
        scenario, backend=backend or "threading", strategy=strategy, schedules=schedules,
        seconds=seconds, seed=seed, clock=clock, every=every, shrink=shrink, confirm=confirm,
        engine=engine, first=first, limits=limits, allow_call=allow_call,
        start_method=start_method, progress=progress, spreading=spreading,
    )  # fmt: skip


def replay(
    trace: Trace,
    *,
    setup: Callable[[], Any] | None = None,
    workers: Sequence[Callable[..., Any]] = (),
    check: Callable[..., Any] | None = None,
    instrument: Sequence[str] | None = None,
    expected_errors: Sequence[type[BaseException]] = (),
    backend: str | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    limits: RunLimits | None = None,
) -> ReplayResult:
    """Execute a trace again, event by event, on its own backend or another one.

    A trace of Python code needs the same ``setup``, ``workers`` and ``check`` again, or with
    ``allow_call`` imports them by the names that are in the trace; what was instrumented is in the
    trace. Every event's worker, op, target and result are compared with the
    trace; the first that differs ends the replay (``diverged``). Where the code has changed since,
    ``notes`` says which file, and events are matched by function and access. Raises what
    ``explore`` raises, and TraceError where the trace does not go with what is given.
    """
    python = trace.scenario.get("python")
    if workers or isinstance(python, dict):
        from tracelock.session.python_named import program_of_trace
        from tracelock.session.python_program import default_limits, make_program
        from tracelock.session.python_replaying import replay_python

        python = python if isinstance(python, dict) else {}
        if backend not in (None, trace.backend):
            raise UsageError(
                f"Python code is replayed on the backend that it was recorded on, {trace.backend}"
            )
        if not workers:
            if not allow_call:
                raise UsageError(
                    "this trace is of Python code: give its setup=, workers= and check= again, or "
                    "allow_call=True to import them by the names that the trace has"
                )
            program = program_of_trace(trace, allow_call=allow_call)
            return replay_python(trace, program, limits or default_limits())
        modules = python.get("instrument") if instrument is None else instrument
        program = make_program(
            workers, setup, check, modules, expected_errors,
            int(python.get("cancellations", 0)), int(python.get("collections", 0)),
        )  # fmt: skip
        return replay_python(trace, program, limits or default_limits())
    return replay_scenario(
        trace, backend=backend, allow_call=allow_call, start_method=start_method, limits=limits
    )
