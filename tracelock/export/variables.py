"""Steps on shared variables."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from tracelock.export.kinds import BOOL
from tracelock.export.turns import Turns
from tracelock.scenario.language import verbs


class Variables(Turns):
    """Reads and writes, plain and indivisible."""

    def variable(self, name: str, index: str | None, write: bool = False) -> str:
        """A shared variable, to read or to assign to."""
        if index is not None:
            return self.space.element(name, index)
        if write and name not in self.space.cells:
            self.written.add(name)
        return self.space.variable(name)

    def target(self, text: str, later: Sequence[ast.expr], apart: bool) -> tuple[str, str | None]:
        """The name and the source of the index of what a step is about; the index is evaluated
        before what comes ``later``."""
        name, index = self.reference(text)
        if index is None:
            return name, None
        if not apart and self.space.reads(index) and any(map(self.space.reads, later)):
            kept = self.temporary("place")
            self.put(f"{kept} = {self.value(index, apart)}")
            return name, kept
        return name, self.value(index, apart)

    def trees(self, text: str, *exprs: Any) -> list[ast.expr]:
        """The trees of a step: of the index in ``text``, if any, and of its EXPRs."""
        _, index = self.reference(text)
        return [*([] if index is None else [index]), *map(self.space.tree, exprs)]

    def on_read(self, step: verbs.Read, at: str) -> None:
        trees = self.trees(step.read)
        apart = self.apart(at, trees)
        name, index = self.target(step.read, (), apart)
        self.counted(at, trees)
        source = self.variable(name, index)
        into = self.local(step.into)
        line = source if into is None else f"{into} = {source}"
        with self.atomic() if self.guard and name in self.shop.watched else nullcontext():
            self.put(line)
        self.passed(at)

    def on_write(self, step: verbs.Write, at: str) -> None:
        trees = self.trees(step.write, step.value)
        apart = self.apart(at, trees)
        self.counted(at, trees)
        name, index = self.target(step.write, trees[-1:], apart)
        value = self.value(trees[-1], apart)
        guarded = self.guard is not None and name in self.shop.guarded
        if guarded and not apart and self.space.reads(trees[-1]):
            kept = self.temporary("value")
            self.put(f"{kept} = {value}")
            value = kept
        with self.atomic() if guarded else nullcontext():
            self.put(f"{self.variable(name, index, True)} = {value}")
        self.passed(at)

    def operand(self, tree: ast.expr, apart: bool) -> str:
        """An operand of a read-modify-write, read before that begins."""
        source = self.value(tree, apart)
        if not apart and self.space.reads(tree) and self.guard is not None:
            kept = self.temporary("value")
            self.put(f"{kept} = {source}")
            return kept
        return source

    def on_compare_exchange(self, step: verbs.CompareExchange, at: str) -> None:
        trees = self.trees(step.compare_exchange, step.expect, step.value)
        apart = self.apart(at, trees)
        self.counted(at, trees)
        name, index = self.target(step.compare_exchange, trees[-2:], apart)
        expect, value = (self.operand(tree, apart) for tree in trees[-2:])
        variable = self.variable(name, index, True)
        test = f"{variable} == {expect}"
        if BOOL in self.shop.kinds[name] or self._truth(step.expect):
            self.shop.needs.add("same")
            test = f"same({variable}, {expect})"
        into = self.local(step.into)
        with self.atomic():
            if into is None:
                with self.block(f"if {test}:"):
                    self.put(f"{variable} = {value}")
            else:
                self._exchange_into(into, test, variable, value)
        self.passed(at)

    def _exchange_into(self, into: str, test: str, variable: str, value: str) -> None:
        names = {node.id for node in ast.walk(ast.parse(value)) if isinstance(node, ast.Name)}
        if into in names:
            kept = self.temporary("exchanged")
            self.put(f"{kept} = {test}")
            with self.block(f"if {kept}:"):
                self.put(f"{variable} = {value}")
            self.put(f"{into} = {kept}")
            return
        self.put(f"{into} = {test}")
        with self.block(f"if {into}:"):
            self.put(f"{variable} = {value}")

    def _truth(self, expr: Any) -> bool:
        """Whether an expression may be a truth value, which equals no number here."""
        match self.space.tree(expr):
            case ast.Constant(value=value):
                return isinstance(value, bool)
            case ast.BinOp():
                return False
        return any(BOOL in kinds for kinds in self.shop.kinds.values())

    def on_exchange(self, step: verbs.Exchange, at: str) -> None:
        trees = self.trees(step.exchange, step.value)
        apart = self.apart(at, trees)
        self.counted(at, trees)
        name, index = self.target(step.exchange, trees[-1:], apart)
        value = self.operand(trees[-1], apart)
        variable = self.variable(name, index, True)
        into = self.local(step.into)
        with self.atomic():
            if into is None:
                self.put(f"{variable} = {value}")
            else:
                self.put(f"{into}, {variable} = {variable}, {value}")
        self.passed(at)

    def on_fetch_add(self, step: verbs.FetchAdd, at: str) -> None:
        trees = self.trees(step.fetch_add, step.by)
        apart = self.apart(at, trees)
        self.counted(at, trees)
        name, index = self.target(step.fetch_add, trees[-1:], apart)
        by = self.operand(trees[-1], apart)
        variable = self.variable(name, index, True)
        into = self.local(step.into)
        with self.atomic():
            if into is None:
                self.put(f"{variable} += {by}")
            else:
                if not isinstance(trees[-1], ast.Constant | ast.Name | ast.UnaryOp):
                    by = f"({by})"
                self.put(f"{into}, {variable} = {variable}, {variable} + {by}")
        self.passed(at)

    def on_let(self, step: verbs.Let, at: str) -> None:
        trees = [self.space.tree(expr) for expr in step.let.values()]
        apart = self.apart(at, trees)
        self.counted(at, trees)
        for name, tree in zip(step.let, trees, strict=True):
            self.put(f"{self.local(name)} = {self.value(tree, apart)}")

    def on_atomic(self, step: verbs.Atomic, at: str) -> None:
        self.counted(at)
        shop = self.shop
        with self.atomic():
            outer = self.guard, shop.points, shop.watched
            self.guard, shop.points, shop.watched = None, None, set()
            self.steps(step.atomic, f"{at}.atomic")
            self.guard, shop.points, shop.watched = outer
        self.passed(at)
