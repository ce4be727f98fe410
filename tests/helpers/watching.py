"""A worker under control for tests: writes down each access and lets it happen."""

from __future__ import annotations

import _thread
import contextlib
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from tracelock import ops
from tracelock.instrument.contexts import contexts
from tracelock.instrument.rewrite.codes import compiled
from tracelock.instrument.rewrite.sites import Site


class NoHub:
    """What a fake context tells of the account, which is nothing."""

    def by_chance(self, what: str) -> None:
        pass

    def by_hash(self) -> None:
        pass


class SilentContext:
    """A fake context that lets everything happen; others say what of it they note."""

    hub: Any = NoHub()
    reads_at_once = False

    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        pass

    def saw(self, value: object) -> None:
        pass

    def shares(self, objects: Any) -> bool:
        return False

    def together(self, reads: Any, writes: Any, site: Site) -> None:
        pass

    def look(self, reference: Any, site: Site) -> None:
        pass

    def knows(self, obj: object) -> bool:
        return True

    def found(self, obj: object, holder: object, name: str | None) -> None:
        pass

    def unsure(self, parts: Any, what: str, why: str) -> None:
        pass

    def replaced(self, obj: object, namespace: object) -> None:
        pass

    def everything(self, obj: object, what: str, site: Site) -> tuple[object, str]:
        return obj, "__dict__"

    def whole(self, obj: object, what: str, site: Site) -> None:
        pass

    def doubt(self, what: str, why: str) -> None:
        pass

    def read_elsewhere(self, obj: object, what: str, why: str) -> None:
        pass

    def referred(self, reference: Any) -> None:
        pass

    def lock(self, raw: object) -> object:
        return raw


class Watcher(SilentContext):
    """A fake context. ``before`` is called at each point, as another worker might run there."""

    def __init__(self, before: Callable[[], None] | None = None) -> None:
        self.events: list[tuple[str, object, str | None, Site, object]] = []
        self.values: list[object] = []
        self.locks: dict[int, Any] = {}
        self.before = before

    def access(
        self, kind: int, obj: object, name: str | None, site: Site, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        self.events.append((ops.NAMES[kind], obj, name, site, value))
        self.events.extend(("read", one, part, site, None) for one, part in also)
        if self.before is not None:
            self.before()

    def saw(self, value: object) -> None:
        self.values.append(value)

    def lock(self, raw: object) -> object:
        return self.locks.get(id(raw), raw)

    def shown(self, names: dict[str, object]) -> list[str]:
        """``read o.n``, ``write d``: objects by the names given to them here."""
        labels = {id(obj): name for name, obj in names.items()}
        return [
            f"{kind} {labels.get(id(obj), type(obj).__name__)}{f'.{name}' if name else ''}"
            for kind, obj, name, _, _ in self.events
        ]


@contextlib.contextmanager
def under(watcher: Watcher) -> Iterator[Watcher]:
    ident = _thread.get_ident()
    contexts[ident] = watcher
    try:
        yield watcher
    finally:
        del contexts[ident]


def both(source: str, name: str = "sample") -> tuple[dict[str, Any], dict[str, Any]]:
    """The globals of ``source`` run as it is, and run rewritten."""
    made = compiled(textwrap.dedent(source).encode(), f"{name}.py", f"{name}.py", name)
    plain: dict[str, Any] = {"__name__": name}
    new: dict[str, Any] = {"__name__": name}
    exec(made.plain, plain)
    exec(made.rewritten, new)
    return plain, new


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What ``call`` returns, or the error it ends with, in a form that can be compared."""
    try:
        return "returned", call()
    except Exception as error:
        return type(error).__name__, (str(error), repr(error.__context__))
