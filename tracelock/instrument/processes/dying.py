"""A worker that ends the whole process ends its schedule, and with it nothing else.

``os._exit``, ``os.abort`` and a signal that kills are seen before they are done, where the code
that asks for them is Python's. What dies in C is for ``isolation``.
"""

from __future__ import annotations

import os
import signal
from typing import Any, Final

from tracelock.engine.verdicts import EndOfProcess
from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase, ScheduleOver, contexts, get_ident
from tracelock.instrument.patching import CONTROLLED, replace
from tracelock.instrument.processes.remote import RemoteWorker
from tracelock.instrument.worker import Worker
from tracelock.ops import CHECKPOINT, Op

#: Signals that do not end a process if nobody has said what they are to do.
_HARMLESS: Final = frozenset(
    getattr(signal, name, None)
    for name in ("SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGSTOP", "SIGTSTP", "SIGTTIN",
                 "SIGTTOU")
)  # fmt: skip
_KNOWN: Final = frozenset(map(int, signal.Signals))
_real_abort: Final = os.abort
_real_raise: Final = signal.raise_signal
_getsignal: Final = signal.getsignal


def dies(how: str) -> None:
    """The process is about to end, as ``how`` says ("": it is not). Where a worker of this process
    has asked for it, its schedule ends instead: raises ScheduleOver."""
    worker: Worker | None = contexts.get(get_ident())
    if not how or worker is None:
        return
    if isinstance(worker, RemoteWorker):
        worker.ends_itself()
        return
    hub = worker.hub
    if hub.phase is Phase.UNWIND:
        raise ScheduleOver
    controller = hub.controller
    number = worker.number if hub.phase is Phase.RUN else -1
    where = ", in the check" if hub.phase is Phase.CHECK else ""
    controller.crashed.append((number, EndOfProcess(how + where)))
    controller.limit = how  # no step comes after this
    hub.to_launch.clear()
    worker.step(Op(CHECKPOINT, -1, caller(worker)))


def killed_by(number: int) -> str:
    """How a process ends that gets this signal, "" where it goes on."""
    if number in _HARMLESS or number not in _KNOWN:
        return ""
    if number != signal.SIGKILL and _getsignal(number) not in (signal.SIG_DFL, None):
        return ""
    return EndOfProcess.by_signal(number)


def abort() -> Any:
    """``os.abort``."""
    dies(EndOfProcess.by_signal(signal.SIGABRT))
    _real_abort()


def raise_signal(number: int, /) -> None:
    """``signal.raise_signal``."""
    dies(killed_by(number))
    worker: Any = contexts.get(get_ident())
    account = None if worker is None else worker.hub.account
    if account is not None:  # a handler runs when the interpreter likes
        account.account.outside.add("signal.raise_signal")
    _real_raise(number)


replace("os.abort", abort, CONTROLLED)
replace("signal.raise_signal", raise_signal, CONTROLLED)
