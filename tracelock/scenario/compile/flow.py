"""Blocks of steps, lowered: loops, conditions, and what must happen however a block ends.

A statement without a visible step in it is written as Python's own statement into one line of
blocks; any other becomes jumps between segments.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from tracelock.ops import ACQUIRE, ATOMIC, RELEASE, Layout
from tracelock.scenario.compile.codegen import BasicBlock
from tracelock.scenario.compile.lowering import Const
from tracelock.scenario.compile.regions import Regions
from tracelock.scenario.compile.runtime import AtomicBlock
from tracelock.scenario.compile.translate import Direct, GlobalNames, NameTable, children, literal
from tracelock.scenario.compile.values import describe
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import mentions, parse

#: Python nests twenty loops at most, and a hundred levels of indentation.
MAX_LOOPS: Final = 10
MAX_HEIGHT: Final = 25


class StepForm(NamedTuple):
    """What a statement is made of. ``quiet``: it has no visible step and leaves no block that
    is not its own, except by a break or continue (``escapes``)."""

    quiet: bool
    escapes: bool = False
    loops: int = 0
    height: int = 0


class Flow(Regions):
    """Lowers control flow; ``lowerings`` has the method for each verb."""

    lowerings: ClassVar[dict[str, Callable[[Any, Any, str], None]]]

    def __init__(self, layout: Layout, names: NameTable, pool: GlobalNames) -> None:
        super().__init__(layout, names, pool)
        # Of each open loop: where break and continue go, and how many regions stand around it.
        self.loops: list[tuple[BasicBlock, BasicBlock, int]] = []
        self.functions: list[tuple[str, str]] = []  # (line of source, path) of atomic steps
        self.bodies: dict[str, type[AtomicBlock]] = {}  # by the name of their function
        self.scoped = False
        self._forms: dict[int, StepForm] = {}
        self._looping = False  # inside a loop of Python's own
        self._quick: dict[str, Callable[[Any, str], None]] = {
            "if": self._quick_if, "while": self._quick_while, "repeat": self._quick_repeat,
            "break": self._quick_jump, "continue": self._quick_jump,
        }  # fmt: skip

    def steps(self, steps: Sequence[BaseStep], path: str) -> None:
        """Lower the steps of one block."""
        for place, step in enumerate(steps):
            self.step(step, f"{path}[{place}]")

    def step(self, step: BaseStep, at: str) -> None:
        """Lower one step."""
        self.at = at
        mark = self.depth
        form = self.form(step)
        quick = self._quick.get(step.verb)
        if quick is not None and (self.indent or self.direct or (form.quiet and not form.escapes)):
            quick(step, at)
        else:
            self.lowerings[step.verb](self, step, at)
        self.at = at
        self.depth = mark

    def form(self, step: BaseStep) -> StepForm:
        """See :class:`StepForm`."""
        found = self._forms.get(id(step))
        if found is None:
            found = self._forms[id(step)] = self._form(step)
        return found

    def _form(self, step: BaseStep) -> StepForm:
        match step:
            case verbs.Break() | verbs.Continue():
                return StepForm(True, True)
            case verbs.Let(let=values):
                return StepForm(not any(self.reads(self.names.tree(e)) for e in values.values()))
            case verbs.Work(work=expr) | verbs.Assert(assert_=expr):
                return StepForm(not self.reads(self.names.tree(expr)))
            case verbs.Fail():
                return StepForm(True)
            case verbs.If(if_=expr) | verbs.While(while_=expr) | verbs.Repeat(repeat=expr):
                parts = [self.form(child) for _, block in step.blocks() for child in block]
                loop = not isinstance(step, verbs.If)
                loops = max((part.loops for part in parts), default=0) + loop
                height = max((part.height for part in parts), default=0) + 1
                quiet = (
                    all(part.quiet for part in parts)
                    and not self.reads(self.names.tree(expr))
                    and loops <= MAX_LOOPS
                    and height <= MAX_HEIGHT
                )
                return StepForm(
                    quiet, not loop and any(part.escapes for part in parts), loops, height
                )
        return StepForm(False)

    # --- statements as Python's own ------------------------------------------------------
    def _nested(self, steps: Sequence[BaseStep], path: str) -> None:
        self.indent += 1
        if not steps:
            self.line("pass")
        self.steps(steps, path)
        self.indent -= 1

    def _quick_if(self, step: verbs.If, at: str) -> None:
        self.line(f"if {self.native.source(self.names.tree(step.if_))}:")
        before = self.known()
        self._nested(step.then, f"{at}.then")
        if step.else_:
            after, self.names.certain = self.known(), before
            self.at = at
            self.line("else:")
            self._nested(step.else_, f"{at}.else")
            self.meet(after)
        else:
            self.meet(before)

    def _quick_loop(self, head: str, step: Any, at: str, index: str | None = None) -> None:
        before = self.known()
        outermost, self._looping = not self._looping, True
        self.block.loops = True
        if outermost:
            self.line("f = m.fuel")
        self.line(head)
        self.line("f -= 1", 1)
        self.line("if f < 0: f = m.refuel()", 1)
        if index is not None:
            self.indent += 1
            self.store(index, f"i{self.indent - 1}")
            self.indent -= 1
        self._nested(step.do, f"{at}.do")
        self.at = at
        if outermost:
            self.line("m.fuel = f")
        self._looping = not outermost
        self.names.certain = before

    def _quick_while(self, step: verbs.While, at: str) -> None:
        self._quick_loop(f"while {self.native.source(self.names.tree(step.while_))}:", step, at)

    def _quick_repeat(self, step: verbs.Repeat, at: str) -> None:
        count = self.native.source(self.names.tree(step.repeat))
        self._quick_loop(f"for i{self.indent} in range({count}):", step, at, step.index)

    def _quick_jump(self, step: BaseStep, at: str) -> None:
        self.line(step.verb)
        self.dead()

    # --- jumps between segments ----------------------------------------------------------
    def on_if(self, step: verbs.If, at: str) -> None:
        then, other, after = self.new(), self.new(), self.new()
        self.test(self.names.tree(step.if_), then, other)
        before = self.known()
        self.start(then)
        self.steps(step.then, f"{at}.then")
        self.goto(after)
        taken, self.names.certain = self.known(), before
        self.start(other)
        self.steps(step.else_, f"{at}.else")
        self.goto(after)
        self.meet(taken)
        self.start(after)

    def _loop(self, head: BasicBlock, after: BasicBlock, step: Any, at: str) -> None:
        """The body of a loop, from the current block back to ``head``."""
        before = self.known()
        self.loops.append((after, head, len(self.regions)))
        self.steps(step.do, f"{at}.do")
        self.loops.pop()
        self.at = at
        self.goto(head)
        self.names.certain = before
        self.start(after)

    def on_while(self, step: verbs.While, at: str) -> None:
        head, body, after = self.new(), self.new(), self.new()
        self.goto(head)
        self.start(head)
        mark = self.depth
        self.test(self.names.tree(step.while_), body, after)
        self.depth = mark  # what the condition kept is not needed in the body
        self.start(body)
        self._loop(head, after, step, at)

    def on_repeat(self, step: verbs.Repeat, at: str) -> None:
        count = self.operand(step.repeat)
        if isinstance(count, Const) and type(count.value) is int:
            bound = literal(count.value)
        else:
            source = literal(count.value) if isinstance(count, Const) else count
            bound = self.keep(f"rounds({source})")
        counter = self.keep("0")
        head, body, after = self.new(), self.new(), self.new()
        self.goto(head)
        self.start(head)
        self.branch(f"{counter} < {bound}", body, after)
        before = self.known()
        self.start(body)
        self.store(step.index, counter)
        self.line(f"{counter} += 1")
        self._loop(head, after, step, at)
        self.names.certain = before

    def on_break(self, step: verbs.Break, at: str) -> None:
        target, _, kept = self.loops[-1]
        self.leave(target, kept)
        self.dead()

    def on_continue(self, step: verbs.Continue, at: str) -> None:
        _, target, kept = self.loops[-1]
        self.leave(target, kept)
        self.dead()

    def on_stop(self, step: verbs.Stop, at: str) -> None:
        self.leave(self.end, 0)
        self.dead()

    # --- blocks that do something on the way out -----------------------------------------
    def on_with(self, step: verbs.With, at: str) -> None:
        numbers, index = self.lock(step)
        lock = (numbers, None if index is None else self.keep(index))
        self.emit(self.op(ACQUIRE, lock))
        region = self.enter()
        self.steps(step.do, f"{at}.do")
        self.at = at
        after = BasicBlock(region.block.handler)
        self.exit(region, after)
        release = self.op(RELEASE, lock, value=Const(1))
        self.start(region.block)
        self.emit(release)
        self.onward(region)
        self.start(after)
        self.emit(release)

    def on_try(self, step: verbs.Try, at: str) -> None:
        before = self.known()
        region = self.enter()
        slot = region.handler.slot
        self.steps(step.try_, f"{at}.try")
        self.at = at
        self.line(f"L[{slot}] = 0")
        self.exit(region, region.block)
        tried, self.names.certain = self.known(), before
        self.start(region.block)
        self.steps(step.finally_, f"{at}.finally")
        self.at = at
        after, other = self.new(), self.new()
        self.branch(f"L[{slot}] == 0", after, other)
        self.start(other)
        self.onward(region)
        self.start(after)
        self.line(f"L[{slot}] = None")
        if tried is None:
            self.names.certain = None
        elif self.names.certain is not None:
            self.names.certain |= tried

    def on_timeout(self, step: verbs.Timeout, at: str) -> None:
        operand = self.operand(step.timeout)
        source = literal(operand.value) if isinstance(operand, Const) else operand
        time = self.temporary()
        self.line(f"L[{time}] = seconds({source})")
        self.line("L[0] += 1")
        uid = self.temporary()
        self.line(f"L[{uid}] = L[0]")
        in_time = [] if step.into is None else [f"L[{self.names.locals[step.into]}] = True"]
        before = self.known()
        self.scoped = True
        region = self.enter(in_time)
        scopes, self.scopes = self.scopes, (*self.scopes, (uid, time, at))
        self.steps(step.do, f"{at}.do")
        self.scopes = scopes
        self.at = at
        self.store(step.into, "True")
        after = BasicBlock(region.block.handler)
        self.exit(region, after)
        self.start(region.block)
        caught, other = self.new(), self.new()
        slot = f"L[{region.handler.slot}]"
        self.branch(f"type({slot}) is ScopeExpired and {slot}.uid == L[{uid}]", caught, other)
        self.start(other)
        self.onward(region)
        self.names.certain = before
        self.start(caught)
        self.line(f"{slot} = None")
        self.store(step.into, "False")
        self.goto(after)
        self.start(after)

    # --- asserts and atomic steps --------------------------------------------------------
    def on_assert(self, step: verbs.Assert, at: str) -> None:
        tree = self.names.tree(step.assert_)
        if step.message is not None:
            message = repr(step.message)
            self._assert(tree, lambda: message)
            return
        text = step.assert_ if isinstance(step.assert_, str) else describe(step.assert_)
        seen: list[tuple[str, str]] = []
        if isinstance(self.native, Direct):
            self.native.witnesses = seen
            tests = self.native.source(tree)
            self.native.witnesses = None
            if seen:
                self.line(f"{' = '.join(variable for _, variable in seen)} = U")
            self.line(
                f"if not {tests}: raise StepFailure('assert', {self._message(text, seen)}, {at!r})"
            )
            return
        count = self._mentions(tree)
        if count:
            slot = self.temporary(count)
            self.spare = list(range(slot, slot + count))
            self.witnesses = seen
            self.line(f"L[{slot}:{slot + count}] = [U] * {count}")
        self._assert(tree, lambda: self._message(text, seen))
        self.witnesses = None

    def _assert(self, tree: ast.expr, message: Callable[[], str]) -> None:
        if not self.reads(tree):
            fail = f"raise StepFailure('assert', {message()}, {self.at!r})"
            self.line(f"if not {self.native.source(tree)}: {fail}")
            return
        good, bad = self.new(), self.new()
        self.test(tree, good, bad)
        self.start(bad)
        self.line(f"raise StepFailure('assert', {message()}, {self.at!r})")
        self.start(good)

    def _mentions(self, node: ast.expr) -> int:
        """How many visible reads of variables or arrays the text of ``node`` holds."""
        if not self.reads(node):
            return 0
        match node:
            case ast.Subscript(value=base, slice=index) if self.names.variable(base):
                return 1 + self._mentions(index)
            case ast.Name():
                return 1
        return sum(self._mentions(child) for child in children(node))

    def _message(self, text: str, seen: list[tuple[str, str]]) -> str:
        """The source of the message of an assert that failed."""
        parts = list(seen)
        for mention in mentions(parse(text)):
            name = mention.name
            if name in self.names.locals:
                parts.append((name, f"L[{self.names.locals[name]}]"))
            elif name in self.names.constants:
                parts.append((name, literal(self.names.constants[name])))
        listed = "".join(f"({name!r}, {source}), " for name, source in parts)
        return f"explain({text!r}, ({listed}))"

    def on_fail(self, step: verbs.Fail, at: str) -> None:
        self.line(f"raise StepFailure('assert', {step.fail!r}, {at!r})")
        self.dead()

    def on_atomic(self, step: verbs.Atomic, at: str) -> None:
        slot = self.temporary()
        name = f"a{len(self.pool.names)}"
        block, native, self.block = self.block, self.native, BasicBlock(None)
        direct = Direct(self.names, self.pool, "read({})", "listed(list(map(read, range({}, {}))))")
        self.native, self.direct = direct, True
        self.steps(step.atomic, f"{at}.atomic")
        self.functions.append((f"def {name}(L, read, write):", at))
        self.functions.append((" pass", at))
        self.functions += [
            (" " * (deep + 1) + text, where) for deep, text, where in self.block.lines
        ]
        self.block, self.native, self.direct = block, native, False
        self.at = at
        members = {"__slots__": (), "touches": frozenset(direct.touches), "slot": slot}
        body: type[AtomicBlock] = type("Atomic", (AtomicBlock,), members)
        self.bodies[name] = body
        self.pool.names[f"A{name}"] = body
        op = f"Op({ATOMIC}, -1, {at!r}, None, None, True, None, A{name}(m))"
        self.emit(op, dynamic=False)
        self.line(f"if L[{slot}] is not None: raise L[{slot}]")
