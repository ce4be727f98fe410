"""Calls of a thread as they happen, told by the interpreter.

``sys.setprofile`` would keep the local variables of every frame alive a little longer, in the
versions of Python before 3.13, and with them objects whose death is part of the program. The
function that C has for it does not; it is called through ``ctypes``.
"""

from __future__ import annotations

import ctypes
import os
import sys
from _thread import get_ident
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TypeVar

#: What happened: a frame of Python code began or went on; a function written in C is called.
CALL: Final = 0
C_CALL: Final = 4
#: The part of the limit of recursion up to which calls are recorded: a third.
_PART: Final = 3
#: Where the code of this package is.
OWN_FOLDER: Final = (
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))) + os.sep
)
DEEP: Final = "a recursion goes deeper than they are recorded"

_Function: Final = ctypes.PYFUNCTYPE(
    ctypes.c_int, ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p
)
#: The threads on which calls are recorded.
_on: Final[set[int]] = set()
_T = TypeVar("_T")
OnCall = Callable[[FrameType, int, Any], None]


def _setter() -> Any:
    try:
        found = ctypes.pythonapi.PyEval_SetProfile
    except AttributeError:  # another implementation
        return None
    found.argtypes = [ctypes.c_void_p, ctypes.py_object]
    found.restype = None
    return found


_set_profile: Final = _setter()


def deep() -> bool:
    """Whether the stack has come near to where the interpreter ends it."""
    try:
        sys._getframe(sys.getrecursionlimit() // _PART)
    except ValueError:  # it has not so many frames
        return False
    return True


class _Raiser:
    """Raises as the interpreter asks whether it is true: then as a profile function, in C."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __bool__(self) -> bool:
        Profile.off()
        raise self.error


class Profile:
    """``on_call`` is called for the threads on which this is ``on``; where that ends before its
    time ``unseen`` gets the reason, under ``calls``.

    Near the interpreter's limit of recursion this function would itself raise RecursionError, which
    the program would get as a SystemError. So it ends long before that: calls of functions in C
    count for the limit too (in 3.11), and cannot be seen.
    """

    usable: Final = _set_profile is not None

    def __init__(self, on_call: OnCall, unseen: dict[str, str]) -> None:
        cast, py_object = ctypes.cast, ctypes.py_object

        def told(me: object, frame: FrameType, what: int, argument: int | None) -> int:
            if what == CALL:
                if deep():
                    Profile.off()
                    unseen["calls"] = DEEP
                else:
                    on_call(frame, CALL, None)
            elif what == C_CALL and argument is not None:
                on_call(frame, C_CALL, cast(argument, py_object).value)
            return 0

        self._told = _Function(told)
        # ``cast`` would keep the function in a circle with itself
        self._address = ctypes.c_void_p(ctypes.c_void_p.from_buffer(self._told).value)

    def on(self) -> None:
        """Begin on this thread."""
        if _set_profile is not None:
            _on.add(get_ident())
            _set_profile(self._address, None)

    def aside(self, run: Callable[[], _T]) -> _T:
        """Run what is not to be recorded: each call in it would take as long as a hundred."""
        if get_ident() not in _on:
            return run()
        self.off()
        try:
            return run()
        finally:
            self.on()

    @staticmethod
    def leave(error: type[BaseException]) -> None:
        """Raise ``error`` in this thread at its next call or return. What is raised in a thread
        from another one would be lost while it is in here; and so would what is raised here."""
        if _set_profile is not None:
            is_true = ctypes.cast(ctypes.pythonapi.PyObject_IsTrue, ctypes.c_void_p)
            _set_profile(is_true, _Raiser(error))

    @staticmethod
    def off() -> None:
        """End on this thread."""
        if _set_profile is not None:
            _set_profile(None, None)
            _on.discard(get_ident())
