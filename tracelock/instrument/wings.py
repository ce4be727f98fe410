"""What parts of the instrumentation keep for an exploration, of which the hub knows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from tracelock.instrument.hub import Hub


class Wing:
    """What one part of the instrumentation (files, databases, the network, imports) keeps on the
    hub: made where ``hub.wing`` is first asked for it, and told what happens.

    ``key``: what it is called in ``hub.wings``. ``lasts``: whether it stays for the next schedule;
    it is made anew in each one otherwise.

    A worker in another process has a copy of it. What all processes have in common is kept in the
    process of the controller: ``Worker.home`` leads there from any of them, to methods that take
    the worker first, and else give and are given plain data.
    """

    key: ClassVar[str]
    lasts: ClassVar[bool] = False
    #: All of them, by ``key``.
    kinds: ClassVar[dict[str, type[Wing]]] = {}

    def __init_subclass__(cls) -> None:
        Wing.kinds[cls.key] = cls

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def begin(self) -> None:
        """The next schedule begins. Of those that last."""

    def blocked(self) -> None:
        """Nobody can go on: whether that is a deadlock is to be judged next."""

    def ended(self) -> None:
        """The schedule is over, and its workers are unwound."""

    def let_go(self) -> None:
        """Control is over."""

    # --- in the process of a worker, and of one ------------------------------------------------
    def kept(self) -> int:
        """How much there is in this process that must not be there in the next schedule."""
        return 0

    def leaves(self, worker: Any) -> None:
        """``worker`` has ended, and its process, which is this one, is about to."""

    def died(self, worker: Any) -> None:
        """The process of ``worker`` has ended without a word: it holds nothing any more."""


class Wings(dict[str, Any]):
    """Those that are there, by ``key``."""

    def begin(self) -> None:
        """A schedule begins."""
        for key, wing in list(self.items()):
            if wing.lasts:
                wing.begin()
            else:
                del self[key]

    def blocked(self) -> None:
        """Nobody can go on."""
        for wing in list(self.values()):
            wing.blocked()

    def ended(self) -> None:
        """A schedule is over."""
        for wing in list(self.values()):
            wing.ended()

    def kept(self) -> int:
        """How much there is in this process that must not be there in the next schedule."""
        return sum(wing.kept() for wing in self.values())

    def leaves(self, worker: Any) -> None:
        """``worker`` has ended, and its process, which is this one, is about to."""
        for wing in list(self.values()):
            wing.leaves(worker)

    def died(self, worker: Any) -> None:
        """The process of ``worker`` has ended without a word."""
        for wing in list(self.values()):
            wing.died(worker)

    def let_go(self) -> None:
        """Control is over."""
        for wing in list(self.values()):
            wing.let_go()
        self.clear()  # they lead back to the hub, which is to die with the last reference to it
