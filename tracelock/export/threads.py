"""Workers as threads, and as processes."""

from __future__ import annotations

from typing import ClassVar

from tracelock.export.body import Body
from tracelock.scenario.language import verbs
from tracelock.scenario.language.models import ObjectDecl


class Threads(Body):
    """The steps of a worker that is a thread."""

    module: ClassVar[str] = "threading"
    empty: ClassVar[str] = "queue.Empty"
    full: ClassVar[str] = "queue.Full"
    nonblocking: ClassVar[str] = "blocking=False"

    @staticmethod
    def made(decl: ObjectDecl, lock: str | None) -> str:
        """The constructor of an object."""
        match decl.type:
            case "lock":
                return "threading.Lock()"
            case "rlock":
                return "threading.RLock()"
            case "semaphore" | "bounded_semaphore":
                name = "Semaphore" if decl.type == "semaphore" else "BoundedSemaphore"
                value = 1 if decl.value is None else decl.value
                return f"threading.{name}({value})"
            case "condition":
                return f"threading.Condition({lock or ''})"
            case "event":
                return "threading.Event()"
            case "barrier":
                return f"threading.Barrier({decl.parties})"
        name = {"lifo": "LifoQueue", "priority": "PriorityQueue"}.get(decl.order or "", "Queue")
        return f"queue.{name}({decl.maxsize or ''})"

    def on_acquire(self, step: verbs.Acquire, at: str) -> None:
        trees = self.trees(step.acquire, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.acquire, apart, trees[-1:])
        timeout = self.timeout(trees[-1], apart)
        how = "" if timeout is None else f"timeout={timeout}"
        if not step.blocking:
            how = self.nonblocking
        into = self.local(step.into)
        call = f"{thing}.acquire({how})"
        self.operate(at, lambda: self.put(call if into is None else f"{into} = {call}"))

    def wait_at(self, thing: str, kind: str, timeout: str | None, into: str | None) -> None:
        call = f"{thing}.wait({timeout or ''})"
        if into is None:
            self.put(call)
        elif kind != "barrier":
            self.put(f"{into} = {call}")
        else:
            with self.block("try:"):
                self.put(call, f"{into} = True")
            with self.block("except threading.BrokenBarrierError:"):
                self.put(f"{into} = False")

    def on_put(self, step: verbs.Put, at: str) -> None:
        trees = self.trees(step.put, step.value, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.put, apart, trees[-2:])
        value = self.value(trees[-2], apart)
        timeout = self.timeout(trees[-1], apart)
        how = [value, *self._how(step.blocking, timeout)]
        self._exchange(at, f"{thing}.put({', '.join(how)})", None, self.local(step.into), self.full)

    def on_get(self, step: verbs.Get, at: str) -> None:
        trees = self.trees(step.get, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.get, apart, trees[-1:])
        timeout = self.timeout(trees[-1], apart)
        call = f"{thing}.get({', '.join(self._how(step.blocking, timeout))})"
        self._exchange(at, call, self.local(step.into), self.local(step.got), self.empty)

    def _how(self, blocking: bool, timeout: str | None) -> list[str]:
        if not blocking:
            return ["block=False"]
        return [] if timeout is None else [f"timeout={timeout}"]

    def _exchange(self, at: str, call: str, into: str | None, done: str | None, no: str) -> None:
        line = call if into is None else f"{into} = {call}"
        self.coming(at)
        if done is None:
            self.put(line)
        else:
            with self.block("try:"):
                self.put(line, f"{done} = True")
            with self.block(f"except {no}:"):
                self.put(f"{done} = False")
        self.passed(at)

    def on_sleep(self, step: verbs.Sleep, at: str) -> None:
        tree = self.space.tree(step.sleep)
        self.counted(at, [tree])
        self.put(f"time.sleep({self.value(tree, self.apart(at, [tree]))})")
        self.passed(at)

    def on_checkpoint(self, step: verbs.Checkpoint, at: str) -> None:
        self.counted(at)
        self.put("time.sleep(0)")
        self.passed(at)

    def on_spawn(self, step: verbs.Spawn, at: str) -> None:
        trees = self.trees(step.spawn)
        self.counted(at, trees)
        for name, function, place in self.each_worker(step.spawn, self.apart(at, trees)):
            self.shop.needs.add("spawn")
            args = f", {place}" if place and self._takes_index(step.spawn) else ""
            self.coming(at)
            self.spawn(name, function, args)
            self.passed(at)

    def spawn(self, name: str, function: str, args: str) -> None:
        self.put(f"start({name}, {function}{args})")

    def _takes_index(self, text: str) -> bool:
        return self.shop.scenario.workers[self.reference(text)[0]].count > 1

    def on_join(self, step: verbs.Join, at: str) -> None:
        trees = self.trees(step.join, step.timeout)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        self.shop.needs.add("ended")
        workers = self.each_worker(step.join, apart)
        timeout = self.timeout(trees[-1], apart)
        into = self.local(step.into)
        for place, (name, _, _) in enumerate(workers):
            call = f"ended[{name}].wait({timeout or ''})"
            if into is not None:
                call = f"{into} = {call}" + (f" and {into}" if place else "")
            self.coming(at)
            self.put(call)
            self.passed(at)


class Processes(Threads):
    """The steps of a worker that is a process."""

    module: ClassVar[str] = "multiprocessing"
    nonblocking: ClassVar[str] = "block=False"
    me = "multiprocessing.current_process().name"

    @staticmethod
    def made(decl: ObjectDecl, lock: str | None) -> str:
        if decl.type == "queue":
            return f"ctx.Queue({decl.maxsize or ''})"
        return Threads.made(decl, lock).replace("threading.", "ctx.")

    def spawn(self, name: str, function: str, args: str) -> None:
        self.shop.needs.add("requests")
        self.put(f"spawn({name})")

    def on_crash(self, step: verbs.Crash, at: str) -> None:
        self.shop.needs.add("crash")
        self.coming(at)
        self.put("os.kill(os.getpid(), signal.SIGKILL)")
        self.passed(at)
