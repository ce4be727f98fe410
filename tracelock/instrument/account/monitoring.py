"""Calls as they happen, told by ``sys.monitoring``: for a search that records all its schedules.

A profile function (``profiling``) is called at every call, and most of them are made by tracelock
itself and by the library of the loop. Here a place whose calls say nothing is switched off when it
has been told once. That is for all threads and for as long as the events are on, so they stay on
while a search goes on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import BuiltinFunctionType, CodeType, FrameType, FunctionType, MethodDescriptorType
from typing import Any, Final, TypeVar

from tracelock.instrument.account.profiling import C_CALL, CALL, DEEP, OWN_FOLDER, OnCall, deep
from tracelock.instrument.account.quiet import Quiet
from tracelock.instrument.contexts import identity, on_behalf
from tracelock.instrument.hub import get_ident

_T = TypeVar("_T")
#: Tools may take one of six numbers; these two are set aside for none.
_NUMBERS: Final = (3, 4)
_NAME: Final = "tracelock"

_LOOPS: Final = os.path.join(os.path.dirname(os.__file__), "asyncio") + os.sep

_frame: Final = sys._getframe


def silent(code: CodeType, what: int) -> bool:
    """Whether it tells nothing that this code is entered, or calls a function in C."""
    if what == CALL:
        return code.co_filename.startswith((OWN_FOLDER, _LOOPS))
    return code.co_filename.startswith(OWN_FOLDER) and identity(code) not in on_behalf


class Monitored:
    """As ``Profile``. ``silent`` says of a code object whether what happens there (``CALL``: it is
    entered; ``C_CALL``: it calls a function in C) tells nothing, whoever is there and however
    often; ``quiet``: calls of which ``Quiet`` says that they tell nothing are not told. While this
    is entered it can be used; ``usable`` says whether it could be entered."""

    def __init__(
        self, on_call: OnCall, unseen: dict[str, str], silent: Callable[[CodeType, int], bool],
        quiet: bool = False,
    ) -> None:  # fmt: skip
        self.usable = False
        self._on_call = on_call
        self._unseen = unseen
        self._silent = silent
        self._quiet = Quiet() if quiet else Quiet(0)
        self._on: set[int] = set()
        self._number = -1

    def __enter__(self) -> Monitored:
        # no version before 3.12 has it, and another implementation may not
        monitoring: Any = getattr(sys, "monitoring", None)
        free = [n for n in _NUMBERS if monitoring is not None and monitoring.get_tool(n) is None]
        if not free:
            return self
        number = self._number = free[0]
        monitoring.use_tool_id(number, _NAME)
        events = monitoring.events
        entered, called = self._callbacks(monitoring)
        monitoring.register_callback(number, events.PY_START, entered)
        monitoring.register_callback(number, events.PY_RESUME, entered)
        monitoring.register_callback(number, events.PY_THROW, self._thrown)
        monitoring.register_callback(number, events.CALL, called)
        monitoring.set_events(
            number, events.PY_START | events.PY_RESUME | events.PY_THROW | events.CALL
        )
        monitoring.restart_events()  # a place stays off, whoever had the number then
        self.usable = True
        return self

    def __exit__(self, *exc: object) -> None:
        if not self.usable:
            return
        self.usable = False
        self._on.clear()
        monitoring: Any = vars(sys)["monitoring"]
        events = monitoring.events
        monitoring.set_events(self._number, 0)
        for event in (events.PY_START, events.PY_RESUME, events.PY_THROW, events.CALL):
            monitoring.register_callback(self._number, event, None)
        monitoring.free_tool_id(self._number)

    def on(self) -> None:
        """Begin on this thread."""
        self._on.add(get_ident())

    def off(self) -> None:
        """End on this thread."""
        self._on.discard(get_ident())

    def aside(self, run: Callable[[], _T]) -> _T:
        """Run what is not to be recorded: our own code is told of once in each place."""
        return run()

    def _tell(self, frame: FrameType, what: int, function: Any) -> None:
        if deep():
            self.off()
            self._unseen["calls"] = DEEP
        else:
            self._on_call(frame, what, function)

    def _thrown(self, code: CodeType, offset: int, error: BaseException) -> None:
        """A generator or a coroutine goes on with an exception: the one event that cannot be
        switched off by place."""
        if get_ident() in self._on and not self._silent(code, CALL):
            self._tell(_frame(1), CALL, None)

    def _callbacks(self, monitoring: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
        on, silent, tell = self._on, self._silent, self._tell
        never, missing = monitoring.DISABLE, monitoring.MISSING
        # code that is not silent, by identity; where one has died, another is told needlessly
        enters: set[int] = set()
        calls: dict[int, bool] = {}  # whether it is code of loops
        quiet = self._quiet
        plain, by_loops, functions = quiet.types, quiet.types_for_loops, quiet.functions
        loops: list[CodeType] = []  # which are kept: what is said for these holds for no others

        def entered(code: CodeType, offset: int) -> Any:
            if identity(code) not in enters:
                if silent(code, CALL):
                    return never
                enters.add(identity(code))
            if get_ident() in on:
                tell(_frame(1), CALL, None)
            return None

        def called(code: CodeType, offset: int, function: Any, first: Any) -> Any:
            by_loop = calls.get(identity(code))
            if by_loop is None:
                if silent(code, C_CALL):
                    return never
                by_loop = calls[identity(code)] = code.co_filename.startswith(_LOOPS)
                if by_loop:
                    loops.append(code)
            kind = type(function)
            if kind is FunctionType:
                return None  # it is told as it is entered
            if kind is MethodDescriptorType:
                if first is missing:
                    return None
                of = identity(type(first))
                if of in plain or (by_loop and of in by_loops) or get_ident() not in on:
                    return None
                # without the class the interpreter may crash: methods that ask for it
                function = function.__get__(first, type(first))
                if not isinstance(function, BuiltinFunctionType):
                    return None
            elif (
                not isinstance(function, BuiltinFunctionType)
                or get_ident() not in on
                or (by_loop and identity(function) in functions)
            ):
                return None
            tell(_frame(1), C_CALL, function)
            quiet.learn(function)
            return None

        return entered, called
