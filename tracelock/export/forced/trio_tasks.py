"""The gate of trio: the same of tasks that nurseries start."""

import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, NoReturn

import trio

from tracelock.export.forced.running import ForcedRun
from tracelock.export.forced.tasks import TaskGate

#: What tasks of workers are called that are there from the start.
OWN = "a worker of a forced program"


class TrioGate(TaskGate, trio.abc.Instrument):
    """A ``TaskGate`` of one run of trio, which tells it of each task before that makes a step."""

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        worker = None if task.name == OWN else self.child(self.running)
        if worker is not None:
            task.coro = self.gated(worker, task.coro)  # type: ignore[assignment]

    def pause(self) -> Generator[Any, Any, None]:
        # a cancellation waits for the task's own next wait, as it does for one that is ready
        yield from trio.lowlevel.cancel_shielded_checkpoint().__await__()

    def run_alone(self, worker: str, coro: Coroutine[Any, Any, Any]) -> None:
        async def alone() -> None:
            await self.gated(worker, coro)

        trio.run(alone, instruments=[self])


class TrioRun(ForcedRun):
    """A ``ForcedRun`` whose workers are tasks of trio."""

    def tasks(
        self, setup: Callable[..., Any] | None,
        workers: dict[str, tuple[Callable[..., Any], list[Any]]], check: Callable[..., Any] | None,
    ) -> NoReturn:  # fmt: skip
        """Run each worker in a task of one nursery."""
        assert isinstance(self.gate, TrioGate)
        trio.run(self.loop, setup, workers, check, instruments=[self.gate])
        raise AssertionError("unreachable")

    async def loop(
        self, setup: Callable[..., Any] | None,
        workers: dict[str, tuple[Callable[..., Any], list[Any]]], check: Callable[..., Any] | None,
    ) -> None:  # fmt: skip
        self.begin()
        state: tuple[Any, ...] = ()
        if setup is not None:
            made = setup()
            state = (await made if inspect.isawaitable(made) else made,)
        async with trio.open_nursery() as nursery:
            for worker, (function, given) in workers.items():
                nursery.start_soon(self.work, worker, function, (*state, *given), name=OWN)
        await self.ask(check, state)

    async def work(self, worker: str, function: Callable[..., Any], given: tuple[Any, ...]) -> None:
        """One worker, whose exception ends no other one."""
        assert isinstance(self.gate, TrioGate)
        try:
            await self.gate.gated(worker, function(*given))
        except trio.Cancelled:
            raise
        except BaseException as error:
            self.caught(error)
