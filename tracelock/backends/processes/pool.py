"""The pool: one process per worker of the scenario, kept across schedules.

With their objects, since those reach a process only when it starts. A pool that lost a process,
or was stopped in the middle of something, is thrown away as a whole.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import get_all_start_methods, get_context
from typing import Any, Final

from tracelock.backends.processes import objects as process_objects
from tracelock.backends.processes.setup import WorkerSetup
from tracelock.backends.processes.store import SharedFile
from tracelock.backends.processes.wire import QUIT
from tracelock.backends.processes.worker import main
from tracelock.errors import UsageError
from tracelock.scenario.program import Program

#: Seconds that an idle process gets to quit before it is killed.
PATIENCE: Final = 1.0


def start_method(wanted: str | None) -> str:
    """How processes are started: as ``wanted``, else by ``fork`` where that is safe, or ``spawn``.

    It is safe on Linux while this process has one thread only: a fork copies no other thread,
    but whatever locks they hold. Raises UsageError for a method that this platform lacks.
    """
    methods = get_all_start_methods()
    if wanted is not None:
        if wanted not in methods:
            raise UsageError(f"no start method {wanted!r} here: there are {', '.join(methods)}")
        return wanted
    safe = sys.platform == "linux" and threading.active_count() == 1
    return "fork" if safe and "fork" in methods else "spawn"


class ProcessPool:
    """Processes, their pipes, and everything that they share."""

    def __init__(self, program: Program, method: str, steps: int) -> None:
        self.method = method
        self.layout = program.layout
        count = len(self.layout.workers)
        ctx: Any = get_context(method)
        if method == "fork":  # so that no process has to import them again
            from tracelock.backends.processes import control, free_worker  # noqa: F401
        self._ctx = ctx
        self.setup = WorkerSetup(
            program=program if method == "fork" else None,
            scenario=None if method == "fork" else program.scenario.to_data(),
            objects=process_objects.make_objects(self.layout, ctx),
            store=SharedFile(append=True),
            board=SharedFile(),
            journals=[SharedFile() for _ in range(count)],
            notes=[SharedFile(append=True) for _ in range(count)],
            starts=[ctx.Semaphore(0) for _ in range(count)],
            taken=[ctx.Semaphore(1) for _ in range(count)],
            ends=[ctx.Semaphore(0) for _ in range(count)],
            steps=steps,
        )
        self.processes: list[Any] = [None] * count
        self.down = [-1] * count
        self.up = [-1] * count
        self.pollers = [select.poll() for _ in range(count)]  # for messages of each worker
        self.deaths = select.poll()  # says whose process has ended
        self._ends: list[list[Any]] = [[] for _ in range(count)]
        try:
            with hidden_main():
                for worker in range(count):
                    self.start(worker)
        except BaseException:
            self.kill()
            raise

    def start(self, worker: int) -> None:
        """Start the process of one worker."""
        for end in self._ends[worker]:
            self.unwatch(end.fileno())
            end.close()
        down_read, down_write = self._ctx.Pipe(duplex=False)
        up_read, up_write = self._ctx.Pipe(duplex=False)
        self._ends[worker] = [down_write, up_read]
        self.down[worker], self.up[worker] = down_write.fileno(), up_read.fileno()
        self.deaths.register(self.up[worker], 0)
        self.pollers[worker] = select.poll()
        self.pollers[worker].register(self.up[worker], select.POLLIN)
        # a forked process inherits every open file: it must not keep its siblings' pipes open
        mine = [end.fileno() for ends in self._ends for end in ends]
        process = self._ctx.Process(
            target=main,
            args=(self.setup, worker, down_read, up_write, mine if self.method == "fork" else []),
            name=f"tracelock:{self.layout.workers[worker].name}",
            daemon=True,
        )
        process.start()
        self.processes[worker] = process
        down_read.close()
        up_write.close()

    def unwatch(self, fd: int) -> None:
        """The death of the process at the other end of ``fd`` is known."""
        with contextlib.suppress(KeyError):
            self.deaths.unregister(fd)

    def alive(self, worker: int) -> bool:
        """Whether the process of ``worker`` lives."""
        return bool(self.processes[worker].is_alive())

    def exit_text(self, worker: int) -> str:
        """How the process of ``worker`` died."""
        process = self.processes[worker]
        process.join(PATIENCE)
        code = process.exitcode
        if code is not None and code < 0:
            return f"killed by signal {-code}"
        return f"ended with exit status {code}"

    def pids(self) -> list[int]:
        """The processes that live."""
        return [p.pid for p in self.processes if p is not None and p.is_alive()]

    def restore(self) -> bool:
        """Objects back to their initial state, while no worker uses them; False if they cannot."""
        setup = self.setup
        for wanted, semaphores in ((0, setup.starts), (1, setup.taken), (0, setup.ends)):
            for semaphore in semaphores:
                process_objects.bring_to(semaphore, wanted)
        return process_objects.restore(self.layout, setup.objects)

    def restart(self, workers: list[int]) -> None:
        """Start the processes of dead workers anew."""
        if workers:
            with hidden_main():
                for worker in workers:
                    self.processes[worker].join()
                    self.processes[worker].close()
                    self.start(worker)

    def close(self) -> None:
        """End every process; idle ones end by themselves."""
        for worker, process in enumerate(self.processes):
            if process is not None:
                with contextlib.suppress(OSError):
                    os.write(self.down[worker], QUIT)
        for process in self.processes:
            if process is not None:
                process.join(PATIENCE)
        self.kill()

    def stop(self) -> None:
        """End every process at once, whatever it is doing."""
        for process in self.processes:
            if process is not None and process.is_alive():
                process.kill()
        for process in self.processes:
            if process is not None:
                process.join()

    def abandon(self) -> None:
        """End every process at once, in a copy of the process that started them."""
        for pid in [process.pid for process in self.processes if process is not None]:
            with contextlib.suppress(OSError):
                end = os.pidfd_open(pid)  # keeps meaning this one
                os.kill(pid, signal.SIGKILL)
                select.select([end], [], [], PATIENCE)
                os.close(end)

    def kill(self) -> None:
        """End every process at once, and give up all that they shared."""
        self.stop()
        for worker, process in enumerate(self.processes):
            if process is not None:
                process.close()
            self.processes[worker] = None
        for ends in self._ends:
            for end in ends:
                end.close()
            ends.clear()
        setup = self.setup
        for file in (setup.store, setup.board, *setup.journals, *setup.notes):
            file.close()
        setup.objects = []


@contextlib.contextmanager
def hidden_main() -> Iterator[None]:
    """Keep ``multiprocessing`` from importing the caller's script again in each new process.

    Nothing of ours is in there, and a script without ``if __name__ == "__main__"`` would start
    over. It looks in ``sys.modules``; that is where another module stands in meanwhile.
    """
    module = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = module
