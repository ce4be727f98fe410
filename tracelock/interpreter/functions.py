"""A function of a module as a worker: its body is looked at, and it is called with made values.

found = FunctionBody("bank:Account.withdraw")
found.call                        # "bank.Account.withdraw(self, amount)", a statement
"""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import re
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from tracelock.interpreter.expressions import Span
from tracelock.interpreter.samples import OBJECTS, SAMPLES, bound_names, parsed
from tracelock.interpreter.statement import Statement, StatementProblem, ValuesSeen, own_nodes
from tracelock.interpreter.stress import module_data
from tracelock.interpreter.watching import Watching

_NAME = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_][\w.]*)")
_BY_TYPE = {
    "int": "7", "float": "7.0", "str": "'k'", "bool": "True", "list": "[3, 1, 2]",
    "dict": "{'k': 10}", "set": "{1, 2}",
}  # fmt: skip


def statement_of(text: str, setup: str = "") -> Statement:
    """A statement, or the function that ``module:function`` names. Raises StatementProblem."""
    found = _NAME.fullmatch(text.strip())
    return Statement(text) if found is None else FunctionBody(found[1], found[2], setup)


class FunctionBody(Statement):
    """The body of a function, method or class of a module."""

    def __init__(self, module: str, name: str, setup: str) -> None:
        self.target = f"{module}:{name}"
        self.module: str = module
        self.name = name
        function = self._resolved()
        self._file = function.__code__.co_filename
        self._line = function.__code__.co_firstlineno
        names, self.made = self._arguments(function, bound_names(parsed(setup, "the set-up")))
        self.call = f"{module}.{name}({', '.join(names)})"
        super().__init__(self.call)
        self.text = self.target
        self.tree = self._definition(function)
        self.stored = _stored(self.tree)

    # --- what it is --------------------------------------------------------------------------
    def _resolved(self) -> types.FunctionType:
        """The function, of the module as it is now."""
        found = self._found()
        if isinstance(found, types.MethodType):
            found = found.__func__
        kind = type(found).__name__
        if isinstance(found, type):
            self._refuse(f"is a class: ask of one of its methods, as in '{self.target}.__init__'")
        if not isinstance(found, types.FunctionType):
            what = "is in C and has no bytecode" if callable(found) else "is no function"
            self._refuse(
                f"{what} ({kind}): ask of a statement that calls it, with "
                f"--setup 'from {self.module} import {self.name.partition('.')[0]}'"
            )
        assert isinstance(found, types.FunctionType)
        flags = found.__code__.co_flags
        if flags & (inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR):
            self._refuse(
                "is a coroutine function: ask of a statement that awaits it, "
                f"'await {found.__name__}()', with --setup"
            )
        if flags & inspect.CO_GENERATOR:
            self._refuse(
                "is a generator function: each yield lets in what its caller does; ask of a "
                f"statement, 'for _ in {found.__name__}(): pass', with --setup"
            )
        return found

    def _found(self) -> Any:
        if "" not in sys.path:
            sys.path.insert(0, "")
        try:
            found: Any = importlib.import_module(self.module)
        except ModuleNotFoundError as error:
            if error.name and (self.module + ".").startswith(error.name + "."):
                hint = ""
                if self.module.endswith(".py"):
                    hint = f": write {self.module.removesuffix('.py')}:{self.name}"
                raise StatementProblem(f"there is no module {self.module!r}{hint}") from None
            raise StatementProblem(f"importing {self.module} raises {error!r}") from error
        except Exception as error:
            problem = f"importing {self.module} raises {type(error).__name__}: {error}"
            raise StatementProblem(problem) from error
        place = self.module
        for part in self.name.split("."):
            if not hasattr(found, part):
                raise StatementProblem(f"{place} has no {part!r}")
            found, place = getattr(found, part), f"{place}.{part}"
        return found

    def _refuse(self, what: str) -> None:
        raise StatementProblem(f"{self.target} {what}")

    def _arguments(
        self, function: types.FunctionType, given: set[str]
    ) -> tuple[list[str], dict[str, str]]:
        """The arguments of a call, and the source of values for those that need one."""
        owner, _, _ = self.name.rpartition(".")
        bound = isinstance(self._found(), types.MethodType)
        parameters = list(inspect.signature(function).parameters.values())[bound:]
        names: list[str] = []
        made: dict[str, str] = {}
        for place, one in enumerate(parameters):
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                continue
            if one.default is not one.empty and one.name not in given:
                continue
            keyword = one.kind is one.KEYWORD_ONLY or (
                len(names) < place and one.kind is not one.POSITIONAL_ONLY
            )
            names.append(f"{one.name}={one.name}" if keyword else one.name)
            if one.name in given:
                continue
            if place == 0 and owner and not bound and one.name == "self":
                made[one.name] = f"{self.module}.{owner}()"
            elif str(one.annotation) in _BY_TYPE or getattr(one.annotation, "__name__", "") in (
                _BY_TYPE
            ):
                kind = getattr(one.annotation, "__name__", str(one.annotation))
                made[one.name] = _BY_TYPE[kind]
            elif one.name not in SAMPLES and one.name not in OBJECTS:
                self._refuse(
                    f"takes {one.name!r}, of which nothing is known: give it a value, as in "
                    f"--setup '{one.name} = ...'"
                )
        return names, made

    def _definition(self, function: types.FunctionType) -> ast.FunctionDef:
        source = "".join(linecache.getlines(self._file))
        if not source:
            self._refuse(f"has no source: {self._file} cannot be read")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef) and node.name == function.__code__.co_name:
                lines = [node.lineno, *(one.lineno for one in node.decorator_list)]
                if min(lines) == self._line:
                    return node
        self._refuse(f"has no definition at {self._file}:{self._line}")
        raise AssertionError

    # --- what runs ---------------------------------------------------------------------------
    def setup_lines(self, setup: str) -> list[str]:
        tree = parsed(setup, "the set-up")
        used = {one.id for one in ast.walk(tree) if isinstance(one, ast.Name)} - bound_names(tree)
        module = importlib.import_module(self.module)
        found = sorted(name for name in used if name in vars(module))
        names = [f"from {self.module} import {', '.join(found)}"] if found else []
        return [f"import {self.module}", *names]

    def code(self, space: dict[str, Any]) -> types.FunctionType:
        return self._resolved()

    def watched(self, space: dict[str, Any]) -> Callable[[Span], Sequence[Any] | None]:
        function = self._resolved()
        seen = ValuesSeen()
        node = self._definition(function)
        node.decorator_list = []
        node.body = Watching().body(node)
        code = function.__code__
        outer = ast.FunctionDef(
            name="outer", body=[node], decorator_list=[], returns=None, type_comment=None,
            args=ast.arguments([], [ast.arg(name) for name in code.co_freevars], None, [], [],
                               None, []),
        )  # fmt: skip
        if hasattr(outer, "type_params"):
            outer.type_params = []
        whole = compile(
            ast.fix_missing_locations(ast.Module([outer], [])), self._file, "exec",
            code.co_flags & _FUTURES, dont_inherit=True,
        )  # fmt: skip
        inner = _code_in(_code_in(whole, "outer"), code.co_name)
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        made = types.FunctionType(
            inner, function.__globals__, function.__name__, function.__defaults__,
            tuple(cells[name] for name in inner.co_freevars),
        )  # fmt: skip
        made.__kwdefaults__ = function.__kwdefaults__
        space = {**space, "__function__": made}
        bound = self._found()
        call = self.call.replace(f"{self.module}.{self.name}(", "__function__(", 1)
        if isinstance(bound, types.MethodType):
            space["__owner__"] = bound.__self__
            call = call.replace("__function__(", "__function__(__owner__, ", 1)
        watch = {"__watch__": seen.note, "__before__": seen.before}
        function.__globals__.update(watch)
        try:
            exec(compile(call, "<call>", "exec"), space)
        except Exception as error:
            raise StatementProblem(
                f"{self.call} raises {type(error).__name__}: {error}; --setup gives it other values"
            ) from error
        finally:
            for name in watch:
                function.__globals__.pop(name, None)
        return seen.values.get

    def worker(self, space: dict[str, Any]) -> Callable[[], Any]:
        code = compile(self.call, "<call>", "eval")
        return lambda: eval(code, space)

    def looping(self, space: dict[str, Any]) -> Callable[..., Any]:
        return Statement(self.call).looping(space)

    def shared(self, space: dict[str, Any]) -> dict[str, Any]:
        module = importlib.import_module(self.module)
        plain = types.FunctionType | types.BuiltinFunctionType | types.ModuleType
        own = {k: v for k, v in vars(module).items() if not isinstance(v, plain)}
        return {**space, **module_data(module), **own}


_FUTURES = 0x1FF0000  # what ``from __future__`` switches on


def _stored(tree: ast.AST) -> set[str]:
    """The global names that a function assigns."""
    said = {name for n in own_nodes(tree) if isinstance(n, ast.Global) for name in n.names}
    return said


def _code_in(code: types.CodeType, name: str) -> types.CodeType:
    return next(
        one for one in code.co_consts if isinstance(one, types.CodeType) and one.co_name == name
    )
