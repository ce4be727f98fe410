"""Who runs shards: this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tracelock.errors import UsageError
from tracelock.explore.spread import shards
from tracelock.explore.spread.shards import Flag, Shard, ShardResult, run_on, run_shard

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelock.explore.running import Runner
    from tracelock.explore.search import Progress
    from tracelock.explore.spread.coordinator import Submit

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


@contextmanager
def processes(count: int) -> Generator[Submit]:
    """``count`` processes of this machine. When it is left they are gone, whatever happened.

    They are spawned: a script that uses this has to keep what it does under
    ``if __name__ == "__main__":``.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    context = get_context("spawn")
    over = context.Event()
    pool = ProcessPoolExecutor(count, context, _in_worker, (over,))
    try:
        yield on(pool)
    finally:
        over.set()
        pool.shutdown(wait=True, cancel_futures=True)


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
