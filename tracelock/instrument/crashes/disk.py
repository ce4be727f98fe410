"""The disk of a schedule: what its operations have done to real files, as the model has them.

A file comes into the model when it is first touched, with what it contains then; so does a
directory whose entries are changed. What was there before the schedule is put back when it is over,
whether or not a crash has come. What ``setup`` and ``check`` do is durable at once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from tracelock.errors import UsageError
from tracelock.instrument.crashes import tree
from tracelock.instrument.crashes.model import (
    DIRECTORY,
    FILE,
    LINK,
    DiskModel,
    Found,
    Thing,
)
from tracelock.instrument.crashes.rules import CrashRules
from tracelock.instrument.crashes.states import CrashState
from tracelock.instrument.hub import Hub
from tracelock.instrument.wings import Wing

#: How many files of a directory that is moved are looked at, at most.
MOST_MOVED: Final = 1_000
_UNKNOWN: Final = object()


@dataclass(slots=True)
class OpenNode:
    """What an open descriptor stands for: the node and the path that it had; whether each write is
    synced, and whether it goes to the end of the file."""

    node: int
    path: str
    synced: bool
    appends: bool


class Disk(Wing):
    """See above. ``crashed``: the state that a crash has left, which is not written to the real
    files before the workers are out of the way; ``told``: that, in words; ``afterwards``: what the
    program has asked to be called after a crash."""

    key: ClassVar[str] = "crashes"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.rules: CrashRules = hub.program.crashes
        self.model = DiskModel(self.rules.block)
        self.descriptors: dict[int, OpenNode] = {}
        self.crashed: CrashState | None = None
        self.told = ""
        self.afterwards: list[Any] = []
        self.recorder: Any = None  # of the calls that change it, see ``files.durable``
        self._before: dict[str, tuple[Found | None, int]] = {}

    # --- paths ---------------------------------------------------------------------------------
    def place(self, path: str) -> tuple[int, str]:
        """The node of the directory that a path is in, and the name that it has there."""
        up, name = os.path.split(path)
        return self.directory(up), name

    def directory(self, path: str) -> int:
        """The node of the directory at a path."""
        known = self._known(path)
        if isinstance(known, int):
            return known
        node = self.model.roots[path] = self.model.node(DIRECTORY)
        return node

    def _known(self, path: str) -> Any:
        root = self.model.roots.get(path)
        if root is not None:
            return root
        up, name = os.path.split(path)
        if up == path:
            return _UNKNOWN
        directory = self._known(up)
        if not isinstance(directory, int):
            return _UNKNOWN
        return self.model.volatile.get(("entry", directory, name), _UNKNOWN)

    def look(self, path: str) -> int | None:
        """The node at a path, None for nothing; what the real file contains is taken in."""
        directory, name = self.place(path)
        thing: Thing = ("entry", directory, name)
        found = self.model.volatile.get(thing, _UNKNOWN)
        if found is _UNKNOWN:
            found = self._take_in(path, thing)
        node: int | None = found
        return node

    def _take_in(self, path: str, thing: Thing) -> int | None:
        """Something is seen for the first time that was there before."""
        model, found = self.model, tree.found_at(path)
        self._before.setdefault(path, (found, tree.mode_at(path)))
        node: int | None = None
        if found is not None:
            kind, content = found
            if kind == FILE:
                node = model.file(content)
            elif kind == DIRECTORY:
                node = model.roots.pop(path, None)
                node = model.node(DIRECTORY) if node is None else node
            else:
                node = model.node(LINK if kind == LINK else tree.OTHER, os.fsdecode(content))
        model.known(thing, node)
        return node

    def take_in_below(self, path: str) -> None:
        """A directory is about to be moved, with all that is in it."""
        left, seen = [path], 0
        while left:
            one = left.pop()
            node = self.look(one)
            if node is None or self.model.nodes[node].kind != DIRECTORY:
                continue
            names = os.listdir(one)
            seen += len(names)
            if seen > MOST_MOVED:
                raise UsageError(
                    f"crash_consistency: there are more than {MOST_MOVED:,} files below {path}, "
                    "which is moved: let `setup` make a smaller directory"
                )
            left += [os.path.join(one, name) for name in names]

    # --- whether it is as it seems ---------------------------------------------------------------
    def now(self) -> dict[str, Found]:
        """What there is, as the program sees it."""
        return self.model.seen(self.model.volatile)

    def compare(self) -> None:
        """Raises UsageError where a real file is not what the operations have made of it: it was
        changed by something that is not seen."""
        if "databases" in self.hub.wings:
            self.hub.names.doubts.setdefault(
                "the files of SQLite", "it has a journal of its own, and loses nothing here"
            )
        for path, found in self.now().items():
            if found[0] != tree.OTHER and (real := tree.found_at(path)) != found:
                what = "is gone" if real is None else "has another content"
                raise UsageError(
                    f"crash_consistency: {path} {what} than the calls that were seen have made of "
                    "it: it was changed by a memory map, by code in C, by another program or "
                    "through a file that was opened before control began; what of that is lost in "
                    "a crash is not known"
                )

    # --- a crash ---------------------------------------------------------------------------------
    def materialise(self) -> None:
        """The workers are out of the way: the real files become what the crash has left."""
        state, model = self.crashed, self.model
        if state is None:
            return
        wanted = model.seen(state.values)
        now = {
            path: real for path in {*self.now(), *wanted}
            if (real := tree.found_at(path)) is not None
        }  # fmt: skip
        tree.change_to(now, wanted)
        model.become(state.values)

    def ended(self) -> None:
        """The schedule is over: what was there before it is there again."""
        for path in sorted(self._before):
            found, mode = self._before[path]
            try:
                if os.path.isdir(os.path.dirname(path)) and tree.found_at(path) != found:
                    tree.put(path, found, mode)
            except OSError as error:
                self._before.clear()
                raise UsageError(
                    f"crash_consistency: {path} cannot be put back as it was before the schedule: "
                    f"{error.strerror or error}"
                ) from error
        self._before.clear()


def disk_of(hub: Hub) -> Disk | None:
    """The disk of this schedule, None where no crash may come."""
    return hub.wing(Disk) if hub.program.crashes.on else None


def named(label: str) -> str:
    """What a path is called in words, by its label: its last part, or all of it where it is below
    the working directory."""
    name = label.removeprefix("file:")
    return name.rpartition("/")[2] if name.startswith(("tmp/", "/")) else name
