"""A worker of a scenario as a plain generator: the language's meaning, with no thought of speed.

Yields ``(kind, target, at, value, timeout, blocking, expect, soft, scopes)``, is sent results,
has errors thrown into it. Python's own ``try`` and ``with`` do what blocks do on the way out.
"""

from __future__ import annotations

import ast
import contextlib
import math
import operator
from collections.abc import Generator
from typing import Any

from tracelock import ops
from tracelock.errors import ScopeExpired, StepFailure
from tracelock.ops import EMPTY, Layout
from tracelock.scenario.compile.values import describe, reason
from tracelock.scenario.language import verbs
from tracelock.scenario.language.expressions import parse, parse_reference
from tracelock.scenario.language.models import Scenario

Asked = tuple[Any, ...]
Steps = Generator[Asked, Any, Any]

BINARY = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
    ast.Div: operator.truediv, ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
COMPARE = {
    ast.Eq: operator.eq, ast.NotEq: operator.ne, ast.Lt: operator.lt, ast.LtE: operator.le,
    ast.Gt: operator.gt, ast.GtE: operator.ge, ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b, ast.Is: operator.is_, ast.IsNot: operator.is_not,
}  # fmt: skip
UNARY = {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
FUNCTIONS = {
    "len": len, "min": min, "max": max, "abs": abs, "sum": sum, "int": int, "float": float,
    "bool": bool, "round": round, "sqrt": math.sqrt,
}  # fmt: skip


class Break(BaseException):
    pass


class Continue(BaseException):
    pass


class Stop(BaseException):
    pass


class Reference:
    """One worker instance. ``run`` is its generator."""

    def __init__(self, layout: Layout, worker: int, scenario: Scenario) -> None:
        self.layout = layout
        spec = layout.workers[worker]
        self.given = {"index": spec.index, "count": spec.count}
        self.group = spec.group
        self.program = scenario.workers[spec.group].steps
        self.locals: dict[str, Any] = {}
        self.setters = {name for step in _all(self.program) for name in _sets(step)}
        self.uid = 0
        self.scopes: list[tuple[int, float, str]] = []
        self.at = ""
        self.seen: dict[str, Any] = {}

    def run(self) -> Steps:
        with contextlib.suppress(Stop):
            yield from self.block(self.program, f"workers.{self.group}.steps")

    closed = False  # nobody listens any more: nothing more is asked

    def ask(self, kind: int, target: int, value: Any = None, **more: Any) -> Steps:
        if self.closed:
            raise GeneratorExit
        return (
            yield (
                kind, target, self.at, value, more.get("timeout"), more.get("blocking", True),
                more.get("expect"), more.get("soft", False), tuple(self.scopes),
            )
        )  # fmt: skip

    # --- expressions ---------------------------------------------------------------------
    def expr(self, expr: Any) -> Steps:
        return (yield from self.eval(parse(expr))) if isinstance(expr, str) else expr

    def read(self, target: int) -> Steps:
        if self.reader is not None:
            return self.reader(target)
        return (yield from self.ask(ops.READ, target))

    reader: Any = None

    def eval(self, node: ast.expr) -> Steps:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                if name in self.setters:
                    if name in self.locals:
                        self.seen[name] = self.locals[name]
                        return self.locals[name]
                    if name in self.given:
                        return self.given[name]
                    raise NameError(f"local {name} is not set")
                if name in self.given:
                    return self.given[name]
                if name not in self.layout.arrays:
                    raise NameError(f"local {name} is not set")
                first, length = self.layout.arrays[name]
                if length is None:
                    return (yield from self.read(first))
                items = []
                for place in range(length):
                    items.append((yield from self.read(first + place)))
                return items
            case ast.Subscript(value=base, slice=index):
                array = self.array(base)
                if array is None:
                    first = yield from self.eval(base)
                    return first[(yield from self.eval(index))]
                place = yield from self.eval(index)
                return (yield from self.read(array[place]))
            case ast.BinOp(left=left, op=op, right=right):
                a = yield from self.eval(left)
                b = yield from self.eval(right)
                if isinstance(op, ast.Mod) and isinstance(a, str):
                    raise TypeError("% is for numbers, not for a text")
                return BINARY[type(op)](a, b)
            case ast.UnaryOp(op=unary, operand=operand):
                return UNARY[type(unary)]((yield from self.eval(operand)))
            case ast.BoolOp(op=boolop, values=parts):
                value = None
                for part in parts:
                    value = yield from self.eval(part)
                    if bool(value) is isinstance(boolop, ast.Or):
                        break
                return value
            case ast.IfExp(test=test, body=body, orelse=orelse):
                chosen = body if (yield from self.eval(test)) else orelse
                return (yield from self.eval(chosen))
            case ast.Compare(left=left, ops=comparisons, comparators=others):
                a = yield from self.eval(left)
                value = True
                for comparison, other in zip(comparisons, others, strict=True):
                    b = yield from self.eval(other)
                    value = COMPARE[type(comparison)](a, b)
                    if not value:
                        break
                    a = b
                return value
            case ast.List(elts=elements):
                items = []
                for element in elements:
                    items.append((yield from self.eval(element)))
                return items
            case ast.Call(func=ast.Name(id=name), args=arguments):
                if name == "len" and self.array(arguments[0]) is not None:
                    return len(self.array(arguments[0]) or ())
                values = []
                for argument in arguments:
                    values.append((yield from self.eval(argument)))
                return FUNCTIONS[name](*values)
        raise AssertionError(ast.dump(node))

    def array(self, node: ast.expr) -> list[int] | None:
        if isinstance(node, ast.Name) and node.id in self.layout.arrays:
            first, length = self.layout.arrays[node.id]
            if length is not None:
                return list(range(first, first + length))
        return None

    def target(self, text: str) -> Steps:
        name, index = parse_reference(text)
        first, length = self.layout.arrays[name]
        if index is None:
            return first
        return list(range(first, first + length))[(yield from self.eval(index))]

    # --- steps ---------------------------------------------------------------------------
    def block(self, steps: list[Any], path: str) -> Steps:
        for place, step in enumerate(steps):
            at = f"{path}[{place}]"
            self.at = at
            try:
                yield from self.step(step, at)
            except (StepFailure, RuntimeError):
                raise
            except Exception as error:
                raise StepFailure("error", reason(error), at) from None

    def step(self, step: Any, at: str) -> Steps:
        match step:
            case verbs.Let(let=let):
                for name, expr in let.items():
                    self.locals[name] = yield from self.expr(expr)
            case verbs.Read(read=name, into=into):
                value = yield from self.eval(parse(name))
                if into:
                    self.locals[into] = value
            case verbs.Write(write=name, value=expr):
                target = yield from self.target(name)
                value = yield from self.expr(expr)
                if isinstance(value, list):
                    raise TypeError("a shared variable holds one value, not a list")
                if isinstance(value, float) and not math.isfinite(value):
                    raise ValueError(f"a shared variable cannot hold {value}")
                if self.reader is not None:
                    self.writer(target, value)
                else:
                    yield from self.ask(ops.WRITE, target, value)
            case verbs.FetchAdd(fetch_add=name, by=by, into=into):
                target = yield from self.target(name)
                value = yield from self.expr(by)
                if not isinstance(value, int | float):
                    raise TypeError(f"fetch_add adds a number, not {describe(value)}")
                result = yield from self.ask(ops.FETCH_ADD, target, value)
                if into:
                    self.locals[into] = result
            case verbs.If(if_=test, then=then, else_=other):
                if (yield from self.expr(test)):
                    yield from self.block(then, f"{at}.then")
                else:
                    yield from self.block(other, f"{at}.else")
            case verbs.While(while_=test, do=do):
                while True:
                    self.at = at
                    if not (yield from self.expr(test)):
                        break
                    try:
                        yield from self.block(do, f"{at}.do")
                    except Break:
                        break
                    except Continue:
                        continue
            case verbs.Repeat(repeat=count, do=do, index=index):
                for number in range((yield from self.expr(count))):
                    if index:
                        self.locals[index] = number
                    try:
                        yield from self.block(do, f"{at}.do")
                    except Break:
                        break
                    except Continue:
                        continue
            case verbs.Break():
                raise Break
            case verbs.Continue():
                raise Continue
            case verbs.Stop():
                raise Stop
            case verbs.Fail(fail=text):
                raise StepFailure("assert", text, at)
            case verbs.Assert(assert_=test, message=message):
                if not (yield from self.expr(test)):
                    raise StepFailure("assert", message or "", at)
            case verbs.With(with_=name, do=do):
                target = yield from self.target(name)
                yield from self.ask(ops.ACQUIRE, target)
                try:
                    yield from self.block(do, f"{at}.do")
                finally:
                    self.at = at
                    yield from self.ask(ops.RELEASE, target, 1)
            case verbs.Try(try_=tried, finally_=last):
                try:
                    yield from self.block(tried, f"{at}.try")
                finally:
                    yield from self.block(last, f"{at}.finally")
            case verbs.Timeout(timeout=time, do=do, into=into):
                seconds = yield from self.expr(time)
                self.uid += 1
                uid = self.uid
                self.scopes.append((uid, seconds, at))
                in_time = True
                depth = len(self.scopes) - 1
                try:
                    yield from self.block(do, f"{at}.do")
                except ScopeExpired as error:
                    if error.uid != uid:
                        in_time = False
                        raise
                    in_time = False
                    if into:
                        self.locals[into] = False
                except BaseException as error:
                    in_time = isinstance(error, Break | Continue | Stop)
                    raise
                finally:
                    del self.scopes[depth:]
                    if in_time and into:
                        self.locals[into] = True
            case verbs.Acquire(acquire=name, timeout=time, blocking=blocking, into=into):
                target = yield from self.target(name)
                seconds = yield from self.expr(time)
                more = {"timeout": seconds, "blocking": blocking, "soft": into is not None}
                result = yield from self.ask(ops.ACQUIRE, target, **more)
                if into:
                    self.locals[into] = result
            case verbs.Release(release=name, n=n):
                target = yield from self.target(name)
                yield from self.ask(ops.RELEASE, target, (yield from self.expr(n)))
            case verbs.Get(get=name, into=into, timeout=time, blocking=blocking, got=got):
                target = yield from self.target(name)
                seconds = yield from self.expr(time)
                more = {"timeout": seconds, "blocking": blocking, "soft": got is not None}
                result = yield from self.ask(ops.GET, target, **more)
                if result is not EMPTY:
                    if into:
                        self.locals[into] = result
                elif not got:
                    raise StepFailure("error", f"Empty: {name} is empty", at)
                elif into:
                    self.locals.setdefault(into, None)
                if got:
                    self.locals[got] = result is not EMPTY
            case verbs.Checkpoint():
                yield from self.ask(ops.CHECKPOINT, -1)
            case verbs.Atomic(atomic=inside):
                yield from self.ask(ops.ATOMIC, -1)
                self.reader, self.writer = self.memory
                try:
                    yield from self.block(inside, f"{at}.atomic")
                finally:
                    self.reader = None
            case _:
                raise AssertionError(step)

    writer: Any = None
    memory: Any = None


def _all(steps: list[Any]) -> Any:
    for step in steps:
        yield step
        for field in ("do", "then", "else_", "try_", "finally_", "atomic"):
            block = getattr(step, field, None)
            if isinstance(block, list):
                yield from _all(block)


def _sets(step: Any) -> list[str]:
    if isinstance(step, verbs.Let):
        return list(step.let)
    return [name for key in ("into", "got", "index") if (name := getattr(step, key, None))]
