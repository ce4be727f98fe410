"""Hosts: workers that are one machine of a network in memory, with addresses of its own.

Which host code runs on is a variable of its context, so that tasks, and what loops call back, have
it from who made them; threads get it from who starts them (``on_host``). Nothing here is a step.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, TypeVar
from weakref import WeakSet

from tracelock.errors import UsageError

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

#: The host that code runs on; "" for none, which is the machine that everything runs on.
HOST: Final[ContextVar[str]] = ContextVar("tracelock host", default="")
#: Hosts that were made before any worker began, as far as somebody has them.
made: Final[WeakSet[NetworkHost]] = WeakSet()
#: What is called where a host is made, and where who runs here is on another one from now on; the
#: network in memory sets these. They say whether a worker under control does that.
makes: Final[list[Callable[[NetworkHost], bool]]] = []
moves: Final[list[Callable[[str], bool]]] = []
_LONGEST: Final = 63


class NetworkHost:
    """What ``tracelock.host`` gives: a context manager, also an asynchronous one, and a decorator
    of functions and coroutine functions. It may be entered any number of times."""

    def __init__(
        self, name: str, restarts: Callable[[], object] | None = None, disk: str = ""
    ) -> None:
        self.name = name
        self.restarts = restarts
        self.disk = disk

    def __enter__(self) -> NetworkHost:
        _tell(makes, self)
        tokens = _entered.get()
        _entered.set((*tokens, HOST.set(self.name)))
        _tell(moves, self.name)
        return self

    def __exit__(self, *exc: object) -> None:
        *left, token = _entered.get()
        _entered.set(tuple(left))
        HOST.reset(token)
        _tell(moves, HOST.get())

    async def __aenter__(self) -> NetworkHost:
        return self.__enter__()

    async def __aexit__(self, *exc: object) -> None:
        self.__exit__()

    def __call__(self, function: FunctionT) -> FunctionT:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def within(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)
        else:

            @functools.wraps(function)
            def within(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return function(*args, **kwargs)

        return within  # type: ignore[return-value]

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"tracelock.host({self.name!r})"


_entered: Final[ContextVar[tuple[Token[str], ...]]] = ContextVar("tracelock hosts", default=())


def host(
    name: str, *, restarts: Callable[[], object] | None = None,
    disk: str | os.PathLike[str] | None = None,
) -> NetworkHost:  # fmt: skip
    """The host of this name in the network in memory.

    What is started inside of ``with tracelock.host("db"):`` belongs to it, threads and tasks, and
    what these start; and so does the code inside. ``tracelock.host("db")(function)`` is a function
    that runs there. Its sockets are reached by its name (``db:5432``); each host has its own ports,
    and its own ``localhost``. Without control a host is nothing but a name.

    ``name``: letters, digits, ``-`` and ``.``, up to 63. Make hosts before the workers begin, or in
    ``setup``: a name that is asked for before that host was made is that of a machine outside.
    ``restarts``: what a thread on the host calls when it is started again after a crash that the
    search has made; without it the host stays down. ``disk``: the directory of its files. Where
    ``crash_consistency`` is on, a crash of the host may lose what is not synced there, and nothing
    of others. Raises UsageError for what is no such name, and no path.
    """
    plain = isinstance(name, str) and name.isascii() and 0 < len(name) <= _LONGEST
    if not plain or not all(one.isalnum() or one in "-." for one in name) or name[0] in "-.":
        raise UsageError(
            f"host: {name!r} is no name of a host: letters, digits, '-' and '.', up to {_LONGEST}"
        )
    if name.replace(".", "").isdigit() or name.lower().startswith("localhost"):
        raise UsageError(f"host: {name!r} is an address, or this machine itself")
    if disk is not None and not isinstance(disk, (str, os.PathLike)):
        raise UsageError(f"host: disk is the path of a directory, not {disk!r:.80}")
    path = "" if disk is None else os.path.abspath(os.fsdecode(disk))
    found = NetworkHost(name.lower(), restarts, path)
    if not _tell(makes, found):
        made.add(found)
    return found


def _tell(whom: list[Any], what: object) -> bool:
    return any([hook(what) for hook in whom])  # noqa: C419 - each of them


def on_host(run: Callable[[], object]) -> Callable[[], object]:
    """What a thread runs that is started here: on the host of who starts it."""
    name = HOST.get()
    if not name:
        return run

    def within() -> object:
        HOST.set(name)  # the context is the thread's, and ends with it
        _tell(moves, name)
        return run()

    return within
