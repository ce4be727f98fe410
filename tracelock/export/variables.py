"""Steps on shared variables."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from tracelock.export.kinds import BOOL, OTHER
from tracelock.export.turns import StepWriter
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import tree_of


class VariableWriter(StepWriter):
    """Reads and writes, plain and indivisible."""

    def variable(self, name: str, index: str | None, write: bool = False) -> str:
        """A shared variable, to read or to assign to."""
        if index is not None:
            return self.space.element(name, index)
        if write and name not in self.space.cells:
            self.written.add(name)
        return self.space.variable(name)

    def begin(self, step: BaseStep, at: str, always: bool = False) -> tuple[list[ast.expr], bool]:
        """The trees of a step, of the index of what it is about (if any) and of its EXPRs, and
        whether their reads are taken apart. ``always``: it is a loop.
        """
        _, index = self.reference(step)
        trees = [*([] if index is None else [index]), *map(tree_of, step.expressions())]
        self.counted(at, trees, always)
        return trees, self.apart(at, trees)

    def own(self, step: BaseStep, trees: list[ast.expr]) -> list[ast.expr]:
        """Of the trees of a step, those of its EXPRs."""
        return trees if self.reference(step)[1] is None else trees[1:]

    def target(
        self, step: BaseStep, trees: Sequence[ast.expr], apart: bool
    ) -> tuple[str, str | None]:
        """The name and the source of the index of what a step is about; the index is evaluated
        before the EXPRs.
        """
        name, index = self.reference(step)
        if index is None:
            return name, None
        if not apart and self.space.reads(index) and any(map(self.space.reads, trees[1:])):
            kept = self.temporary("place")
            self.put(f"{kept} = {self.value(index, apart)}")
            return name, kept
        return name, self.value(index, apart)

    def on_read(self, step: verbs.Read, at: str) -> None:
        trees, apart = self.begin(step, at)
        name, index = self.target(step, trees, apart)
        guarded = self.guard is not None and name in self.context.watched
        with self.atomic() if guarded else nullcontext():
            self.assign(self.local(step.into), self.variable(name, index))
        self.after_operation(at)

    def on_write(self, step: verbs.Write, at: str) -> None:
        trees, apart = self.begin(step, at)
        name, index = self.target(step, trees, apart)
        guarded = self.guard is not None and name in self.context.guarded
        value = self.operand(trees[-1], apart) if guarded else self.value(trees[-1], apart)
        with self.atomic() if guarded else nullcontext():
            self.put(f"{self.variable(name, index, True)} = {value}")
        self.after_operation(at)

    def operand(self, tree: ast.expr, apart: bool) -> str:
        """An operand of an indivisible step, read before that begins."""
        source = self.value(tree, apart)
        if not apart and self.space.reads(tree) and self.guard is not None:
            kept = self.temporary("value")
            self.put(f"{kept} = {source}")
            return kept
        return source

    def modified(self, step: BaseStep, at: str) -> tuple[str, list[str], list[ast.expr]]:
        """The variable that an indivisible step changes, its operands and their trees."""
        trees, apart = self.begin(step, at)
        name, index = self.target(step, trees, apart)
        own = self.own(step, trees)
        operands = [self.operand(tree, apart) for tree in own]
        return self.variable(name, index, True), operands, own

    def on_compare_exchange(self, step: verbs.CompareExchange, at: str) -> None:
        variable, (expect, value), _ = self.modified(step, at)
        test = f"{variable} == {expect}"
        kinds = self.context.kinds[self.reference(step)[0]]
        if BOOL in kinds or self._truth(step.expect):
            self.context.needs.add("same")
            test = f"same({variable}, {expect})"
        into = self.local(step.into)
        names = {node.id for node in ast.walk(ast.parse(value)) if isinstance(node, ast.Name)}
        with self.atomic():
            exchanged = self.temporary("exchanged") if into in names else into
            if exchanged is not None:
                self.put(f"{exchanged} = {test}")
            with self.block(f"if {exchanged or test}:"):
                self.put(f"{variable} = {value}")
            if exchanged != into:
                self.put(f"{into} = {exchanged}")
        self.after_operation(at)

    def _truth(self, expr: Any) -> bool:
        """Whether an expression may be a truth value, which equals no number here."""
        match tree_of(expr):
            case ast.Constant(value=value):
                return isinstance(value, bool)
            case ast.BinOp():
                return False
        return any(BOOL in kinds for kinds in self.context.kinds.values())

    def on_exchange(self, step: verbs.Exchange, at: str) -> None:
        variable, (value,), _ = self.modified(step, at)
        into = self.local(step.into)
        with self.atomic():
            if into is None:
                self.put(f"{variable} = {value}")
            else:
                self.put(f"{into}, {variable} = {variable}, {value}")
        self.after_operation(at)

    def on_fetch_add(self, step: verbs.FetchAdd, at: str) -> None:
        variable, (by,), (tree,) = self.modified(step, at)
        into = self.local(step.into)
        checked = OTHER in self.context.kinds[self.reference(step)[0]] and not _number(tree)
        if checked:  # a text would be added to a text
            self.context.needs.add("number")
            by = f"number({by})"
        with self.atomic():
            if into is None:
                self.put(f"{variable} += {by}")
            else:
                if not checked and not isinstance(tree, ast.Constant | ast.Name | ast.UnaryOp):
                    by = f"({by})"
                self.put(f"{into}, {variable} = {variable}, {variable} + {by}")
        self.after_operation(at)

    def on_let(self, step: verbs.Let, at: str) -> None:
        trees, apart = self.begin(step, at)
        for name, tree in zip(step.let, trees, strict=True):
            self.put(f"{self.local(name)} = {self.value(tree, apart)}")

    def on_atomic(self, step: verbs.Atomic, at: str) -> None:
        self.begin(step, at)
        context = self.context
        with self.atomic():
            outer = self.guard, context.points, context.watched
            self.guard, context.points, context.watched = None, None, set()
            self.steps(step.atomic, f"{at}.atomic")
            self.guard, context.points, context.watched = outer
        self.after_operation(at)


def _number(tree: ast.expr) -> bool:
    """Whether this is a number as it stands."""
    return isinstance(tree, ast.Constant) and isinstance(tree.value, int | float)
