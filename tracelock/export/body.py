"""The steps of one worker as the lines of a function: what is the same on every backend."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from tracelock.export.expressions import Space, Unfolder, negated
from tracelock.export.kinds import BOOL, Kinds
from tracelock.export.naming import Naming
from tracelock.export.points import Action, Points
from tracelock.export.writing import Lines, quoted
from tracelock.ops import Layout
from tracelock.scenario import models
from tracelock.scenario.expressions import parse_reference
from tracelock.scenario.models import Scenario
from tracelock.scenario.usage import steps_of


@dataclass
class Shop:
    """What the whole program is made from, and what its functions turn out to need."""

    scenario: Scenario
    layout: Layout
    naming: Naming
    variables: dict[str, str]
    objects: dict[str, str]
    workers: dict[str, str]
    cells: set[str]
    kinds: dict[str, Kinds]
    points: Points | None
    names: list[str]  # of the workers, by number
    lenient: bool = False  # a turn that does not come is waited for a second only
    always: str | None = None  # the condition that the trace ends with breaking
    needs: set[str] = field(default_factory=set)
    guarded: set[str] = field(default_factory=set)  # variables whose plain writes need the guard
    watched: set[str] = field(default_factory=set)  # and those whose plain reads do

    def numbers(self, group: str) -> list[int]:
        """The numbers of the instances of a worker."""
        return [n for n, spec in enumerate(self.layout.workers) if spec.group == group]


class Body(Lines):
    """Writes the function of one worker. Subclasses know one backend each."""

    me = "threading.current_thread().name"
    wait = ""  # what stands before a call that may suspend
    with_ = "with"
    guard: str | None = "with atomic:"  # around what is one step

    def __init__(self, shop: Shop, group: str, naming: Naming) -> None:
        super().__init__()
        self.shop = shop
        self.group = group
        self.naming = naming
        self.numbers = shop.numbers(group)
        self.decl = shop.scenario.workers[group]
        steps = [step for at, step in steps_of(shop.scenario) if at.split(".")[1] == group]
        names = dict.fromkeys(name for step in steps for name in assigned(step))
        # a local may hide a name of the scenario in its own worker
        locals_ = {name: name if name == "index" else naming.fresh(name) for name in names}
        constants = {"count": self.decl.count}
        if self.decl.count == 1:
            constants["index"] = 0
        constants = {name: value for name, value in constants.items() if name not in locals_}
        arrays = {name: len(v) for name, v in shop.scenario.shared.items() if isinstance(v, list)}
        self.space = Space(shop.variables, arrays, shop.cells, locals_, constants)
        self.written: set[str] = set()  # variables that need a global statement
        self.counters: dict[str, str] = {}  # path -> the local that counts its operations
        self.loops = 0
        self.done: dict[str, int] = {}  # path -> its operations written so far
        self.at = ""
        self.optional = dict.fromkeys(
            step.into for step in steps if isinstance(step, models.Get) and step.got and step.into
        )
        self._temporaries: set[str] = set()

    # --- the function ------------------------------------------------------------------------
    def function(self, head: str) -> list[str]:
        """The lines of the whole function."""
        with self.block(head):
            start = len(self.text)
            if self.shop.points is not None:
                self.actions({n: self.shop.points.start.get(n, []) for n in self.numbers})
            self.steps(self.decl.steps, f"workers.{self.group}.steps")
            first = [
                f"    {self.space.locals[name]} = {value}"
                for name, value in self.first_values().items()
            ]
            first += [f"    {counter} = 0" for counter in self.counters.values()]
            if self.written:
                names = ", ".join(sorted(self.shop.variables[name] for name in self.written))
                first.insert(0, f"    global {names}")
            self.text[start:start] = first
        return self.text

    def first_values(self) -> dict[str, str]:
        """Locals that have a value before they are set."""
        found = {name: "None" for name in self.optional}
        found |= {"count": str(self.decl.count)} if "count" in self.space.locals else {}
        if "index" in self.space.locals and self.decl.count == 1:
            found["index"] = "0"
        return found

    def steps(self, steps: Sequence[models.BaseStep], path: str) -> None:
        """Write the steps of a block."""
        for place, step in enumerate(steps):
            self.step(step, f"{path}[{place}]")

    def step(self, step: models.BaseStep, at: str) -> None:
        """Write one step."""
        outer, self.at = self.at, at
        name = step.verb if step.verb not in ("with", "if", "while", "try", "assert") else None
        method: Callable[[Any, str], None] = getattr(self, f"on_{name or step.verb + '_'}")
        method(step, at)
        self.at = outer

    # --- turns -------------------------------------------------------------------------------
    def forced(self, at: str) -> dict[int, dict[int, Any]]:
        """What the instances of this worker do around the operations of a step."""
        if self.shop.points is None:
            return {}
        found = {n: self.shop.points.doings(n, at) for n in self.numbers}
        return {n: doings for n, doings in found.items() if doings}

    def apart(self, at: str, trees: Sequence[ast.expr]) -> bool:
        """Whether the reads of a step have to be taken apart: a turn ends between them."""
        if any(self.watched(tree) for tree in trees):
            return True
        forced = self.forced(at)
        reads = sum(map(self.space.count, trees))
        if not forced or not reads:
            return False
        if self.counted(at, trees):
            return True
        return any(n <= reads for doings in forced.values() for n in doings)

    def watched(self, tree: ast.expr) -> bool:
        """Whether an expression reads what an atomic step writes bit by bit."""
        return any(
            isinstance(node, ast.Name)
            and node.id in self.shop.watched
            and self.space.is_shared(node.id)
            for node in ast.walk(tree)
        )

    def counted(self, at: str, trees: Sequence[ast.expr] = (), always: bool = False) -> bool:
        """Whether the operations of a step have to be counted as the program runs."""
        if not self.forced(at):
            return False
        if self.loops or always or not all(map(self.space.straight, trees)):
            if at not in self.counters:
                self.counters[at] = self.naming.fresh("passes")
            return True
        return at in self.counters

    def passed(self, at: str, read: bool = False) -> None:
        """An operation of a step has been written: hand over where the trace does."""
        self.done[at] = self.done.get(at, 0) + 1
        forced = self.forced(at)
        if not forced:
            return
        counter = self.counters.get(at)
        if counter is not None:
            self.put(f"{counter} += 1")
        self._around(at, forced, self.done[at], "after", 0, read)
        self.broken(at)

    def coming(self, at: str) -> None:
        """An operation of a step comes next."""
        self._around(at, self.forced(at), self.done.get(at, 0) + 1, "before", 1)

    @contextmanager
    def however(self, at: str) -> Iterator[None]:
        """Around an operation that a cancellation may cut off."""
        forced = self.forced(at)
        if not any(one.however for doings in forced.values() for one in doings.values()):
            yield
            return
        with self.block("try:"):
            yield
        with self.block("finally:"):
            self._around(at, forced, self.done.get(at, 0) + 1, "however", 1)

    def _around(
        self, at: str, forced: dict[int, dict[int, Any]], number: int, when: str, ahead: int,
        read: bool = False,
    ) -> None:  # fmt: skip
        counter = self.counters.get(at)
        if counter is None:
            self.actions(
                {n: getattr(d[number], when) for n, d in forced.items() if number in d}
            )
            return
        for n, doings in forced.items():
            for passes, one in doings.items():
                actions = getattr(one, when)
                if not actions or one.read != read:
                    continue
                test = f"{counter} == {passes - ahead}"
                if len(self.numbers) > 1:
                    test = f"index == {self.shop.layout.workers[n].index} and {test}"
                with self.block(f"if {test}:"):
                    self.act(actions)

    def broken(self, at: str) -> None:
        """Where the trace ends because something does not hold any more: say so."""
        points = self.shop.points
        if self.shop.always is None or points is None or points.last is None:
            return
        n, path, number = points.last
        counter = self.counters.get(at)
        if path != at or n not in self.numbers or (counter is None and number != self.done[at]):
            return
        tests = [] if counter is None else [f"{counter} == {number}"]
        if len(self.numbers) > 1:
            tests.insert(0, f"index == {self.shop.layout.workers[n].index}")
        with self.block(f"if {' and '.join(tests)}:" if tests else None):
            held = self.space.source(self.space.tree(self.shop.always))
            self.put(f"assert {held}, {quoted(self.shop.always + ' is false')}")

    def actions(self, by_worker: dict[int, list[Action]]) -> None:
        """What instances do here, each its own."""
        by_worker = {n: actions for n, actions in by_worker.items() if actions}
        for n, actions in by_worker.items():
            if len(self.numbers) == 1:
                self.act(actions)
            else:
                with self.block(f"if index == {self.shop.layout.workers[n].index}:"):
                    self.act(actions)

    def act(self, actions: Sequence[Action]) -> None:
        """Give turns away and wait for one's own."""
        points = self.shop.points
        assert points is not None
        for what, number in actions:
            if what == "give":
                whose = points.whose[number]
                note = "the rest" if whose is None else f"{self.shop.names[whose]} goes on"
                self.put(f"turn[{number}].set()  # {note}")
            elif what == "back":
                self.put(f"back[{self.me}] = turn[{number}]")
            else:
                take = f"take({number})" if self.shop.lenient else f"turn[{number}].wait()"
                self.put(f"{self.wait}{take}")

    # --- expressions -------------------------------------------------------------------------
    def temporary(self, wanted: str) -> str:
        name = wanted if wanted.isidentifier() else "value"
        taken = set(self.space.locals.values()) | set(self.space.shared.values())
        number = 1
        made = name
        while made in taken or made in self._temporaries or made in self.shop.naming.used:
            number += 1
            made = f"{name}_{number}"
        self._temporaries.add(made)
        return made

    def value(self, tree: ast.expr, apart: bool) -> str:
        """The source of an expression, its reads written before it where they are apart."""
        if apart:
            at = self.at
            unfolder = Unfolder(
                self.space, self._guarded_read, self.block, self.temporary,
                lambda: self.passed(at, True),
            )
            return self.space.source(unfolder.unfold(tree))
        self.done[self.at] = self.done.get(self.at, 0) + self.space.count(tree)
        return self.space.source(tree)

    def _guarded_read(self, line: str) -> None:
        names = {self.shop.variables[name] for name in self.shop.watched}
        tree = ast.parse(line)
        if self.guard and any(isinstance(n, ast.Name) and n.id in names for n in ast.walk(tree)):
            with self.atomic():
                self.put(line)
        else:
            self.put(line)

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """Around what must be one step."""
        if self.guard is None:
            yield
            return
        self.shop.needs.add("atomic")
        with self.block(self.guard):
            yield

    def reference(self, text: str) -> tuple[str, ast.expr | None]:
        """A name and the tree of its index."""
        name, index = parse_reference(text)
        return name, index

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

    def thing(self, text: str, apart: bool = False, later: Sequence[ast.expr] = ()) -> str:
        """A synchronisation object."""
        name, index = self.target(text, later, apart)
        own = self.shop.objects[name]
        return own if index is None else f"{own}[{index}]"

    def trees(self, text: str, *exprs: Any) -> list[ast.expr]:
        """The trees of a step: of the index in ``text``, if any, and of its EXPRs."""
        _, index = self.reference(text)
        return [*([] if index is None else [index]), *map(self.space.tree, exprs)]

    def local(self, name: str | None) -> str | None:
        return None if name is None else self.space.locals[name]

    def type_of(self, text: str) -> str:
        """The type of the object that a reference names."""
        return self.shop.scenario.objects[self.reference(text)[0]].type

    # --- shared variables --------------------------------------------------------------------
    def on_read(self, step: models.Read, at: str) -> None:
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

    def on_write(self, step: models.Write, at: str) -> None:
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

    def on_compare_exchange(self, step: models.CompareExchange, at: str) -> None:
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

    def on_exchange(self, step: models.Exchange, at: str) -> None:
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

    def on_fetch_add(self, step: models.FetchAdd, at: str) -> None:
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

    def on_let(self, step: models.Let, at: str) -> None:
        trees = [self.space.tree(expr) for expr in step.let.values()]
        apart = self.apart(at, trees)
        self.counted(at, trees)
        for name, tree in zip(step.let, trees, strict=True):
            self.put(f"{self.local(name)} = {self.value(tree, apart)}")

    def on_atomic(self, step: models.Atomic, at: str) -> None:
        self.counted(at)
        shop = self.shop
        with self.atomic():
            outer = self.guard, shop.points, shop.watched
            self.guard, shop.points, shop.watched = None, None, set()
            self.steps(step.atomic, f"{at}.atomic")
            self.guard, shop.points, shop.watched = outer
        self.passed(at)

    # --- flow --------------------------------------------------------------------------------
    def condition(self, expr: Any, at: str, loop: bool = False) -> tuple[ast.expr, bool]:
        """A condition's tree, and whether its reads have to be taken apart."""
        tree = self.space.tree(expr)
        self.counted(at, [tree], loop)
        return tree, self.apart(at, [tree])

    def on_if_(self, step: models.If, at: str, word: str = "if") -> None:
        tree, apart = self.condition(step.if_, at)
        then, other = step.then, step.else_
        test = self.value(tree, apart)
        if not then and other:
            then, other = other, then
            test = f"not ({test})"
            self._branch(word, test, then, f"{at}.else")
        else:
            self._branch(word, test, then, f"{at}.then")
        if len(other) == 1 and isinstance(other[0], models.If):
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

    def _branch(self, word: str, test: str, steps: Sequence[models.BaseStep], path: str) -> None:
        with self.block(f"{word} {test}:"):
            self.steps(steps, path)

    def on_while_(self, step: models.While, at: str) -> None:
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

    def on_repeat(self, step: models.Repeat, at: str) -> None:
        tree = self.space.tree(step.repeat)
        self.counted(at, [tree])
        apart = self.apart(at, [tree])
        times = self.value(tree, apart)
        name = self.local(step.index) or "_"
        self.loops += 1
        with self.block(f"for {name} in range({times}):"):
            self.steps(step.do, f"{at}.do")
        self.loops -= 1

    def on_break(self, step: models.Break, at: str) -> None:
        self.put("break")

    def on_continue(self, step: models.Continue, at: str) -> None:
        self.put("continue")

    def on_stop(self, step: models.Stop, at: str) -> None:
        self.put("return")

    def on_assert_(self, step: models.Assert, at: str) -> None:
        tree, apart = self.condition(step.assert_, at)
        text = step.message if step.message is not None else f"{step.assert_} is false"
        self.put(f"assert {self.value(tree, apart)}, {quoted(text)}")

    def on_fail(self, step: models.Fail, at: str) -> None:
        self.put(f"raise AssertionError({quoted(step.fail)})")

    def on_try_(self, step: models.Try, at: str) -> None:
        with self.block("try:"):
            self.steps(step.try_, f"{at}.try")
        with self.block("finally:"):
            self.steps(step.finally_, f"{at}.finally")

    def on_work(self, step: models.Work, at: str) -> None:
        tree = self.space.tree(step.work)
        self.counted(at, [tree])
        self.shop.needs.add("work")
        self.put(f"work({self.value(tree, self.apart(at, [tree]))})")

    def on_call(self, step: models.Call, at: str) -> None:
        trees = [self.space.tree(arg) for arg in step.args]
        self.counted(at, trees)
        apart = self.apart(at, trees)
        module, _, function = step.call.partition(":")
        self.shop.needs.add(f"import {module}")
        call = f"{module}.{function}({', '.join(self.value(tree, apart) for tree in trees)})"
        into = self.local(step.into)
        self.put(call if into is None else f"{into} = {call}")
        self.passed(at)

    # --- objects that are the same everywhere -------------------------------------------------
    def on_with_(self, step: models.With, at: str) -> None:
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

    def on_release(self, step: models.Release, at: str) -> None:
        trees = self.trees(step.release, step.n)
        self.counted(at, trees)
        apart = self.apart(at, trees)
        thing = self.thing(step.release, apart, trees[-1:])
        n = self.value(trees[-1], apart)
        self.release(thing, n)
        self.passed(at)

    def release(self, thing: str, n: str) -> None:
        self.put(f"{thing}.release()" if n == "1" else f"{thing}.release({n})")

    def on_notify(self, step: models.Notify, at: str) -> None:
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

    def on_set(self, step: models.Set, at: str) -> None:
        trees = self.trees(step.set)
        self.counted(at, trees)
        self.put(f"{self.thing(step.set, self.apart(at, trees))}.set()")
        self.passed(at)

    def on_clear(self, step: models.Clear, at: str) -> None:
        trees = self.trees(step.clear)
        self.counted(at, trees)
        self.put(f"{self.thing(step.clear, self.apart(at, trees))}.clear()")
        self.passed(at)

    def on_wait(self, step: models.Wait, at: str) -> None:
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
        if apart or self.forced(at):
            head = "while True:"
        else:
            head = f"while {self.negated(until)}:"
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


def assigned(step: Any) -> list[str]:
    """The locals that a step sets."""
    names = list(step.let) if isinstance(step, models.Let) else []
    for key in ("into", "got", "index"):
        name = getattr(step, key, None)
        if isinstance(name, str):
            names.append(name)
    return names


def leaves(steps: Sequence[Any]) -> bool:
    """Whether a block may be left before its end."""
    for step in steps:
        if isinstance(
            step,
            models.Break | models.Continue | models.Stop | models.Assert | models.Fail
            | models.Timeout | models.Call,
        ):  # fmt: skip
            return True
        for key in ("do", "then", "else_", "try_", "finally_"):
            inner = getattr(step, key, None)
            if isinstance(inner, list) and leaves(inner):
                return True
    return False
