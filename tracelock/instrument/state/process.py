"""State of the process that a schedule may change, and how it is put back: one row for each."""

from __future__ import annotations

import _locale
import _signal  # type: ignore[import-not-found]
import _socket
import builtins
import contextlib
import faulthandler
import gc
import locale
import logging
import os
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any, Final, NamedTuple

from tracelock.instrument.state.versions import COUNTED, version_of


class ProcessState(NamedTuple):
    """``take`` gives it as it is, ``give`` makes it that again. It is taken before each schedule,
    which has to be quick: ``quick`` gives something that differs where this has changed, in less
    time. What several rows give there is asked for once."""

    name: str
    take: Callable[[], Any]
    give: Callable[[Any], object]
    quick: Callable[[], Any] | None = None


def _attribute(owner: Any, name: str) -> ProcessState:
    return ProcessState(
        f"{owner.__name__}.{name}", partial(getattr, owner, name),
        lambda value: setattr(owner, name, value),
    )  # fmt: skip


def _dictionary(
    label: str, parts: dict[Any, Any], give: Callable[[dict[Any, Any]], None]
) -> ProcessState:
    if COUNTED:
        return ProcessState(label, parts.copy, give, partial(getattr, version_of(parts), "value"))
    # a name that is added comes last
    quick = lambda: [*parts.values(), *islice(reversed(parts), 1)]  # noqa: E731
    return ProcessState(label, parts.copy, give, quick)


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


def _list(owner: Any, name: str, label: str) -> ProcessState:
    """A list, which is changed in place."""

    def give(then: list[Any]) -> None:
        getattr(owner, name)[:] = then

    return ProcessState(label, lambda: list(getattr(owner, name)), give, _at_once)


def _called(
    label: str, take: Callable[[], Any], give: Callable[[Any], object], refuses: Any = (),
    quick: Callable[[], Any] | None = None,
) -> ProcessState:  # fmt: skip
    """What a function tells and another one sets, which may raise ``refuses``."""

    def put_back(then: Any) -> None:
        with contextlib.suppress(refuses):
            give(then)

    return ProcessState(label, take, put_back, quick)


def _mask() -> int:
    """That of the permissions of new files, which can be asked for only by setting it."""
    mask = _umask(0o077)
    _umask(mask)
    return mask


def _hear_faults(then: bool) -> None:
    if then:
        faulthandler.enable(sys.__stderr__ or 2)
    else:
        faulthandler.disable()


def _timers() -> list[bool]:
    return [left > 0 for left, _ in map(_signal.getitimer, _TIMERS)]


def _stop_timers(then: list[bool]) -> None:
    for timer, was in zip(_TIMERS, then, strict=True):
        if not was:  # how long one would still have run is not known
            signal.setitimer(timer, 0)


def _warning_filters() -> list[Any]:
    return list(warnings.filters)


def _set_warning_filters(then: list[Any]) -> None:
    warnings.filters[:] = then  # type: ignore[index]
    warnings._filters_mutated()  # type: ignore[attr-defined]


def _logging() -> tuple[Any, ...]:
    root = logging.root
    return root.manager.disable, root.level, logging.raiseExceptions, list(root.handlers)


def _set_logging(then: tuple[Any, ...]) -> None:
    root = logging.root
    disabled, level, logging.raiseExceptions, root.handlers[:] = then
    root.manager.disable = disabled
    root.setLevel(level)  # which empties what loggers remember


def _finalizing() -> tuple[Any, ...]:
    return weakref.finalize._shutdown, weakref.finalize._registered_with_atexit  # type: ignore[attr-defined]


def _set_finalizing(then: tuple[Any, ...]) -> None:
    """A schedule ends as a process does: then no finalizer is called any more."""
    finalize: Any = weakref.finalize
    finalize._shutdown, finalize._registered_with_atexit = then


def _set_builtins(then: dict[str, Any]) -> None:
    names = vars(builtins)
    for name in [name for name in names if name not in then]:
        del names[name]
    names.update(then)


def _at_once() -> tuple[Any, ...]:
    """What rows would look at by code in Python, in one function."""
    try:
        directory = _getcwd()
    except OSError:
        directory = None
    mask = _umask(0o077)
    _umask(mask)
    root, finalize = logging.root, weakref.finalize
    return (
        directory, mask, [*map(list, _lists(sys))], [*gc.callbacks], [*warnings.filters],
        [*map(_getitimer, _TIMERS)], _hooks(threading), root.manager.disable, root.level,
        logging.raiseExceptions, [*root.handlers], _ends(finalize),
    )  # fmt: skip


