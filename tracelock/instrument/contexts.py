"""Who is under control: the one table that every hook asks first."""

from __future__ import annotations

from typing import Final, Protocol

from tracelock.instrument.sites import Site

__all__ = ["Context", "contexts"]


class Context(Protocol):
    """The worker that runs on a thread, as hooks see it."""

    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None
    ) -> None:
        """Return when the worker may go on; the access is done right then.

        ``kind`` is ``ops.READ`` or ``ops.WRITE``. ``name`` is the attribute, global or
        variable, None for what a container holds. ``value`` is what is written: for a
        container's method its argument, or the tuple of its arguments; a container among them
        (``extend``, ``update``, ``+=``) is read by this same step.
        """

    def saw(self, value: object) -> None:
        """What the last access got: the value read, or the result of a container's method."""

    def lock(self, raw: object) -> object:
        """The controlled stand-in for a lock made before the factories were patched."""


#: Thread ident -> the worker on that thread. Empty: nothing is under control.
contexts: Final[dict[int, Context]] = {}
