"""On whose count the references to an object are, on a build without the GIL.

Such a build counts the references that the thread that made an object has to it apart from those
of all others. Where one of the others lets go of the last one, the object dies later: when the
thread that made it runs again. In a schedule one thread runs at a time, and that may be after all
is over. So where the program notices when objects die, what others may let go of has its
references counted together, as the interpreter does itself with what outlives its thread; then it
dies with the last of them, whoever has it.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Final

#: Whether references are counted apart, with the GIL switched on or not.
APART: Final = "t" in sys.abiflags
#: The states of a count, in the low two bits of ``shared``: from here on nothing is to be done.
_QUEUED: Final = 2
_MERGED: Final = 3
_FOR_EVER: Final = 0xFFFF_FFFF
#: Of what an object leads to, so much is looked at.
_MOST: Final = 1_000
#: What is no part of what an object holds, and leads to all there is.
_NEVER: Final = (type, ModuleType, FunctionType, CodeType, FrameType)


class _Header(ctypes.Structure):
    """The beginning of an object: ``struct _object`` in CPython's ``Include/object.h``."""

    _fields_ = (
        ("owner", ctypes.c_size_t), ("flags", ctypes.c_uint16), ("mutex", ctypes.c_uint8),
        ("gc_bits", ctypes.c_uint8), ("local", ctypes.c_uint32), ("shared", ctypes.c_ssize_t),
        ("type", ctypes.c_size_t),
    )  # fmt: skip


def _is_known() -> bool:
    """Whether objects begin as that says."""
    if not APART or sys.implementation.name != "cpython":
        return False
    probe: list[Any] = []
    header = _Header.from_address(id(probe))
    if ctypes.sizeof(_Header) != object.__basicsize__ or header.type != id(list):
        return False
    before, count = header.local, header.shared
    another = probe
    return bool(header.owner and count == 0 and header.local == before + 1 and another is probe)


KNOWN: Final = _is_known()


def count_together(objects: list[Any]) -> None:
    """Have all references to each of these objects counted together from now on. Only the running
    worker may use them meanwhile."""
    for obj in objects if KNOWN else ():
        header = _Header.from_address(id(obj))
        shared = header.shared
        if header.owner and shared & _MERGED < _QUEUED and header.local != _FOR_EVER:
            header.shared = ((shared >> 2) + header.local) << 2 | _MERGED
            header.local = 0
            header.owner = 0


def give(obj: Any) -> None:
    """A worker puts ``obj`` where others find it, and what it leads to."""
    if not KNOWN:
        return
    fresh: list[Any] = []
    mine = _Header.from_address(id(fresh)).owner
    met = {id(obj)}
    level = [obj]
    while level and len(met) < _MOST:
        here = [
            each
            for each in level
            if not issubclass(type(each), _NEVER) and _Header.from_address(id(each)).owner == mine
        ]
        level = []
        for each in gc.get_referents(*here):
            if id(each) not in met:
                met.add(id(each))
                level.append(each)
        count_together(here)
