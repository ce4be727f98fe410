"""The main function of a worker's process.

A process serves one worker of the scenario for many schedules. It dies with its parent, whatever
end that comes to: it waits at a pipe that only the parent can write to, and a thread of it watches
the parent's own sentinel for the case that it is busy or asleep elsewhere.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection

from tracelock.backends.processes import wire
from tracelock.backends.processes.setup import WorkerSetup


def main(setup: WorkerSetup, me: int, down: Connection, up: Connection, others: list[int]) -> None:
    """Serve worker ``me`` until told to quit. ``others``: handles of siblings to give up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    for fd in others:
        os.close(fd)
    threading.Thread(target=_die_with_parent, name="tracelock-parent", daemon=True).start()
    try:
        _serve(setup, me, down.fileno(), up.fileno())
    except (EOFError, BrokenPipeError):
        pass
    except BaseException:
        text = traceback.format_exc()
        wire.send(up.fileno(), wire.message(None, (wire.ERROR, text)))
    # without the interpreter's own good-byes: they would wait for the threads of queues
    os._exit(0)


def _serve(setup: WorkerSetup, me: int, down: int, up: int) -> None:
    from tracelock.backends.processes.control import GrantedWorker
    from tracelock.backends.processes.store import VariableStore

    program = setup.program
    if program is None:
        from tracelock.scenario.language.models import Scenario
        from tracelock.scenario.program import Program

        program = Program(Scenario.model_validate(setup.scenario))
    store = VariableStore(setup.store, program.layout.initial, me)
    controlled = GrantedWorker(program, me, setup.objects, store, down, up)
    controlled.install()
    read, handle = os.read, controlled.handle
    while True:
        word = read(down, 1)
        if word == wire.RUN:
            from tracelock.backends.processes.free_worker import FreeWorker

            controlled.remove()
            free = FreeWorker(setup, program, me, store, controlled.out, up)
            free.run(wire.receive_payload(down))
            controlled.install()
        elif not word or word == wire.QUIT:
            return
        else:
            handle(word)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
