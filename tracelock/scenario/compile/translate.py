"""Expressions as Python source.

The tree comes from ``expressions.parse`` and holds nothing outside the closed list there. Text
of a document reaches the source only through ``repr`` of a scalar; all names are our own.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tracelock.ops import Layout, Value
from tracelock.scenario.compile import costs, values
from tracelock.scenario.language.expressions import parse

# What is known of a value before it exists. Each kind is included in the next.
SMALL: Final = 0  # a float, a bool, or a whole number of 64 bits at most
NUMBER: Final = 1
ANY: Final = 2

_SYMBOLS: Final = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
    ast.UAdd: "+", ast.USub: "-", ast.Not: "not ", ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<",
    ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.In: "in", ast.NotIn: "not in",
    ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
_CALLS: Final = {"len": SMALL, "bool": SMALL, "sqrt": SMALL, "float": SMALL}
_SPELLED: Final = {"sum": "sum_", "int": "int_", "round": "round_"}

#: What generated code may name, besides its own.
NAMESPACE: Final[dict[str, Any]] = {
    "__builtins__": {},
    "len": len, "min": min, "max": max, "min_": values.min_, "max_": values.max_, "abs": abs,
    "float": values.float_, "bool": bool, "int": int, "spent": costs.spent, "listed": costs.listed,
    "afresh": costs.afresh,
    "type": type, "range": range, "list": list, "map": map,
    "sum_": values.sum_, "int_": values.int_,
    "round_": values.round_, "sqrt": math.sqrt, "add": values.add, "mul": values.mul,
    "mod": values.mod, "checked": values.checked, "scalar": values.scalar, "number": values.number,
    "seconds": values.seconds, "timeout": values.timeout, "permits": values.permits,
    "waiters": values.waiters, "rounds": values.rounds, "work": values.work,
    "unset": values.unset, "U": values.UNSET,
}  # fmt: skip


class GlobalNames:
    """The global names of one piece of generated code."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = dict(NAMESPACE)

    def add(self, prefix: str, thing: Any) -> str:
        """A fresh global name for ``thing``."""
        name = f"{prefix}{len(self.names)}"
        self.names[name] = thing
        return name


