"""Steps that decide what comes next, and those that only compute."""

from __future__ import annotations

import keyword
from collections.abc import Sequence

from tracelock.errors import UsageError
from tracelock.export.variables import VariableWriter
from tracelock.export.writing import quoted
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import tree_of


class FlowWriter(VariableWriter):
    """Conditions, loops, failures, calls."""

    def on_if(self, step: verbs.If, at: str, word: str = "if") -> None:
        (tree,), apart = self.begin(step, at)
        then, other = step.then, step.else_
        test = self.value(tree, apart)
        if not then and other:
            then, other = other, then
            self._branch(word, f"not ({test})", then, f"{at}.else")
        else:
            self._branch(word, test, then, f"{at}.then")
        if len(other) == 1 and isinstance(other[0], verbs.If):
            inner = f"{at}.else[0]"
            inner_tree = tree_of(other[0].if_)
            if not self.forced(inner) and not self.watched(inner_tree):
                outer, self.at = self.at, inner
                self.on_if(other[0], inner, "elif")
                self.at = outer
                return
        if other:
            self._branch("else", "", other, f"{at}.else")

    def _branch(self, word: str, test: str, steps: Sequence[BaseStep], path: str) -> None:
        with self.block(f"{word} {test}".rstrip() + ":"):
            self.steps(steps, path)

    def on_while(self, step: verbs.While, at: str) -> None:
        (tree,), apart = self.begin(step, at, True)
        self.loops += 1
        taken_apart = apart or (self.space.reads(tree) and bool(self.forced(at)))
        with self.block("while True:" if taken_apart else f"while {self.value(tree, False)}:"):
            if taken_apart:
                test = self.value(tree, True)
                with self.block(f"if not ({test}):"):
                    self.put("break")
            self.steps(step.do, f"{at}.do")
        self.loops -= 1

    def on_repeat(self, step: verbs.Repeat, at: str) -> None:
        (tree,), apart = self.begin(step, at)
        times = self.value(tree, apart)
        self.loops += 1
        with self.block(f"for {self.local(step.index) or '_'} in range({times}):"):
            self.steps(step.do, f"{at}.do")
        self.loops -= 1

    def on_break(self, step: verbs.Break, at: str) -> None:
        self.put("break")

    def on_continue(self, step: verbs.Continue, at: str) -> None:
        self.put("continue")

    def on_stop(self, step: verbs.Stop, at: str) -> None:
        self.put("return")

    def on_assert(self, step: verbs.Assert, at: str) -> None:
        (tree,), apart = self.begin(step, at)
        text = step.message if step.message is not None else f"{step.assert_} is false"
        self.put(f"assert {self.value(tree, apart)}, {quoted(text)}")

    def on_fail(self, step: verbs.Fail, at: str) -> None:
        self.put(f"raise AssertionError({quoted(step.fail)})")

    def on_try(self, step: verbs.Try, at: str) -> None:
        self._branch("try", "", step.try_, f"{at}.try")
        self._branch("finally", "", step.finally_, f"{at}.finally")

    def on_work(self, step: verbs.Work, at: str) -> None:
        (tree,), apart = self.begin(step, at)
        self.context.needs.add("work")
        self.put(f"work({self.value(tree, apart)})")

    def on_call(self, step: verbs.Call, at: str) -> None:
        trees, apart = self.begin(step, at)
        module, _, function = step.call.partition(":")
        for part in (*module.split("."), *function.split(".")):
            if not part.isidentifier() or keyword.iskeyword(part):
                raise UsageError(f"cannot write {at}: {step.call} cannot be said in Python source")
        self.context.needs.add(f"import {module}")
        self.context.calls.append(step.call)
        arguments = ", ".join(self.value(tree, apart) for tree in trees)
        self.assign(self.local(step.into), f"{module}.{function}({arguments})")
        self.after_operation(at)
