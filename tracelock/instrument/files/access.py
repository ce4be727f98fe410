"""Files as shared objects: what a path is called, and the scheduling point before it is touched.

A path is a variable named ``file:NAME``, relative to the working directory or to the directory of
temporary files, so that it is the same on another machine; the random part of a temporary name is
numbered by the worker that made it (``file:tmp/tmp#1@setup``). The entries of a directory are a
variable of their own, ``file:NAME/``: making and removing files writes it, listing reads it. To
touch a path is to read the directories above it, which others may make, move or remove. An
operation on several variables of which two or more are shared is one indivisible step on them all.

As everywhere, only what two workers use, one of them to write, is shared (see ``naming``).

Departures from the truth: which path a symbolic link leads to, and whether a file has several hard
links, is looked up when the worker comes to the operation, not when that is granted.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.instrument.hub import Hub, Phase, contexts, get_ident
from tracelock.instrument.patching import SEEN, replace
from tracelock.instrument.steps import VariablesStep
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import ATOMIC, READ, WRITE, Op

real_lstat: Final = os.lstat
#: Directories that number themselves anew in each run of pytest.
_PYTEST: Final = re.compile(r"^pytest-of-[^/]+/(?:pytest-\d+|garbage-[^/]+)/(?:popen-\w+/)?")
#: A temporary name that was not generated under control.
_TEMPORARY: Final = re.compile(r"^(tmp)([a-z0-9_]{8})$")
#: What the names of paths begin with.
FILE: Final = "file:"
#: What the account calls descriptors that stand for no file.
PIPES: Final = "os.pipe"
#: Modules whose use is told by itself, whatever descriptors they have for it.
_TOLD: Final = frozenset({"subprocess"})
#: The descriptors of standard output and errors.
_STANDARD: Final = frozenset({1, 2})
#: How much of what was read or written a trace shows.
SHOWN: Final = 80


@dataclass(slots=True, eq=False)
class OpenFile:
    """An open file of a worker: its path's name, the key of its locks, the names of those that it
    may hold, and how ``flock`` has it (0: not at all)."""

    label: str
    key: tuple[str, int]
    locked: set[str] = field(default_factory=set)
    mode: int = 0


class Paths(Wing):
    """The names of paths, and the open files, of one program in one schedule."""

    key = "paths"
    lasts = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.root = os.getcwd()
        temporary = tempfile.gettempdir()
        self.temporary = tuple(dict.fromkeys((temporary, os.path.realpath(temporary))))
        self.process = "here"
        self.begin()

    def begin(self) -> None:
        """A schedule begins: nothing is open, and no temporary name is known."""
        self.random: dict[str, str] = {}
        self.handles: dict[int, OpenFile] = {}
        #: Descriptors that no object has: who has opened them, and what they are.
        self._bare: dict[int, tuple[int, os.stat_result]] = {}
        self.inodes: dict[tuple[int, int], str] = {}
        self.opened = 0
        self._labels: dict[str, str] = {}

    def label(self, path: str) -> str:
        """The name of an absolute path."""
        known = self._labels.get(path)
        if known is None:
            known = self._labels[path] = self._label(path)
        return known

    def _label(self, path: str) -> str:
        best, prefix = "", ""
        for top, name in ((self.root, ""), *((one, "tmp") for one in self.temporary)):
            if len(top) >= len(best) and (path == top or path.startswith(top.rstrip("/") + "/")):
                best, prefix = top, name
        rest = path[len(best) :].lstrip("/") if best else path
        if prefix:
            rest = _PYTEST.sub("pytest/", rest)
        parts = rest.split("/")
        for place, part in enumerate(parts):
            match = _TEMPORARY.match(part) if prefix and not place else None
            if match is not None and match.group(2) not in self.random:
                self.random[match.group(2)] = f"#{len(self.random) + 1}"
            for name, number in self.random.items():
                if name in part:
                    parts[place] = part.replace(name, number)
        name = "/".join(filter(None, (prefix, "/".join(parts)))) or "."
        return FILE + name

    def above(self, path: str) -> Iterator[str]:
        """The names of the directories above an absolute path, up to the one it is relative to."""
        tops = (self.root, *self.temporary)
        while True:
            up = os.path.dirname(path)
            if up == path or path in tops or up in tops:
                return
            path = up
            yield self.label(path)

    def opens_bare(self, worker: int, descriptor: int) -> int:
        """A worker has come to have a descriptor, which it closes itself."""
        self._bare[descriptor] = worker, os.fstat(descriptor)
        return descriptor

    def lets_go(self, descriptor: object) -> None:
        """It is closed, or an object's from now on."""
        if self._bare and type(descriptor) is int:
            self._bare.pop(descriptor, None)

    def ended(self) -> None:
        """What workers have left open that did not come to their ends is closed: nobody else can,
        and there may be thousands of such schedules."""
        if not self._bare:
            return
        over = self.hub.controller.ended
        for descriptor, (worker, what) in self._bare.items():
            with contextlib.suppress(OSError):
                if not over[worker] and os.path.samestat(what, os.fstat(descriptor)):
                    os.close(descriptor)
        self._bare.clear()

    def opens(self, descriptor: int, label: str) -> OpenFile:
        """A descriptor has come to stand for a path."""
        self.opened += 1
        handle = self.handles[descriptor] = OpenFile(label, (self.process, self.opened))
        return handle


