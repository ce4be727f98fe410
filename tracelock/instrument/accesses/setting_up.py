"""Callables in C that set up an object anew which others use, or that are known to nobody.

``partial.__setstate__``, ``property.__init__`` and their like change what an object keeps in C, and
a function of ``ctypes`` may change any memory: neither is an access that is seen.
"""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable
from types import MethodDescriptorType, WrapperDescriptorType
from typing import Any, Final

from tracelock.instrument.accesses.containers import access_of, holder_of
from tracelock.instrument.contexts import Context, class_names, contexts
from tracelock.instrument.rewrite.sites import Site

#: Methods that set up an object anew.
_SETTING_UP: Final = frozenset({"__init__", "__setstate__"})
#: Where objects are set up that nobody else has yet.
_MAKING: Final = frozenset({"__init__", "__new__", "__setstate__", "__copy__", "__deepcopy__"})
#: The type of what gives the variables of a function, from 3.13 on.
VARIABLES: Final = "FrameLocalsProxy"
_said: Final[Any] = type.__dict__["__module__"].__get__


def plan(type_: type) -> Callable[[Any, Site], Any] | None:
    """What is called before a callable of this type is."""
    return _foreign if _said(type(type_)) == "_ctypes" else None


def _foreign(function: Any, site: Site) -> Any:
    context = contexts.get(get_ident())
    if context is not None:
        context.doubt("ctypes", f"{site.at} calls code in C, which may change any memory")
    return function


def sets_up(type_: type, name: str) -> bool:
    """Whether this is a method in C by which an object that there is already is set up anew."""
    if name not in _SETTING_UP or access_of(type_, name) is not None:
        return False
    holder = holder_of(type_, name)
    if holder is None or holder is object or issubclass(type_, type | super):
        return False  # ``super().__init__()`` is of a constructor
    return type(class_names(holder)[name]) in (MethodDescriptorType, WrapperDescriptorType)


def set_up(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Before such a method of an object is called."""
    if site.file != "copy.py":  # whose objects are new
        state_written(obj, name, site, context)
    return obj


def called(function: Any, site: Site) -> None:
    """Before a method in C is called, by whatever name it is had: of an object, or of a class."""
    name = function.__name__
    if type(getattr(function, "__self__", None)).__name__ == VARIABLES:
        context = contexts.get(get_ident())
        if context is not None:
            context.doubt("f_locals", f"{site.at} uses the variables of a function from outside")
    if name in _SETTING_UP and site.function.rpartition(".")[2] not in _MAKING:
        context = contexts.get(get_ident())
        owner = getattr(function, "__self__", None)
        type_ = function.__objclass__ if owner is None else type(owner)
        if context is not None and sets_up(type_, name) and not issubclass(type_, BaseException):
            set_up(type_ if owner is None else owner, name, site, context)


def state_written(obj: Any, name: str, site: Site, context: Context, value: object = None) -> None:
    """Before an object is set up anew, or given an attribute that it keeps in C."""
    of = (obj if issubclass(type(obj), type) else type(obj)).__name__
    context.doubt(
        f"{name} of {of}",
        f"{site.at} changes what an object keeps in C, which others use without its being seen",
    )
