"""What a forced program runs: the functions or the test that its trace is of, behind the gate."""

import asyncio
import importlib
import inspect
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from tracelock.export.forced.gate import LineGate
from tracelock.export.forced.tasks import TaskGate

FAILED, UNUSABLE = 1, 2


def named(name: str) -> Any:
    """The object that ``module:path`` names."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


class ForcedRun:
    """One run behind a gate. ``bound``: seconds without any step after which those who still wait
    count as deadlocked."""

    def __init__(
        self, gate: LineGate, bound: float, expected: tuple[type[BaseException], ...]
    ) -> None:
        self.gate = gate
        self.bound = bound
        self.expected = expected
        self.errors: list[str] = []
        self.output = os.dup(1)  # what is run may put something else in the place of this
        self.over = threading.Event()
        self.watch = threading.Thread(target=self.look, daemon=True)

    def say(self, text: str) -> None:
        data = f"{text}\n".encode(errors="backslashreplace")
        while data:
            data = data[os.write(self.output, data) :]

    def begin(self) -> None:
        threading.excepthook = lambda given: self.caught(given.exc_value)
        self.gate.plain_start(self.watch)
        self.gate.patch_threads()

    def caught(self, error: BaseException | None) -> None:
        """An exception has ended a worker."""
        if error is not None and not isinstance(error, (*self.expected, SystemExit)):
            self.errors.append("".join(traceback.format_exception(error)))

    def look(self) -> None:
        """End the program where nobody goes on any more."""
        seen, quiet, since = -1, 0, time.monotonic()
        while not self.over.wait(0.05):
            if self.gate.moves != seen:
                seen, quiet, since = self.gate.moves, 0, time.monotonic()
            quiet += 1
            if quiet > 20 and time.monotonic() - since > self.bound:
                self.stuck()

    def stuck(self) -> NoReturn:
        self.say(f"failed: deadlock: nobody has gone on for {self.bound:g} s")
        frames = sys._current_frames()
        for ident, worker in sorted(self.gate.workers.items(), key=lambda item: item[1]):
            if ident in frames:
                self.say(f"{worker} waits here:")
                self.say("".join(traceback.format_stack(frames[ident])[-4:]).rstrip())
        self.tell(FAILED)

    def tell(self, status: int) -> NoReturn:
        """Say whether the schedule was followed, and end the program, whoever still runs."""
        if not self.over.is_set():
            self.over.set()
        elif sys.stdout is sys.__stdout__ and sys.stdout is not None:
            sys.stdout.flush()
        if self.gate.lost:
            self.say(f"note: the schedule could not be followed: {self.gate.lost}")
        for text in self.errors:
            self.say(f"failed: {text.rstrip()}")
        if self.errors:
            status = FAILED
        if not status:
            self.say(
                "passed" + ("" if self.gate.lost else ": the schedule was followed to its end")
            )
        os._exit(status)

    def attempt(self, function: Callable[..., Any], *given: Any) -> Any:
        try:
            return function(*given)
        except BaseException as error:
            self.caught(error)
            return None

    def finish(self, check: Callable[..., Any] | None, state: tuple[Any, ...]) -> NoReturn:
        self.over.set()
        if check is not None and not self.errors:
            self.expected = ()
            self.attempt(check, *state)
        self.tell(0)

    # --- functions -------------------------------------------------------------------------------
    def threads(
        self, setup: Callable[..., Any] | None,
        workers: dict[str, tuple[Callable[..., Any], list[Any]]], check: Callable[..., Any] | None,
    ) -> NoReturn:  # fmt: skip
        """Run each worker in a thread."""
        self.begin()
        state = () if setup is None else (setup(),)

        def run(worker: str, function: Callable[..., Any], given: list[Any]) -> None:
            self.gate.begin(worker)
            try:
                self.attempt(function, *state, *given)
            finally:
                self.gate.end(worker)

        threads = [
            threading.Thread(target=run, args=(worker, *work), daemon=True)
            for worker, work in workers.items()
        ]
        for thread in threads:
            self.gate.plain_start(thread)
        for thread in threads:
            thread.join()
        self.finish(check, state)

    def tasks(
        self, setup: Callable[..., Any] | None,
        workers: dict[str, tuple[Callable[..., Any], list[Any]]], check: Callable[..., Any] | None,
    ) -> NoReturn:  # fmt: skip
        """Run each worker in a task of one asyncio loop."""
        asyncio.run(self.loop(setup, workers, check))
        raise AssertionError("unreachable")

    async def loop(
        self, setup: Callable[..., Any] | None,
        workers: dict[str, tuple[Callable[..., Any], list[Any]]], check: Callable[..., Any] | None,
    ) -> None:  # fmt: skip
        assert isinstance(self.gate, TaskGate)
        self.begin()
        self.gate.patch_loop(asyncio.get_running_loop())
        state: tuple[Any, ...] = ()
        if setup is not None:
            made = setup()
            state = (await made if inspect.isawaitable(made) else made,)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda loop, told: self.caught(told.get("exception") or RuntimeError(told["message"]))
        )
        tasks = [
            self.gate.task(w, function(*state, *given)) for w, (function, given) in workers.items()
        ]
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                self.caught(end)
        await self.ask(check, state)

    async def ask(self, check: Callable[..., Any] | None, state: tuple[Any, ...]) -> None:
        """Look at the state in the end, and end the program."""
        self.over.set()
        if check is not None and not self.errors:
            self.expected = ()
            try:
                made = check(*state)
                if inspect.isawaitable(made):
                    await made
            except BaseException as error:
                self.caught(error)
        self.tell(0)

    # --- tests -----------------------------------------------------------------------------------
    def test(self, node: str, worker: str) -> NoReturn:
        """Let pytest run one test, whose body is ``worker``."""
        import pytest

        run, gate = self, self.gate

        class ForcedTest:
            def pytest_configure(self, config: Any) -> None:
                config.addinivalue_line("markers", "tracelock: explored by tracelock")

            @pytest.hookimpl(wrapper=True)
            def pytest_runtest_call(self, item: Any) -> Any:
                run.begin()
                function = getattr(item, "obj", None)
                if inspect.iscoroutinefunction(function) and isinstance(gate, TaskGate):
                    names = item._fixtureinfo.argnames
                    given = {name: item.funcargs[name] for name in names}
                    item.runtest = lambda: gate.run_alone(worker, function(**given))
                    try:
                        return (yield)
                    finally:
                        run.over.set()
                gate.begin(worker)
                try:
                    return (yield)
                finally:
                    gate.end(worker)
                    run.over.set()

        options = ["-q", "--no-header", "-p", "no:tracelock", "-p", "no:cacheprovider"]
        status = pytest.main([*options, "-o", "addopts=", "--", node], plugins=[ForcedTest()])
        if status not in (0, 1):
            self.say(f"cannot run the test {node}: pytest ended with status {int(status)}")
            status = UNUSABLE
        self.tell(int(status))
