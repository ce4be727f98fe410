"""The audit of a class: clients for each pair of methods, then longer ones, within a time."""

from __future__ import annotations

import hashlib
import random
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import Any, Final

from tracelock.audit.clients import Contracts
from tracelock.audit.columns import cancelled, closed
from tracelock.audit.deadlines import deadline, pauses
from tracelock.audit.going import AuditOptions, Going, Progress
from tracelock.audit.judging import Oracle
from tracelock.audit.kinds import KINDS, TASKS, THREADS, check_backend
from tracelock.audit.longer import longer
from tracelock.audit.matrix import Audited
from tracelock.audit.modelled import ModelOracle, model_of
from tracelock.audit.planning import Planner
from tracelock.audit.reading import (
    MethodCall,
    calls_of,
    constructor,
    has_coroutines,
    is_named,
    with_limits,
)
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import modules_of, strategies_of, subject_of, try_init
from tracelock.audit.written import programs
from tracelock.errors import UsageError
from tracelock.history.contracts import check_contract
from tracelock.history.models.base import Sequential

#: Seconds of an audit unless told otherwise.
SECONDS: Final = 60.0
#: Schedules of one client.
SCHEDULES: Final = 2_000
#: More than this share does not count of what it took to put the process under control.
_OPENING: Final = 0.05
#: Until when pairs are explored, then what is asked of each method: shares of the time.
_PAIRS, _CLOSED, _CANCELLED, _DEADLINE = 0.6, 0.68, 0.82, 0.9
#: Calls of a longer client at most, and of one worker unless told otherwise.
_CALLS: Final = 2