def paths_of(hub: Hub) -> Paths:
    """The paths of this schedule."""
    return hub.wing(Paths)


def touch(
    worker: Worker,
    at: str,
    reads: Iterable[str] = (),
    writes: Iterable[str] = (),
    shown: Any = None,
) -> bool:
    """The scheduling point before something is done to the files of these names.

    Whether it was one: whether any of them is shared. ``shown``: what is written, for the trace.
    """
    hub = worker.hub
    if hub.phase is not Phase.RUN:
        return False
    names = hub.names
    kinds = dict.fromkeys(reads, READ)
    kinds.update(dict.fromkeys(writes, WRITE))
    shared: list[tuple[int, int]] = []
    for label, kind in kinds.items():
        variable = names.named(label)
        if variable.shared:
            shared.append((variable.number, kind))
        else:
            worker.used_by_name(label, kind)
    if not shared:
        return False
    if len(shared) == 1:
        number, kind = shared[0]
        worker.step(Op(kind, number, at, shown if kind == WRITE else None))
    else:
        body = VariablesStep(
            (number for number, kind in shared if kind == READ),
            (number for number, kind in shared if kind == WRITE),
            shown,
        )
        worker.step(Op(ATOMIC, -1, at, body=body))
    return True


def unknown(worker: Worker, descriptor: object, write: bool) -> None:
    """A worker reads or writes at a descriptor that stands for no file that is known: a pipe, or
    what was opened before there was control. Others may do so too, in an order that nobody tries,
    so that nothing is proved. What is written to the standard streams nobody in the run reads."""
    account = worker.hub.account
    if account is None or worker.importing or worker.hub.phase is not Phase.RUN:
        return
    asks = sys._getframe(3).f_globals.get("__name__")
    if asks not in _TOLD and not (write and descriptor in _STANDARD):
        account.account.outside.add(PIPES)


def saw(worker: Worker, value: Any) -> None:
    """What the reading step has read, where it was of one file."""
    controller = worker.hub.controller
    if controller.log and controller.op.kind == READ:
        worker.record(value)


def text(data: Any) -> Any:
    """Bytes as a trace shows them: text where they are, else how many."""
    if len(data) <= SHOWN:
        with contextlib.suppress(UnicodeDecodeError):
            return bytes(data).decode()
    return f"{len(data)} bytes"


# --- what a path is ------------------------------------------------------------------------
def absolute(path: Any, directory: int | None = None) -> str:
    """An absolute, normal path; ``directory``: the descriptor that it is relative to."""
    name = os.fsdecode(path)
    if directory is not None and not os.path.isabs(name):
        try:
            name = os.path.join(os.readlink(f"/proc/self/fd/{directory}"), name)
        except OSError:  # a system without them: what it is relative to is not known
            name = os.path.join(f"/fd/{directory}", name)
    return os.path.abspath(name)


class PathNames:
    """The names that one path has for one operation on it.

    ``own``: its own. ``all``: with what it leads to: the target of a symbolic link, and the name
    of the file where that has several. ``above``: the directories above. ``listing``: what is in
    the directory where it is.
    """

    __slots__ = ("above", "all", "listing", "own")

    def __init__(self, worker: Worker, path: Any, directory: int | None, follow: bool) -> None:
        paths = paths_of(worker.hub)
        with Uncontrolled(worker):
            name = absolute(path, directory)
            self.own = paths.label(name)
            self.above = list(paths.above(name))
            self.listing = paths.label(os.path.dirname(name)) + "/"
            self.all = [self.own]
            try:
                found = real_lstat(name)
                if stat.S_ISLNK(found.st_mode) and follow:
                    target = os.path.realpath(name)
                    self.all.append(paths.label(target))
                    self.above.extend(paths.above(target))
                    found = real_lstat(target)
            except (OSError, ValueError):
                return
            if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
                same = paths.inodes.setdefault((found.st_dev, found.st_ino), self.all[-1])
                if same not in self.all:
                    self.all.append(same)

    def parts(self, names: str) -> list[str]:
        """Of these attributes, and ``inside`` for the entries of the directory: ``"all above"``."""
        parts = {"own": [self.own], "listing": [self.listing], "inside": [f"{self.own}/"],
                 "all": self.all, "above": self.above}  # fmt: skip
        return [name for part in names.split() for name in parts[part]]

    def below(self, worker: Worker) -> list[str]:
        """The names of what is known of inside this directory."""
        inside = self.own + "/"
        return [name for name in worker.hub.names.variables if name.startswith(inside)]


# --- temporary names -----------------------------------------------------------------------
_SEQUENCE: Final[Any] = tempfile._RandomNameSequence  # type: ignore[attr-defined]
_next: Final = _SEQUENCE.__next__


def next_name(self: Any) -> Any:
    """A random name, which is numbered in this worker; also those that the library asks for."""
    name = _next(self)
    worker: Worker | None = contexts.get(get_ident())
    if worker is not None and not worker.hub.unwinding:
        paths_of(worker.hub).random[name] = f"#{worker.count('temporary')}@{worker.label}"
    return name


replace("tempfile._RandomNameSequence.__next__", next_name, SEEN)
