"""A row of the table of patches: what of Python is replaced, by what, and what comes of it.

A *method* of a class is replaced in the class, so that subclasses, and modules that imported the
class earlier, have it too. A *name* (``threading.Lock``, ``time.sleep``) is replaced in every
module that has it, under whatever name. Rows are declared where the replacement is written, by
decorating it; ``patches`` collects, applies and undoes them.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ClassMethodDescriptorType, ModuleType
from typing import Any, Final

from tracelock.errors import InternalError
from tracelock.instrument.accesses.class_stand_in import ClassStandIn
from tracelock.instrument.worker import here

CONTROLLED: Final = "controlled"  # a scheduling point; the scheduler decides
SEEN: Final = "seen"  # recorded, or answered from the schedule, without a choice
NOT_CONTROLLED: Final = "not controlled"
_HOWS: Final = (CONTROLLED, SEEN, NOT_CONTROLLED)
#: Stands for what a class does not have of its own.
MISSING: Final[Any] = object()


@dataclass(frozen=True, slots=True)
class Patch:
    """One row. ``how``: one of the three words above. ``owner``: the class that has the method,
    None for a name in modules. ``what``: the original; ``by``: the replacement, None where nothing
    is replaced. ``body``: of the replacements in subclasses that have a method of their own, where
    those are replaced too."""

    name: str
    how: str
    owner: Any = None
    attribute: str = ""
    what: Any = None
    by: Any = None
    body: Any = None

    def overridden(self) -> Iterator[tuple[type, Any]]:
        """The subclasses with a method of their own, and that; Python's and ours are known."""
        left = list(self.owner.__subclasses__()) if self.body is not None else []
        while left:
            cls = left.pop()
            left += cls.__subclasses__()
            home = next((base for base in cls.__mro__ if self.attribute in vars(base)), self.owner)
            known = cls.__module__.partition(".")[0] in ("asyncio", "tracelock")
            if not known and (home is cls or not issubclass(home, self.owner)):
                yield cls, vars(home)[self.attribute]

    def __post_init__(self) -> None:
        if self.how not in _HOWS:
            raise InternalError(f"{self.name}: {self.how!r} is none of {', '.join(_HOWS)}")


#: The rows that each module has declared so far, by its name.
declared: Final[dict[str, list[Patch]]] = {}


def _declare(module: str, patch: Patch) -> None:
    declared.setdefault(module, []).append(patch)


def _resolve(path: str) -> Any:
    """The module or class of this dotted name. Raises AttributeError without one."""
    module = path
    while module not in sys.modules:
        module = module.rpartition(".")[0]
        if not module:
            raise AttributeError(f"no module of {path} has been imported")
    found: Any = sys.modules[module]
    for part in filter(None, path[len(module) :].split(".")):
        found = getattr(found, part)
    return found


def listed(module: str, how: str, *names: str) -> None:
    """Rows in which nothing is replaced: what happens to these all the same, or does not."""
    for name in names:
        _declare(module, Patch(name, how))


def replace(
    name: str, by: Any, how: str, of: Any = None, attribute: str = "", module: str = "",
    body: Any = None,
) -> None:  # fmt: skip
    """Declare that ``by`` takes the place of what is called ``name``.

    ``of``: the class or module that has it, where the name does not say; ``attribute``: what it is
    called there. ``by`` is called by every thread: to be guarded, use ``patch``.
    """
    owner, _, last = name.rpartition(".")
    owner, attribute = of or _resolve(owner), attribute or last
    is_name = isinstance(owner, ModuleType)
    what = getattr(owner, attribute) if is_name else owner.__dict__.get(attribute, MISSING)
    _declare(
        module or by.__module__,
        Patch(name, how, None if is_name else owner, attribute, what, by, body),
    )


def guarded(real: Any, body: Callable[..., Any]) -> Any:
    """What does as ``real`` does, but in a worker under control calls ``body(worker, real, ...)``.

    The one place where that is asked: on a thread that is no worker's, inside of a call that is
    left uncontrolled, and while a schedule is unwound, the original is called.
    """
    if isinstance(real, property):
        return property(guarded(real.fget, body))
    if isinstance(real, ClassMethodDescriptorType):  # of a class that is written in C
        return classmethod(guarded(_of_class(real), body))

    def by(*args: Any, **kwargs: Any) -> Any:
        worker = here()
        if worker is None:
            return real(*args, **kwargs)
        return body(worker, real, *args, **kwargs)

    found = functools.update_wrapper(by, real, ("__name__", "__qualname__", "__doc__"), ())
    return ClassStandIn(found) if isinstance(real, type) else found


def _of_class(real: Any) -> Any:
    def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return real.__get__(None, cls)(*args, **kwargs)

    return functools.update_wrapper(call, real, ("__name__", "__qualname__", "__doc__"), ())


def patch(
    name: str, how: str = CONTROLLED, *, of: Any = None, attribute: str = "",
    optional: bool = False, subclasses: bool = False,
) -> Callable[[Callable[..., Any]], Any]:  # fmt: skip
    """Declare the decorated function as what workers call in the place of ``name``.

    It is called with the worker and the original, and then what the original is called with. What
    the module gets under the function's name is the replacement, which others may call too.
    ``optional``: not on every platform, or not in every version of Python. ``subclasses``: it also
    takes the place of what subclasses, those that there are, have in its stead.
    """

    def declare(body: Callable[..., Any]) -> Any:
        last = attribute or name.rpartition(".")[2]
        try:
            owner = of or _resolve(name.rpartition(".")[0])
            real = owner.__dict__[last]
        except (AttributeError, KeyError):
            if optional:
                return body
            raise InternalError(f"{name}: there is no such thing to be patched") from None
        by = guarded(real, body)
        extra = body if subclasses else None
        replace(name, by, how, owner, last, body.__module__, extra)
        return by

    return declare
