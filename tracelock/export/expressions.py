"""Expressions of a scenario as source of a Python program."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass, field
from typing import Any

from tracelock.export.writing import Lines
from tracelock.scenario.language.expressions import mentions


@dataclass
class Namespace:
    """What the names in the expressions of one worker mean.

    ``shared``: variable -> its name in the program. ``arrays``: variable -> length, for those that
    are arrays. ``cells``: variables that are the ``.value`` of something. ``locals``: local -> its
    name. ``constants``: what ``index`` and ``count`` are, where they are known.
    """

    shared: dict[str, str]
    arrays: dict[str, int]
    cells: set[str]
    locals: dict[str, str] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)

    def is_shared(self, name: str) -> bool:
        return name in self.shared and name not in self.locals

    def reads(self, tree: ast.expr) -> bool:
        """Whether evaluation reads a shared variable."""
        return self.count(tree) > 0

    def count(self, tree: ast.expr) -> int:
        """How many reads a full evaluation takes, those behind and/or/if included."""
        total = 0
        for one in mentions(tree):
            if not self.is_shared(one.name):
                continue
            if one.index is not None or one.name not in self.arrays:
                total += 1
            elif not one.measured:
                total += self.arrays[one.name]
        return total

    def straight(self, tree: ast.expr) -> bool:
        """Whether every evaluation takes the same reads."""
        return all(one.sure for one in mentions(tree) if self.is_shared(one.name))

    def source(self, tree: ast.expr) -> str:
        """The tree as source in the program's names."""
        return ast.unparse(ast.fix_missing_locations(_Renamer(self).visit(copy.deepcopy(tree))))

    def variable(self, name: str) -> str:
        """A variable that is no array, as something to read or assign to."""
        own = self.shared[name]
        return f"{own}.value" if name in self.cells else own

    def element(self, name: str, index: str) -> str:
        """An element of an array of variables."""
        return f"{self.shared[name]}[{index}]"


class _Ready(ast.Name):
    """A name of the program itself: not to be renamed."""


def ready(name: str) -> ast.expr:
    """A name of the program in a tree of the scenario's names."""
    return _Ready(name, ast.Load())


class _Renamer(ast.NodeTransformer):
    def __init__(self, space: Namespace) -> None:
        self.space = space

    def visit(self, node: ast.AST) -> Any:
        if type(node) is _Ready:
            return ast.Name(node.id, ast.Load())
        return super().visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        space = self.space
        name = node.id
        if name in space.locals:
            return ast.Name(space.locals[name], ast.Load())
        if name in space.shared:
            whole: ast.expr = ast.Name(space.shared[name], ast.Load())
            if name in space.arrays:
                return ast.Call(ast.Name("list", ast.Load()), [whole], [])
            return ast.Attribute(whole, "value", ast.Load()) if name in space.cells else whole
        if name in space.constants:
            return ast.Constant(space.constants[name])
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        base = node.value
        index = self.visit(node.slice)
        if type(base) is ast.Name and self.space.is_shared(base.id):
            own = ast.Name(self.space.shared[base.id], ast.Load())
            return ast.Subscript(own, index, ast.Load())
        return ast.Subscript(self.visit(base), index, ast.Load())

    def visit_Call(self, node: ast.Call) -> ast.expr:
        assert isinstance(node.func, ast.Name)
        func: ast.expr = node.func
        if node.func.id == "sqrt":
            func = ast.Attribute(ast.Name("math", ast.Load()), "sqrt", ast.Load())
        args: list[ast.expr] = []
        for arg in node.args:
            new = self.visit(arg)
            whole = type(arg) is ast.Name and arg.id in self.space.arrays
            if whole and isinstance(new, ast.Call) and node.func.id in ("len", "sum", "min", "max"):
                new = new.args[0]  # these do not keep it: no copy is needed
            args.append(new)
        return ast.Call(func, args, [])


