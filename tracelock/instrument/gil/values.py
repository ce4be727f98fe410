"""What the expressions of a frame stand for at the moment, as far as that runs no code."""

from __future__ import annotations

import ast
import inspect
import sys
import types
from types import FrameType
from typing import Any, Final

from tracelock.instrument.contexts import module_names
from tracelock.interpreter.plainness import found_in

#: Nothing is known.
UNKNOWN: Final = object()
_PROXIES: Final = sys.version_info >= (3, 13)
#: Callables whose result is of a type of the language's own.
_MAKE_PLAIN: Final[tuple[Any, ...]] = (
    int, float, str, bool, bytes, len, list, dict, set, tuple, frozenset, range, sorted, repr, hash,
    id, ord, chr, isinstance, issubclass, callable, hasattr, round, divmod, enumerate, zip,
)  # fmt: skip
_SCALARS: Final = frozenset({int, float, complex, bool, str, bytes, types.NoneType})
_EXACT: Final = (list, tuple, dict)


class Values:
    """The values of one frame. Used at once: nothing of it is kept.

    ``plain`` stands for a value of a type of the language's own that is not known itself.
    """

    plain: Final = ""

    def __init__(self, frame: FrameType) -> None:
        self._globals = frame.f_globals
        self._builtins = frame.f_builtins
        found = frame.f_locals
        self._locals = found
        if not _PROXIES and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            # a copy that the frame would keep, and with it what is let go of meanwhile
            self._locals = {**found}
            found.clear()

    def of(self, node: ast.AST | None) -> Any:
        """The value of an expression, ``UNKNOWN`` where that cannot be told."""
        find = getattr(self, f"_{type(node).__name__}", None)
        return UNKNOWN if find is None else find(node)

    def _Constant(self, node: ast.Constant) -> Any:
        return node.value

    def _Name(self, node: ast.Name) -> Any:
        for space in (self._locals, self._globals, self._builtins):
            if node.id in space:
                return space[node.id]
        return UNKNOWN

    def _Attribute(self, node: ast.Attribute) -> Any:
        value = self.of(node.value)
        if value is UNKNOWN:
            return UNKNOWN
        if isinstance(value, types.ModuleType):
            return module_names(value).get(node.attr, UNKNOWN)
        found = found_in(type(value), node.attr)
        try:
            own = object.__getattribute__(value, "__dict__")
        except AttributeError:
            own = None
        if type(own) is dict and node.attr in own and not isinstance(value, type):
            return own[node.attr]
        if isinstance(value, type):
            found = found_in(value, node.attr)
        if found is None:
            return UNKNOWN
        what = found[1]
        if isinstance(what, staticmethod | classmethod):
            what = what.__func__
        return what if not hasattr(type(what), "__set__") else UNKNOWN

    def _Subscript(self, node: ast.Subscript) -> Any:
        value, key = self.of(node.value), self.of(node.slice)
        if type(value) not in _EXACT or type(key) not in _SCALARS:
            return UNKNOWN
        try:
            return value[key]
        except (LookupError, TypeError):
            return UNKNOWN

    def _all_plain(self, *nodes: ast.AST) -> Any:
        values = [self.of(node) for node in nodes]
        return self.plain if all(type(one) in (*_SCALARS, *_EXACT) for one in values) else UNKNOWN

    def _BinOp(self, node: ast.BinOp) -> Any:
        return self._all_plain(node.left, node.right)

    def _UnaryOp(self, node: ast.UnaryOp) -> Any:
        return self._all_plain(node.operand)

    def _BoolOp(self, node: ast.BoolOp) -> Any:
        return self._all_plain(*node.values)

    def _IfExp(self, node: ast.IfExp) -> Any:
        return self._all_plain(node.body, node.orelse)

    def _Compare(self, node: ast.Compare) -> Any:
        return self._all_plain(node.left, *node.comparators)

    def _NamedExpr(self, node: ast.NamedExpr) -> Any:
        return self.of(node.value)

    def _Call(self, node: ast.Call) -> Any:
        function = self.of(node.func)
        return self.plain if any(function is one for one in _MAKE_PLAIN) else UNKNOWN

    def _display(self, node: ast.AST) -> Any:
        return self.plain

    _JoinedStr = _List = _Tuple = _Dict = _Set = _display
    _ListComp = _SetComp = _DictComp = _display
