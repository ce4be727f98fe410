"""What a worker notices of objects besides its accesses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from tracelock.instrument.accesses.attributes import WHOLE, all_of, names_in, share
from tracelock.instrument.accesses.walking import CONTAINERS
from tracelock.instrument.hub import Hub, Phase
from tracelock.ops import READ, WRITE

if TYPE_CHECKING:
    from tracelock.instrument.worker import Worker


class Noticing:
    """The half of a worker that makes no scheduling points."""

    hub: Hub
    uncontrolled: int
    number: int
    fresh: list[Any]

    __slots__ = ()
    #: See ``Context``.
    reads_at_once = False

    @property
    def running(self) -> bool:
        """Whether what it does is part of a schedule."""
        return not self.uncontrolled and self.hub.phase is Phase.RUN

    @property
    def _me(self) -> Worker:
        return self  # type: ignore[return-value]

    def knows(self, obj: object) -> bool:
        """Whether an object has a name already."""
        return self.running and self.hub.names.knows(obj)

    def found(self, obj: object, holder: object, name: str | None) -> None:
        """``obj`` is in this attribute, or among the contents, of ``holder``."""
        names = self.hub.names
        if self.running and not names.knows(obj):
            names.name_contents(names.variable(holder, name, self._me), obj, self._me)

    def held(self) -> frozenset[object]:
        """The locks that it holds, and its thread: tasks of one loop wait for one another."""
        objects = self.hub.layout.objects
        locks: list[object] = [
            number
            for number, model in enumerate(self.hub.controller.models)
            if model is not None
            and objects[number].type in ("lock", "rlock")
            and self.number in model.holders()
        ]
        return frozenset((*locks, ("thread", self._me.ident)))

    def unsure(self, parts: Iterable[tuple[object, str | None]], what: str, why: str) -> None:
        """These are read by ``what`` now, and may be read again later."""
        if self.running:
            names = self.hub.names
            for obj, name in parts:
                variable = names.variable(obj, name, self._me)
                names.unsure.setdefault(variable.name, (what, why))
                names.guarded(variable, self._me)
                if not variable.shared:
                    names.used(variable, self.number, READ)

    def attributes(
        self, kind: int, obj: object, site: Any, value: object,
        also: Iterable[tuple[object, str | None]],
    ) -> None:  # fmt: skip
        """All attributes of ``obj`` are read or written next, by way of its namespace."""
        parts = all_of(self.hub.names, obj, self._me)
        if kind == READ:
            self._me.together([*parts, *also], (), site)
            return
        named = dict.fromkeys((*(name for _, name in parts), *names_in(value)))
        given = value if type(value) is tuple else (value,)
        read = [(each, None) for each in given if issubclass(type(each), CONTAINERS)]
        self._me.together([*also, *read], [(obj, name) for name in named], site)

    def replaced(self, obj: object, namespace: object) -> None:
        """``obj.__dict__`` is assigned next."""
        if not self.uncontrolled and self.hub.phase in (Phase.SETUP, Phase.RUN):
            share(self.hub.names, obj, namespace, self._me)

    def everything(self, obj: object, what: str, site: Any) -> tuple[object, str]:
        """All attributes of ``obj`` are read next, each by its name. Returns what is read besides:
        which there are."""
        if self.running:
            all_of(self.hub.names, obj, self._me)
        return obj, WHOLE

    def whole(self, obj: object, what: str, site: Any) -> None:
        """All attributes of ``obj`` are read from now on: others may be added."""
        if self.running:
            self.hub.names.whole = True
            why = f"{site.at} reads all attributes at once, and others add some"
            self.unsure([(obj, WHOLE)], what, why)

    def doubt(self, what: str, why: str) -> None:
        """Something is done now that others may depend on unseen: nothing is proved."""
        if self.running:
            self.hub.names.doubts.setdefault(what, why)

    def read_elsewhere(self, obj: object, what: str, why: str) -> None:
        """The contents of ``obj`` are read by code that is not looked into: nothing is proved where
        a worker changes them."""
        if self.running:
            names = self.hub.names
            variable = names.variable(obj, None, self._me)
            if variable.writers or variable.number != -1:
                names.doubts.setdefault(what, why)
            else:
                names.elsewhere[variable.name] = what, why

    def referred(self, reference: Any) -> None:
        """A weak reference was created."""
        if not self.uncontrolled and self.hub.phase in (Phase.SETUP, Phase.RUN):
            self.hub.names.mortals.created(reference, self._me if self.running else None)

    def _learning(self) -> bool:
        """Whether accesses count now."""
        if self.uncontrolled or self.hub.phase is not Phase.RUN:
            if self.hub.phase is Phase.UNWIND and not self.uncontrolled:
                self.hub.cut(self._me)
            self._me.last = None
            return False
        if self.hub.names.mortal:
            self.hub.names.let_die(self.fresh)
        return True

    def shares(self, objects: Iterable[object]) -> bool:
        """Whether others use one of these, whose contents are written next."""
        if not self._learning():
            return False
        found = False
        for one in objects:
            variable = self.hub.names.variable(one, None, self._me)
            self.hub.names.guarded(variable, self._me)
            if variable.shared:
                found = True
            else:
                self.hub.names.used(variable, self.number, WRITE)
        return found

    def used_by_name(self, label: str, kind: int) -> None:
        """A variable with a name of its own (a path, shared memory) was used, and is not shared."""
        self.hub.names.used_by_name(label, self.number, kind)
