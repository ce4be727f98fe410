"""From the steps of a document to the flat code of ``language``; see there."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from tests.oracles.language import Ask, Names, Worker
from tracelock.scenario.language.expressions import parse, parse_reference

LOOPS = ("while", "repeat")


# --- values ----------------------------------------------------------------------------------
def _remainder(a: Any, b: Any) -> Any:
    if isinstance(a, str):
        raise TypeError("% is for numbers")
    return a % b


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: _remainder,
}  # fmt: skip
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len, "min": min, "max": max, "abs": abs, "sum": sum, "int": int, "float": float,
    "bool": bool, "round": round, "sqrt": math.sqrt,
}  # fmt: skip


def storable(value: Any) -> Any:
    """What a shared variable can hold."""
    if isinstance(value, list):
        raise TypeError("one value, not a list")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a value of the language")
    return value


def number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise TypeError("not a number")
    return storable(value)


def seconds(value: Any) -> Any:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise TypeError("seconds are a number")
    if value is not None and not value >= 0:
        raise ValueError("seconds are not negative")
    return value


def gathered(*items: Any) -> list[Any]:
    return list(items)


def _all(steps: list[Any]) -> Any:
    for step in steps:
        yield step
        if isinstance(step, dict):
            for key in ("do", "then", "else", "try", "finally", "atomic"):
                if isinstance(step.get(key), list):
                    yield from _all(step[key])


class Compiler:
    """Makes the code of one worker. ``names``: what there is; see ``Worker`` for what runs it."""

    def __init__(self, names: Names, worker: int, steps: list[Any]) -> None:
        self.names = names
        _, index, count, _ = names.workers[worker]
        self.given = {"index": index, "count": count}
        self.setters: set[str] = set()
        for step in _all(steps):
            if isinstance(step, dict):
                self.setters |= set(step.get("let", ()))
                self.setters |= {step[key] for key in ("into", "got", "index") if step.get(key)}
        self.code: list[tuple[Any, ...]] = []
        #: What is open around the step, innermost last: a loop, or how to get out of a block.
        self.open: list[tuple[str, Any]] = []
        self.steps(steps)
        self.put("end")

    def put(self, *instruction: Any) -> int:
        self.code.append(instruction)
        return len(self.code) - 1

    def here(self) -> int:
        return len(self.code)

    def patch(self, *places: int) -> None:
        """Let the jumps at ``places`` go to what comes next."""
        for place in places:
            self.code[place] = (*self.code[place][:-1], self.here())

    def steps(self, steps: list[Any]) -> None:
        for step in steps:
            if isinstance(step, str):
                verb, step = step, {}
            else:
                # ``timeout`` is a verb, and a key of others
                verb = next((key for key in step if hasattr(self, f"on_{key}")), "")
                if verb == "timeout":
                    verb = next((k for k in step if k != verb and hasattr(self, f"on_{k}")), verb)
            getattr(self, f"on_{verb}")(step)

    # --- expressions: each leaves its value on the stack -----------------------------------
    def expr(self, expr: Any) -> None:
        if isinstance(expr, str):
            self.node(parse(expr))
        else:
            self.put("push", expr)

    def read(self, thing: int) -> None:
        self.put("ask", 0, lambda: Ask("read", thing))

    def node(self, node: ast.expr) -> None:
        match node:
            case ast.Constant(value=value):
                self.put("push", value)
            case ast.Name(id=name):
                self._name(name)
            case ast.Subscript(value=base, slice=index):
                array = self._array(base)
                if array is None:
                    self.node(base)
                    self.node(index)
                    self.put("call", operator.getitem, 2)
                else:
                    self.node(index)
                    self.put("ask", 1, lambda place: Ask("read", array[place]))
            case ast.BinOp(left=left, op=op, right=right):
                self.node(left)
                self.node(right)
                self.put("call", BINARY[type(op)], 2)
            case ast.UnaryOp(op=unary, operand=operand):
                self.node(operand)
                self.put("call", UNARY[type(unary)], 1)
            case ast.BoolOp(op=boolop, values=parts):
                jumps = []
                for part in parts[:-1]:
                    self.node(part)
                    jumps.append(self.put("keep", isinstance(boolop, ast.Or), 0))
                self.node(parts[-1])
                self.patch(*jumps)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                self.node(test)
                unless = self.put("unless", 0)
                self.node(body)
                jump = self.put("jump", 0)
                self.patch(unless)
                self.node(orelse)
                self.patch(jump)
            case ast.Compare(left=left, ops=comparisons, comparators=others):
                self.node(left)
                jumps = []
                for place, (comparison, other) in enumerate(zip(comparisons, others, strict=True)):
                    self.node(other)
                    compare = COMPARE[type(comparison)]
                    if place < len(others) - 1:
                        jumps.append(self.put("chain", compare, 0))
                    else:
                        self.put("call", compare, 2)
                self.patch(*jumps)
            case ast.List(elts=elements):
                for element in elements:
                    self.node(element)
                self.put("call", gathered, len(elements))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                array = self._array(arguments[0]) if name == "len" else None
                if array is not None:
                    self.put("push", len(array))
                else:
                    for argument in arguments:
                        self.node(argument)
                    self.put("call", FUNCTIONS[name], len(arguments))
            case _:
                raise AssertionError(ast.dump(node))

    def _name(self, name: str) -> None:
        if name in self.setters or name in self.given or name not in self.names.places:
            self.put("load", name, self.given.get(name))
            return
        first, length = self.names.places[name]
        for thing in range(first, first + (1 if length is None else length)):
            self.read(thing)
        if length is not None:
            self.put("call", gathered, length)

    def _array(self, node: ast.expr) -> list[int] | None:
        if isinstance(node, ast.Name) and node.id in self.names.places:
            first, length = self.names.places[node.id]
            if length is not None:
                return list(range(first, first + length))
        return None

    def target(self, text: str, things: list[int] | None = None) -> None:
        """The number of what an OBJ, a VAR or a worker names."""
        name, index = parse_reference(text)
        if things is None:
            first, length = self.names.places[name]
            things = [first] if length is None else list(range(first, first + length))
        if index is None:
            self.put("push", things[0])
        else:
            self.node(index)
            self.put("call", things.__getitem__, 1)

    def _store(self, name: str | None) -> None:
        if name is None:
            self.put("pop")
        else:
            self.put("store", name)

    # --- variables -------------------------------------------------------------------------
    def on_let(self, step: Any) -> None:
        for name, expr in step["let"].items():
            self.expr(expr)
            self.put("store", name)

    def on_read(self, step: Any) -> None:
        self.node(parse(step["read"]))
        self._store(step.get("into"))

    def on_write(self, step: Any) -> None:
        self.target(step["write"])
        self.expr(step["value"])
        self.put("call", storable, 1)
        self.put("ask", 2, lambda thing, value: Ask("write", thing, value))
        self.put("pop")

    def on_compare_exchange(self, step: Any) -> None:
        self.target(step["compare_exchange"])
        self.expr(step["expect"])
        self.expr(step["value"])
        self.put("call", storable, 1)
        self.put("ask", 3, lambda thing, old, new: Ask("exchange if", thing, new, expect=old))
        self._store(step.get("into"))

    def on_exchange(self, step: Any) -> None:
        self.target(step["exchange"])
        self.expr(step["value"])
        self.put("call", storable, 1)
        self.put("ask", 2, lambda thing, value: Ask("exchange", thing, value))
        self._store(step.get("into"))

    def on_fetch_add(self, step: Any) -> None:
        self.target(step["fetch_add"])
        self.expr(step["by"])
        self.put("call", number, 1)
        self.put("ask", 2, lambda thing, value: Ask("add", thing, value))
        self._store(step.get("into"))

    def on_atomic(self, step: Any) -> None:
        self.put("atomic")
        self.steps(step["atomic"])
        self.put("atomic ends")

    # --- objects ---------------------------------------------------------------------------
    def _time(self, step: Any) -> None:
        self.expr(step.get("timeout"))
        self.put("call", seconds, 1)

    def on_acquire(self, step: Any) -> None:
        blocking, soft = step.get("blocking", True), step.get("into") is not None
        self.target(step["acquire"])
        self._time(step)
        self.put("ask", 2, lambda thing, time: Ask(
            "acquire", self.names.lock_of(thing), None, time, blocking, soft=soft))  # fmt: skip
        self._store(step.get("into"))

    def on_release(self, step: Any) -> None:
        self.target(step["release"])
        self.expr(step.get("n", 1))
        self.put("call", operator.index, 1)
        self.put("ask", 2, lambda thing, n: Ask("release", self.names.lock_of(thing), n))
        self.put("pop")

    def on_wait(self, step: Any) -> None:
        soft, into = step.get("into") is not None, step.get("into")
        timed = step.get("timeout") is not None
        self.target(step["wait"])
        self._time(step)
        make = lambda thing, time: Ask("wait", thing, None, time, soft=soft)  # noqa: E731
        if step.get("until") is None:
            self.put("ask", 2, make)
            self._store(into)
            return
        thing, time = self.keep(2)
        head = self.here()
        self.expr(step["until"])
        self.put("call", operator.not_, 1)
        held = [self.put("unless", 0)]
        self.put("load", thing, None)
        self.put("load", time, None)
        self.put("ask", 2, make)
        if not timed:
            self.put("pop")
            self.put("jump", head)
        else:
            self.put("unless", self.here() + 2)
            self.put("jump", head)
            self.expr(step["until"])  # its time is over: does it hold now?
            self.put("call", operator.not_, 1)
            held.append(self.put("unless", 0))
            self.put("push", False)
            late = self.put("jump", 0)
        self.patch(*held)
        self.put("push", True)
        if timed:
            self.patch(late)
        self._store(into)

    def keep(self, count: int) -> list[str]:
        """Take so many values off the stack into locals of their own, the uppermost last."""
        names = [f"#{self.here()}.{place}" for place in range(count)]
        for name in reversed(names):
            self.put("store", name)
        return names

    def on_notify(self, step: Any) -> None:
        self.target(step["notify"])
        if step.get("all"):
            self.put("push", -1)
        else:
            self.expr(step.get("n", 1))
            self.put("call", lambda n: max(0, operator.index(n)), 1)
        self.put("ask", 2, lambda thing, n: Ask("notify", thing, n))
        self.put("pop")

    def on_set(self, step: Any) -> None:
        self.target(step["set"])
        self.put("ask", 1, lambda thing: Ask("set", thing))
        self.put("pop")

    def on_clear(self, step: Any) -> None:
        self.target(step["clear"])
        self.put("ask", 1, lambda thing: Ask("clear", thing))
        self.put("pop")

    def on_put(self, step: Any) -> None:
        blocking, into = step.get("blocking", True), step.get("into")
        self.target(step["put"])
        self.expr(step["value"])
        self._time(step)
        self.put("ask", 3, lambda thing, value, time: Ask(
            "put", thing, value, time, blocking, soft=into is not None))  # fmt: skip
        if into is not None:
            self.put("store", into)
        else:
            unless = self.put("unless", 0)
            jump = self.put("jump", 0)
            self.patch(unless)
            self.put("fail", "error")  # full
            self.patch(jump)

    def on_get(self, step: Any) -> None:
        blocking, got = step.get("blocking", True), step.get("got")
        self.target(step["get"])
        self._time(step)
        self.put("ask", 2, lambda thing, time: Ask(
            "get", thing, None, time, blocking, soft=got is not None))  # fmt: skip
        self.put("got", step.get("into"), got)

    # --- time and workers ------------------------------------------------------------------
    def on_sleep(self, step: Any) -> None:
        self.expr(step["sleep"])
        self.put("call", seconds, 1)
        self.put("ask", 1, lambda time: Ask("sleep", -1, time + 0))
        self.put("pop")

    def on_checkpoint(self, step: Any) -> None:
        self.put("ask", 0, lambda: Ask("checkpoint"))
        self.put("pop")

    def on_crash(self, step: Any) -> None:
        self.put("ask", 0, lambda: Ask("crash"))
        self.put("pop")

    def on_work(self, step: Any) -> None:
        self.expr(step["work"])
        self.put("call", seconds, 1)
        self.put("pop")

    def _workers(self, text: str) -> list[Callable[[], None]]:
        name, index = parse_reference(text)
        things = self.names.groups[name]
        if index is not None:
            return [lambda: self.target(text, things)]
        return [lambda thing=thing: self.put("push", thing) for thing in things]  # type: ignore

    def _on_worker(self, verb: str, text: str) -> None:
        for target in self._workers(text):
            target()
            self.put("ask", 1, lambda thing: Ask(verb, thing))
            self.put("pop")

    def on_spawn(self, step: Any) -> None:
        self._on_worker("spawn", step["spawn"])

    def on_cancel(self, step: Any) -> None:
        self._on_worker("cancel", step["cancel"])

    def on_join(self, step: Any) -> None:
        soft = step.get("into") is not None
        targets = self._workers(step["join"])
        if len(targets) == 1:
            targets[0]()
        self._time(step)
        if len(targets) == 1:
            self.put("ask", 2, lambda thing, time: Ask("join", thing, None, time, soft=soft))
        else:
            (time,) = self.keep(1)
            self.put("push", True)
            for target in targets:
                target()
                self.put("load", time, None)
                self.put("ask", 2, lambda thing, time: Ask("join", thing, None, time, soft=soft))
                self.put("call", lambda a, b: a and b, 2)
        self._store(step.get("into"))

    # --- blocks ----------------------------------------------------------------------------
    def on_if(self, step: Any) -> None:
        self.expr(step["if"])
        unless = self.put("unless", 0)
        self.steps(step.get("then", []))
        jump = self.put("jump", 0)
        self.patch(unless)
        self.steps(step.get("else", []))
        self.patch(jump)

    def _loop(self, kind: str, body: list[Any], head: int) -> list[int]:
        """A loop's block, from ``head`` on; the jumps that leave it."""
        leaving: list[int] = []
        self.open.append((kind, (head, leaving)))
        self.steps(body)
        self.open.pop()
        self.put("jump", head)
        return leaving

    def on_while(self, step: Any) -> None:
        head = self.here()
        self.expr(step["while"])
        unless = self.put("unless", 0)
        self.patch(unless, *self._loop("while", step["do"], head))

    def on_repeat(self, step: Any) -> None:
        self.expr(step["repeat"])
        self.put("call", operator.index, 1)
        self.put("push", 0)
        head = self.put("round", step.get("index"), 0)
        self.patch(head, *self._loop("repeat", step["do"], head))

    def _out(self, loop: bool) -> None:
        """Code that leaves the open blocks: up to the innermost loop, or all."""
        outside = self.open
        for place in range(len(outside) - 1, -1, -1):
            kind, leave = outside[place]
            if kind in ("while", "repeat"):
                if loop:
                    break
                if kind == "repeat":
                    self.put("pop")
                    self.put("pop")
                continue
            self.open = outside[:place]
            leave()
        self.open = outside

    def on_break(self, step: Any) -> None:
        self._out(True)
        kind, (_, leaving) = next(one for one in reversed(self.open) if one[0] in LOOPS)
        if kind == "repeat":
            self.put("pop")
            self.put("pop")
        leaving.append(self.put("jump", 0))

    def on_continue(self, step: Any) -> None:
        self._out(True)
        _, (head, _) = next(one for one in reversed(self.open) if one[0] in LOOPS)
        self.put("jump", head)

    def on_stop(self, step: Any) -> None:
        self._out(False)
        self.put("end")

    def on_assert(self, step: Any) -> None:
        self.expr(step["assert"])
        unless = self.put("unless", 0)
        jump = self.put("jump", 0)
        self.patch(unless)
        self.put("fail", "assert")
        self.patch(jump)

    def on_fail(self, step: Any) -> None:
        self.put("fail", "assert")

    def _guarded(self, body: list[Any], last: Callable[[], None]) -> None:
        """A block, and ``last`` however it ends."""

        def leave() -> None:
            self.put("leave")
            last()

        setup = self.put("setup", 0)
        self.open.append(("guarded", leave))
        self.steps(body)
        self.open.pop()
        leave()
        jump = self.put("jump", 0)
        self.patch(setup)
        # the error is on the stack while the rest runs; a jump out of that forgets it
        self.open.append(("unwinding", lambda: self.put("pop")))
        last()
        self.open.pop()
        self.put("raise")
        self.patch(jump)

    def on_with(self, step: Any) -> None:
        self.target(step["with"])
        (thing,) = self.keep(1)

        def ask(verb: str, value: Any) -> None:
            self.put("load", thing, None)
            self.put("ask", 1, lambda thing: Ask(verb, self.names.lock_of(thing), value))
            self.put("pop")

        ask("acquire", None)
        self._guarded(step["do"], lambda: ask("release", 1))

    def on_try(self, step: Any) -> None:
        self._guarded(step["try"], lambda: self.steps(step["finally"]))

    def on_timeout(self, step: Any) -> None:
        into = step.get("into")

        def leave() -> None:
            self.put("leave")
            self.put("exit")
            if into is not None:
                self.put("push", True)
                self.put("store", into)

        self.expr(step["timeout"])
        self.put("call", seconds, 1)
        self.put("enter")
        setup = self.put("setup", 0)
        self.open.append(("timeout", leave))
        self.steps(step["do"])
        self.open.pop()
        leave()
        jump = self.put("jump", 0)
        self.patch(setup)
        self.put("expired")
        if into is not None:
            self.put("push", False)
            self.put("store", into)
        self.patch(jump)


def condition(names: Names, expr: Any) -> list[tuple[Any, ...]]:
    """The code of a condition of ``always`` or ``finally``: see ``holds``."""
    made = Compiler(names, 0, [])
    made.code, made.given = [], {}
    made.expr(expr)
    made.put("atomic ends")
    return made.code


def holds(code: list[tuple[Any, ...]], values: list[Any]) -> bool:
    """Whether a condition on the whole state holds; one that cannot be evaluated does not."""
    worker = Worker(code)
    _, _, failure = worker.atomically(values)
    return failure is None and bool(worker.stack[-1])
