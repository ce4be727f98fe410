"""Objects that workers use without its being seen, and by whom."""

from __future__ import annotations

import weakref
from _io import _IOBase as IOBase
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tracelock.instrument.accesses.setting_up import VARIABLES
from tracelock.instrument.account.account import Account
from tracelock.instrument.account.real_files import REAL_FILES, is_real_file
from tracelock.instrument.contexts import identity

#: Every worker, as a bit mask.
_EVERYBODY: Final = 0xFFFFFF


@dataclass(slots=True, eq=False)
class Touched:
    """An object that was used unseen: by the workers of the bit mask ``by``, ``of`` what."""

    keep: object
    of: str
    why: str
    by: int = 0


class TouchedObjects:
    """Those of one schedule, by identity (``known``); ``names`` has those whose use is seen.
    ``account``: is told of files that are not under control."""

    def __init__(self, names: Any, account: Account) -> None:
        self.known: dict[int, Touched] = {}
        self._dead: list[Touched] = []  # they may die in the middle, or with the state
        self._names = names
        self._account = account

    def clear(self) -> None:
        """Another schedule begins."""
        self.known.clear()
        self._dead.clear()

    def add(self, obj: object, of: str, why: str) -> None:
        """An object is used for the first time. It is not kept alive if that can be."""
        address = identity(obj)
        keep: object
        try:
            keep = weakref.ref(obj, lambda _: self._died(address))
        except TypeError:
            keep = obj
        self.known[address] = Touched(keep, of, why)
        if isinstance(obj, IOBase) and is_real_file(obj):
            self._account.outside.add(REAL_FILES)

    def let_go(self, address: int) -> None:
        """Nobody has this object any more, but for the account."""
        touched = self.known[address]
        self._died(address)
        touched.keep = None

    def _died(self, address: int) -> None:
        touched = self.known.pop(address, None)
        if touched is not None:
            touched.by |= self._seen_by(address)
            self._dead.append(touched)

    def shared(self) -> Iterator[Touched]:
        """Those that two workers have used, and variables of functions that one has."""
        for address, touched in self.known.items():
            touched.by |= self._seen_by(address)
        for touched in (*self.known.values(), *self._dead):
            if touched.by & (touched.by - 1) or touched.of == VARIABLES:
                yield touched

    def _seen_by(self, address: int) -> int:
        """The workers that were seen to use an object; all, where it is known to be shared."""
        names = self._names
        known = names.objects.get(address) or names.lasting.get(address)
        users = 0
        for variable in known.parts.values() if known is not None else ():
            if variable.shared:
                return _EVERYBODY
            if variable.stamp == names.schedule:
                users |= variable.users
        return users
