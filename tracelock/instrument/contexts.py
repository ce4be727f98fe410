"""Which threads are under control: the one table that every hook asks first."""

from __future__ import annotations

import contextlib
import sys
from _thread import get_ident
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, Final, Protocol

from tracelock.instrument.rewrite.sites import Site


class Context(Protocol):
    """The worker that runs on a thread, as hooks see it."""

    hub: Any
    #: Whether it has ``read_at_once(obj, name, site)``: an access to read plain data of an
    #: instance, with what ``saw`` does then, in one call. That gives True; the value that was read
    #: where this is a function in C; False where the access is to be made by those two.
    reads_at_once: bool

    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None,
        also: Sequence[tuple[object, str | None]] = (),
    ) -> None:  # fmt: skip
        """Return when the worker may go on; the access is done right then.

        ``kind`` is ``ops.READ`` or ``ops.WRITE``. ``name`` is the attribute, global or
        variable, None for what a container holds. ``value`` is what is written: for a
        container's method its argument, or the tuple of its arguments; a container among them
        (``extend``, ``update``, ``+=``) is read by this same step, and so is ``also``: objects
        with names as these.
        """

    def saw(self, value: object) -> None:
        """What the last access got: the value read, or the result of a container's method."""

    def shares(self, objects: Iterable[object]) -> bool:
        """Whether others use one of these, whose contents are written next."""

    def together(
        self, reads: Iterable[tuple[object, str | None]],
        writes: Iterable[tuple[object, str | None]], site: Site,
    ) -> None:  # fmt: skip
        """The same as ``access`` for several attributes or contents, in one step."""

    def knows(self, obj: object) -> bool:
        """Whether an object may be another's too: it has been met before."""

    def look(self, reference: Any, site: Site) -> None:
        """The same for whether the object of a weak reference is alive; call ``saw`` then."""

    def found(self, obj: object, holder: object, name: str | None) -> None:
        """``obj`` is in this attribute, or among the contents, of ``holder``."""

    def unsure(self, parts: Sequence[tuple[object, str | None]], what: str, why: str) -> None:
        """These attributes or contents are read by ``what`` now, and may be read again later: if
        other workers write them, nothing is proved."""

    def replaced(self, obj: object, namespace: object) -> None:
        """``obj.__dict__`` is assigned next."""

    def everything(self, obj: object, what: str, site: Site) -> tuple[object, str]:
        """All attributes of ``obj`` are read next, each by its name. Returns what is read besides:
        which there are."""

    def whole(self, obj: object, what: str, site: Site) -> None:
        """All attributes of ``obj`` are read from now on: others may be added."""

    def doubt(self, what: str, why: str) -> None:
        """Something is done now that others may depend on unseen."""

    def read_elsewhere(self, obj: object, what: str, why: str) -> None:
        """The contents of ``obj`` are read by code that is not looked into."""

    def referred(self, reference: Any) -> None:
        """A weak reference was created."""

    def lock(self, raw: object) -> object:
        """The controlled lock for a real one that was created before control began."""


#: Which object it is, as ``id`` says it; but ``id`` raises an auditing event, and a program whose
#: audit hook is instrumented would be called from inside of its own hooks without end.
identity: Final = object.__hash__
#: The names of a class, of a module, and the line of classes, whatever those say of them.
class_names: Final[Any] = type.__dict__["__dict__"].__get__
module_names: Final[Any] = vars(ModuleType)["__dict__"].__get__
class_line: Final[Any] = type.__dict__["__mro__"].__get__
#: By identity, codes of ours that call a function of the program where its own code would.
on_behalf: Final[set[int]] = set()
#: Thread ident -> the worker on that thread. Empty: nothing is under control.
contexts: Final[dict[int, Context]] = {}


@contextlib.contextmanager
def out_of_control() -> Iterator[None]:
    """While this is entered, nothing that this thread does is a worker's: no access is seen, and no
    name is given."""
    kept = contexts.pop(get_ident(), None)
    try:
        yield
    finally:
        if kept is not None:
            contexts[get_ident()] = kept


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """The same while we read files of our own accord. No loop of asyncio runs on this thread then:
    libraries that look for calls which block a loop would take it for the program's."""
    asyncio: Any = sys.modules.get("_asyncio")
    loop = None if asyncio is None else asyncio._get_running_loop()
    with out_of_control():
        if loop is not None:
            asyncio._set_running_loop(None)
        try:
            yield
        finally:
            if loop is not None:
                asyncio._set_running_loop(loop)
