"""A disk that may lose what was not synced: what is on it for certain, and what may be missing.

After the abstract persistence model of ALICE (Pillai et al., *All File Systems Are Not Created
Equal*, OSDI 2014) and the crash states of CrashMonkey (Mohan et al., OSDI 2018), made precise for
what Python programs do. Nothing here knows of real files.

The disk has *nodes* (files, directories, symbolic links) and *things*, each with a value: an entry
of a directory (which node is there, if any), the size of a file, a block of a file. An operation
makes one or several *changes*; a change sets the values of some things all at once, and is durable
or lost as a whole:

- to create, unlink or link is one change of one entry, to rename one of two entries (atomic);
- to write makes, for each block that it reaches into, a change of the size where that grows and
  one of the block: blocks and sizes reach the disk one by one;
- to truncate is one change of the size and of all blocks behind it.

Two changes of one thing are durable in the order in which they were made: what is durable of them
is a beginning. Apart from that any set of changes may be lost, until something makes them durable:
``fsync`` or ``fdatasync`` of a file all changes of its size and blocks, ``fsync`` of a directory
all changes of its entries, whatever the order in which they were made. What is made durable takes
what has to be durable before it along. The size of a file says how much of it is there: a block
beyond it is not seen, and one inside of it that was lost reads as zeros.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: A thing: what it is, the number of its node, and which of it (a name, a block).
Thing = tuple[str, int, Any]
#: What there is at a path: ``("file", content)``, ``("directory", b"")`` or ``("link", target)``.
Found = tuple[str, bytes]

FILE: Final = "file"
DIRECTORY: Final = "directory"
LINK: Final = "link"
#: A write is of no more changes of blocks than this; the blocks of a longer one go together.
PIECES: Final = 16


@dataclass(slots=True, eq=False)
class DiskOperation:
    """One operation of the program, in words: ``text``, for what was made (``the rename of a.tmp
    to a``). ``event``: the number of its event, -1 where it has none. ``file``: the name of the
    file that it writes to."""

    text: str
    event: int = -1
    file: str = ""


@dataclass(slots=True, eq=False)
class DiskChange:
    """What is durable or lost as a whole: the values of some things, as the volatile disk has
    them after it. ``text``: what it is in words where it is a part of its operation, else ""."""

    operation: DiskOperation
    values: dict[Thing, Any]
    text: str = ""


@dataclass(slots=True)
class DiskNode:
    """A file, a directory, or a symbolic link with its target."""

    kind: str
    target: str = ""


@dataclass
class DiskModel:
    """The disk of one schedule. ``roots``: the node of each directory that was there before, by
    its path. ``durable``: the value of each thing that is certain; ``volatile``: as the program
    sees it; ``pending``: the changes that lie between the two, in order. ``grouped``: a write was
    so long that its blocks were not taken one by one."""

    block: int
    nodes: list[DiskNode] = field(default_factory=list)
    roots: dict[str, int] = field(default_factory=dict)
    durable: dict[Thing, Any] = field(default_factory=dict)
    volatile: dict[Thing, Any] = field(default_factory=dict)
    pending: list[DiskChange] = field(default_factory=list)
    grouped: bool = False

    # --- nodes that are there ------------------------------------------------------------------
    def node(self, kind: str, target: str = "") -> int:
        """A new node, which no directory has yet."""
        self.nodes.append(DiskNode(kind, target))
        return len(self.nodes) - 1

    def known(self, thing: Thing, value: Any) -> None:
        """The value that a thing had before anything was done to it."""
        self.durable[thing] = self.volatile[thing] = value

    def file(self, content: bytes) -> int:
        """A new node of a file that has this content, durably."""
        number = self.node(FILE)
        self.known(("size", number, 0), len(content))
        for place in range(0, len(content), self.block):
            block = content[place : place + self.block].ljust(self.block, b"\0")
            self.known(("block", number, place // self.block), block)
        return number

    def size(self, node: int) -> int:
        """The size of a file, as the program sees it."""
        found: int = self.volatile.get(("size", node, 0), 0)
        return found

    # --- operations ----------------------------------------------------------------------------
    def change(self, operation: DiskOperation, values: dict[Thing, Any], text: str = "") -> None:
        """These things get these values, all at once."""
        self.volatile.update(values)
        self.pending.append(DiskChange(operation, values, text))

    def write(self, operation: DiskOperation, node: int, offset: int, data: bytes) -> None:
        """Bytes are written into a file."""
        block, end = self.block, offset + len(data)
        first, last = offset // block, (end - 1) // block
        step = 1 + (last - first) // PIECES
        self.grouped = self.grouped or step > 1
        for start in range(first, last + 1, step):
            low, high = max(offset, start * block), min(end, (start + step) * block)
            whole = low == offset and high == end
            part = "" if whole else f"bytes {low} to {high} of {operation.text}"
            if high > self.size(node):
                grown = f"the growth of {operation.file} to {high} bytes"
                self.change(operation, {("size", node, 0): high}, grown)
            values: dict[Thing, Any] = {}
            for number in range(start, min(start + step, last + 1)):
                begin = number * block
                content = bytearray(self.volatile.get(("block", node, number), bytes(block)))
                a, b = max(offset, begin), min(end, begin + block)
                content[a - begin : b - begin] = data[a - offset : b - offset]
                values[("block", node, number)] = bytes(content)
            self.change(operation, values, part)

    def truncate(self, operation: DiskOperation, node: int, size: int) -> None:
        """A file gets another size: what is behind it is gone, what is new is zeros."""
        block = self.block
        values: dict[Thing, Any] = {("size", node, 0): size}
        for (what, of, number), content in self.volatile.items():
            if what == "block" and of == node and (number + 1) * block > size:
                kept = max(0, size - number * block)
                values[("block", node, number)] = content[:kept].ljust(block, b"\0")
        self.change(operation, values)

    def sync_file(self, node: int) -> None:
        """``fsync`` or ``fdatasync`` of a file."""
        self._settle(lambda thing: thing[0] != "entry" and thing[1] == node)

    def sync_directory(self, node: int) -> None:
        """``fsync`` of a directory."""
        self._settle(lambda thing: thing[0] == "entry" and thing[1] == node)

    def sync_all(self) -> None:
        """``sync``, which waits for all on Linux."""
        self.durable.update(self.volatile)
        self.pending.clear()

    def settle(self, things: set[Thing]) -> None:
        """These are durable as they are now."""
        self._settle(lambda thing: thing in things)

    def _settle(self, meant: Any) -> None:
        things = {thing for change in self.pending for thing in change.values if meant(thing)}
        settled: list[DiskChange] = []
        for change in reversed(self.pending):  # what is before it, of the same things, comes along
            if not things.isdisjoint(change.values):
                things.update(change.values)
                settled.append(change)
        for change in reversed(settled):
            self.durable.update(change.values)
            self.pending.remove(change)

    # --- what there is --------------------------------------------------------------------------
    def after(self, kept: Iterable[DiskChange]) -> dict[Thing, Any]:
        """The values of all things where of the pending changes these are durable."""
        values = self.durable.copy()
        for change in kept:
            values.update(change.values)
        return values

    def seen(self, values: Mapping[Thing, Any]) -> dict[str, Found]:
        """What there is at each path where things have these values, and nothing at a path that is
        known and not here; of the paths that are known."""
        entries: dict[int, dict[str, int]] = {}
        contents: dict[int, dict[int, bytes]] = {}
        for (what, node, which), value in values.items():
            if what == "entry" and value is not None:
                entries.setdefault(node, {})[which] = value
            elif what == "block":
                contents.setdefault(node, {})[which] = value
        found: dict[str, Found] = {}
        left = list(self.roots.items())
        while left:
            path, directory = left.pop()
            for name, node in entries.get(directory, {}).items():
                one = f"{path.rstrip('/')}/{name}"
                kind = self.nodes[node].kind
                if one in found:
                    continue  # a directory that is inside of itself cannot be
                if kind == DIRECTORY:
                    found[one] = (DIRECTORY, b"")
                    left.append((one, node))
                elif kind == LINK:
                    found[one] = (LINK, self.nodes[node].target.encode(errors="surrogateescape"))
                else:
                    size = values.get(("size", node, 0), 0)
                    found[one] = (FILE, self._content(contents.get(node, {}), size))
        return found

    def _content(self, blocks: Mapping[int, bytes], size: int) -> bytes:
        content = bytearray(size)
        for number, block in blocks.items():
            place = number * self.block
            if place < size:
                content[place : place + self.block] = block[: size - place]
        return bytes(content)

    def become(self, values: Mapping[Thing, Any]) -> None:
        """The disk has crashed in a state with these values: they are all that is left."""
        self.durable = dict(values)
        self.volatile = dict(values)
        self.pending.clear()
