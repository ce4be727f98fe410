"""The gate of asyncio: tasks make their steps in the order of the schedule.

A task is wrapped in a coroutine that hands its steps on when their turn has come and goes back into
the queue of the loop until then. Nothing of the loop is replaced but its task factory.
"""

import asyncio
import contextlib
import time
import types
from collections.abc import Coroutine, Generator
from typing import Any

from tracelock.export.forced.gate import LineGate, Step


class TaskGate(LineGate):
    """A ``LineGate`` whose workers may be tasks of one event loop, too."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.running = ""  # the worker whose task makes a step
        self.quiet = (0, 0.0)  # moves of all when they were last looked at, and when that was
        self.turns = {step.worker for step in self.steps if step.how in ("turn", "later")}

    def here(self) -> str:
        return self.running

    def patch_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let tasks that workers start be workers, too."""
        loop.set_task_factory(self.make)  # type: ignore[arg-type]

    def make(
        self, loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **given: Any
    ) -> asyncio.Task[Any]:
        given.pop("eager_start", None)
        worker = self.child(self.running)
        return asyncio.Task(
            coro if worker is None else self.gated(worker, coro), loop=loop, **given
        )

    def task(self, worker: str, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """The task of a worker that is there from the start."""
        return asyncio.Task(self.gated(worker, coro), loop=asyncio.get_running_loop())

    async def gated(self, worker: str, coro: Coroutine[Any, Any, Any]) -> Any:
        return await self.stepped(worker, coro)

    def run_alone(self, worker: str, coro: Coroutine[Any, Any, Any]) -> None:
        """Run one worker in a loop of its own."""

        async def alone() -> None:
            self.patch_loop(asyncio.get_running_loop())
            await self.task(worker, coro)

        asyncio.run(alone())

    def pause(self) -> Generator[Any, Any, None]:
        """Wait for the next round of the loop."""
        yield

    @types.coroutine
    def stepped(self, worker: str, coro: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                rounds = 0
                while not self.may_step(worker, rounds):
                    rounds += 1
                    try:
                        yield from self.pause()
                    except GeneratorExit:
                        coro.close()
                        raise
                    except BaseException as thrown:  # cancelled: told when its turn has come
                        error = thrown
                step, before = self.turn_begins(worker), self.running
                self.running = worker
                try:
                    got = coro.send(value) if error is None else coro.throw(error)
                except StopIteration as end:
                    return end.value
                finally:
                    self.running = before
                    self.turn_ends(step)
                value = error = None
                try:
                    value = yield got
                except GeneratorExit:
                    coro.close()
                    raise
                except BaseException as thrown:
                    error = thrown
        finally:
            with self.condition:
                self.over(worker)

    def may_step(self, worker: str, rounds: int) -> bool:
        """Whether the next step of a task may be made, after so many rounds of the loop."""
        if self.lost or worker not in self.turns:
            return True
        with self.condition:
            steps, at = self.own[worker], self.next.get(worker, 0)
            if at >= len(steps):
                free = worker in self.ending or self.first >= len(self.steps)
            else:
                free = self.first >= steps[at].number and rounds >= (steps[at].how == "later")
            if free:
                return True
            moves, since = self.quiet
            now = time.monotonic()
            if moves != self.moves:
                self.quiet = self.moves, now
            elif now - since > self.patience and rounds > 20:
                self.lose(self.awaited())
            return False

    def turn_begins(self, worker: str) -> Step | None:
        with self.condition:
            self.moves += 1
            at = self.next.get(worker, 0)
            steps = self.own.get(worker, [])
            if at >= len(steps):
                return None
            self.next[worker] = at + 1
            return steps[at]

    def turn_ends(self, step: Step | None) -> None:
        with self.condition:
            self.moves += 1
            if step is not None:
                self.finish(step)


def close_quietly(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop on which tasks are left that will never end."""
    with contextlib.suppress(RuntimeError):
        loop.run_until_complete(loop.shutdown_asyncgens())
    loop.set_exception_handler(lambda loop, context: None)
    loop.close()
