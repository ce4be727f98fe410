"""What schedules do to objects that the given functions alone reach: their caller looks at these
when the exploration is over."""

from __future__ import annotations

from typing import Any, Final

from tracelock.instrument.state.holders import Contents, Holder
from tracelock.instrument.steps import PLAIN

#: How deep plain data may be nested that a forked process sends back.
_DEEP: Final = 8


class CallersObjects:
    """What was ``added`` to the caller's containers. ``apart``: this is a forked process, of whose
    objects nothing remains; ``lost``: the names of what was changed there and cannot be sent."""

    def __init__(self) -> None:
        self.added: dict[Contents, list[Any]] = {}
        self.lost: dict[str, None] = {}
        self.apart = False

    def begin_apart(self) -> None:
        self.added.clear()
        self.apart = True

    def note(self, holder: Holder) -> None:
        """This has changed, and is about to be put back, or to count as what it was."""
        added = holder.added() if isinstance(holder, Contents) else None
        if added and (not self.apart or _plain(added)):
            assert isinstance(holder, Contents)
            self.added.setdefault(holder, []).append(added)
        elif self.apart:
            self.lost.setdefault(holder.label)

    def told(self) -> list[tuple[int, list[Any]]]:
        """What was added, as data, with the places of the containers."""
        return [(holder.place, parts) for holder, parts in self.added.items()]

    def hear(self, told: list[tuple[int, list[Any]]], found: list[Holder]) -> None:
        """What was added in another process."""
        for place, parts in told:
            holder = found[place]
            assert isinstance(holder, Contents)
            self.added.setdefault(holder, []).extend(parts)

    def give(self) -> None:
        """The exploration is over: the containers get all that any schedule has added."""
        for holder, parts in self.added.items():
            holder.give(parts)
        self.added.clear()


def _plain(value: Any, deep: int = _DEEP) -> bool:
    """Whether a value means the same in another process."""
    cls = type(value)
    if cls is dict:
        return deep > 0 and all(
            _plain(key, deep - 1) and _plain(one, deep - 1) for key, one in value.items()
        )
    if cls is list or cls is tuple or cls is set or cls is frozenset:
        return deep > 0 and all(_plain(one, deep - 1) for one in value)
    return any(cls is each for each in PLAIN)
