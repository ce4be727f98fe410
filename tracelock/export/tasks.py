"""Operations of workers that are tasks of asyncio, or of trio."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from tracelock.export.body import Body
from tracelock.scenario.language import verbs


class AsyncioBody(Body):
    """The operations of a worker that is a task of asyncio."""

    backend = "asyncio"
    clock = "asyncio"
    me = "asyncio.current_task()"
    wait = "await "
    with_ = "async with"
    guard = None
    full = "asyncio.QueueFull"
    empty = "asyncio.QueueEmpty"
    # the methods of a queue; with ``_nowait`` after it they do not wait
    putting = ".put"
    getting = ".get"

    @contextmanager
    def within(self, seconds: str, into: str | None) -> Iterator[None]:
        """A block that is cut off after ``seconds``; ``into`` gets whether it ended in time."""
        with self.block("try:"):
            with self.block(f"async with asyncio.timeout({seconds}):"):
                yield
            if into is not None:
                self.put(f"{into} = True")
        with self.block("except TimeoutError:"):
            if into is not None:
                self.put(f"{into} = False")

    def timed(self, call: str, timeout: str | None, done: str | None, into: str | None) -> None:
        """Await ``call``, no longer than ``timeout``: ``done`` gets whether it ended in time,
        ``into`` what it returned.
        """
        line = f"await {call}" if into is None else f"{into} = await {call}"
        if timeout is not None:
            with self.within(timeout, done):
                self.put(line)
            return
        self.put(line)
        if done is not None:
            self.put(f"{done} = True")

    def timed_or_raise(
        self, call: str, timeout: str | None, done: str | None, into: str | None, name: str,
        error: str,
    ) -> None:  # fmt: skip
        """The same; where the time may run out and no local is told, that raises ``error``."""
        if timeout is None or done is not None:
            self.timed(call, timeout, done, into)
            return
        done = self.temporary(name)
        self.timed(call, timeout, done, into)
        with self.block(f"if not {done}:"):
            self.put(f"raise {error}")

    def acquire(self, thing: str, blocking: bool, timeout: str | None, into: str | None) -> None:
        if blocking:
            self.timed(f"{thing}.acquire()", timeout, into, None)
        else:
            self.acquire_now(thing, into)

    def acquire_now(self, thing: str, into: str | None) -> None:
        """Take a lock that is free; go on at once if it is not."""
        into = into or self.temporary("free")
        self.put(f"{into} = not {thing}.locked()")
        with self.block(f"if {into}:"):
            self.put(f"await {thing}.acquire()  # a free lock is taken at once")

    def release(self, thing: str, n: str) -> None:
        if n == "1":
            self.put(f"{thing}.release()")
        else:
            with self.block(f"for _ in range({n}):"):
                self.put(f"{thing}.release()")

    def wait_at(self, thing: str, kind: str, timeout: str | None, into: str | None) -> None:
        if kind == "barrier" and into is not None:
            with self.block("try:"):
                self.timed(f"{thing}.wait()", timeout, into, None)
            with self.block("except asyncio.BrokenBarrierError:"):
                self.put(f"{into} = False")
        else:
            self.timed(f"{thing}.wait()", timeout, into, None)

    def put_item(
        self, thing: str, value: str, blocking: bool, timeout: str | None, into: str | None
    ) -> None:
        method = thing + self.putting
        if blocking:
            self.timed_or_raise(f"{method}({value})", timeout, into, None, "sent", self.full)
        else:
            self.attempt(f"{method}_nowait({value})", into, self.full)

    def get_item(
        self, thing: str, blocking: bool, timeout: str | None, into: str | None, got: str | None
    ) -> None:
        method = thing + self.getting
        if blocking:
            self.timed_or_raise(f"{method}()", timeout, got, into, "received", self.empty)
        else:
            call = f"{method}_nowait()"
            self.attempt(call if into is None else f"{into} = {call}", got, self.empty)

    def join(self, at: str, events: list[str], timeout: str | None, into: str | None) -> None:
        every = self.temporary("all_ended") if into is not None and len(events) > 1 else None
        if every is not None:
            self.put(f"{every} = True")
        for event in events:
            self.operate(at, partial(self.timed, f"{event}.wait()", timeout, into, None))
            if every is not None:
                self.put(f"{every} = {every} and {into}")
        if every is not None:
            self.put(f"{into} = {every}")

    def on_cancel(self, step: verbs.Cancel, at: str) -> None:
        self.context.needs.add("cancel")
        _, apart = self.begin(step, at)
        for name, _, _ in self.each_worker(step, apart):
            self.before_operation(at)
            self.cancel(name)
            self.after_operation(at)

    def cancel(self, name: str) -> None:
        self.put(f"tasks[{name}].cancel()")

    def on_timeout(self, step: verbs.Timeout, at: str) -> None:
        (tree,), apart = self.begin(step, at)
        with self.within(self.value(tree, apart), self.local(step.into)):
            self.steps(step.do, f"{at}.do")
        self.after_operation(at)


class TrioBody(AsyncioBody):
    """The operations of a worker that is a task of trio."""

    backend = "trio"
    clock = "trio"
    me = "trio.lowlevel.current_task()"
    full = "trio.WouldBlock"
    empty = "trio.WouldBlock"
    putting = "[0].send"
    getting = "[1].receive"

    @contextmanager
    def within(self, seconds: str, into: str | None) -> Iterator[None]:
        scope = self.temporary("scope")
        with self.block(f"with trio.move_on_after({seconds}) as {scope}:"):
            yield
        if into is not None:
            self.put(f"{into} = not {scope}.cancelled_caught")

    def acquire_now(self, thing: str, into: str | None) -> None:
        with self.block("try:"):
            self.put(f"{thing}.acquire_nowait()")
            if into is not None:
                self.put(f"{into} = True")
        with self.block("except trio.WouldBlock:"):
            if into is not None:
                self.put(f"{into} = False")

    def cancel(self, name: str) -> None:
        self.put(f"scopes[{name}].cancel()")