def audit(
    cls: type | str, *, init: str | None = None, methods: Sequence[str] | None = None,
    before: Sequence[str] = (),
    calls: int = _CALLS, workers: int = 2, contract: str | Mapping[str, str] = "linearizable",
    ignore: Iterable[str] = (), strategies: Mapping[str, Any] | None = None,
    invariant: str | None = None, instrument: Sequence[str] = (), interpreter: str | None = None,
    tasks: bool | None = None, backend: str | None = None, model: str | Sequential | None = None,
    seconds: float = SECONDS, schedules: int = SCHEDULES, folder: str | None = None, seed: int = 0,
    progress: Progress | None = None,
) -> Audited:  # fmt: skip
    """Is this class thread-safe? Explore small clients of each pair of its public methods.

    ``cls``: the class, or ``module:Class`` (or another thing of a module, with ``init``). Each
    client makes an object, perhaps makes some calls, then calls one method on each of two threads,
    and looks at the object afterwards; every interleaving is tried, and what came back has to be
    what the same calls come to in some order, one after the other. Exceptions that come in no
    order, calls that never end and states that no order leads to are told as well. Then longer
    clients are drawn, of up to ``calls`` calls on each of ``workers`` threads.

    A class with coroutine functions is called by tasks of asyncio instead, and one thing more is
    asked of each method: whether it may be cancelled at each of its awaits, and the object is then
    as if the call had not been made, or had been made wholly, with nothing lost and nobody hung.
    Of calls with a limit of time it is asked what comes of it when that is over as another call is
    at work.

    ``init``: the text that makes an object, with the names of the module (``"LRU(2)"``); needed
    where nothing is known of an argument. ``methods``: those to look at (all public ones, and
    operators such as ``len``, ``in``, ``iter``); no others are called but those of ``before``,
    which may lead to the states to begin in. ``contract``: what is promised, one word of
    ``tracelock.history.contracts`` or one for each method. ``ignore``: names of fields and keys of
    results that are not compared (hit counts, times). ``strategies``: for a parameter, ``key`` or
    ``get.key``, the text of a list of values, a list, or a strategy of Hypothesis. ``invariant``:
    an expression about ``it`` that has to hold in the end as it does one call after the other.
    ``instrument``: further modules to look into, besides that of the class and its bases.
    ``interpreter``: see ``tracelock.explore``, of threads. ``tasks``: whether tasks call the
    methods, or threads (None: tasks if a public method is a coroutine function). ``backend``:
    ``threading``, ``asyncio`` or ``trio``, whose tasks they are then. ``model``: what
    the class is judged by in place of itself, a model of ``tracelock.history.models`` or its name
    (``queue``, ``lru(2)``; see ``tracelock.audit.modelled.MODELS``). ``seconds``: for all clients
    (programs of anomalies may take as much again), ``schedules``: of each client. ``folder``: where
    programs of anomalies are written (None: nowhere, and there is no trace of them). ``progress``:
    called with the clients done, those there are, and the anomalies; where it returns True, that
    is enough.

    Raises UsageError for a class that cannot be had or made, for unknown methods and words, and for
    a model that the class does not fit.
    """
    check_contract(contract)
    if seconds <= 0 or schedules < 1:
        raise UsageError("a budget has to be more than nothing")
    if not 1 <= calls <= 4 or not 2 <= workers <= 3:
        raise UsageError("longer clients have 1 to 4 calls on each of 2 or 3 workers")
    if backend is not None:
        check_backend(backend)
        if tasks is not None and tasks == (backend == THREADS.backend):
            raise UsageError(f"tasks={tasks} and backend={backend!r} contradict each other")
        tasks = backend != THREADS.backend
    judged_by = None if model is None else model_of(model)
    if judged_by is not None and invariant is not None:
        raise UsageError("an invariant is asked of the class, of which a model knows nothing")
    texts, given = strategies_of(strategies or {})
    subject = subject_of(cls, init, given, backend or "")
    subject.init = init or constructor(subject.cls, texts)
    try_init(subject, backend or "")
    wanted = None if methods is None else [*methods, *before]
    if tasks is None:
        tasks = has_coroutines(subject.cls)
    kind = KINDS[backend or (TASKS if tasks else THREADS).backend]
    subject.tasks = tasks
    if tasks and interpreter:
        raise UsageError("an interpreter is of threads: tasks go on at their awaits, on each one")
    found, missing = calls_of(subject, wanted, texts)
    rows = [one for one in found if methods is None or is_named(one, methods)]
    if not rows:
        raise UsageError(f"{subject.name} has no method that can be called: {missing}")
    checks = [] if invariant is None else [MethodCall("invariant", f"bool({invariant})")]
    # a model knows nothing of limits of time
    limited = {} if model is not None else with_limits(
        subject, {row: found[row] for row in rows}, texts
    )  # fmt: skip
    every = [step for listed_ in found.values() for one in listed_ for step in one.steps]
    every += [*checks, *(one for listed_ in limited.values() for one in listed_)]
    every += pauses(tasks) if limited else []
    name = f"audited_{hashlib.sha256(subject.name.encode()).hexdigest()[:8]}"
    instrumented = [*dict.fromkeys([*modules_of(subject), *instrument])]
    options = AuditOptions(
        Contracts(contract), tuple(ignore), seconds, schedules, interpreter or "", folder,
        monotonic(), random.Random(seed), progress,
    )  # fmt: skip
    audited = Audited(
        subject.name, subject.init, f"{kind.noun}s", None if model is None else str(model),
        kind.backend, methods=rows, missing=missing,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="tracelock-audit-") as place:
        text = module_text(subject, every, ignore)
        with imported(place, name, text) as module:
            for key, value in given.items():
                setattr(module, key, value)
            width = max(workers, kind.least)
            looked = [name, *instrumented]
            given_ = (subject.cls, module, every, width, looked, interpreter or "")
            with kind.bench(*given_) as bench:
                options.begun = max(options.begun, monotonic() - seconds * _OPENING)
                planner = Planner(bench, options.begun, module.numbered)
                oracle: Oracle = bench
                if judged_by is not None:
                    oracle = by_model = ModelOracle(judged_by, bench, module)
                    audited.missing.update(by_model.fit(found, methods is not None))
                    audited.methods = [one for one in rows if one in found]
                    options.contracts = Contracts(contract, (), by_model.any_order)
                going = Going(
                    kind, bench, subject, found, checks, options, audited, module, oracle, planner,
                    limited=limited,
                )  # fmt: skip
                going.pairs(_PAIRS)
                closed(going, _CLOSED)
                if tasks:
                    cancelled(going, _CANCELLED)
                deadline(going, _DEADLINE)
                if calls > 1 or workers > 2:
                    longer(going, calls, workers)
                audited.schedules = bench.schedules
    programs(going, instrumented)
    audited.seconds = monotonic() - options.begun
    return audited
