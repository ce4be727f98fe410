"""The processes of one schedule's workers, which go on to the next one where they may.

To fork a process and to see it off takes milliseconds, whatever its worker does. So workers that
may stay (``staying``) wait for the next schedule, and do that if what this has set up is like what
they have (``likeness``), and if the process that explores has learnt and changed nothing since they
were forked that they would have to know. Else they are ended, and others forked. Each exploration
begins with forked ones, each confirmation and each replay is run by forked ones; what fails ends
those that it was found with.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.processes.likeness import Likeness, likeness
from tracelock.instrument.processes.relay import Relay
from tracelock.instrument.processes.staying import OpenFiles, descriptors
from tracelock.instrument.worker import Worker

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Teams one after the other that did not come to serve twice, before no more are tried.
TRIES: Final = 8
#: Schedules that a team has served after which it was worth it.
WORTH: Final = 8
#: Parts of the program's state that are looked at before each schedule, at most.
MOST: Final = 20_000
#: What makes properties of code in a string, which says of no module that it is of it.
_HOME: Final = "multiprocessing.sharedctypes"
_waitid: Final = getattr(os, "waitid", None)


class Team:
    """``tries``: how often one may still be formed. ``bars``: what speaks against it, None as long
    as it was not seen what workers call."""

    def __init__(self, backend: PythonBackend) -> None:
        self.backend = backend
        self.tries = TRIES if _waitid is not None else 0
        self.bars: set[str] | None = None
        self.relays: list[Relay] = []
        self.served = 0
        self._theirs: Likeness | None = None  # what they have
        self._now: Likeness | None = None  # what the schedule that runs has set up
        self._used = False
        self._knowledge: Any = None
        #: Open descriptors: before ``setup``, and when those who stay had been forked.
        self._open: frozenset[str] = frozenset()
        self._then: OpenFiles | None = None

    # --- one schedule -------------------------------------------------------------------------
    def before(self) -> None:
        """``setup`` comes next."""
        theirs = self._theirs
        if self.tries and (theirs is None or theirs.handles):
            try:
                self._open = descriptors()
            except OSError:
                self.tries = 0

    def look(self, state: object) -> Likeness | None:
        """What ``setup`` has returned, if processes that are forked now may stay. Those that
        did are to be used if ``ready``; else they are gone."""
        for part in _properties().values():
            part.fget.__globals__.setdefault("__name__", _HOME)
        self._now, self._used = self._look(state), False
        if self.relays:
            if self.backend.hub.recorder is not None:
                self.end()  # what workers call is looked at from the beginning
            elif self._fits(self._now):
                self._used = True
                self.served += 1
            else:
                self._in_vain()
                self.end()
        return self._now

    @property
    def ready(self) -> bool:
        """Whether the processes that stayed serve this schedule."""
        return self._used

    def _look(self, state: object) -> Likeness | None:
        backend = self.backend
        hub, names, kept = backend.hub, backend.names, backend.kept
        if not self.tries or self.bars or backend.apart or names.mortal or hub.collections:
            return None
        if kept.size > MOST or not kept.untouched():
            return None
        found = likeness(state)
        if found is None:
            return None
        if self._theirs is not None and not self._theirs.handles and self._then is not None:
            return found if not found.handles and self._then.same() else None
        now = descriptors()
        own = {str(handle) for handle in found.handles}
        return found if now - self._open == own and self._open <= now else None

    def _known(self) -> Any:
        """What a process knows that is forked now, as far as it may differ from schedule to
        schedule."""
        backend = self.backend
        hub, names = backend.hub, backend.names
        return (
            len(hub.layout.names), len(hub.layout._places), len(hub.fork_copies), hub.listens,
            len(hub.imported), names.deferring, names.frozen, names.mortal, backend.kept.accepted,
            hub.onlooker, os.getcwd(),
            [one.number for one in names.variables.values() if one.shared],
            [(spec.name, spec.type, spec.lock) for spec in hub.layout.objects],
        )  # fmt: skip

    def _fits(self, now: Likeness | None) -> bool:
        if now is None or self._theirs is None:
            return False
        if self._known() != self._knowledge or not now.like(self._theirs):
            return False
        return all(map(_alive, self.relays)) and now.copy(self._theirs)

    def relay(self, worker: Worker) -> Relay:
        """What serves a worker whose process has stayed."""
        before = self.relays[worker.number]
        relay = Relay(self.backend.hub, worker, before.channel, reaps=True)
        relay.pid = before.pid
        self.relays[worker.number] = relay
        return relay

    def forked(self) -> None:
        """All workers of this schedule have been forked."""
        if self._now is not None:
            self._knowledge, self._then = self._known(), OpenFiles()

    def ran(self) -> None:
        """The workers have come to their end: what they share is as they have left it."""
        if self._used and self._theirs is not None and self._now is not None:
            self._theirs.copy(self._now)

    def take(self, relays: list[Relay]) -> bool:
        """The schedule is over. Whether its processes stay."""
        for relay in relays:
            if relay.bars is not None:
                self.bars = (self.bars or set()) | {*relay.bars}
        now, self._now = self._now, None
        may = now is not None and self.bars is not None
        stay = may and all(relay.stays for relay in relays)
        if not stay:
            if may and self.backend.hub.recorder is None:
                self._in_vain()
            self._forget()
        elif not self._used:
            self._theirs = now
        self.relays = relays if stay else []
        return stay

    # --- their end ----------------------------------------------------------------------------
    def _in_vain(self) -> None:
        self.tries = TRIES if self.served >= WORTH else self.tries - 1

    def _forget(self) -> None:
        self._theirs, self._used, self.served = None, False, 0

    def end(self) -> None:
        """End the processes that wait for another schedule."""
        relays, self.relays = self.relays, []
        self._forget()
        see_off(relays)


def _properties() -> dict[str, Any]:
    module = sys.modules.get(_HOME)
    return {} if module is None else getattr(module, "prop_cache", {})


def see_off(relays: list[Relay]) -> None:
    """Wait for the end of these processes, which nobody serves any more."""
    for relay in relays:
        relay.channel.close()
    for relay in relays:
        relay.reap()


def _alive(relay: Relay) -> bool:
    with contextlib.suppress(OSError):
        return (
            _waitid is not None
            and _waitid(os.P_PID, relay.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None
        )
    return False
