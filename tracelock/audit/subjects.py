"""Which class is to be audited, how it is had, and what its values may be."""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from tracelock.audit import results
from tracelock.audit.reading import AuditedClass
from tracelock.audit.source import imports_for
from tracelock.errors import UsageError

#: What is said where a loop is needed.
_LOOPLESS: Final = ("no running event loop", "must be called from async context")
#: Values of a given list that are used.
_VALUES: Final = 3


def subject_of(
    cls: type | str, init: str | None, given: dict[str, Any], backend: str = ""
) -> AuditedClass:
    """The subject of an audit. ``cls``: a class, or ``module:Class``; ``given``: values without a
    text; ``backend``: whose loop a coroutine that makes one is run in. Raises UsageError where
    there is no such thing."""
    if isinstance(cls, str):
        module, _, path = cls.partition(":")
        if not module or not path:
            raise UsageError(f"an audit takes module:Class, such as queue:Queue, not {cls!r}")
        try:
            found: Any = importlib.import_module(module)
        except Exception as error:
            raise UsageError(f"cannot import {module}: {type(error).__name__}: {error}") from None
        for part in path.split("."):
            if not hasattr(found, part):
                raise UsageError(f"{module} has no {path}")
            found = getattr(found, part)
        name = f"{module}.{path}"
    else:
        if not isinstance(cls, type):
            raise UsageError(f"an audit takes a class, or module:Class, not {type(cls).__name__}")
        if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
            raise UsageError(
                f"{cls.__qualname__} cannot be imported by name: an audit writes programs that do, "
                "so put it into a module, outside of functions"
            )
        module, found, name = cls.__module__, cls, f"{cls.__module__}.{cls.__qualname__}"
        importlib.import_module(module)
    if not isinstance(found, type):
        if init is None:
            raise UsageError(f"{name} is no class: say by --init how what is to be audited is made")
        found = _made(init, module, backend)
    elif init is not None:
        found = _made(init, module, backend, found)
    return AuditedClass(name, found, module, init or "", given)


def _made(init: str, module: str, backend: str, cls: type | None = None) -> type:
    """The class of what ``init`` makes. Raises UsageError where it makes nothing."""
    try:
        tree = ast.parse(init, mode="eval")
    except SyntaxError as error:
        raise UsageError(f"--init {init!r} is no expression of Python: {error.msg}") from None
    names = dict(vars(sys.modules[module]))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in names:
            try:
                names[node.id] = importlib.import_module(node.id)
            except ImportError:
                continue  # a name of Python's own, or of the expression
    try:
        code = compile(tree, "--init", "eval")
        made = _in_loop(lambda: eval(code, names), backend)  # the user's own text
    except Exception as error:
        raise UsageError(f"--init {init!r} raises {type(error).__name__}: {error}") from None
    if cls is not None and not isinstance(made, cls):
        raise UsageError(f"--init {init!r} makes a {type(made).__name__}, no {cls.__name__}")
    return type(made)


def try_init(subject: AuditedClass, backend: str = "") -> None:
    """Make one. Raises UsageError, which says what to do, where that cannot be done."""
    names = {**vars(results), **subject.given}
    try:
        exec("\n".join(imports_for(subject, [subject.init])), names)
        _in_loop(
            lambda: eval(subject.init, names), backend
        )  # what the audit will do, again and again
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{subject.init} raises {type(error).__name__}: {error}. Say how one is made: "
            f"--init '{subject.cls.__qualname__}(...)'"
        ) from None


def _in_loop(make: Callable[[], Any], backend: str) -> Any:
    """What ``make`` makes, in a loop where it needs one or has to be awaited."""

    async def run() -> Any:
        made = make()
        return await made if inspect.iscoroutine(made) else made

    try:
        made = make()
    except RuntimeError as error:
        if not any(text in str(error) for text in _LOOPLESS):
            raise
    else:
        if not inspect.iscoroutine(made):
            return made
        made.close()
    if backend == "trio":
        import trio

        return trio.run(run)
    return asyncio.run(run())


def modules_of(subject: AuditedClass) -> list[str]:
    """The modules to look into: those of the class and of its bases; of a library all that is below
    its package."""
    found = []
    for one in (*subject.cls.__mro__, None):
        module = subject.module if one is None else one.__module__
        if module in ("builtins", "typing", "abc", "collections.abc"):
            continue
        top = module.partition(".")[0]
        found.append(module if top in sys.stdlib_module_names else top)
    return [one for one in dict.fromkeys(found) if one in sys.modules]


def strategies_of(given: Mapping[str, Any]) -> tuple[dict[str, list[str]], dict[str, Any]]:
    """For each parameter the texts of its values; and the values that have no text, by the names
    that stand for them. Raises UsageError for what is neither a list nor a strategy."""
    texts: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    for name, one in given.items():
        if isinstance(one, str):
            texts[name] = _from_text(name, one)
            continue
        found = []
        for value in _from_value(name, one):
            if _has_text(value):
                found.append(repr(value))
            else:
                key = f"given_{len(values)}"
                values[key] = value
                found.append(key)
        texts[name] = found
    return texts, values


def _from_text(name: str, text: str) -> list[str]:
    """The items of the text of a list, each as a text; of anything else it is the one value."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise UsageError(f"--strategy {name}={text}: {error.msg}") from None
    if isinstance(tree, (ast.List, ast.Tuple)) and tree.elts:
        return [ast.unparse(one) for one in tree.elts[:_VALUES]]
    return [ast.unparse(tree)]


def _from_value(name: str, given: Any) -> Sequence[Any]:
    if hasattr(given, "example") and type(given).__module__.startswith("hypothesis"):
        return _drawn(given)
    if isinstance(given, (list, tuple)) and given:
        return list(islice(given, _VALUES))
    raise UsageError(
        f"the strategy of {name} is the text of a list, a list of values, or a strategy of "
        f"Hypothesis, not {type(given).__name__}"
    )


def _drawn(strategy: Any) -> list[Any]:
    """Some values of a strategy of Hypothesis, the same each time."""
    from hypothesis import Phase, find, settings

    found: list[Any] = []
    quiet = settings(
        max_examples=50, database=None, deadline=None, derandomize=True, phases=[Phase.generate],
    )  # fmt: skip
    for _ in range(_VALUES):
        try:
            found.append(find(strategy, lambda one: one not in found, settings=quiet))
        except Exception:
            break
    return found


def _has_text(value: Any) -> bool:
    """Whether the repr of a value makes one that is equal to it."""
    try:
        return bool(ast.literal_eval(repr(value)) == value)
    except (ValueError, SyntaxError, MemoryError, TypeError):
        return False
