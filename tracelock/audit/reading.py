"""The calls of a class: its public methods, with arguments from names, hints and tables."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from tracelock.audit.domains import BUILTIN_CALLS, OPTIONAL, NoArgument, domain
from tracelock.errors import UsageError

#: Operators of a class, each with how it is written. ``{0}`` is its first argument.
OPERATORS: Final = {
    "__len__": "len(it)",
    "__iter__": "list(it)",
    "__contains__": "{0} in it",
    "__getitem__": "it[{0}]",
    "__setitem__": "it.__setitem__({0}, {1})",
    "__delitem__": "it.__delitem__({0})",
    "__next__": "next(it)",
    "__call__": "it({all})",
    "__enter__": "it.__enter__()",
    "__aenter__": "it.__aenter__()",
    "__aiter__": "items_of(it)",
    "__anext__": "it.__anext__()",
}
#: Those of coroutines.
_AWAITED: Final = frozenset({"__aenter__", "__aiter__", "__anext__"})
#: What has to follow an operator: it is a call of its own.
_CLOSING: Final = {
    "__enter__": "it.__exit__(None, None, None)", "__aenter__": "it.__aexit__(None, None, None)",
}  # fmt: skip
#: What operators are called in the matrix.
SHOWN: Final = {
    "__len__": "len", "__iter__": "iter", "__contains__": "in", "__getitem__": "x[k]",
    "__setitem__": "x[k]=v", "__delitem__": "del x[k]", "__next__": "next", "__call__": "x()",
    "__enter__": "with", "__aenter__": "async with", "__aiter__": "async for",
    "__anext__": "anext",
}  # fmt: skip
#: Arguments of operators that say themselves what they are.
_KEYED: Final = {"__contains__": 1, "__getitem__": 1, "__setitem__": 2, "__delitem__": 1}
#: Methods that are no calls of a user.
_LEFT_OUT: Final = frozenset({"fromkeys", "throw", "send", "mro"})
#: Seconds that calls with a limit may take.
LIMIT: Final = 1.0
#: Parameters that are a limit of time in seconds, by their names.
_LIMIT: Final = re.compile(r"^(\w+_)?timeout(_s|_sec|_secs|_seconds)?$")
#: Variants of a call at most.
_VARIANTS: Final = 2


class UntoldArguments(Exception):
    """A method does not say which arguments it takes, as many in C do not; why."""


@dataclass(frozen=True)
class MethodCall:
    """One call. ``method``: whose row it belongs to; ``source``: an expression in which the object
    is ``it``; ``reads``: it is an attribute, no call. See ``spares`` for what may take its
    place."""

    method: str
    source: str
    reads: bool = False
    #: The call that has to follow it on the same worker, "" where none has to.
    closing: str = ""
    #: Others come first: it is made only where those raise TypeErrors and it does not.
    spare: int = 0

    @property
    def steps(self) -> tuple[MethodCall, ...]:
        """It, and what has to follow it."""
        return (self, MethodCall(self.method, self.closing)) if self.closing else (self,)

    def __str__(self) -> str:
        return self.source.removeprefix("it.")


@dataclass
class AuditedClass:
    """A class to be audited. ``init``: the text that makes one, with the names of ``module``;
    ``given``: values that have no text, by the names that texts have for them."""

    name: str
    cls: type
    module: str
    init: str
    given: dict[str, Any] = field(default_factory=dict)
    #: Whether its methods are called by tasks, and what they give is awaited.
    tasks: bool = False

    def in_c(self, row: str) -> bool:
        """Whether a method is written in C, so that nothing was seen of its inside."""
        name = next((name for name, shown in SHOWN.items() if shown == row), row)
        static = inspect.getattr_static(self.cls, name, None)
        if static is None:
            return False  # a call of the audit's own
        static = getattr(static, "fget", None) or static
        function = getattr(static, "__wrapped__", None) or getattr(static, "func", static)
        return not hasattr(function, "__code__")


def calls_of(
    subject: AuditedClass, methods: Sequence[str] | None, given: Mapping[str, Sequence[str]],
) -> tuple[dict[str, list[MethodCall]], dict[str, str]]:  # fmt: skip
    """The calls of each method, and of those that have none the reason. ``given``: for a parameter
    (``key``, or ``get.key``) the texts of its values. Raises UsageError for unknown ``methods``."""
    names = _public(subject.cls)
    if methods is not None:
        known = {*names, *(SHOWN.get(one, one) for one in names)}
        unknown = [one for one in methods if one not in known]
        if unknown:
            raise UsageError(
                f"{subject.name} has no public method {unknown[0]!r}: it has "
                f"{', '.join(sorted(SHOWN.get(one, one) for one in names))}"
            )
        names = [one for one in names if is_named(SHOWN.get(one, one), methods)]
    found: dict[str, list[MethodCall]] = {}
    missing: dict[str, str] = {}
    for name in names:
        row = SHOWN.get(name, name)
        try:
            calls = _calls(subject, name, given)
        except NoArgument as error:
            missing[row] = (
                f"nothing is known of its argument {error}: --strategy {name}.{error}=EXPR"
            )
            continue
        except UntoldArguments as error:
            missing[row] = f"{error}: {say_arguments(name)}"
            continue
        except (TypeError, ValueError) as error:
            missing[row] = f"it cannot be called: {error}"[:150]
            continue
        found[row] = calls
    return found, missing


def with_limits(
    subject: AuditedClass, calls: Mapping[str, Sequence[MethodCall]],
    given: Mapping[str, Sequence[str]],
) -> dict[str, list[MethodCall]]:  # fmt: skip
    """By method, its calls with a limit of ``LIMIT``: by a parameter of its own, and of coroutine
    functions by ``results.within``."""
    found = {}
    for row, known in calls.items():
        static = inspect.getattr_static(subject.cls, row, None)
        if static is None or _is_read(static) or not known or known[0].closing:
            continue
        try:
            names = [one.name for one, _ in _parameters(static) if _LIMIT.match(one.name)]
        except (TypeError, ValueError):
            names = []
        sources = {one.source for one in known}
        limited = [
            call for name in names[:1]
            for call in _calls(subject, row, {**given, f"{row}.{name}": ["1"]})
            if call.source not in sources
        ]  # fmt: skip
        if subject.tasks and _is_coroutine(static):
            limited += [
                MethodCall(row, f"within(1, {one.source})", spare=one.spare) for one in known
            ]
        if limited:
            found[row] = limited
    return found


def say_arguments(method: str) -> str:
    """What to do about a method that does not say which arguments it takes."""
    return (
        "say what it is called with, as a list with an item for each call, a tuple where it is not "
        f"one argument: --strategy \"{method}.*=['a', ('b', 1), ()]\""
    )


def is_named(row: str, methods: Sequence[str]) -> bool:
    """Whether a row of the matrix is one of these, by what it is called there or in Python."""
    return row in methods or any(shown == row and name in methods for name, shown in SHOWN.items())


def _public(cls: type) -> list[str]:
    """The names of public methods and properties, operators last."""
    plain, operators = [], []
    for name in dir(cls):
        static = inspect.getattr_static(cls, name, None)
        if name in OPERATORS:
            if static is not None and not (cls.__call__ is type.__call__ and name == "__call__"):
                operators.append(name)
        elif not name.startswith("_") and name not in _LEFT_OUT:
            if isinstance(static, (staticmethod, classmethod, type)):
                continue
            if _is_read(static) or callable(static):
                plain.append(name)
    return [*plain, *operators]


def _is_coroutine(static: Any) -> bool:
    return inspect.iscoroutinefunction(static) or inspect.isasyncgenfunction(static)


def has_coroutines(cls: type) -> bool:
    """Whether public methods of a class are coroutine functions, or it has their operators."""
    return any(
        name in _AWAITED or _is_coroutine(inspect.getattr_static(cls, name))
        for name in _public(cls)
    )


def _is_read(static: Any) -> bool:
    return isinstance(static, property) or type(static).__name__ in (
        "cached_property", "member_descriptor", "getset_descriptor",
    )  # fmt: skip


def _calls(
    subject: AuditedClass, name: str, given: Mapping[str, Sequence[str]]
) -> list[MethodCall]:
    static = inspect.getattr_static(subject.cls, name)
    if not subject.tasks and (name in _AWAITED or _is_coroutine(static)):
        raise TypeError("it is a coroutine function, and this audit is of threads")
    row = SHOWN.get(name, name)
    if name not in OPERATORS and _is_read(static):
        return [MethodCall(row, f"it.{name}", reads=True)]
    template = OPERATORS.get(name, f"it.{name}({{all}})")
    found: dict[str, MethodCall] = {}
    known = _arguments(subject.cls, name, static, given)
    for spare, (places, keywords) in [(0, one) for one in known] + _spares(known):
        listed = ", ".join([*places, *(f"{key}={value}" for key, value in keywords)])
        text = template.replace("{all}", listed)
        for number, value in enumerate(places):
            text = text.replace(f"{{{number}}}", value)
        found.setdefault(text, MethodCall(row, text, False, _CLOSING.get(name, ""), spare))
    return list(found.values())


#: What takes the place of arguments that a class does not take: of values, of keys, places for
#: keys.
_INSTEAD: Final = (
    {"1": "THING", "2": "OTHER"},
    {"'a'": "THING", "'b'": "OTHER"},
    {"'a'": "0", "'b'": "1"},
)


def _spares(known: list[Arguments]) -> list[tuple[int, Arguments]]:
    """The same calls with other arguments, for classes that do not take those."""
    found = []
    for level, instead in enumerate(_INSTEAD, 1):
        for places, keywords in known[:_VARIANTS]:
            other = tuple(instead.get(one, one) for one in places)
            if other != places:
                found.append((level, (other, keywords)))
    return found


def taken(calls: list[MethodCall], refused: Callable[[MethodCall], bool]) -> list[MethodCall]:
    """Of the calls of a method those that are made: the first kind of arguments that is not
    ``refused`` each time."""
    for level in range(len(_INSTEAD) + 1):
        kept = [one for one in calls if one.spare == level and not refused(one)]
        if kept:
            return kept
    return []


Arguments = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]


def _arguments(
    cls: type, name: str, function: Any, given: Mapping[str, Sequence[str]]
) -> list[Arguments]:
    """Arguments for some calls of a method: of those that have to be given each from its domain, so
    that calls meet and differ; then one for each well-known option."""
    if name in _KEYED:
        keys = _of(given, name, "key") or domain("key", inspect.Parameter.empty)
        values = _of(given, name, "value") or domain("value", inspect.Parameter.empty)
        if _KEYED[name] == 1:
            return [((key,), ()) for key in keys[:_VARIANTS]]
        return [(pair, ()) for pair in list(zip(keys, values, strict=False))[:_VARIANTS]]
    whole = given.get(f"{name}.*")
    if whole is not None:
        return [(_places(one), ()) for one in whole]
    if name in OPERATORS and name != "__call__":
        return [((), ())]  # whatever a decorator says that it takes
    try:
        parameters = _parameters(function)
    except ValueError as error:
        known = BUILTIN_CALLS.get(name)
        if known is None:
            raise UntoldArguments(f"nothing is known of its arguments ({error})") from None
        return [(one, ()) for one in known]
    required = [(one, hint) for one, hint in parameters if one.default is one.empty]
    domains = [list(_of(given, name, one.name) or domain(one.name, hint)) for one, hint in required]
    chosen = list(itertools.islice(itertools.product(*domains), 64))
    if len(chosen) > _VARIANTS:
        chosen = [chosen[0], chosen[-1]]
    found: list[Arguments] = []
    for values in chosen:
        pairs = list(zip((one for one, _ in required), values, strict=True))
        places = tuple(value for one, value in pairs if one.kind is not one.KEYWORD_ONLY)
        keywords = tuple((one.name, v) for one, v in pairs if one.kind is one.KEYWORD_ONLY)
        found.append((places, keywords))
    for one, _ in parameters:
        if one.default is not one.empty:
            for value in _of(given, name, one.name) or OPTIONAL.get(one.name) or ():
                places, keywords = found[0]
                if one.kind is one.POSITIONAL_ONLY:
                    found.append(((*places, value), keywords))
                else:
                    found.append((places, (*keywords, (one.name, value))))
    return found


def _places(text: str) -> tuple[str, ...]:
    """The arguments of a call: the items of a tuple, or the one that anything else is."""
    tree = ast.parse(text, mode="eval").body
    return tuple(map(ast.unparse, tree.elts)) if isinstance(tree, ast.Tuple) else (text,)


def _of(given: Mapping[str, Sequence[str]], method: str, name: str) -> Sequence[str] | None:
    return given.get(f"{method}.{name}") or given.get(name)


def _parameters(function: Any) -> list[tuple[inspect.Parameter, Any]]:
    """The parameters of a method without the object itself, each with its hint. Raises ValueError
    where they cannot be told."""
    try:
        hints = typing.get_type_hints(function)
    except Exception:
        hints = {}
    listed = list(inspect.signature(function).parameters.values())[1:]
    if listed and all(one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD) for one in listed):
        raise ValueError("it takes any arguments")
    return [
        (one, hints.get(one.name, one.annotation)) for one in listed
        if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]  # fmt: skip


def constructor(cls: type, given: Mapping[str, Sequence[str]]) -> str:
    """The text that makes an object of a class. Raises UsageError where its arguments are not
    known."""
    try:
        signature = inspect.signature(cls)
    except ValueError:
        return f"{cls.__qualname__}()"
    try:
        hints = typing.get_type_hints(cast(Any, cls).__init__)
    except Exception:
        hints = {}
    parts = []
    for one in signature.parameters.values():
        if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            continue
        values = _of(given, "__init__", one.name)
        if one.default is not one.empty and values is None:
            if not re.search(r"^(maxsize|max_size|maxlen|capacity)$", one.name):
                continue
            if isinstance(one.default, int) and 0 < one.default <= 4:
                continue
        try:
            text = (values or domain(one.name, hints.get(one.name, one.annotation)))[0]
        except NoArgument:
            raise UsageError(
                f"{cls.__qualname__} needs an argument {one.name}, of which nothing is known: "
                f'--init "{cls.__qualname__}(...)"'
            ) from None
        parts.append(text if one.kind is one.POSITIONAL_ONLY else f"{one.name}={text}")
    return f"{cls.__qualname__}({', '.join(parts)})"
