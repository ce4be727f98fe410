"""``run``, ``explore`` and ``replay`` as they are called from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracelock.engine.limits import RunLimits
from tracelock.errors import UsageError
from tracelock.schedulers.base import Scheduler
from tracelock.session.plan import SECONDS, Plan, Settings, Spreading
from tracelock.session.replaying import ReplayResult, replay_target
from tracelock.session.running import run_target
from tracelock.session.targets import target_for, target_of
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.explored import Explored


def run(
    scenario: Scenario,
    *,
    backend: str | None = None,
    strategy: str | Scheduler | None = None,
    seed: int | None = None,
    clock: str = "virtual",
    start_method: str | None = None,
    allow_call: bool = False,
    limits: RunLimits | None = None,
) -> Trace:
    """Run a scenario once and return its trace.

    ``backend``: ``threading`` (the default), ``multiprocessing``, ``asyncio``, ``trio`` or
    ``simulated``.
    ``strategy``: None for a free run, in which the operating system or the event loop chooses;
    ``random`` (with ``seed``) or ``round-robin`` for a controlled one. ``clock``: of a
    controlled run, ``virtual`` or ``adversarial``. ``start_method``: ``fork``, ``spawn`` or
    ``forkserver``, of processes. ``allow_call``: whether ``call`` steps, which run Python code,
    may do so. A scenario of Python code is always run by a strategy (``random`` where none is
    named). A failure of the scenario is a verdict, not an exception.

    Raises ScenarioError for an unsound scenario, UnsupportedError where the backend cannot do a
    step, UsageError for arguments that make no sense, InternalError (ModelMismatch) where
    tracelock contradicts itself.
    """
    settings = Settings(backend or "", strategy, seed, clock, start_method, allow_call, limits)
    return run_target(scenario, settings)


def explore(
    scenario: Scenario | None = None,
    *,
    setup: Callable[[], Any] | None = None,
    workers: Sequence[Callable[..., Any]] = (),
    check: Callable[..., Any] | None = None,
    always: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
    instrument: Sequence[str] | str | None = None,
    expected_errors: Sequence[type[BaseException]] = (),
    cancellations: int | None = None,
    cancellable: Sequence[Callable[..., Any] | str | int] | None = None,
    gc: bool | int = False,
    faults: int | None = None,
    network: Mapping[str, Any] | None = None,
    crash_consistency: bool | Mapping[str, Any] | None = None,
    recover: Callable[..., Any] | None = None,
    outside: str | None = None,
    backend: str | None = None,
    strategy: str | Scheduler = "auto",
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
    isolation: str = "auto",
    interpreter: str | None = None,
    forecast: bool = False,
) -> Explored:
    """Search the schedules of a scenario, or of real Python code, for one that goes wrong.

    Python code: ``setup()`` makes what the workers share, anew for each schedule; each of
    ``workers`` (callables, or coroutine functions) is called with it (with nothing where there is
    no ``setup``); ``check`` is called with it when they have ended, and raises or returns False
    on the bug. ``always``: a function, or some, of which each is called with it too, before the
    first step and after each step that changed something that it had read, and raises or returns
    False on the bug (see ``tracelock.always``). ``instrument``: names of modules whose shared
    accesses are scheduling points, with all that is below them, besides those in which the workers
    were written and those of your own project that they lead to or run. ``["only", "bank"]``: these
    and no others; an empty list: none at all. ``"all"``: every module in Python that the workers
    execute. ``expected_errors``: exceptions that may end a worker. ``cancellations``: how many of
    its awaits a schedule may cancel, in each of the ways that the library has (``Task.cancel()``, a
    deadline that comes early, a cancel scope); ``cancellable``: those of which workers (functions,
    names or numbers; one cancellation where ``cancellations`` is not given), see also
    ``tracelock.cancellable``. ``gc``: whether a garbage collection may come at any step (a number:
    so many). ``faults``: how many faults of the network between its sockets a schedule may have;
    ``network``: ``kinds``, those that it may have (of ``refused``, ``timed out``, ``reset``,
    ``half-closed``, ``slow reader``, ``delay``, ``partition``, ``crash``, ``unresolved``, ``lost``,
    ``doubled``, ``reordered``), and ``splits``, how many reads of each
    direction of a connection give less than has come (1, as every program has to stand that).
    ``crash_consistency``: whether the machine may crash, once in a schedule, at any operation on
    files, which loses what was not synced: the files are then one of the states that may be left
    (a table: ``states``, how many are tried at each point, 256 at most and by default; ``block``,
    how many bytes of a file are written at once, 512; ``machine``, False where only hosts with a
    disk of their own crash); ``recover`` is called then, with what
    ``setup`` returned, in the place of ``check``, and raises or returns False on the bug (see also
    ``tracelock.after_crash``).
    ``outside``: what comes of calls to what no worker serves: ``refused`` (the default: sockets
    and names end the schedule, which is unfinished; subprocesses and files are used for real, and
    named), or ``real``: they are made, and what was answered is recorded in the trace, whose
    replay needs nothing outside. Nothing is ``verified`` then.
    ``schedules`` is 1,000 there unless given.

    ``backend``: ``threading``, ``multiprocessing``, ``asyncio`` or ``trio`` (default: threads, or
    asyncio for coroutine functions). ``strategy``: ``auto``, ``random``, ``pct``, ``pos``,
    ``surw``, ``preemption``, ``delay``, ``dpor``, ``states`` (scenarios), or a Scheduler of your
    own. ``schedules``, ``seconds``: the budget (None: unbounded). ``seed``: of samplers. ``clock``:
    ``virtual``, or ``adversarial`` for timers that fire at any time. ``every``: do not stop at the
    first failure. ``shrink``: reduce a failing schedule to the smallest. ``confirm``: how often a
    failing trace is replayed before it is reported. ``first``: failing traces of earlier runs,
    tried before anything else. ``limits``: of each schedule. ``progress``: called ten times a
    second. ``isolation``: whether schedules of Python code run in forked processes, of which each
    may die, hang, or be left in disorder: ``always`` (what workers do to objects of the caller's
    is lost then), ``never``, or ``auto``, where that is needed. ``interpreter``: of threads of
    Python code, where another may come in: between ``any`` two accesses (what the language
    promises and free-threaded builds do), where ``this`` interpreter lets it, or where CPython 3.12
    with its GIL does (``gil-3.12``: of the running version alone). ``forecast``: explore it as this
    interpreter runs it, and then list what fails without the GIL (``Explored.forecast``);
    ``seconds`` are those of both. ``spreading``: processes, a Dask cluster or an executor that
    share the search (they import functions by their names), and a file to go on from. For scenarios
    alone: ``engine`` (``simulated``, or ``real``), ``allow_call``, ``start_method``.

    Raises ScenarioError, UnsupportedError or UsageError for what cannot be run as asked;
    InternalError where a failure that was found cannot be confirmed.
    """
    from tracelock.session.code import PythonCode
    from tracelock.session.exploring import explore_target

    code = PythonCode(
        workers,
        setup,
        check,
        instrument,
        expected_errors,
        cancellations,
        gc or None,
        cancellable,
        always,
        faults,
        network,
        crash_consistency,
        recover,
        outside,
    )
    target = target_for(scenario, code, allow_call=allow_call)
    plan = Plan(
        backend or "", strategy, seed, clock, start_method, allow_call, limits,
        engine="" if engine == "simulated" else engine,  # the default: the target's own
        schedules=target.schedules if schedules is None else schedules, seconds=seconds,
        every=every, shrink=shrink, confirm=confirm, spreading=spreading or Spreading(),
        isolation=isolation, interpreter=interpreter or "",
    )  # fmt: skip
    if forecast:
        from tracelock.session.interpreters.forecasting import forecast_target

        return forecast_target(target, plan, first, progress)
    return explore_target(target, plan, first, progress)


def replay(
    trace: Trace,
    *,
    setup: Callable[[], Any] | None = None,
    workers: Sequence[Callable[..., Any]] = (),
    check: Callable[..., Any] | None = None,
    always: Callable[..., Any] | Sequence[Callable[..., Any]] = (),
    instrument: Sequence[str] | str | None = None,
    expected_errors: Sequence[type[BaseException]] = (),
    recover: Callable[..., Any] | None = None,
    backend: str | None = None,
    allow_call: bool = False,
    start_method: str | None = None,
    limits: RunLimits | None = None,
    isolation: str = "auto",
    outside: str | None = None,
) -> ReplayResult:
    """Execute a trace again, event by event, on its own backend or another one.

    A trace of Python code needs the same ``setup``, ``workers``, ``check``, ``always`` and
    ``recover`` again, or with ``allow_call`` imports them by the names that are in the trace; what
    was instrumented is in the trace. Every event's worker, op, target and result are compared with
    the trace; the first that differs ends the replay (``diverged``). Where the code has changed
    since, ``notes`` says which file, and events are matched by function and access. ``outside``:
    ``recorded``, as where nothing is said, gives what the trace has for calls to the outside.
    Raises what ``explore`` raises, and TraceError where the trace does not go with what is given.
    """
    from tracelock.session.code import PythonCode

    if outside not in (None, "recorded"):
        raise UsageError(
            f"outside: a replay gives what was recorded: it is recorded, not {outside!r}"
        )
    code = PythonCode(
        workers,
        setup,
        check,
        instrument,
        expected_errors,
        always=always,
        recover=recover,
        outside=outside,
    )
    target = target_of(trace, code=code, allow_call=allow_call)
    settings = Settings(
        backend or "",
        start_method=start_method,
        allow_call=allow_call,
        limits=limits,
        isolation=isolation,
    )
    return replay_target(target, trace, settings)
