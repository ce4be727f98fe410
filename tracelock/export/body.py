"""Steps on synchronisation objects and workers: what is the same on every backend."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from tracelock.export.expressions import negated
from tracelock.export.flow import FlowWriter
from tracelock.export.writing import fits_in_text, numbered, quoted
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.usage import steps_in

_LEAVING = (
    verbs.Break, verbs.Continue, verbs.Stop, verbs.Assert, verbs.Fail, verbs.Timeout, verbs.Call,
)  # fmt: skip


def _optional(source: str) -> str | None:
    """The source of a timeout; None for none."""
    return None if source == "None" else source


class Body(FlowWriter):
    """Writes the function of one worker. Subclasses know one backend each: they write single
    operations, which stand here in their steps and turns.
    """

    def thing(self, step: BaseStep, trees: Sequence[ast.expr], apart: bool) -> str:
        """The synchronisation object of a step."""
        name, index = self.target(step, trees, apart)
        own = self.context.objects[name]
        return own if index is None else f"{own}[{index}]"

    def operands(self, step: BaseStep, at: str) -> tuple[str, list[str]]:
        """The object of a step and the values of its EXPRs."""
        trees, apart = self.begin(step, at)
        thing = self.thing(step, trees, apart)
        return thing, [self.value(tree, apart) for tree in self.own(step, trees)]

    def operate(self, at: str, write: Callable[[], None]) -> None:
        """One operation of a step, which ``write`` writes."""
        self.before_operation(at)
        with self.cleanup(at):
            write()
        self.after_operation(at)

    # --- locks -------------------------------------------------------------------------------
    def on_with(self, step: verbs.With, at: str) -> None:
        thing, _ = self.operands(step, at)
        forced = self.forced(at)
        release = self.done.get(at, 0) + 2
        ends = at in self.counters or any(release in around for around in forced.values())
        if ends and any(isinstance(inner, _LEAVING) for _, inner in steps_in(step.do)):
            # the next turn begins after the release, on every way out of the block
            if self.reference(step)[1] is not None:
                kept = self.temporary("held")
                self.put(f"{kept} = {thing}")
                thing = kept
            self.before_operation(at)
            self.put(f"{self.wait}{thing}.acquire()")
            with self.block("try:"):
                self.after_operation(at)
                self.steps(step.do, f"{at}.do")
            with self.block("finally:"):
                self.put(f"{thing}.release()")
                self.after_operation(at)
            return
        self.before_operation(at)
        with self.block(f"{self.with_} {thing}:"):
            self.after_operation(at)
            self.steps(step.do, f"{at}.do")
        self.after_operation(at)

    def on_acquire(self, step: verbs.Acquire, at: str) -> None:
        thing, (timeout,) = self.operands(step, at)
        into = self.local(step.into)
        self.operate(at, lambda: self.acquire(thing, step.blocking, _optional(timeout), into))

    def acquire(self, thing: str, blocking: bool, timeout: str | None, into: str | None) -> None:
        """Take a lock or a permit; ``into`` gets whether it was taken."""
        raise NotImplementedError

    def on_release(self, step: verbs.Release, at: str) -> None:
        thing, (n,) = self.operands(step, at)
        self.release(thing, n)
        self.after_operation(at)

    def release(self, thing: str, n: str) -> None:
        self.put(f"{thing}.release()" if n == "1" else f"{thing}.release({n})")

    # --- conditions, events, barriers --------------------------------------------------------
    def on_notify(self, step: verbs.Notify, at: str) -> None:
        thing, (n,) = self.operands(step, at)
        how_many = "" if n == "1" else n
        self.put(f"{thing}.notify_all()" if step.all else f"{thing}.notify({how_many})")
        self.after_operation(at)

    def on_set(self, step: verbs.Set, at: str) -> None:
        self.put(f"{self.operands(step, at)[0]}.set()")
        self.after_operation(at)

    def on_clear(self, step: verbs.Clear, at: str) -> None:
        self.put(f"{self.operands(step, at)[0]}.clear()")
        self.after_operation(at)

    def on_wait(self, step: verbs.Wait, at: str) -> None:
        trees, apart = self.begin(step, at, step.until is not None)
        thing = self.thing(step, trees, apart)
        timeout = _optional(self.value(trees[-2], apart))
        into = self.local(step.into)
        if step.until is None:
            kind = self.context.scenario.objects[self.reference(step)[0]].type
            self.operate(at, lambda: self.wait_at(thing, kind, timeout, into))
            return
        if timeout is not None and not timeout.replace(".", "").isdigit():
            kept = self.temporary("patience")
            self.put(f"{kept} = {timeout}")
            timeout = kept
        # the loop around a wait that looks again after each wake-up
        until = trees[-1]
        if into is not None:
            self.put(f"{into} = True")
        self.loops += 1
        head = "while True:" if apart or self.forced(at) else f"while {self.negated(until)}:"
        with self.block(head):
            if head == "while True:":
                with self.block(f"if {self.value(until, True)}:"):
                    self.put("break")
            woken = None if timeout is None else self.temporary("woken")
            self.operate(at, lambda: self.wait_at(thing, "condition", timeout, woken))
            if woken is not None:
                with self.block(f"if not {woken}:"):
                    if into is not None:
                        self.put(f"{into} = bool({self.value(until, apart)})")
                    self.put("break")
        self.loops -= 1

    def negated(self, tree: ast.expr) -> str:
        """The source of ``not tree``; its reads count."""
        self.value(tree, False)
        return negated(self.space, tree)

    def wait_at(self, thing: str, kind: str, timeout: str | None, into: str | None) -> None:
        """Wait at a condition, an event or a barrier; ``into`` gets the result."""
        raise NotImplementedError

    # --- queues ------------------------------------------------------------------------------
    def on_put(self, step: verbs.Put, at: str) -> None:
        thing, (value, timeout) = self.operands(step, at)
        into = self.local(step.into)
        self.operate(
            at, lambda: self.put_item(thing, value, step.blocking, _optional(timeout), into)
        )

    def put_item(
        self, thing: str, value: str, blocking: bool, timeout: str | None, into: str | None
    ) -> None:
        """Put ``value`` into a queue; ``into`` gets whether it was put."""
        raise NotImplementedError

    def on_get(self, step: verbs.Get, at: str) -> None:
        thing, (timeout,) = self.operands(step, at)
        into, got = self.local(step.into), self.local(step.got)
        self.operate(at, lambda: self.get_item(thing, step.blocking, _optional(timeout), into, got))

    def get_item(
        self, thing: str, blocking: bool, timeout: str | None, into: str | None, got: str | None
    ) -> None:
        """Take an item out of a queue; ``got`` gets whether there was one."""
        raise NotImplementedError

    def attempt(self, line: str, done: str | None, error: str) -> None:
        """A line that raises ``error`` where nothing can be done; ``done`` gets whether it did."""
        if done is None:
            self.put(line)
            return
        with self.block("try:"):
            self.put(line, f"{done} = True")
        with self.block(f"except {error}:"):
            self.put(f"{done} = False")

    # --- time and workers --------------------------------------------------------------------
    def on_sleep(self, step: verbs.Sleep, at: str) -> None:
        (tree,), apart = self.begin(step, at)
        seconds = self.value(tree, apart)
        self.operate(at, lambda: self.put(f"{self.wait}{self.clock}.sleep({seconds})"))

    def on_checkpoint(self, step: verbs.Checkpoint, at: str) -> None:
        self.begin(step, at)
        self.operate(at, lambda: self.put(f"{self.wait}{self.clock}.sleep(0)"))

    def on_spawn(self, step: verbs.Spawn, at: str) -> None:
        _, apart = self.begin(step, at)
        self.context.needs.add("spawn")
        many = self.context.scenario.workers[self.reference(step)[0]].count > 1
        for name, function, place in self.each_worker(step, apart):
            args = f", {place}" if place and many else ""
            self.before_operation(at)
            self.spawn(name, function, args)
            self.after_operation(at)

    def spawn(self, name: str, function: str, args: str) -> None:
        self.put(f"start({name}, {function}{args})")

    def on_join(self, step: verbs.Join, at: str) -> None:
        trees, apart = self.begin(step, at)
        self.context.needs.add("ended")
        workers = self.each_worker(step, apart)
        timeout = _optional(self.value(trees[-1], apart))
        self.join(at, [f"ended[{name}]" for name, _, _ in workers], timeout, self.local(step.into))

    def join(self, at: str, events: list[str], timeout: str | None, into: str | None) -> None:
        """Wait for each of these events; ``into`` gets whether all have come."""
        raise NotImplementedError

    def each_worker(self, step: BaseStep, apart: bool) -> list[tuple[str, str, str]]:
        """The workers that a step names: (name as source, its function, its arguments)."""
        group, index = self.reference(step)
        count = self.context.scenario.workers[group].count
        function = self.context.workers[group]
        if index is not None:
            place = self.value(index, apart)
            if place.isdigit():
                return [(quoted(f"{group}[{place}]" if count > 1 else group), function, place)]
            if count == 1:
                return [(quoted(group), function, "0")]
            if place.startswith("-") and place[1:].isdigit():
                place = str(count - int(place[1:]))
            if not fits_in_text(place):
                kept = self.temporary("place")
                self.put(f"{kept} = {place}")
                place = kept
            return [(numbered(group, place), function, place)]
        if count == 1:
            return [(quoted(group), function, "")]
        return [(quoted(f"{group}[{place}]"), function, str(place)) for place in range(count)]