class NameTable:
    """What the names in a worker's expressions mean. Locals hide everything else."""

    def __init__(self, layout: Layout, constants: Mapping[str, Value] | None = None) -> None:
        self.layout = layout
        self.constants = dict(constants or {})
        self.locals: dict[str, int] = {}
        self.kinds: dict[str, int] = {}
        self.certain: set[str] | None = set()  # set on every way here; None: no way leads here
        self._folded: dict[Any, ast.expr] = {}

    def variable(self, node: ast.expr) -> tuple[int, int | None] | None:
        """First number and length of the shared variable that ``node`` names, else None."""
        if not isinstance(node, ast.Name) or node.id in self.locals:
            return None
        found = self.layout.arrays.get(node.id)
        return found if found is not None and found[0] < self.layout.variables else None

    def tree(self, text: Value) -> ast.expr:
        """The folded tree of an EXPR: of a text, or the constant that any other scalar is."""
        if not isinstance(text, str):
            return ast.Constant(text)
        tree = self._folded.get(text)
        if tree is None:
            costs.afresh()
            tree = self._folded[text] = self.fold(parse(text))
        return tree

    def fold(self, node: ast.expr) -> ast.expr:
        """``node`` with everything computed that is known already. Never changes ``node``."""
        match node:
            case ast.Name(id=name) if name in self.constants and name not in self.locals:
                return ast.Constant(self.constants[name])
            case ast.BinOp(left=left, op=op, right=right):
                left, right = self.fold(left), self.fold(right)
                return _compute(ast.BinOp(left, op, right), _name(op), left, right)
            case ast.UnaryOp(op=unary, operand=operand):
                operand = self.fold(operand)
                return _compute(ast.UnaryOp(unary, operand), _name(unary), operand)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [self.fold(left), *map(self.fold, others)]
                whole = ast.Compare(sides[0], ops, sides[1:])
                return _compute(whole, _name(ops[0]), *sides) if len(ops) == 1 else whole
            case ast.IfExp(test=test, body=body, orelse=orelse):
                test = self.fold(test)
                if isinstance(test, ast.Constant):
                    return self.fold(body if test.value else orelse)
                return ast.IfExp(test, self.fold(body), self.fold(orelse))
            case ast.BoolOp(op=boolop, values=parts):
                return _shorten(boolop, [self.fold(part) for part in parts])
            case ast.Subscript(value=base, slice=index):
                return ast.Subscript(self.fold(base), self.fold(index), ast.Load())
            case ast.List(elts=items):
                return ast.List([self.fold(item) for item in items], ast.Load())
            case ast.Call(func=ast.Name(id=name) as func, args=args):
                if name == "len" and len(args) == 1:
                    array = self.variable(args[0])
                    if array is not None and array[1] is not None:
                        return ast.Constant(array[1])
                args = [self.fold(arg) for arg in args]
                return _compute(ast.Call(func, args, []), name, *args)
        return node

    def visible(self, node: ast.expr) -> bool:
        """Whether evaluation of ``node`` can mention a shared variable."""
        if isinstance(node, ast.Name):
            return self.variable(node) is not None
        return any(self.visible(child) for child in children(node))

    def kind(self, node: ast.expr) -> int:
        """What the value of ``node`` will be, if it has one."""
        match node:
            case ast.Constant(value=value):
                if isinstance(value, float | bool):
                    return SMALL
                if isinstance(value, int):
                    return SMALL if -values.SMALL < value < values.SMALL else NUMBER
                return ANY
            case ast.Name(id=name):
                return self.kinds.get(name, ANY)
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self.kind(left), self.kind(right)
                match op:
                    case ast.Div():
                        return SMALL
                    case ast.Mod():
                        return SMALL if b == SMALL else NUMBER
                    case ast.Add():
                        return NUMBER if a < ANY or b < ANY else ANY
                    case ast.Mult():
                        return NUMBER if a < ANY and b < ANY else ANY
                return NUMBER
            case ast.UnaryOp(op=unary, operand=operand):
                small = isinstance(unary, ast.Not) or self.kind(operand) == SMALL
                return SMALL if small else NUMBER
            case ast.Compare():
                return SMALL
            case ast.BoolOp(values=parts):
                return max(self.kind(part) for part in parts)
            case ast.IfExp(body=body, orelse=orelse):
                return max(self.kind(body), self.kind(orelse))
            case ast.Call(func=ast.Name(id="min" | "max"), args=args):
                return max(self.kind(arg) for arg in args) if len(args) > 1 else ANY
            case ast.Call(func=ast.Name(id=name)):
                return _CALLS.get(name, NUMBER)
        return ANY

    def growth(self, node: ast.expr) -> int:
        """How closely a stored value of ``node`` must be looked at: SMALL is not at all."""
        match node:
            case ast.Constant(value=str() | None):
                return SMALL
            case ast.Name():
                return SMALL  # looked at when it was stored
            case ast.Subscript(value=base) if self.variable(base) is not None:
                return SMALL
            case ast.BoolOp(values=parts):
                return max(self.growth(part) for part in parts)
            case ast.IfExp(body=body, orelse=orelse):
                return max(self.growth(body), self.growth(orelse))
        return self.kind(node)

    def small(self, node: ast.expr) -> bool:
        """Whether going over the value of ``node`` costs nothing: it is no text or list that can
        be longer than the expression itself."""
        return isinstance(node, ast.Constant) or self.kind(node) < ANY

    def spans(self, node: ast.expr) -> bool:
        """Whether ``node`` is a whole array, whose value is a list."""
        found = self.variable(node)
        return found is not None and found[1] is not None


