"""The look at the objects of the process with which control begins: at all, or at what is new."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator, Sequence
from types import FunctionType
from typing import Any

from tracelock.instrument.contexts import identity
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.patch_targets import ours
from tracelock.instrument.patching import Patch
from tracelock.instrument.scanning.lasting import LastingObjects, of_class
from tracelock.instrument.scanning.marks import BY_AGE, AgeMark, young
from tracelock.instrument.scanning.references import KnownReferences, Referrers


class KnownObjects(LiveObjects):
    """What there is: ``caches``, ``locals`` and ``special`` are all of these, the others those that
    are ``new``, unless ``every``."""

    def __init__(
        self, objects: list[Any], lasting: LastingObjects, references: KnownReferences, every: bool
    ) -> None:
        super().__init__(objects=objects)
        self.new = [] if every else objects
        self.every = every
        self.partial = not every
        self._lasting = lasting
        self._references = references
        if every:
            lasting.take(self)
        else:
            self.new_instances = [*self.others, *self.standard]
            lasting.give(self)

    def functions_of(self, names: Sequence[dict[str, Any]]) -> list[FunctionType]:
        return self._lasting.functions_of(names, self.functions if self.every else None)

    def ask(self, *objects: Any) -> list[Any]:
        return looking.referrers(*objects)

    def originals(self, rows: Sequence[Patch]) -> Referrers:
        lists = [one for one in vars(self).values() if type(one) is list]
        aside = [one for one in lists if one is not self.special]
        new = None if self.every else self.new
        found = self._references.of((row.what for row in rows), self.special, new, aside)
        self.having = None if self.every or found.left else found
        return found

    def in_order(self, objects: Iterable[Any]) -> list[Any]:
        return self._lasting.in_order(objects)

    def complete(self) -> None:
        if not self.every:
            self._lasting.give_all(self)


class ProcessLook:
    """Looks at the process as each exploration begins; no collection may run then. What stays of
    one look until the next says what there was; it keeps nothing alive."""

    def __init__(self) -> None:
        self._mark = AgeMark()
        self._lasting = LastingObjects(self.referrers)
        self._references = KnownReferences(ours, self.referrers)

    def look(self) -> LiveObjects:
        """What there is. It is frozen: a collection visits what comes into being from here on."""
        if not BY_AGE:
            live = LiveObjects()
            gc.freeze()
            return live
        with self._noted():
            new = self._mark.new() if self._lasting.complete else None
            if new is None:
                self._lasting.forget()
                new, every = self._mark.everything(), True
            else:
                every = False
            return KnownObjects(new, self._lasting, self._references, every)

    def referrers(self, *objects: Any) -> list[Any]:
        """Who refers to these; what has come into being since the look is frozen as well."""
        with self._noted():
            found, new = self._mark.referrers(objects)
            self._lasting.take(LiveObjects(objects=new))
        return found

    def instances(self, cls: type) -> list[Any]:
        """The objects of exactly this class, to which there can be weak references."""
        if not BY_AGE:
            return [one for one in gc.get_referrers(cls) if type(one) is cls]
        found = [*self._lasting.instances_of(cls), *of_class(young(), cls)]
        return [*{identity(one): one for one in found}.values()]

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """What is new counts as known only where all of it was noted."""
        try:
            yield
        except BaseException:
            self._mark.forget()
            raise


#: Of this process.
looking: ProcessLook = ProcessLook()
