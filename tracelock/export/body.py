"""Steps on synchronisation objects: what is the same on every backend."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from tracelock.export.expressions import negated
from tracelock.export.flow import Flow
from tracelock.scenario.language import verbs


class Body(Flow):
    """Writes the function of one worker. Subclasses know one backend each."""

    def thing(self, text: str, apart: bool = False, later: Sequence[ast.expr] = ()) -> str:
        """A synchronisation object."""
        name, index = self.target(text, later, apart)
        own = self.shop.objects[name]
        return own if index is None else f"{own}[{index}]"

    def type_of(self, text: str) -> str:
        """The type of the object that a reference names."""
        return self.shop.scenario.objects[self.reference(text)[0]].type

    def on_with_(self, step: verbs.With, at: str) -> None:
        trees = self.trees(step.with_)
        self.counted(at, trees)
        thing = self.thing(step.with_, self.apart(at, trees))
        forced = self.forced(at)
        release = self.done.get(at, 0) + 2
        ends = at in self.counters or any(release in doings for doings in forced.values())
        if ends and leaves(step.do):
            # whoever comes next does so after the release, however the block ends
            if trees:
                kept = self.temporary("held")
                self.put(f"{kept} = {thing}")
                thing = kept
            self.acquire_forever(thing, at)
            with self.block("try:"):
                self.passed(at)
                self.steps(step.do, f"{at}.do")
            with self.block("finally:"):
                self.put(f"{thing}.release()")
                self.passed(at)
            return
        self.coming(at)
        with self.block(f"{self.with_} {thing}:"):
            self.passed(at)
            self.steps(step.do, f"{at}.do")
        self.passed(at)

    def acquire_forever(self, thing: str, at: str) -> None:
        self.coming(at)
        self.put(f"{self.wait}{thing}.acquire()")

    def on_release(self, step: verbs.Release, at: str) -> None:
        trees = self.trees(step.release, step.n)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.release, apart, trees[-1:])
        n = self.value(trees[-1], apart)
        self.release(thing, n)
        self.passed(at)

    def release(self, thing: str, n: str) -> None:
        self.put(f"{thing}.release()" if n == "1" else f"{thing}.release({n})")

    def on_notify(self, step: verbs.Notify, at: str) -> None:
        trees = self.trees(step.notify, step.n)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.notify, apart, trees[-1:])
        if step.all:
            self.put(f"{thing}.notify_all()")
        else:
            n = self.value(trees[-1], apart)
            self.put(f"{thing}.notify({'' if n == '1' else n})")
        self.passed(at)

    def on_set(self, step: verbs.Set, at: str) -> None:
        trees = self.trees(step.set)
        self.counted(at, trees)
        self.put(f"{self.thing(step.set, self.apart(at, trees))}.set()")
        self.passed(at)

    def on_clear(self, step: verbs.Clear, at: str) -> None:
        trees = self.trees(step.clear)
        self.counted(at, trees)
        self.put(f"{self.thing(step.clear, self.apart(at, trees))}.clear()")
        self.passed(at)

    def on_wait(self, step: verbs.Wait, at: str) -> None:
        exprs = [step.timeout] if step.until is None else [step.timeout, step.until]
        trees = self.trees(step.wait, *exprs)
        self.counted(at, trees, step.until is not None)
        apart = self.apart(at, trees)
        thing = self.thing(step.wait, apart, trees[-1:])
        timeout = self.timeout(trees[-len(exprs)], apart)
        into = self.local(step.into)
        if step.until is None:
            self.operate(at, lambda: self.wait_at(thing, self.type_of(step.wait), timeout, into))
            return
        if timeout is not None and not timeout.replace(".", "").isdigit():
            kept = self.temporary("patience")
            self.put(f"{kept} = {timeout}")
            timeout = kept
        self.wait_until(thing, trees[-1], timeout, into, at, apart)

    def wait_until(
        self, thing: str, until: ast.expr, timeout: str | None, into: str | None, at: str,
        apart: bool,
    ) -> None:  # fmt: skip
        """The loop around a wait that looks again after each wake-up."""
        if into is not None:
            self.put(f"{into} = True")
        self.loops += 1
        head = "while True:" if apart or self.forced(at) else f"while {self.negated(until)}:"
        with self.block(head):
            if head == "while True:":
                with self.block(f"if {self.value(until, True)}:"):
                    self.put("break")
            if timeout is None:
                self.operate(at, lambda: self.wait_at(thing, "condition", None, None))
            else:
                woken = self.temporary("woken")
                self.operate(at, lambda: self.wait_at(thing, "condition", timeout, woken))
                with self.block(f"if not {woken}:"):
                    if into is not None:
                        self.put(f"{into} = bool({self.value(until, apart)})")
                    self.put("break")
        self.loops -= 1

    def negated(self, tree: ast.expr) -> str:
        """The source of ``not tree``; its reads count."""
        self.value(tree, False)
        return negated(self.space, tree)

    def timeout(self, tree: ast.expr, apart: bool) -> str | None:
        """The source of a timeout; None for none."""
        if isinstance(tree, ast.Constant) and tree.value is None:
            return None
        return self.value(tree, apart)

    def operate(self, at: str, write: Callable[[], None]) -> None:
        """One operation of a step that may wait."""
        self.coming(at)
        with self.however(at):
            write()
        self.passed(at)

    def wait_at(self, thing: str, kind: str, timeout: str | None, into: str | None) -> None:
        """Wait at a condition, an event or a barrier."""
        raise NotImplementedError

    def each_worker(self, text: str, apart: bool) -> list[tuple[str, str, str]]:
        """The workers that a step names: (name as source, its function, its arguments)."""
        group, index = self.reference(text)
        count = self.shop.scenario.workers[group].count
        function = self.shop.workers[group]
        if index is not None:
            place = self.value(index, apart)
            if place.isdigit():
                return [(f'"{group}[{place}]"' if count > 1 else f'"{group}"', function, place)]
            if count == 1:
                return [(f'"{group}"', function, "0")]
            if place.startswith("-") and place[1:].isdigit():
                place = str(count - int(place[1:]))
            return [(f'f"{group}[{{{place}}}]"', function, place)]
        if count == 1:
            return [(f'"{group}"', function, "")]
        return [(f'"{group}[{place}]"', function, str(place)) for place in range(count)]


def leaves(steps: Sequence[Any]) -> bool:
    """Whether a block may be left before its end."""
    for step in steps:
        if isinstance(
            step,
            verbs.Break | verbs.Continue | verbs.Stop | verbs.Assert | verbs.Fail
            | verbs.Timeout | verbs.Call,
        ):  # fmt: skip
            return True
        for key in ("do", "then", "else_", "try_", "finally_"):
            inner = getattr(step, key, None)
            if isinstance(inner, list) and leaves(inner):
                return True
    return False
