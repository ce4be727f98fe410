"""Steps that decide what comes next, and those that only compute."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from tracelock.export.variables import Variables
from tracelock.export.writing import quoted
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep


class Flow(Variables):
    """Conditions, loops, failures, calls."""

    def condition(self, expr: Any, at: str, loop: bool = False) -> tuple[ast.expr, bool]:
        """A condition's tree, and whether its reads have to be taken apart."""
        tree = self.space.tree(expr)
        self.counted(at, [tree], loop)
        return tree, self.apart(at, [tree])

    def on_if_(self, step: verbs.If, at: str, word: str = "if") -> None:
        tree, apart = self.condition(step.if_, at)
        then, other = step.then, step.else_
        test = self.value(tree, apart)
        if not then and other:
            then, other = other, then
            test = f"not ({test})"
            self._branch(word, test, then, f"{at}.else")
        else:
            self._branch(word, test, then, f"{at}.then")
        if len(other) == 1 and isinstance(other[0], verbs.If):
            inner = f"{at}.else[0]"
            inner_tree = self.space.tree(other[0].if_)
            if not self.forced(inner) and not self.watched(inner_tree):
                outer, self.at = self.at, inner
                self.on_if_(other[0], inner, "elif")
                self.at = outer
                return
        if other:
            with self.block("else:"):
                self.steps(other, f"{at}.else")

    def _branch(self, word: str, test: str, steps: Sequence[BaseStep], path: str) -> None:
        with self.block(f"{word} {test}:"):
            self.steps(steps, path)

    def on_while_(self, step: verbs.While, at: str) -> None:
        tree, apart = self.condition(step.while_, at, True)
        self.loops += 1
        if apart or (self.space.reads(tree) and self.forced(at)):
            with self.block("while True:"):
                test = self.value(tree, True)
                with self.block(f"if not ({test}):"):
                    self.put("break")
                self.steps(step.do, f"{at}.do")
        else:
            with self.block(f"while {self.value(tree, False)}:"):
                self.steps(step.do, f"{at}.do")
        self.loops -= 1

    def on_repeat(self, step: verbs.Repeat, at: str) -> None:
        tree = self.space.tree(step.repeat)
        self.counted(at, [tree])
        apart = self.apart(at, [tree])
        times = self.value(tree, apart)
        name = self.local(step.index) or "_"
        self.loops += 1
        with self.block(f"for {name} in range({times}):"):
            self.steps(step.do, f"{at}.do")
        self.loops -= 1

    def on_break(self, step: verbs.Break, at: str) -> None:
        self.put("break")

    def on_continue(self, step: verbs.Continue, at: str) -> None:
        self.put("continue")

    def on_stop(self, step: verbs.Stop, at: str) -> None:
        self.put("return")

    def on_assert_(self, step: verbs.Assert, at: str) -> None:
        tree, apart = self.condition(step.assert_, at)
        text = step.message if step.message is not None else f"{step.assert_} is false"
        self.put(f"assert {self.value(tree, apart)}, {quoted(text)}")

    def on_fail(self, step: verbs.Fail, at: str) -> None:
        self.put(f"raise AssertionError({quoted(step.fail)})")

    def on_try_(self, step: verbs.Try, at: str) -> None:
        with self.block("try:"):
            self.steps(step.try_, f"{at}.try")
        with self.block("finally:"):
            self.steps(step.finally_, f"{at}.finally")

    def on_work(self, step: verbs.Work, at: str) -> None:
        tree = self.space.tree(step.work)
        self.counted(at, [tree])
        self.shop.needs.add("work")
        self.put(f"work({self.value(tree, self.apart(at, [tree]))})")

    def on_call(self, step: verbs.Call, at: str) -> None:
        trees = [self.space.tree(arg) for arg in step.args]
        self.counted(at, trees)
        apart = self.apart(at, trees)
        module, _, function = step.call.partition(":")
        self.shop.needs.add(f"import {module}")
        call = f"{module}.{function}({', '.join(self.value(tree, apart) for tree in trees)})"
        into = self.local(step.into)
        self.put(call if into is None else f"{into} = {call}")
        self.passed(at)
