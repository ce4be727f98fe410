"""The verbs of the language, and the compilation of a whole worker."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tracelock import ops
from tracelock.errors import ScopeExpired, StepFailure
from tracelock.ops import EMPTY, Layout, Op, Value, WorkerSpec
from tracelock.scenario.compile import translate, values
from tracelock.scenario.compile.codegen import Writer, machine_class
from tracelock.scenario.compile.flow import Flow
from tracelock.scenario.compile.lowering import FIRST_SLOT, Const, Operand, Target
from tracelock.scenario.compile.runtime import Machine
from tracelock.scenario.compile.translate import GlobalNames, NameTable, literal
from tracelock.scenario.compile.values import UNSET
from tracelock.scenario.language import verbs
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.usage import steps_in
from tracelock.scenario.language.verbs import VERBS

_NOTHING: tuple[list[int], None] = ([-1], None)


class Compiler(Flow):
    """Lowers each verb; ``on_VERB`` gets the step and its path."""

    # --- shared variables ----------------------------------------------------------------
    def on_read(self, step: verbs.Read, at: str) -> None:
        name, index = self.reference(step.read)
        node: ast.expr = ast.Name(name, ast.Load())
        if index is not None:
            node = ast.Subscript(node, index, ast.Load())
        source = self.value(node)
        if step.into is not None:
            self.store(step.into, source)
        elif self.direct:
            self.line(source)

    def on_write(self, step: verbs.Write, at: str) -> None:
        target = self.target(step)
        value = self.scalar(self.operand(step.value))
        if isinstance(self.native, translate.Direct):  # inside an atomic step
            self.native.touches.update(target[0])
            source = literal(value.value) if isinstance(value, Const) else value
            self.line(f"write({self.number(target)}, {source})")
        else:
            self.emit(self.op(ops.WRITE, target, value=value))

    def on_compare_exchange(self, step: verbs.CompareExchange, at: str) -> None:
        target = self.target(step)
        expect, value = self.operands([step.expect, step.value])
        if isinstance(expect, str):
            expect = f"scalar({expect})"
        value = self.scalar(value)
        self.emit(self.op(ops.COMPARE_EXCHANGE, target, value=value, expect=expect))
        self.store(step.into, "r")

    def on_exchange(self, step: verbs.Exchange, at: str) -> None:
        target = self.target(step)
        value = self.scalar(self.operand(step.value))
        self.emit(self.op(ops.EXCHANGE, target, value=value))
        self.store(step.into, "r")

    def on_fetch_add(self, step: verbs.FetchAdd, at: str) -> None:
        target = self.target(step)
        value = self.checked_by("number", self.operand(step.by))
        self.emit(self.op(ops.FETCH_ADD, target, value=value))
        self.store(step.into, "r")

    def on_let(self, step: verbs.Let, at: str) -> None:
        if not step.let:
            self.line("pass")  # it may be all there is in a block
        for name, expr in step.let.items():
            tree = self.names.tree(expr)
            self.store_checked(name, self.value(tree), self.names.growth(tree))

    # --- operands ------------------------------------------------------------------------
    def scalar(self, operand: Operand) -> Operand:
        """What goes into a shared variable: checked at once, or by the code that runs."""
        return self._payload(operand, "scalar", translate.ANY)

    def _payload(self, operand: Operand, check: str, growth: int) -> Operand:
        if isinstance(operand, Const):
            try:
                translate.NAMESPACE[check](operand.value)
            except Exception:
                return f"{check}({literal(operand.value)})"
            return operand
        if growth == translate.SMALL:
            return operand
        self.guarded(operand, growth, check)
        return "v"

    def checked_by(self, check: str, operand: Operand) -> Operand:
        """An operand that a function of ``values`` must accept."""
        return (
            self._payload(operand, check, translate.ANY)
            if isinstance(operand, Const)
            else f"{check}({operand})"
        )

    def time(self, operand: Operand) -> Operand:
        return self.checked_by("timeout", operand)

    # --- objects -------------------------------------------------------------------------
    def on_acquire(self, step: verbs.Acquire, at: str) -> None:
        lock = self.lock(step)
        timeout = self.time(self.operand(step.timeout))
        soft = step.into is not None
        self.emit(self.op(ops.ACQUIRE, lock, timeout=timeout, blocking=step.blocking, soft=soft))
        self.store(step.into, "r")

    def on_release(self, step: verbs.Release, at: str) -> None:
        lock = self.lock(step)
        n = self.checked_by("permits", self.operand(step.n))
        self.emit(self.op(ops.RELEASE, lock, value=n))

    def on_wait(self, step: verbs.Wait, at: str) -> None:
        numbers, index = self.target(step)
        timeout = self.time(self.operand(step.timeout))
        soft = step.into is not None
        if step.until is None:
            self.emit(self.op(ops.WAIT, (numbers, index), timeout=timeout, soft=soft))
            self.store(step.into, "r")
            return
        # As wait_for, but each round may take the whole timeout: virtual time has no other
        # meaning for what a wait that was woken has used up.
        if index is not None:
            index = self.keep(index)
        if isinstance(timeout, str):
            timeout = self.keep(timeout)
        wait = self.op(ops.WAIT, (numbers, index), timeout=timeout, soft=soft)
        head, sleep, held, late, after = (self.new() for _ in range(5))
        until = self.names.tree(step.until)
        mark = self.depth
        self.goto(head)
        self.start(head)
        self.test(until, held, sleep)
        self.depth = mark
        self.start(sleep)
        self.emit(wait)
        if isinstance(timeout, Const) and timeout.value is None:
            self.goto(head)
        else:
            again = self.new()
            self.branch("r", head, again)
            self.start(again)
            self.test(until, held, late)
            self.depth = mark
            self.start(late)
            self.store(step.into, "False")
            self.goto(after)
        self.start(held)
        self.store(step.into, "True")
        self.goto(after)
        self.start(after)

    def on_notify(self, step: verbs.Notify, at: str) -> None:
        target = self.target(step)
        n: Operand = Const(-1)
        if not step.all:
            n = self.checked_by("waiters", self.operand(step.n))
            if isinstance(n, Const):
                n = Const(values.waiters(n.value))
        self.emit(self.op(ops.NOTIFY, target, value=n))

    def on_set(self, step: verbs.Set, at: str) -> None:
        self.emit(self.op(ops.SET, self.target(step)))

    def on_clear(self, step: verbs.Clear, at: str) -> None:
        self.emit(self.op(ops.CLEAR, self.target(step)))

    def on_put(self, step: verbs.Put, at: str) -> None:
        target = self.target(step)
        value, timeout = self.operands([step.value, step.timeout])
        value = self._payload(value, "checked", self.names.growth(self.names.tree(step.value)))
        timeout = self.time(timeout)
        soft = step.into is not None
        self.emit(
            self.op(
                ops.PUT, target, value=value, timeout=timeout, blocking=step.blocking, soft=soft
            )
        )
        if step.into is not None:
            self.store(step.into, "r")
        elif _may_fail(timeout, step.blocking):
            self.line(f"if r is False: {self._failure(f'Full: {step.put} is full')}")

    def on_get(self, step: verbs.Get, at: str) -> None:
        target = self.target(step)
        timeout = self.time(self.operand(step.timeout))
        soft = step.got is not None
        self.emit(self.op(ops.GET, target, timeout=timeout, blocking=step.blocking, soft=soft))
        if not _may_fail(timeout, step.blocking):
            self.store(step.into, "r")
            self.store(step.got, "True")
            return
        if step.got is None:
            self.line(f"if r is EMPTY: {self._failure(f'Empty: {step.get} is empty')}")
            self.store(step.into, "r")
            return
        if step.into is not None:
            local = f"L[{self.names.locals[step.into]}]"
            self.line(f"if r is not EMPTY: {local} = r")
            self.line(f"elif {local} is U: {local} = None")
            self.know(step.into)
        self.store(step.got, "r is not EMPTY")

    def _failure(self, message: str) -> str:
        return f"raise StepFailure('error', {message!r}, {self.at!r})"

    # --- time and workers ----------------------------------------------------------------
    def on_sleep(self, step: verbs.Sleep, at: str) -> None:
        self.emit(
            self.op(ops.SLEEP, _NOTHING, value=self.checked_by("seconds", self.operand(step.sleep)))
        )

    def on_checkpoint(self, step: verbs.Checkpoint, at: str) -> None:
        self.emit(self.op(ops.CHECKPOINT, _NOTHING))

    def on_work(self, step: verbs.Work, at: str) -> None:
        self.line(f"work({self.value(self.names.tree(step.work))}, m.busy)")

    def _workers(self, step: BaseStep) -> list[Target]:
        """The targets of spawn, join and cancel, one per op."""
        name, index = self.reference(step.reference)
        workers = enumerate(self.layout.workers)
        numbers = [number for number, worker in workers if worker.group == name]
        if index is not None:
            return [self.pick(numbers, index, step.expressions())]
        return [([number], None) for number in numbers]

    def on_spawn(self, step: verbs.Spawn, at: str) -> None:
        for target in self._workers(step):
            self.emit(self.op(ops.SPAWN, target))

    def on_cancel(self, step: verbs.Cancel, at: str) -> None:
        for target in self._workers(step):
            self.emit(self.op(ops.CANCEL, target))

    def on_join(self, step: verbs.Join, at: str) -> None:
        targets = self._workers(step)
        timeout = self.time(self.operand(step.timeout))
        soft = step.into is not None
        if len(targets) > 1 and isinstance(timeout, str):
            timeout = self.keep(timeout)
        joined = self.keep("True") if soft and len(targets) > 1 else ""
        for target in targets:
            self.emit(self.op(ops.JOIN, target, timeout=timeout, soft=soft))
            if joined:
                self.line(f"{joined} = {joined} and r")
        self.store(step.into, joined or "r")

    def on_crash(self, step: verbs.Crash, at: str) -> None:
        self.emit(self.op(ops.CRASH, _NOTHING))

    def on_call(self, step: verbs.Call, at: str) -> None:
        trees = [self.names.tree(arg) for arg in step.args]
        arguments = f"[{', '.join(self.values(trees))}]"
        self.emit(self.op(ops.CALL, _NOTHING, value=arguments, body=step.call))
        self.store_checked(step.into, "r", translate.ANY)


def _may_fail(timeout: Operand, blocking: bool) -> bool:
    """Whether a put or get can come back with nothing done."""
    return not blocking or not (isinstance(timeout, Const) and timeout.value is None)


def compile_worker(
    number: int, spec: WorkerSpec, steps: Sequence[BaseStep], layout: Layout, fuel: int
) -> type[Machine]:
    """The class of the machines of worker ``number``."""
    names = NameTable(layout, {"index": spec.index, "count": spec.count})
    for _, step in steps_in(steps):
        for name in step.assigned():
            names.locals.setdefault(name, FIRST_SLOT + len(names.locals))
    _infer(names, steps)
    pool = GlobalNames()
    pool.names.update(
        Op=Op, EMPTY=EMPTY, StepFailure=StepFailure, ScopeExpired=ScopeExpired,
        explain=values.explain,
    )  # fmt: skip
    compiler = Compiler(layout, names, pool)
    # A local may have the name of a constant, which it then hides: it starts as that.
    names.certain = set(names.constants) & set(names.locals)
    compiler.steps(steps, f"workers.{spec.group}.steps")
    compiler.goto(compiler.end)
    template: list[Value] = [None] * compiler.deepest
    template[0] = 0
    for name, slot in names.locals.items():
        template[slot] = names.constants.get(name, UNSET)
    writer = Writer(pool)
    roots = [compiler.entry, *compiler.handlers.values()]
    writer.write(roots, {compiler.entry, *compiler.places})
    for text, at in compiler.functions:
        writer.put(text, at, None)
    code = writer.finish(
        f"<worker {number}: {spec.name}>", fuel, template, compiler.entry, compiler.places,
        compiler.handlers,
    )  # fmt: skip
    for name, body in compiler.bodies.items():
        body.function = pool.names[name]
    return machine_class(number, code, compiler.scoped)


#: verb -> how it is lowered; a verb of the language without a method here raises.
LOWERINGS: Final[dict[str, Callable[[Any, Any, str], None]]] = {
    verb: getattr(Compiler, f"on_{verb}") for verb in VERBS
}
Compiler.lowerings = LOWERINGS


def _assigned(step: BaseStep) -> Iterator[tuple[str, Any]]:
    """The locals that a step sets: (name, its EXPR in a list, or what kind of value)."""
    if isinstance(step, verbs.Let):
        yield from ((name, [expr]) for name, expr in step.let.items())
    truth = VERBS[step.verb].truth
    for key, name in step.of_kind("local"):
        if name is not None:
            yield name, translate.SMALL if truth or key != "into" else translate.ANY


def _infer(names: NameTable, steps: Sequence[BaseStep]) -> None:
    """Find the kinds of all locals: the least that all their assignments agree with."""
    assigned = [pair for _, step in steps_in(steps) for pair in _assigned(step)]
    names.kinds = dict.fromkeys(names.locals, translate.SMALL)
    changed = True
    while changed:
        changed = False
        for name, what in assigned:
            kind = names.kind(names.tree(what[0])) if isinstance(what, list) else what
            if kind > names.kinds[name]:
                names.kinds[name] = kind
                changed = True
