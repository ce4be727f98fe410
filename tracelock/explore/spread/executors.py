"""Who runs shards: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Generator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.verdicts import signal_name
from tracelock.errors import LimitReached, UsageError
from tracelock.explore.spread import shards
from tracelock.explore.spread.shards import Flag, Shard, ShardResult, run_on, run_shard

if TYPE_CHECKING:
    from tracelock.explore.running import Runner
    from tracelock.explore.search import Progress
    from tracelock.explore.spread.coordinator import Submit

#: What runs a shard where it is sent.
Run = Callable[[Shard], ShardResult]

#: How often processes may die before a search is given up.
DEATHS: Final = 3
#: Seconds in which processes end by themselves, and those in which SIGTERM ends them.
LEAVING: Final = 20.0
ENDING: Final = 5.0
#: Seconds after which it is known how a process has ended.
KNOWN: Final = 0.5
#: Seconds to wait for a cluster to answer.
ANSWER = 10.0


def here(runner: Runner, progress: Callable[[Progress], None] | None = None) -> Submit:
    """Runs each shard at once, in this process, with this runner."""

    def submit(shard: Shard) -> Future[ShardResult]:
        future: Future[ShardResult] = Future()
        future.set_result(run_on(runner, shard, progress))
        return future

    return submit


def on(executor: Executor, run: Run = run_shard) -> Submit:
    """Hands shards to any executor, where they are ``run``."""
    return lambda shard: executor.submit(run, shard)


class _Spawning(SpawnContext):
    """Processes that are spawned, and which these were."""

    def __init__(self) -> None:
        self.made: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        process = SpawnProcess(*args, **kwargs)
        self.made.append(process)
        return process


class Processes:
    """``count`` processes of this machine. When it is left they are gone, whatever happened.

    They are spawned: a script that uses this has to keep what it does under
    ``if __name__ == "__main__":``. Where one dies all are started anew: ``tell`` is called with
    how it died. ``run``: what runs a shard there. ``cores``: those that they may use (none: those
    of this process). ``deaths``: how often that may happen (``DEATHS``).
    """

    def __init__(
        self, count: int, tell: Callable[[str], None], run: Run = run_shard,
        cores: frozenset[int] = frozenset(), deaths: int | None = None,
    ) -> None:  # fmt: skip
        self._count = count
        self._tell = tell
        self._run = run
        self._cores = cores
        self._most = DEATHS if deaths is None else deaths
        self._deaths = 0

    def __enter__(self) -> Processes:
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _start(self) -> None:
        from concurrent.futures import ProcessPoolExecutor

        self._context = _Spawning()
        self._over = self._context.Event()
        self._pool = ProcessPoolExecutor(
            self._count, self._context, _in_worker, (self._over, self._cores, self._count)
        )

    def _end(self) -> list[int]:
        """End all processes. The exit statuses of those that were not made to end.

        The executor is not waited for: in 3.11 it does not end a process that is started while it
        learns that another one has died, and then waits for it for ever.
        """
        self._over.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        left = [process for process in self._context.made if process.pid is not None]
        end = monotonic() + LEAVING
        while left and monotonic() < end and not any(process.exitcode for process in left):
            left[0].join(0.1)
            left = [process for process in left if process.exitcode != 0]
        codes = self._codes()
        end = monotonic() + KNOWN  # of the first to die it may be known later than of those it took
        while codes and not any(map(_by_itself, codes)) and monotonic() < end:
            sleep(0.01)
            codes = self._codes()
        for act in (SpawnProcess.terminate, SpawnProcess.kill):
            for process in left:
                act(process)
            end = monotonic() + ENDING
            for process in left:
                _join(process, end)
        return codes

    def _codes(self) -> list[int]:
        return [process.exitcode for process in self._context.made if process.exitcode]

    def submit(self, shard: Shard) -> Future[ShardResult]:
        """Hand a shard out. Raises BrokenExecutor where a process has died."""
        try:
            return self._pool.submit(self._run, shard)
        except (OSError, ValueError) as error:  # 3.11 closes its pipes while it starts another one
            if self._died():
                raise BrokenExecutor(str(error)) from error
            raise

    def _died(self) -> bool:
        """Whether a process has died. How it ended may be known to the executor's thread first, and
        here a moment later."""
        end = monotonic() + KNOWN
        while not self._codes():
            if monotonic() > end:
                return False
            sleep(0.01)
        return True

    def restart(self) -> None:
        """Have new processes, nobody having died: those that there are have run what they had."""
        self._end()
        self._start()

    def renew(self) -> None:
        """A process has died. Raises LimitReached where that happens again and again."""
        how = _how(self._end())
        self._deaths += 1
        if self._deaths > self._most:
            raise LimitReached(
                f"a process that ran a part of the search {how}, as others did before: the search "
                "was given up (fewer --jobs need less memory)"
            )
        self._tell(f"a process that ran a part of the search {how}: others searched that part")
        self._start()


def _join(process: SpawnProcess, end: float) -> None:
    """Wait until it is known that the process has ended, at most until ``end``.

    The executor's thread waits for it, too. Where that one has asked the system and has not yet
    written down what it was told, ``join`` returns at once, and knows nothing.
    """
    while process.is_alive() and (left := end - monotonic()) > 0:
        process.join(left)
        sleep(0.001)


def _by_itself(code: int) -> bool:
    """Whether a process ended like that without the executor, which ends the others by SIGTERM."""
    return code != -signal.SIGTERM


def _how(codes: list[int]) -> str:
    """How the first process died."""
    code = next(filter(_by_itself, codes), next(iter(codes), None))
    if code is None:  # it was gone before it was known
        return "died"
    return f"was killed by {signal_name(-code)}" if code < 0 else f"died (exit status {code})"


def _in_worker(over: Flag, cores: frozenset[int], count: int) -> None:
    """Set up a worker process: it neither ends by Ctrl-C nor outlives its parent, and has a core of
    its own where there are enough: each keeps its threads to one, which may else be the same."""
    from multiprocessing import current_process, parent_process

    signal.signal(signal.SIGINT, lambda *_: None)  # what runs schedules may have its own meanwhile
    shards._over = over
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(cores or os.sched_getaffinity(0))
        number = re.search(r"\d+$", current_process().name)  # as they are numbered by their parent
        if number is not None and count <= len(allowed):
            allowed = [allowed[int(number[0]) % len(allowed)]]
        os.sched_setaffinity(0, allowed)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    watching = threading.Thread(target=watch, daemon=True)
    watching._tracelock_own = True  # type: ignore[attr-defined]  # a fork may do without it
    watching.start()


@contextmanager
def dask(address: str, run: Run = run_shard) -> Generator[tuple[Submit, int]]:
    """The workers of the Dask cluster at ``address``, and how many threads they have in all.

    Raises UsageError where there is no cluster there, or Dask is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise UsageError("--dask needs Dask: pip install 'tracelock[dask]'") from error
    try:
        connect: Any = distributed.Client
        client: Any = connect(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"no Dask scheduler answers at {address}: {why}") from error
    try:
        width = sum(client.nthreads().values())
        if not width:
            raise UsageError(f"the Dask cluster at {address} has no workers")
        executor = client.get_executor()
        try:
            yield on(executor, run), width
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()
