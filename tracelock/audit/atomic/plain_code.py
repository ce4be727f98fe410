"""Which classes are so plain that their calls depend on nothing unseen, nor on who makes them.

What is proved of all clients from calls that one worker makes holds for others only if no call
depends on whose it is (thread-local data, the owner of a lock, the name of a thread), on when it is
made, or on something that is not seen. So the source of the class, and all that it names, has to
consist of what is listed here. Another class is not worse: its clients are explored.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from tracelock.audit.reading import MethodCall

#: Functions and classes of Python itself that keep nothing, and give nothing away.
_BUILTINS: Final = {
    "abs", "all", "any", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate", "float",
    "frozenset", "int", "isinstance", "issubclass", "len", "list", "max", "min", "object", "ord",
    "pow", "property", "range", "round", "set", "slice", "sorted", "str", "sum", "staticmethod",
    "super", "tuple", "NotImplemented", "Ellipsis",
}  # fmt: skip
#: What may be imported from where, at the top of the module.
_IMPORTS: Final = {
    "threading": {"Lock", "RLock"},
    "collections": {"OrderedDict", "deque", "defaultdict", "Counter"},
}
#: Methods with two underscores that a class may have; no other code of it is called by C.
_SPECIAL: Final = {
    "__init__", "__len__", "__contains__", "__getitem__", "__setitem__", "__delitem__",
    "__enter__", "__exit__", "__bool__", "__call__",
}  # fmt: skip
#: Attributes that tell whose call it is, or lead to all that there is.
_ATTRIBUTES: Final = {
    "get_ident", "get_native_id", "current_thread", "main_thread", "local", "ident", "native_id",
    "locked", "fromkeys", "mro", "format", "format_map",
}  # fmt: skip
_REFUSED: Final = (
    ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Await,
    ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.GeneratorExp, ast.Match, ast.ClassDef,
)  # fmt: skip
_CONSTANTS: Final = {int, float, bool, str, bytes, type(None)}
_FUNCTIONS: Final = ast.FunctionDef, ast.Lambda
_SCOPES: Final = (*_FUNCTIONS, ast.ListComp, ast.SetComp, ast.DictComp)


class NotPlain(Exception):
    """Why a class is not so plain."""


def check_plain(cls: type, calls: Iterable[MethodCall]) -> frozenset[type]:
    """The classes whose objects it may consist of, besides builtin ones. Raises NotPlain."""
    reading = _Source()
    for one in cls.__mro__[:-1]:
        reading.of_class(one)
    for call in calls:
        reading.check(ast.parse(call.source, mode="eval").body, vars(builtins), {"it"})
    return frozenset(reading.classes)


class _Source:
    def __init__(self) -> None:
        self.classes: set[type] = set()
        self._trees: dict[str, dict[str, ast.stmt]] = {}
        self._done: set[tuple[str, str]] = set()

    def of_class(self, cls: type) -> None:
        """Look at the source of a class, and at all that it names."""
        module = cls.__module__
        if cls in self.classes:
            return
        found = self._module(module).get(cls.__qualname__)
        space = vars(sys.modules[module])
        if not isinstance(found, ast.ClassDef) or space.get(cls.__name__) is not cls:
            raise NotPlain(f"{cls.__qualname__} has no source that is its own")
        self.classes.add(cls)
        if found.keywords or found.decorator_list or type(cls) is not type:
            raise NotPlain(f"{cls.__qualname__} is made by a decorator or a metaclass")
        for base in cls.__bases__:
            plain = base is object or (base.__module__ == "builtins" and _is_error(base))
            if not plain:
                self.of_class(base)
        written = {one.name for one in found.body if isinstance(one, ast.FunctionDef)}
        for name, one in vars(cls).items():
            qualname = f"{cls.__qualname__}.{name}"
            if inspect.isfunction(one) and (name not in written or one.__qualname__ != qualname):
                raise NotPlain(f"{qualname} is not the one of its source")
        for statement in found.body:
            if isinstance(statement, ast.FunctionDef):
                special = statement.name.startswith("__") and statement.name.endswith("__")
                if special and statement.name not in _SPECIAL:
                    raise NotPlain(f"it has {statement.name}")
            elif not _is_constant(statement):
                raise NotPlain(f"{cls.__qualname__} does more than to define methods")
            self.check(statement, space, set(), module)

    def _module(self, name: str) -> dict[str, ast.stmt]:
        """What a module defines at its top, by name."""
        if name not in self._trees:
            try:
                tree = ast.parse(inspect.getsource(sys.modules[name]))
            except (KeyError, OSError, TypeError, SyntaxError):
                raise NotPlain(f"{name} has no source") from None
            found: dict[str, ast.stmt] = {}
            for one in tree.body:
                for defined in _defined(one):
                    # which one it is, if there are several, is not known
                    found[defined] = ast.Pass() if defined in found else one
            self._trees[name] = found
        return self._trees[name]

    def check(
        self, node: ast.AST, space: dict[str, Any], bound: set[str], module: str = ""
    ) -> None:
        """Look at code, in which the names of ``bound`` are its own."""
        if isinstance(node, _REFUSED):
            raise NotPlain(f"it has {type(node).__name__} in line {getattr(node, 'lineno', '?')}")
        if isinstance(node, ast.Attribute) and not _of_super(node):
            special = node.attr.startswith("__") and node.attr.endswith("__")
            if special or node.attr in _ATTRIBUTES:
                raise NotPlain(f"it uses .{node.attr}")
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id not in bound:
            self._named(node.id, space, module)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            given = None if node.value.id in bound else space.get(node.value.id)
            name = getattr(given, "__name__", "")
            if given is not None and inspect.ismodule(given):
                if node.attr not in _IMPORTS.get(name, ()):
                    raise NotPlain(f"it uses {name}.{node.attr}")
                return
        if isinstance(node, _SCOPES):
            bound = bound | set(_bound(node))
        for child in _run(node):
            self.check(child, space, bound, module)

    def _named(self, name: str, space: dict[str, Any], module: str) -> None:
        """A name that is not of the function itself."""
        if name not in space or not module:
            value = getattr(builtins, name, None)
            if name not in _BUILTINS and not _is_error(value):
                raise NotPlain(f"it uses {name}")
            return
        value = space[name]
        if inspect.ismodule(value):
            raise NotPlain(f"it uses {name} in another way than by its parts")
        if (module, name) in self._done:
            return
        self._done.add((module, name))
        given = self._module(module).get(name)
        if isinstance(given, ast.ImportFrom):
            taken = [one.name for one in given.names if (one.asname or one.name) == name]
            if taken and taken[0] in _IMPORTS.get(given.module or "", ()) and not given.level:
                return
            raise NotPlain(f"it uses {name} of {given.module}")
        if isinstance(given, ast.FunctionDef) and not given.decorator_list:
            if getattr(value, "__module__", None) == module and inspect.isfunction(value):
                self.check(given, space, set(), module)
                return
        elif isinstance(given, ast.ClassDef) and isinstance(value, type):
            self.of_class(value)
            return
        elif isinstance(given, (ast.Assign, ast.AnnAssign)) and type(value) in _CONSTANTS:
            return
        raise NotPlain(f"it uses {name}")


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _is_constant(statement: ast.stmt) -> bool:
    """Whether a statement of a class does no more than to give a constant a name."""
    if not isinstance(statement, (ast.Expr, ast.Pass, ast.Assign, ast.AnnAssign)):
        return False
    value = getattr(statement, "value", None)
    if isinstance(value, ast.Tuple):
        return all(isinstance(one, ast.Constant) for one in value.elts)
    return value is None or isinstance(value, ast.Constant)


def _defined(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
    elif isinstance(statement, (ast.Import, ast.ImportFrom)):
        for one in statement.names:
            yield one.asname or one.name
    else:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from (one.asname or one.name for one in node.names)


def _of_super(node: ast.Attribute) -> bool:
    call = node.value
    return (
        node.attr in _SPECIAL and isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name) and call.func.id == "super"
    )  # fmt: skip


def _bound(scope: ast.AST) -> Iterator[str]:
    """The names that a function or a comprehension has of its own."""
    if isinstance(scope, _FUNCTIONS):
        given = scope.args
        for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
            if one is not None:
                yield one.arg
    left = list(_run(scope))
    while left:
        node = left.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield node.id
        elif isinstance(node, (ast.ExceptHandler, ast.FunctionDef)):
            yield node.name or ""
        if not isinstance(node, _SCOPES):
            left += _run(node)


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of a piece of code that are run: no annotations."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "type_comment", "type_params"):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                yield one
