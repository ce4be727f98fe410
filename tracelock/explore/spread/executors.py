"""Who runs shards: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.verdicts import signal_name
from tracelock.errors import LimitReached, UsageError
from tracelock.explore.spread import shards
from tracelock.explore.spread.shards import Flag, Shard, ShardResult, run_on, run_shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelock.explore.running import Runner
    from tracelock.explore.search import Progress
    from tracelock.explore.spread.coordinator import Submit

#: How often processes may die before a search is given up.
DEATHS: Final = 3
#: Seconds to wait for a cluster to answer.
ANSWER = 10.0


def here(runner: Runner, progress: Callable[[Progress], None] | None = None) -> Submit:
    """Runs each shard at once, in this process, with this runner."""

    def submit(shard: Shard) -> Future[ShardResult]:
        future: Future[ShardResult] = Future()
        future.set_result(run_on(runner, shard, progress))
        return future

    return submit


def on(executor: Executor) -> Submit:
    """Hands shards to any executor."""
    return lambda shard: executor.submit(run_shard, shard)


class Processes:
    """``count`` processes of this machine. When it is left they are gone, whatever happened.

    They are spawned: a script that uses this has to keep what it does under
    ``if __name__ == "__main__":``. Where one dies all are started anew: ``tell`` is called with
    how it died.
    """

    def __init__(self, count: int, tell: Callable[[str], None]) -> None:
        self._count = count
        self._tell = tell
        self._deaths = 0
        self._children: set[Any] = set()

    def __enter__(self) -> Processes:
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()

    def _start(self) -> None:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        context = get_context("spawn")
        self._over = context.Event()
        self._pool = ProcessPoolExecutor(self._count, context, _in_worker, (self._over,))

    def _end(self) -> None:
        self._over.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, shard: Shard) -> Future[ShardResult]:
        """Hand a shard out. Raises BrokenExecutor where a process has died."""
        from multiprocessing import active_children

        future = self._pool.submit(run_shard, shard)
        self._children.update(active_children())
        return future

    def renew(self) -> None:
        """A process has died. Raises LimitReached where that happens again and again."""
        self._end()
        how = self._how()
        self._children.clear()
        self._deaths += 1
        if self._deaths > DEATHS:
            raise LimitReached(
                f"a process that ran a part of the search {how}, as others did before: the search "
                "was given up (fewer --jobs need less memory)"
            )
        self._tell(f"a process that ran a part of the search {how}: others searched that part")
        self._start()

    def _how(self) -> str:
        """How the first one died. The executor itself ends the others, by SIGTERM."""
        codes = [child.exitcode for child in self._children if child.exitcode]
        code = next((one for one in codes if one != -signal.SIGTERM), next(iter(codes), None))
        if code is None:  # it was gone before it was known
            return "died"
        return f"was killed by {signal_name(-code)}" if code < 0 else f"died (exit status {code})"


def _in_worker(over: Flag) -> None:
    """Set up a worker process: it neither answers Ctrl-C nor outlives its parent."""
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    shards._over = over
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def dask(address: str) -> Generator[tuple[Submit, int]]:
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
            yield on(executor), width
        finally:
            executor.shutdown(wait=False)
    finally:
        client.close()