_umask: Final = os.umask
_getcwd: Final = os.getcwd
_getitimer: Final = _signal.getitimer
_lists: Final = attrgetter("path", "argv")
_hooks: Final = attrgetter("_trace_hook", "_profile_hook")
_ends: Final = attrgetter("_shutdown", "_registered_with_atexit")
_TIMERS: Final = tuple(
    getattr(signal, name) for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF")
    if hasattr(signal, name)
)  # fmt: skip
#: Attributes that are looked after, by their owner.
_ATTRIBUTES: Final[dict[Any, tuple[str, ...]]] = {
    sys: ("stdout", "stderr", "stdin", "excepthook", "displayhook", "unraisablehook"),
    threading: ("excepthook",),
}
#: All that is looked after.
ROWS: Final = (
    *(_attribute(owner, name) for owner, names in _ATTRIBUTES.items() for name in names),
    _dictionary("os.environ", _ENVIRONMENT, _give_environment),
    ProcessState("the working directory", _directory, _go_to, _at_once),
    ProcessState("signal handlers", _handlers, _handle),
    ProcessState("the locale", partial(_locale.setlocale, locale.LC_ALL), _set_locale),
    _list(sys, "path", "sys.path"),
    _list(sys, "argv", "sys.argv"),
    _list(gc, "callbacks", "gc.callbacks"),
    _dictionary("builtins", vars(builtins), _set_builtins),
    _called("sys.setswitchinterval", sys.getswitchinterval, sys.setswitchinterval),
    _called(
        "sys.setrecursionlimit", sys.getrecursionlimit, sys.setrecursionlimit, RecursionError
    ),
    _called("threading.stack_size", threading.stack_size, threading.stack_size, ValueError),
    _called("threading.settrace", threading.gettrace, threading.settrace, quick=_at_once),
    _called("threading.setprofile", threading.getprofile, threading.setprofile, quick=_at_once),
    _called("gc.set_threshold", gc.get_threshold, lambda then: gc.set_threshold(*then)),
    _called("os.umask", _mask, _umask, quick=_at_once),
    _called("faulthandler", faulthandler.is_enabled, _hear_faults, (OSError, ValueError)),
    _called("socket.setdefaulttimeout", _socket.getdefaulttimeout, _socket.setdefaulttimeout),
    ProcessState("timers of signals", _timers, _stop_timers, _at_once),
    ProcessState("warnings.filters", _warning_filters, _set_warning_filters, _at_once),
    ProcessState("logging", _logging, _set_logging, _at_once),
    ProcessState("weakref.finalize", _finalizing, _set_finalizing, _at_once),
)  # fmt: skip


class ProcessWide:
    """The state of the process as it was, compared and put back row by row."""

    def __init__(self) -> None:
        self._then = [row.take() for row in ROWS]
        attributes = sum(map(len, _ATTRIBUTES.values()))
        #: The same in fewer steps: what is done before each schedule.
        quick = dict.fromkeys(row.quick or row.take for row in ROWS[attributes:])
        self._quick: list[Callable[[], Any]] = [
            *(partial(attrgetter(*names), owner) for owner, names in _ATTRIBUTES.items()), *quick
        ]  # fmt: skip
        self._as_it_was = [take() for take in self._quick]

    def accept(self, name: str) -> None:
        """What the row of this name, no attribute, finds now is what it is to be."""
        number = [row.name for row in ROWS].index(name)
        row = ROWS[number]
        self._then[number] = row.take()
        place = self._quick.index(row.quick or row.take)
        self._as_it_was[place] = self._quick[place]()

    def same(self) -> bool:
        """Whether all is as it was."""
        return not self._differing()

    def _differing(self) -> list[tuple[ProcessState, Any]]:
        """The rows that find something else now, and what they are to find."""
        quick = [take() for take in self._quick]
        if quick == self._as_it_was:
            return []
        found = []
        for row, then in zip(ROWS, self._then, strict=True):
            now = row.take()
            if now is not then and now != then:
                found.append((row, then))
        if not found:  # something was changed, and made what it was
            self._as_it_was = quick
        return found

    def put_back(self) -> list[str]:
        """Put back what is not as it was; the names of that."""
        found = self._differing()
        for row, then in found:
            row.give(then)
        return [row.name for row, _ in found]