class Translator:
    """Turns a folded tree without shared variables into source."""

    def __init__(self, names: NameTable) -> None:
        self.names = names

    def mention(self, name: str, index: ast.expr | None) -> str:
        """The source of a shared variable, of an element, or of a whole array."""
        raise TypeError(f"{name} is shared: reading it is a step of its own")

    def source(self, node: ast.expr) -> str:
        """The source of ``node``."""
        match node:
            case ast.Constant(value=value):
                return literal(value)
            case ast.Name(id=name):
                return self._name(node, name)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                test_, body_ = self.source(test), self.source(body)
                return f"({body_} if {test_} else {self.source(orelse)})"
            case ast.BoolOp(op=op, values=parts):
                word = " and " if isinstance(op, ast.And) else " or "
                return "(" + word.join(map(self.source, parts)) + ")"
            case ast.Subscript(value=ast.Name(id=name) as base, slice=index) if self.names.spans(
                base
            ):
                return self.mention(name, index)
        return self.join(node, [self.source(child) for child in children(node)])

    def _name(self, node: ast.expr, name: str) -> str:
        slot = self.names.locals.get(name)
        if slot is not None:
            certain = self.names.certain
            if certain is None or name in certain:
                return f"L[{slot}]"
            return f"(L[{slot}] if L[{slot}] is not U else unset({name!r}))"
        if self.names.variable(node) is None:
            return f"unset({name!r})"
        return self.mention(name, None)

    def join(self, node: ast.expr, parts: Sequence[str]) -> str:
        """The source of ``node``, given that of its ``children``."""
        match node:
            case ast.BinOp(left=left, op=op, right=right):
                a, b = parts
                known, other = self.names.kind(left), self.names.kind(right)
                match op:
                    case ast.Add() if known == ANY and other == ANY:
                        return f"add({a}, {b})"
                    case ast.Mult() if max(known, other) == ANY or min(known, other) > SMALL:
                        return f"mul({a}, {b})"
                    case ast.Mod() if known == ANY:
                        return f"mod({a}, {b})"
                return f"({a} {_SYMBOLS[type(op)]} {b})"
            case ast.UnaryOp(op=unary):
                return f"({_SYMBOLS[type(unary)]}{parts[0]})"
            case ast.Compare(ops=ops):
                parts = self._paid(node, parts)
                words = [parts[0]]
                for comparison, part in zip(ops, parts[1:], strict=True):
                    words += [_SYMBOLS[type(comparison)], part]
                return f"({' '.join(words)})"
            case ast.List(elts=items):
                source = f"[{', '.join(parts)}]"
                return source if all(map(self.names.small, items)) else f"listed({source})"
            case ast.Subscript():
                return f"{parts[0]}[{parts[1]}]"
            case ast.Call(func=ast.Name(id="min" | "max" as name), args=args):
                plain = len(args) > 1 and all(map(self.names.small, args))
                return f"{name if plain else name + '_'}({', '.join(parts)})"
            case ast.Call(func=ast.Name(id=name)) if name in values.FUNCTIONS:
                return f"{_SPELLED.get(name, name)}({', '.join(parts)})"
        raise TypeError(f"{type(node).__name__} is not part of the language")

    def _paid(self, node: ast.Compare, parts: Sequence[str]) -> list[str]:
        """The sides of a comparison, each paid for if the comparison may go over it.

        To compare with what is small takes no time, nor does ``is``; ``in`` goes over its right
        side, unless that is a list of small things that stands there.
        """
        sides = [node.left, *node.comparators]
        costly = [False] * len(sides)
        small = [self.names.small(side) for side in sides]
        for place, comparison in enumerate(node.ops):
            right = sides[place + 1]
            match comparison:
                case ast.Is() | ast.IsNot():
                    continue
                case ast.In() | ast.NotIn():
                    if isinstance(right, ast.List) and all(map(self.names.small, right.elts)):
                        continue
                    costly[place] |= not small[place]
                    costly[place + 1] |= not small[place + 1]
                case _ if not small[place] and not small[place + 1]:
                    costly[place] = costly[place + 1] = True
        return [f"spent({part})" if pay else part for pay, part in zip(costly, parts, strict=True)]


