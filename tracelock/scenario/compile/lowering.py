"""Expressions and jumps, lowered into basic blocks.

A shared variable that an expression mentions is a visible read: the block yields a READ and
the expression goes on in the next block. What was computed before is put into a temporary
first, so that nothing but ``L`` has to survive a yield, and a copy of a machine in the middle
of an expression is as good as any.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tracelock.ops import READ, Layout, Op, Value
from tracelock.scenario.compile import translate, values
from tracelock.scenario.compile.codegen import BasicBlock
from tracelock.scenario.compile.runtime import Handler, YieldPoint
from tracelock.scenario.compile.translate import (
    GlobalNames,
    NameTable,
    Translator,
    children,
    label,
    literal,
    place_of,
)
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import parse_reference

#: Slot 0 of every machine counts entries of timeout blocks.
FIRST_SLOT: Final = 1
#: Arrays mentioned whole and longer than this are read in a loop of segments.
UNROLL: Final = 4


class Const(NamedTuple):
    """An operand that is known at compile time; any other is source, a plain ``str``."""

    value: Value


Operand = Const | str
#: The numbers that something can have, and the source of the index among them; the index is None
#: where there is one number only.
Target = tuple[list[int], str | None]


class Lowering:
    """The state of the compilation of one worker, and all of it that is not about one verb."""

    def __init__(self, layout: Layout, names: NameTable, pool: GlobalNames) -> None:
        self.layout = layout
        self.names = names
        self.pool = pool
        self.native = Translator(names)
        self.direct = False  # inside an atomic step: no reads of their own
        self.at = ""
        self.handler: Handler | None = None
        self.scopes: tuple[tuple[int, int, str], ...] = ()
        self.entry = self.block = BasicBlock(None)
        self.places: dict[BasicBlock, YieldPoint] = {}
        self.handlers: dict[Handler, BasicBlock] = {}
        self.depth = self.deepest = FIRST_SLOT + len(names.locals)
        # Of the assert being compiled: what its message will tell, (name, source).
        self.witnesses: list[tuple[str, str]] | None = None
        self.spare: list[int] = []  # slots for them
        self.indent = 0  # of a statement that is written as Python's own

    # --- blocks --------------------------------------------------------------------------
    def line(self, text: str, indent: int = 0) -> None:
        self.block.lines.append((self.indent + indent, text, self.at))

    def new(self) -> BasicBlock:
        """A fresh block in the region that is being compiled."""
        return BasicBlock(self.handler)

    def goto(self, target: BasicBlock) -> None:
        self.block.then = target
        self.block.at = self.at

    def start(self, block: BasicBlock) -> None:
        """Go on compiling in ``block``."""
        self.block = block

    def branch(self, test: str, then: BasicBlock, other: BasicBlock) -> None:
        self.block.test = test
        self.block.other = other
        self.goto(then)

    def emit(self, op: str, dynamic: bool = True) -> None:
        """Yield the op that the source ``op`` gives. Its result is then ``r``, until the next.

        What is not known of the op beforehand is a part of the machine's key, unless ``dynamic``
        is False.
        """
        after = self.new()
        dynamic = dynamic and not op.isidentifier()
        if dynamic:
            self.line(f"o = m.op = {op}")
            op = "o"
        self.block.op = op
        self.goto(after)
        self.places[after] = YieldPoint(
            len(self.places), self.at, self.handler, self.depth, self.scopes, dynamic
        )
        self.start(after)

    def temporary(self, many: int = 1) -> int:
        """The first of so many fresh entries of ``L``, in use until ``depth`` is put back."""
        slot = self.depth
        self.depth += many
        self.deepest = max(self.deepest, self.depth)
        return slot

    def store(self, name: str | None, source: str) -> None:
        """Set a local to a value that is known to be small enough."""
        if name is not None:
            self.line(f"L[{self.names.locals[name]}] = {source}")
            self.know(name)

    def store_checked(self, name: str | None, source: str, growth: int) -> None:
        """Set a local to a value of any size."""
        if name is None:
            return
        self.guarded(source, growth)
        self.store(name, "v")

    def guarded(self, source: str, growth: int, check: str = "checked") -> None:
        """``v`` becomes the value of ``source``, or evaluation fails because it is too large."""
        self.line(f"v = {source}")
        small = f"-{values.SMALL} < v < {values.SMALL}"
        if growth == translate.NUMBER:
            self.line(f"if not {small}: v = {check}(v)")
        elif growth == translate.ANY:
            self.line(f"if type(v) is not int or not {small}: v = {check}(v)")

    def know(self, name: str) -> None:
        if self.names.certain is not None:
            self.names.certain.add(name)

    def reads(self, node: ast.expr) -> bool:
        """Whether evaluation of ``node`` takes visible steps."""
        return not self.direct and self.names.visible(node)

    # --- expressions ---------------------------------------------------------------------
    def operand(self, expr: Value) -> Operand:
        """An EXPR that is evaluated here."""
        return self.operands([expr])[0]

    def operands(self, exprs: Sequence[Value]) -> list[Operand]:
        """Several EXPRs, evaluated here in this order."""
        trees = [self.names.tree(expr) for expr in exprs]
        return [
            Const(tree.value) if isinstance(tree, ast.Constant) else source
            for tree, source in zip(trees, self.values(trees), strict=True)
        ]

    def values(self, nodes: Sequence[ast.expr]) -> list[str]:
        """The sources of several values, evaluated in this order.

        What is not constant is kept in a temporary over the visible reads of a later one.
        """
        later = [False] * len(nodes)
        seen = False
        for place in range(len(nodes) - 1, -1, -1):
            later[place] = seen
            seen = seen or self.reads(nodes[place])
        sources = []
        for node, spill in zip(nodes, later, strict=True):
            source = self.value(node)
            if spill and not isinstance(node, ast.Constant):
                source = self.keep(source)
            sources.append(source)
        return sources

    def keep(self, source: str) -> str:
        """A temporary that holds the value of ``source`` from here on."""
        slot = self.temporary()
        self.line(f"L[{slot}] = {source}")
        return f"L[{slot}]"

    def value(self, node: ast.expr) -> str:
        """The source of the value of ``node``; valid in the block that is then current."""
        if not self.reads(node):
            return self.native.source(node)
        match node:
            case ast.Name():
                return self._read_name(node)
            case ast.Subscript(value=base, slice=index) if self.names.variable(base):
                found = self.names.variable(base)
                assert found is not None
                if found[1] is None:  # one variable, which holds a text
                    first, second = self.values([base, index])
                    return f"{first}[{second}]"
                return self._read_element(node, found[0], found[1], index)
            case ast.BoolOp() | ast.IfExp():
                return self._chosen(node)
            case ast.Compare(ops=ops) if len(ops) > 1:
                return self._chosen(node)
        return self.native.join(node, self.values(children(node)))

    def _read_name(self, node: ast.Name) -> str:
        first, length = self.names.layout.arrays[node.id]
        if length is None:
            return self._read_one(first)
        if length <= UNROLL:
            parts = []
            for place in range(length):
                self.emit(self.fixed(Op(READ, first + place, self.at)))
                parts.append(self.keep("r"))
            return self._witness(node.id, f"listed([{', '.join(parts)}])")
        counter = self.temporary()
        base = self.temporary(length)
        table = self.pool.add("T", tuple(Op(READ, first + n, self.at) for n in range(length)))
        blank = self.pool.add("T", (None,) * length)
        self.line(f"L[{counter}] = 0")
        self.line(f"L[{base}:{base + length}] = {blank}")
        head, after = self.new(), self.new()
        self.goto(head)
        self.start(head)
        self.emit(f"{table}[L[{counter}]]")
        self.line(f"L[{base} + L[{counter}]] = r")
        self.line(f"L[{counter}] += 1")
        self.branch(f"L[{counter}] < {length}", head, after)
        self.start(after)
        return self._witness(node.id, f"listed(L[{base}:{base + length}])")

    def _read_one(self, number: int) -> str:
        self.emit(self.fixed(Op(READ, number, self.at)))
        return self._witness(self.layout.names[number], "r")

    def _read_element(self, node: ast.expr, first: int, length: int, index: ast.expr) -> str:
        name = label(node)
        if isinstance(index, ast.Constant):
            place = place_of(index.value, length)
            if place is not None:
                return self._read_one(first + place)
        source = self.value(index)
        self.emit(self.chosen(source, [Op(READ, first + n, self.at) for n in range(length)]))
        return self._witness(name, "r")

    def _witness(self, name: str, source: str) -> str:
        """Keep a value that was read for the message of the assert being compiled."""
        if self.witnesses is None:
            return source
        slot = self.spare.pop()
        self.line(f"L[{slot}] = {source}")
        self.witnesses.append((name, f"L[{slot}]"))
        return f"L[{slot}]"

    def _chosen(self, node: ast.expr) -> str:
        """The value of an expression with a short circuit around a visible read."""
        slot = self.temporary()
        self.line(f"L[{slot}] = None")
        after = self.new()
        mark = self.depth
        match node:
            case ast.IfExp(test=test, body=body, orelse=orelse):
                then, other = self.new(), self.new()
                self.test(test, then, other)
                for block, part in ((then, body), (other, orelse)):
                    self.depth = mark
                    self.start(block)
                    self.line(f"L[{slot}] = {self.value(part)}")
                    self.goto(after)
            case ast.BoolOp(op=op, values=parts):
                for part in parts[:-1]:
                    self.depth = mark
                    self.line(f"L[{slot}] = {self.value(part)}")
                    more = self.new()
                    pair = (more, after) if isinstance(op, ast.And) else (after, more)
                    self.branch(f"L[{slot}]", *pair)
                    self.start(more)
                self.depth = mark
                self.line(f"L[{slot}] = {self.value(parts[-1])}")
                self.goto(after)
            case ast.Compare(left=left, ops=ops, comparators=others):
                kept = self.keep(self.value(left))
                for place, (comparison, side) in enumerate(zip(ops, others, strict=True)):
                    source = self.value(side)
                    last = place == len(others) - 1
                    if not last:
                        source = self.keep(source)
                    pair_ = ast.Compare(left, [comparison], [side])
                    self.line(f"L[{slot}] = {self.native.join(pair_, [kept, source])}")
                    if not last:
                        more = self.new()
                        self.branch(f"L[{slot}]", more, after)
                        self.start(more)
                        kept = source
                self.goto(after)
        self.depth = mark
        self.start(after)
        return f"L[{slot}]"

    def test(self, node: ast.expr, then: BasicBlock, other: BasicBlock) -> None:
        """Go to ``then`` where ``node`` is true and to ``other`` where it is not."""
        if isinstance(node, ast.Constant):
            self.goto(then if node.value else other)
            return
        if self.reads(node):
            match node:
                case ast.UnaryOp(op=ast.Not(), operand=operand):
                    self.test(operand, other, then)
                    return
                case ast.BoolOp(op=op, values=parts):
                    for part in parts[:-1]:
                        more = self.new()
                        if isinstance(op, ast.And):
                            self.test(part, more, other)
                        else:
                            self.test(part, then, more)
                        self.start(more)
                    self.test(parts[-1], then, other)
                    return
        self.branch(self.value(node), then, other)

    # --- ops -----------------------------------------------------------------------------
    def fixed(self, op: Op) -> str:
        """The name of an op that all runs share."""
        return self.pool.add("O", op)

    def chosen(self, index: str, ops: Sequence[Op]) -> str:
        """The source of the op that ``index``, as of a Python list, picks."""
        return f"{self.pool.add('T', tuple(ops))}[{index}]"

    def reference(self, text: str) -> tuple[str, ast.expr | None]:
        """The name and the folded index of ``name`` or ``name[EXPR]``."""
        name, index = parse_reference(text)
        return name, None if index is None else self.names.fold(index)

    def target(self, step: BaseStep) -> Target:
        """What the object or shared variable of a step can be."""
        name, index = self.reference(step.reference)
        first, length = self.layout.arrays[name]
        if index is None:
            return [first], None
        numbers = list(range(first, first + (length or 0)))
        return self.pick(numbers, index, step.expressions())

    def lock(self, step: BaseStep) -> Target:
        """The lock that acquire, release and with mean: of a condition its own."""
        numbers, index = self.target(step)
        specs = map(self.layout.spec, numbers)
        return [
            s.lock if s.type == "condition" else n for n, s in zip(numbers, specs, strict=True)
        ], index

    def pick(self, numbers: list[int], index: ast.expr, later: Sequence[Value]) -> Target:
        """The one of ``numbers`` that a constant ``index`` names, or all and its source.

        ``later``: the EXPRs of the step that are evaluated after the index.
        """
        if isinstance(index, ast.Constant):
            place = place_of(index.value, len(numbers))
            if place is not None:
                return [numbers[place]], None
        source = self.value(index)
        trees = [self.names.tree(expr) for expr in later]
        if all(isinstance(tree, ast.Constant) for tree in trees):
            return numbers, source
        # An index that is wrong fails before anything later is evaluated.
        source = f"range({len(numbers)})[{source}]"
        if any(self.reads(tree) for tree in trees):
            return numbers, self.keep(source)
        self.line(f"t = {source}")
        return numbers, "t"

    def number(self, target: Target) -> str:
        """The source of the number of a target."""
        numbers, index = target
        if index is None:
            return str(numbers[0])
        return f"{self.pool.add('T', tuple(numbers))}[{index}]"

    def op(
        self,
        kind: int,
        target: Target,
        *,
        value: Operand | None = None,
        timeout: Operand | None = None,
        blocking: bool = True,
        expect: Operand | None = None,
        body: Any = None,
        soft: bool = False,
    ) -> str:
        """The source of an op: an op made beforehand where everything in it is known."""
        numbers, index = target
        dynamic = [part for part in (value, timeout, expect) if isinstance(part, str)]
        if not dynamic:
            rest = (_known(value), _known(timeout), blocking, _known(expect), body, soft)
            ops = [Op(kind, number, self.at, *rest) for number in numbers]
            return self.fixed(ops[0]) if index is None else self.chosen(index, ops)
        parts = [
            str(kind), self.number(target), repr(self.at), _source(value), _source(timeout),
            repr(blocking), _source(expect), repr(body), repr(soft),
        ]  # fmt: skip
        defaults = ["None", "None", "True", "None", "None", "False"]
        while len(parts) > 3 and parts[-1] == defaults[len(parts) - 4]:
            parts.pop()
        return f"Op({', '.join(parts)})"


def _known(operand: Operand | None) -> Value:
    return operand.value if isinstance(operand, Const) else None


def _source(operand: Operand | None) -> str:
    if operand is None:
        return "None"
    return literal(operand.value) if isinstance(operand, Const) else operand
