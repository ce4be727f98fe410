"""The main function of a worker's process, and what it is given.

A process serves one worker of the scenario for many schedules. It dies with its parent, whatever
end that comes to: it waits at a pipe that only the parent can write to, and a thread of it watches
the parent's own sentinel for the case that it is busy or asleep elsewhere.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING, Any

from tracelock.backends.processes.store import SharedFile

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from tracelock.scenario.program import Program


@dataclass(slots=True)
class Setup:
    """What all workers of a program are given.

    ``program`` reaches a forked process only; any other compiles ``scenario``, plain data, itself.
    ``journals``, ``notes``: see ``processes_journal``; ``board``: ``processes_doing``. ``starts``,
    ``taken`` and ``ends``: for spawn and join in free runs, semaphores by worker (may it start;
    is it still to be started; has it ended). ``steps``: the most events of a worker in a free run.
    """

    program: Program | None
    scenario: Any
    objects: list[Any]
    store: SharedFile
    board: SharedFile
    journals: list[SharedFile]
    notes: list[SharedFile]
    starts: list[Any]
    taken: list[Any]
    ends: list[Any]
    steps: int


def main(setup: Setup, me: int, down: Connection, up: Connection, others: list[int]) -> None:
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
        from tracelock.backends.processes import wire

        text = traceback.format_exc()
        wire.send(up.fileno(), wire.pack((None, (wire.ERROR, text))))
    # without the interpreter's own good-byes: they would wait for the threads of queues
    os._exit(0)


def _serve(setup: Setup, me: int, down: int, up: int) -> None:
    from tracelock.backends.processes.control import Controlled
    from tracelock.backends.processes.store import Store
    from tracelock.backends.processes.wire import QUIT, RUN, receive_payload

    program = setup.program
    if program is None:
        from tracelock.scenario.language.models import Scenario
        from tracelock.scenario.program import Program

        program = Program(Scenario.model_validate(setup.scenario))
    store = Store(setup.store, program.layout.initial, me)
    controlled = Controlled(program, me, setup.objects, store, down, up)
    controlled.install()
    read, handle = os.read, controlled.handle
    while True:
        word = read(down, 1)
        if word == RUN:
            from tracelock.backends.processes.running import Running

            controlled.remove()
            Running(setup, program, me, store, controlled.out, up).run(receive_payload(down))
            controlled.install()
        elif not word or word == QUIT:
            return
        else:
            handle(word)


def _die_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
