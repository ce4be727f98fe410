"""What each function of ``os`` on files does to the disk of a schedule.

A row of ``RECORDED`` looks at the call before it is made (what is there then, where the file is)
and gives a :class:`DiskEffect`, which is told when the call has been made. A call that fails has
none.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tracelock.instrument.crashes.disk import Disk, OpenNode, named
from tracelock.instrument.crashes.model import DIRECTORY, FILE, LINK, DiskOperation

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    pass

_SYNCED: Final = getattr(os, "O_SYNC", 0) | getattr(os, "O_DSYNC", 0)


@dataclass(slots=True)
class DiskEffect:
    """What a call is about to do: ``text``, for the trace; ``commit`` is called with its result.
    ``syncs``: it makes durable, and changes nothing. ``operation``: what is made, in words."""

    text: str
    commit: Callable[[Any], None]
    operation: DiskOperation | None = None
    syncs: bool = False


class DiskRecorder:
    """What calls do to one disk. ``label`` gives what a path is called in a trace, ``absolute`` an
    absolute path, from one that may be relative to a descriptor of a directory."""

    def __init__(
        self, disk: Disk, label: Callable[[str], str], absolute: Callable[[Any, Any], str]
    ) -> None:
        self.disk = disk
        self.model = disk.model
        self._label = label
        self._absolute = absolute

    def name(self, path: str) -> str:
        """What a path is called in words."""
        return named(self._label(path))

    def path(self, given: Any, directory: Any = None, follow: bool = False) -> str:
        """The path that is meant, without symbolic links on the way there; ``follow``: neither at
        its end."""
        path = self._absolute(given, directory)
        if follow:
            return os.path.realpath(path)
        up, name = os.path.split(path)
        return os.path.join(os.path.realpath(up), name)

    def effect(self, call: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> DiskEffect | None:
        """What this call of a function of ``os`` is about to do, None where that is nothing."""
        row = RECORDED.get(call)
        return None if row is None else row(self, _Arguments(args, kwargs))

    # --- files ---------------------------------------------------------------------------------
    def opening(self, path: str, creates: bool, empties: bool) -> DiskEffect | None:
        """A file is about to be opened to be written, at a path without links: it may be made, or
        emptied. None where neither happens."""
        node = self.disk.look(path)
        if node is None:
            if not creates:
                return None
            made = DiskOperation(f"the new name {self.name(path)}")

            def create(_: Any) -> None:
                self.set_entry(made, path, self.model.node(FILE))

            return DiskEffect(f"{self.name(path)} is made", create, made)
        if not empties or self.model.nodes[node].kind != FILE or not self.model.size(node):
            return None
        emptied = DiskOperation(f"the emptying of {self.name(path)}")
        return DiskEffect(
            f"{self.name(path)} is emptied",
            lambda _: self.model.truncate(emptied, node, 0), emptied,
        )  # fmt: skip

    def opened(self, descriptor: int, path: str, flags: int) -> None:
        """A descriptor has come to stand for a path, which has no links in it."""
        kind = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(kind):
            node: int | None = self.disk.directory(path)
        elif stat.S_ISREG(kind):
            node = self.disk.look(path)
        else:
            node = None
        if node is None:
            self.disk.descriptors.pop(descriptor, None)
            return
        self.disk.descriptors[descriptor] = OpenNode(
            node, path, bool(flags & _SYNCED & ~getattr(os, "O_DIRECTORY", 0)),
            bool(flags & os.O_APPEND),
        )  # fmt: skip

    def writing(self, descriptor: int, data: Any, offset: int | None = None) -> DiskEffect | None:
        """Bytes are about to be written, at the place of the descriptor without ``offset``."""
        file = self.disk.descriptors.get(descriptor)
        if file is None or self.model.nodes[file.node].kind != FILE:
            return None
        view = memoryview(data).cast("B")
        if file.appends:
            offset = self.model.size(file.node)
        elif offset is None:
            offset = os.lseek(descriptor, 0, os.SEEK_CUR)
        start, name = offset, self.name(file.path)
        made = DiskOperation("", file=name)

        def commit(result: Any) -> None:
            count = len(view) if result is None else int(result)
            if count <= 0:
                return
            made.text = f"the {_bytes(count)} written to {name} at {start}"
            self.model.write(made, file.node, start, bytes(view[:count]))
            if file.synced:
                self.model.sync_file(file.node)

        if not len(view):
            return None
        return DiskEffect(f"{_bytes(len(view))} to {name}", commit, made)

    def copying(self, descriptor: int, count: int, offset: int | None = None) -> DiskEffect | None:
        """The system is about to write bytes that we are not given: they are read afterwards."""
        file = self.disk.descriptors.get(descriptor)
        if file is None or self.model.nodes[file.node].kind != FILE:
            return None
        start = os.lseek(descriptor, 0, os.SEEK_CUR) if offset is None else offset
        name = self.name(file.path)
        made = DiskOperation("", file=name)

        def commit(result: Any) -> None:
            if result > 0:
                made.text = f"the {_bytes(result)} copied to {name} at {start}"
                again = f"/proc/self/fd/{descriptor}"  # it may be open for writing alone
                with open(again if os.path.exists(again) else file.path, "rb") as written:
                    written.seek(start)
                    self.model.write(made, file.node, start, written.read(result))

        return DiskEffect(f"bytes are copied to {name}", commit, made)

    def cutting(self, node: int, path: str, size: int) -> DiskEffect:
        """A file is about to get this size."""
        name = self.name(path)
        made = DiskOperation(f"the cut of {name} to {size} bytes")
        return DiskEffect(f"{name} is cut to {size} bytes",
                      lambda _: self.model.truncate(made, node, size), made)  # fmt: skip

    def syncing(self, descriptor: int) -> DiskEffect | None:
        """``fsync`` or ``fdatasync``."""
        file = self.disk.descriptors.get(descriptor)
        if file is None:
            return None
        directory = self.model.nodes[file.node].kind == DIRECTORY
        sync = self.model.sync_directory if directory else self.model.sync_file
        return DiskEffect(
            f"{self.name(file.path)} is synced", lambda _: sync(file.node), syncs=True
        )

    # --- directories ---------------------------------------------------------------------------
    def set_entry(
        self, made: DiskOperation, path: str, node: int | None, *more: tuple[str, int | None]
    ) -> None:
        """An entry of a directory gets another value; ``more``: and others, at the same time."""
        values: dict[Any, Any] = {}
        for one, value in ((path, node), *more):
            directory, name = self.disk.place(one)
            values[("entry", directory, name)] = value
        self.model.change(made, values)

    def adding(self, path: str, kind: str, what: str, target: str = "") -> DiskEffect:
        """A directory or a link is about to be made."""
        self.disk.look(path)
        made = DiskOperation(f"the new {what} {self.name(path)}")
        return DiskEffect(
            f"the {what} {self.name(path)} is made",
            lambda _: self.set_entry(made, path, self.model.node(kind, target)), made,
        )  # fmt: skip

    def removing(self, path: str) -> DiskEffect:
        """A name is about to be removed."""
        self.disk.look(path)
        made = DiskOperation(f"the removal of {self.name(path)}")
        return DiskEffect(
            f"{self.name(path)} is removed", lambda _: self.set_entry(made, path, None), made
        )

    def moving(self, source: str, target: str) -> DiskEffect | None:
        """A name is about to be moved."""
        node = self.disk.look(source)
        if node is None:
            return None
        if self.model.nodes[node].kind == DIRECTORY:
            self.disk.take_in_below(source)
        other = self.disk.look(target)
        text = f"the rename of {self.name(source)} to {self.name(target)}"
        made = DiskOperation(text)

        def commit(_: Any) -> None:
            if node != other and source != target:  # two names of one file stay as they are
                self.set_entry(made, target, node, (source, None))

        return DiskEffect(text[4:], commit, made)

    def linking(self, source: str, target: str) -> DiskEffect | None:
        """A file is about to get a second name."""
        node = self.disk.look(source)
        self.disk.look(target)
        if node is None:
            return None
        made = DiskOperation(f"the new name {self.name(target)}")
        return DiskEffect(
            f"{self.name(target)} is made", lambda _: self.set_entry(made, target, node), made
        )


def _bytes(count: int) -> str:
    return f"{count} byte{'s' * (count != 1)}"


class _Arguments:
    """The arguments of a call, by place or by name."""

    __slots__ = ("args", "kwargs")

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs

    def get(self, place: int, name: str, default: Any = None) -> Any:
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def two(self, recorder: DiskRecorder) -> tuple[str, str]:
        return (
            recorder.path(self.get(0, "src"), self.kwargs.get("src_dir_fd")),
            recorder.path(self.get(1, "dst"), self.kwargs.get("dst_dir_fd")),
        )

    def one(self, recorder: DiskRecorder) -> str:
        return recorder.path(self.get(0, "path"), self.kwargs.get("dir_fd"))


def _mkdir(recorder: DiskRecorder, call: _Arguments) -> DiskEffect:
    return recorder.adding(call.one(recorder), DIRECTORY, "directory")


def _symlink(recorder: DiskRecorder, call: _Arguments) -> DiskEffect:
    path = recorder.path(call.get(1, "dst"), call.kwargs.get("dir_fd"))
    return recorder.adding(path, LINK, "link", os.fsdecode(call.get(0, "src")))


def _removed(recorder: DiskRecorder, call: _Arguments) -> DiskEffect:
    return recorder.removing(call.one(recorder))


def _moved(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.moving(*call.two(recorder))


def _linked(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.linking(*call.two(recorder))


def _write(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.writing(call.get(0, "fd"), call.get(1, "data"))


def _pwrite(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.writing(call.get(0, "fd"), call.get(1, "buffer"), call.get(2, "offset"))


def _writev(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    data = b"".join(bytes(one) for one in call.get(1, "buffers"))
    return recorder.writing(call.get(0, "fd"), data)


def _pwritev(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    data = b"".join(bytes(one) for one in call.get(1, "buffers"))
    return recorder.writing(call.get(0, "fd"), data, call.get(2, "offset"))


def _truncate(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    given, size = call.get(0, "path"), call.get(1, "length")
    if isinstance(given, int):
        return _cut(recorder, given, size)
    path = recorder.path(given, None, follow=True)
    node = recorder.disk.look(path)
    return None if node is None else recorder.cutting(node, path, size)


def _ftruncate(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return _cut(recorder, call.get(0, "fd"), call.get(1, "length"))


def _cut(recorder: DiskRecorder, descriptor: int, size: int) -> DiskEffect | None:
    file = recorder.disk.descriptors.get(descriptor)
    return None if file is None else recorder.cutting(file.node, file.path, size)


def _sendfile(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.copying(call.get(0, "out_fd"), call.get(3, "count"))


def _copy_range(recorder: DiskRecorder, call: _Arguments) -> DiskEffect | None:
    return recorder.copying(call.get(1, "dst"), call.get(2, "count"), call.get(4, "offset_dst"))


#: Each function of ``os`` that changes what is on the disk.
RECORDED: Final[dict[str, Callable[[DiskRecorder, _Arguments], DiskEffect | None]]] = {
    "mkdir": _mkdir, "symlink": _symlink, "unlink": _removed, "remove": _removed,
    "rmdir": _removed, "rename": _moved, "replace": _moved, "link": _linked,
    "write": _write, "pwrite": _pwrite, "writev": _writev, "pwritev": _pwritev,
    "truncate": _truncate, "ftruncate": _ftruncate, "sendfile": _sendfile,
    "copy_file_range": _copy_range,
}  # fmt: skip
