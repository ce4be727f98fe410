"""Whether a dictionary was changed, told by the number that CPython gives it with each change.

No two states of any dictionary have the same number (PEP 509), so that a module of 10,000 names
takes one look. Interpreters without it (from 3.14 on, PEP 699) are asked for the contents. Only of
dictionaries that are nobody's attributes but a module's: those of other objects may be kept where
nothing is counted.
"""

from __future__ import annotations

import ctypes
import sys
from types import ModuleType
from typing import Any, Final

from tracelock.instrument.state.identities import address

#: Where in a dictionary it stands: behind how many names there are.
_PLACE: Final = object.__basicsize__ + ctypes.sizeof(ctypes.c_ssize_t)


def version_of(names: dict[Any, Any]) -> ctypes.c_uint64:
    """Its number, which is read there each time (``value``): the dictionary has to stay alive."""
    return ctypes.c_uint64.from_address(address(names) + _PLACE)


def _are_counted() -> bool:
    """Whether this interpreter has such numbers where they are looked for, and each way in which a
    module's names are changed makes them others."""
    if sys.implementation.name != "cpython" or dict.__basicsize__ < _PLACE + 3 * 8:
        return False
    module: Any = ModuleType("counted")
    names = vars(module)
    exec("def assign(value):\n    global name\n    name = value\n", names)
    ways = [
        lambda k: names.__setitem__(k, k), lambda k: names.__setitem__("a", k), names.pop,
        lambda k: names.update({k: k}), lambda k: names.setdefault(k + 0.5, k),
        lambda k: names.popitem(), lambda k: setattr(module, f"n{k}", k),
        lambda k: setattr(module, "m", k), lambda k: delattr(module, "m"),
        lambda k: module.__dict__.__ior__({"o": k}), names["assign"],
    ]  # fmt: skip

    def attribute(value: Any) -> None:
        module.p = value

    version = version_of(names)
    # often: the interpreter does what is done often in other ways
    numbers = [version.value]
    for k in range(24):
        for way in (*ways, attribute):
            way(k)
            numbers.append(version.value)
    for _ in range(24):
        _ = module.p, names.get("p"), "p" in names, [*names], [*names.values()], names.copy()
    unlike = len({*numbers}) == len(numbers) and numbers[0] > 0
    return unlike and version.value == numbers[-1]  # and to look at them changes nothing


#: Whether ``version_of`` can be used.
COUNTED: Final = _are_counted()