class Direct(Translator):
    """Translates expressions that see all shared variables at once: no step is taken.

    ``style`` has a ``{}`` for the number of a variable, ``spread`` two for the first and the
    last but one of an array. ``touches`` collects what is mentioned.
    While ``witnesses`` is a list, the value of each mention goes into a variable of Python's
    own, and (its name in the scenario, that variable) into the list.
    """

    def __init__(self, names: NameTable, pool: GlobalNames, style: str, spread: str) -> None:
        super().__init__(names)
        self.pool = pool
        self.style = style
        self.spread = spread
        self.touches: set[int] = set()
        self.witnesses: list[tuple[str, str]] | None = None

    def mention(self, name: str, index: ast.expr | None) -> str:
        layout = self.names.layout
        first, length = layout.arrays[name]
        numbers = range(first, first + (length or 1))
        text = name
        if length is None:
            source = self.style.format(first)
        elif index is None:
            source = self.spread.format(first, first + length)
        else:
            place = place_of(index.value, length) if isinstance(index, ast.Constant) else None
            if place is not None:
                numbers = range(first + place, first + place + 1)
                source = self.style.format(first + place)
                text = layout.names[first + place]
            else:
                text = f"{name}[{label(index)}]"
                table = self.pool.add("T", tuple(numbers))
                source = self.style.format(f"{table}[{self.source(index)}]")
        self.touches.update(numbers)
        if self.witnesses is None:
            return source
        variable = f"q{len(self.witnesses)}"
        self.witnesses.append((text, variable))
        return f"({variable} := {source})"


def children(node: ast.expr) -> list[ast.expr]:
    """The parts of ``node`` that are expressions, in order of evaluation."""
    match node:
        case ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.UnaryOp(operand=operand):
            return [operand]
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case ast.BoolOp(values=parts):
            return parts
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return [test, body, orelse]
        case ast.Subscript(value=base, slice=index):
            return [base, index]
        case ast.List(elts=items):
            return items
        case ast.Call(args=args):
            return args
    return []


def literal(value: Value) -> str:
    """``value``, a scalar, as source."""
    # Python writes no more than 4,300 decimal digits.
    text = hex(value) if type(value) is int and abs(value) > values.SMALL else repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({text!r})"
    return f"({text})" if text.startswith("-") else text


def label(node: ast.expr) -> str:
    """``node`` as a reader would write it."""
    try:
        return ast.unparse(node)
    except ValueError:  # a number of more digits than Python writes
        return "..."


def place_of(index: Value, length: int) -> int | None:
    """The place that ``index`` means in a list of ``length``, None if that is an error."""
    if not isinstance(index, int) or not -length <= index < length:
        return None
    return int(index) % length


def _name(op: ast.AST) -> str:
    return type(op).__name__


def _compute(node: ast.expr, name: str, *parts: ast.expr) -> ast.expr:
    """The constant that ``node`` is, or ``node`` where it is none or an error."""
    if not all(isinstance(part, ast.Constant) for part in parts):
        return node
    function = values.OPERATIONS.get(name) or values.FUNCTIONS.get(name)
    if function is None:
        return node
    try:
        value = function(*(part.value for part in parts if isinstance(part, ast.Constant)))
    except Exception:
        return node  # it is raised when evaluation comes to it
    if isinstance(value, int) and not -values.SMALL < value < values.SMALL:
        return node
    if isinstance(value, str) and len(value) > 1000:
        return node
    return ast.Constant(value)


def _shorten(op: ast.boolop, parts: list[ast.expr]) -> ast.expr:
    """``and``/``or`` without the parts whose outcome is known."""
    kept: list[ast.expr] = []
    decides = isinstance(op, ast.Or)
    for place, part in enumerate(parts):
        if isinstance(part, ast.Constant):
            if bool(part.value) is decides:
                kept.append(part)
                break
            if place < len(parts) - 1:
                continue
        kept.append(part)
    return kept[0] if len(kept) == 1 else ast.BoolOp(op, kept)