def negated(space: Namespace, tree: ast.expr) -> str:
    """The source of ``not tree``, as a person would write it."""
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.Not):
        return space.source(tree.operand)
    opposite: dict[type, ast.cmpop] = {ast.Eq: ast.NotEq(), ast.NotEq: ast.Eq()}
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and type(tree.ops[0]) in opposite:
        turned = ast.Compare(tree.left, [opposite[type(tree.ops[0])]], tree.comparators)
        return space.source(turned)
    return space.source(ast.UnaryOp(ast.Not(), tree))


class Unfolder(Lines):
    """Takes expressions apart: every read becomes a statement of its own."""

    space: Namespace

    def temporary(self, wanted: str) -> str:
        """A fresh name like ``wanted``."""
        raise NotImplementedError

    def keep(self, name: str, source: str, read: bool = False) -> None:
        """Assign to a temporary; ``read``: that is the read of a shared variable."""
        raise NotImplementedError

    def unfold(self, node: ast.expr) -> ast.expr:
        """Write the reads of ``node``; what is left of it, which reads nothing shared."""
        space = self.space
        if not space.reads(node):
            return node
        match node:
            case ast.Name(id=name) if name in space.arrays:
                return ast.List(
                    [
                        self._read(name, space.element(name, str(place)))
                        for place in range(space.arrays[name])
                    ],
                    ast.Load(),
                )
            case ast.Name(id=name):
                return self._read(name, space.variable(name))
            case ast.Subscript(value=ast.Name(id=name), slice=index) if space.is_shared(name):
                inner = self.unfold(index)
                return self._read(name, space.element(name, space.source(inner)))
            case ast.BoolOp(op=op, values=parts):
                return self._choice(isinstance(op, ast.And), parts)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                found = self.temporary("value")
                with self.block(f"if {space.source(self.unfold(test))}:"):
                    self.keep(found, space.source(self.unfold(body)))
                with self.block("else:"):
                    self.keep(found, space.source(self.unfold(orelse)))
                return ready(found)
            case ast.Compare(left=left, ops=ops, comparators=others) if len(ops) > 1:
                return self._chain(left, ops, others)
        new = copy.copy(node)
        for part, value in ast.iter_fields(node):
            if isinstance(value, ast.expr) and not (isinstance(node, ast.Call) and part == "func"):
                setattr(new, part, self.unfold(value))
            elif isinstance(value, list):
                parts_ = [self.unfold(v) if isinstance(v, ast.expr) else v for v in value]
                setattr(new, part, parts_)
        return new

    def _read(self, name: str, source: str) -> ast.expr:
        found = self.temporary(f"seen_{name}")
        self.keep(found, source, read=True)
        return ready(found)

    def _choice(self, every: bool, parts: list[ast.expr]) -> ast.expr:
        first, *rest = parts
        found = self.temporary("holds")
        self.keep(found, self.space.source(self.unfold(first)))
        with self.block(f"if {found}:" if every else f"if not {found}:"):
            last = rest[0] if len(rest) == 1 else ast.BoolOp(ast.And() if every else ast.Or(), rest)
            self.keep(found, self.space.source(self.unfold(last)))
        return ready(found)

    def _chain(self, left: ast.expr, ops: list[ast.cmpop], others: list[ast.expr]) -> ast.expr:
        found = self.temporary("holds")
        a = self._kept(left)
        b = self._kept(others[0])
        self.keep(found, self.space.source(ast.Compare(a, [ops[0]], [b])))
        with self.block(f"if {found}:"):
            rest = self.unfold(ast.Compare(b, ops[1:], others[1:]))
            self.keep(found, self.space.source(rest))
        return ready(found)

    def _kept(self, node: ast.expr) -> ast.expr:
        left = self.unfold(node)
        if isinstance(left, ast.Name | ast.Constant):
            return left
        name = self.temporary("value")
        self.keep(name, self.space.source(left))
        return ready(name)
