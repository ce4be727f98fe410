"""State of the process that a schedule may change, and how it is put back: one row for each."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import contextlib
import locale
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NamedTuple


class ProcessState(NamedTuple):
    """``take`` gives it as it is, ``give`` makes it that again. It is taken before each schedule,
    which has to be quick."""

    name: str
    take: Callable[[], Any]
    give: Callable[[Any], object]


def _attribute(owner: Any, name: str, label: str) -> ProcessState:
    return ProcessState(
        label, lambda: getattr(owner, name), lambda value: setattr(owner, name, value)
    )


#: The encoded names and values that ``os.environ`` keeps.
_ENVIRONMENT: Final[dict[Any, Any]] = os.environ._data  # type: ignore[attr-defined]


def _give_environment(then: dict[Any, Any]) -> None:
    decode: Any = os.environ.decodekey
    for name in [name for name in _ENVIRONMENT if name not in then]:
        del os.environ[decode(name)]
    for name, value in then.items():
        if _ENVIRONMENT.get(name) != value:
            os.environ[decode(name)] = os.environ.decodevalue(value)


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return None


def _go_to(directory: str | None) -> None:
    if directory is not None:
        with contextlib.suppress(OSError):
            os.chdir(directory)


#: The signals whose handlers programs set. Of all there would be 64 to look at.
_SIGNALS: Final = tuple(
    int(getattr(signal, name))
    for name in (
        "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM",
        "SIGPROF", "SIGCHLD", "SIGPIPE", "SIGWINCH", "SIGABRT", "SIGCONT", "SIGTSTP", "SIGBREAK",
    )
    if hasattr(signal, name)
)  # fmt: skip


def _handlers() -> list[Any]:
    return [*map(_signal.getsignal, _SIGNALS)]


def _handle(handlers: list[Any]) -> None:
    if threading.current_thread() is not threading.main_thread():
        return  # it cannot
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        # None: it was set by something in C, which Python cannot do again
        if handler is not None and _signal.getsignal(number) is not handler:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, handler)


def _set_locale(then: str) -> None:
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_ALL, then)


def _path() -> list[str]:
    return list(sys.path)


def _set_path(then: list[str]) -> None:
    sys.path[:] = then


#: All that is looked after.
ROWS: Final = (
    _attribute(sys, "stdout", "sys.stdout"),
    _attribute(sys, "stderr", "sys.stderr"),
    _attribute(sys, "stdin", "sys.stdin"),
    _attribute(sys, "excepthook", "sys.excepthook"),
    _attribute(threading, "excepthook", "threading.excepthook"),
    ProcessState("os.environ", lambda: dict(_ENVIRONMENT), _give_environment),
    ProcessState("the working directory", _directory, _go_to),
    ProcessState("signal handlers", _handlers, _handle),
    ProcessState("the locale", lambda: locale.setlocale(locale.LC_ALL), _set_locale),
    ProcessState("sys.path", _path, _set_path),
)  # fmt: skip


class ProcessWide:
    """The state of the process as it was, compared and put back row by row."""

    def __init__(self) -> None:
        self._then = [(row, row.take()) for row in ROWS]

    def put_back(self) -> list[str]:
        """Put back what is not as it was; the names of that."""
        changed = []
        for row, then in self._then:
            now = row.take()
            if now is not then and now != then:
                row.give(then)
                changed.append(row.name)
        return changed
