"""Workers as tasks of asyncio, and of trio."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from tracelock.export.threads import Threads
from tracelock.scenario.language import verbs
from tracelock.scenario.language.models import ObjectDecl


class Asyncio(Threads):
    """The steps of a worker that is a task of asyncio."""

    module: ClassVar[str] = "asyncio"
    empty: ClassVar[str] = "asyncio.QueueEmpty"
    full: ClassVar[str] = "asyncio.QueueFull"
    me = "asyncio.current_task()"
    wait = "await "
    with_ = "async with"
    guard = None

    @staticmethod
    def made(decl: ObjectDecl, lock: str | None) -> str:
        if decl.type == "queue":
            return Threads.made(decl, lock).replace("queue.", "asyncio.")
        return Threads.made(decl, lock).replace("threading.", "asyncio.")

    def timed(self, call: str, timeout: str | None, into: str | None, got: str | None) -> None:
        """Await ``call``, no longer than ``timeout``; ``got`` gets its result."""
        line = f"await {call}" if got is None else f"{got} = await {call}"
        if timeout is None:
            self.put(line)
            if into is not None:
                self.put(f"{into} = True")
            return
        with self.block("try:"):
            with self.block(f"async with asyncio.timeout({timeout}):"):
                self.put(line)
            if into is not None:
                self.put(f"{into} = True")
        with self.block("except TimeoutError:"):
            if into is not None:
                self.put(f"{into} = False")

    def on_acquire(self, step: verbs.Acquire, at: str) -> None:
        trees = self.trees(step.acquire, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.acquire, apart, trees[-1:])
        timeout = self.timeout(trees[-1], apart)
        into = self.local(step.into)
        if step.blocking:
            self.operate(at, lambda: self.timed(f"{thing}.acquire()", timeout, into, None))
        else:
            self.operate(at, lambda: self.attempt(thing, into))

    def attempt(self, thing: str, into: str | None) -> None:
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

    def on_put(self, step: verbs.Put, at: str) -> None:
        trees = self.trees(step.put, step.value, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.put, apart, trees[-2:])
        value = self.value(trees[-2], apart)
        timeout = self.timeout(trees[-1], apart)
        into = self.local(step.into)
        send, send_now = self.sends(thing)
        if not step.blocking:
            self._exchange(at, f"{send_now}({value})", None, into, self.full)
        elif timeout is not None and into is None:
            failed = self.temporary("sent")
            self.operate(at, lambda: self.timed(f"{send}({value})", timeout, failed, None))
            with self.block(f"if not {failed}:"):
                self.put(f"raise {self.full}")
        else:
            self.operate(at, lambda: self.timed(f"{send}({value})", timeout, into, None))

    def sends(self, thing: str) -> tuple[str, str]:
        return f"{thing}.put", f"{thing}.put_nowait"

    def receives(self, thing: str) -> tuple[str, str]:
        return f"{thing}.get", f"{thing}.get_nowait"

    def on_get(self, step: verbs.Get, at: str) -> None:
        trees = self.trees(step.get, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.get, apart, trees[-1:])
        timeout = self.timeout(trees[-1], apart)
        into, got = self.local(step.into), self.local(step.got)
        receive, receive_now = self.receives(thing)
        if not step.blocking:
            self._exchange(at, f"{receive_now}()", into, got, self.empty)
        elif timeout is not None and got is None:
            failed = self.temporary("received")
            self.operate(at, lambda: self.timed(f"{receive}()", timeout, failed, into))
            with self.block(f"if not {failed}:"):
                self.put(f"raise {self.empty}")
        else:
            self.operate(at, lambda: self.timed(f"{receive}()", timeout, got, into))

    def on_sleep(self, step: verbs.Sleep, at: str) -> None:
        tree = self.space.tree(step.sleep)
        self.counted(at, [tree])
        seconds = self.value(tree, self.apart(at, [tree]))
        self.operate(at, lambda: self.put(f"await {self.module}.sleep({seconds})"))

    def on_checkpoint(self, step: verbs.Checkpoint, at: str) -> None:
        self.counted(at)
        self.operate(at, lambda: self.put(f"await {self.module}.sleep(0)"))

    def on_join(self, step: verbs.Join, at: str) -> None:
        trees = self.trees(step.join, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        self.shop.needs.add("ended")
        workers = self.each_worker(step.join, apart)
        timeout = self.timeout(trees[-1], apart)
        into = self.local(step.into)
        every = self.temporary("all_ended") if into is not None and len(workers) > 1 else None
        if every is not None:
            self.put(f"{every} = True")
        for name, _, _ in workers:
            call = f"ended[{name}].wait()"
            self.operate(at, partial(self.timed, call, timeout, into, None))
            if every is not None:
                self.put(f"{every} = {every} and {into}")
        if every is not None:
            self.put(f"{into} = {every}")

    def on_cancel(self, step: verbs.Cancel, at: str) -> None:
        self.shop.needs.add("cancel")
        trees = self.trees(step.cancel)
        self.counted(at, trees)
        for name, _, _ in self.each_worker(step.cancel, self.apart(at, trees)):
            self.coming(at)
            self.cancel(name)
            self.passed(at)

    def cancel(self, name: str) -> None:
        self.put(f"tasks[{name}].cancel()")

    def on_timeout(self, step: verbs.Timeout, at: str) -> None:
        tree = self.space.tree(step.timeout)
        self.counted(at, [tree])
        seconds = self.value(tree, self.apart(at, [tree]))
        into = self.local(step.into)
        with self.block("try:"):
            with self.block(f"async with asyncio.timeout({seconds}):"):
                self.steps(step.do, f"{at}.do")
            if into is not None:
                self.put(f"{into} = True")
        with self.block("except TimeoutError:"):
            if into is not None:
                self.put(f"{into} = False")
        self.passed(at)


class Trio(Asyncio):
    """The steps of a worker that is a task of trio."""

    module: ClassVar[str] = "trio"
    empty: ClassVar[str] = "trio.WouldBlock"
    full: ClassVar[str] = "trio.WouldBlock"
    me = "trio.lowlevel.current_task()"

    @staticmethod
    def made(decl: ObjectDecl, lock: str | None) -> str:
        match decl.type:
            case "queue":
                return f"trio.open_memory_channel({decl.maxsize or 'math.inf'})"
            case "bounded_semaphore":
                value = 1 if decl.value is None else decl.value
                return f"trio.Semaphore({value}, max_value={value})"
        return Threads.made(decl, lock).replace("threading.", "trio.")

    def timed(self, call: str, timeout: str | None, into: str | None, got: str | None) -> None:
        line = f"await {call}" if got is None else f"{got} = await {call}"
        if timeout is None:
            self.put(line)
            if into is not None:
                self.put(f"{into} = True")
            return
        scope = self.temporary("scope")
        with self.block(f"with trio.move_on_after({timeout}) as {scope}:"):
            self.put(line)
        if into is not None:
            self.put(f"{into} = not {scope}.cancelled_caught")

    def attempt(self, thing: str, into: str | None) -> None:
        with self.block("try:"):
            self.put(f"{thing}.acquire_nowait()")
            if into is not None:
                self.put(f"{into} = True")
        with self.block("except trio.WouldBlock:"):
            if into is not None:
                self.put(f"{into} = False")

    def sends(self, thing: str) -> tuple[str, str]:
        return f"{thing}[0].send", f"{thing}[0].send_nowait"

    def receives(self, thing: str) -> tuple[str, str]:
        return f"{thing}[1].receive", f"{thing}[1].receive_nowait"

    def cancel(self, name: str) -> None:
        self.put(f"scopes[{name}].cancel()")

    def on_timeout(self, step: verbs.Timeout, at: str) -> None:
        tree = self.space.tree(step.timeout)
        self.counted(at, [tree])
        seconds = self.value(tree, self.apart(at, [tree]))
        into = self.local(step.into)
        scope = self.temporary("scope")
        with self.block(f"with trio.move_on_after({seconds}) as {scope}:"):
            self.steps(step.do, f"{at}.do")
        if into is not None:
            self.put(f"{into} = not {scope}.cancelled_caught")
        self.passed(at)
