"""The functions of ``os`` and ``tempfile`` that touch files, under control.

``os.path.exists`` and its like, ``pathlib``, ``shutil``, ``glob`` and ``tempfile`` are Python code
that calls these by their names in ``os``, on every version, and so are controlled with them.

Not controlled: files that were opened before there was control, memory maps, extended attributes,
and whatever opens files in C (databases, ``io.FileIO`` called directly, other programs).
"""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.files.access import PathNames, paths_of, saw, text, touch, unknown
from tracelock.instrument.files.durable import closed, copied, made, opened
from tracelock.instrument.files.locks import closing
from tracelock.instrument.patching import declared, patch
from tracelock.instrument.worker import Worker

#: How an operation touches its path: the names it reads, those it writes.
Touch = tuple[list[str], list[str]]
Describe = Callable[[Worker, tuple[Any, ...], dict[str, Any]], Touch | None]


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, ".")


def _on_handle(worker: Worker, fd: int, write: bool) -> Touch | None:
    handle = paths_of(worker.hub).handles.get(fd)
    if handle is None:
        return None
    return ([], [handle.label]) if write else ([handle.label], [])


# --- how each of them touches its path -----------------------------------------------------
def _on_path(
    reads: str, writes: str = "", *, follows: bool = False, place: int = 0, name: str = "path"
) -> Describe:
    """An operation on one path. ``follows``: unless the call says that it does not; then it may
    also be given a descriptor. ``place``, ``name``: of the argument."""

    def describe(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
        path = _argument(args, kwargs, place, name)
        if follows and isinstance(path, int):
            return _on_handle(worker, path, bool(writes))
        follow = follows and kwargs.get("follow_symlinks", True)
        names = PathNames(worker, path, kwargs.get("dir_fd"), follow)
        return names.parts(reads), names.parts(writes)

    return describe


_looks, _looks_at_link = _on_path("all above", follows=True), _on_path("own above")
_changes = _on_path("above", "all", follows=True)
_makes = _on_path("above", "all listing")
_removes_directory = _on_path("above inside", "own listing")
_links_to = _on_path("above", "own listing", place=1, name="dst")


def _lists(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _argument(args, kwargs, 0, "path")
    if isinstance(path, int):
        touched = _on_handle(worker, path, False)
        return None if touched is None else ([*touched[0], f"{touched[0][0]}/"], [])
    names = PathNames(worker, "." if path is None else path, None, True)
    return [*names.all, f"{names.all[-1]}/", *names.above], []


def _both(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[PathNames]:
    return [
        PathNames(worker, _argument(args, kwargs, at, name), kwargs.get(f"{name}_dir_fd"), False)
        for at, name in enumerate(("src", "dst"))
    ]


def _moves(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    source, target = _both(worker, args, kwargs)
    writes = [source.own, source.listing, *target.all, target.listing]
    writes += source.below(worker) + target.below(worker)
    return [*source.above, *target.above], writes


def _links(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    source, target = _both(worker, args, kwargs)
    return [*source.all, *source.above, *target.above], target.parts("own listing")


def _on_handles(*descriptors: tuple[int, str, bool]) -> Describe:
    """An operation on descriptors: the place and name of each argument, whether it is written."""

    def describe(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
        reads: list[str] = []
        writes: list[str] = []
        for place, name, write in descriptors:
            handle = paths_of(worker.hub).handles.get(_argument(args, kwargs, place, name))
            if handle is not None:
                (writes if write else reads).append(handle.label)
        return (reads, writes) if reads or writes else None

    return describe


_reads_handle, _writes_handle = _on_handles((0, "fd", False)), _on_handles((0, "fd", True))
_copies = _on_handles((0, "out_fd", True), (1, "in_fd", False))
_copies_range = _on_handles((0, "src", False), (1, "dst", True))


DESCRIBED: Final[dict[str, Describe]] = {
    "stat": _looks, "access": _looks, "lstat": _looks_at_link, "readlink": _looks_at_link,
    "listdir": _lists, "scandir": _lists,
    "chmod": _changes, "utime": _changes, "truncate": _changes,
    "mkdir": _makes, "mkfifo": _makes, "mknod": _makes, "unlink": _makes, "remove": _makes,
    "rmdir": _removes_directory,
    "rename": _moves, "replace": _moves, "link": _links, "symlink": _links_to,
    "read": _reads_handle, "pread": _reads_handle, "readv": _reads_handle,
    "preadv": _reads_handle, "fstat": _reads_handle,
    "write": _writes_handle, "pwrite": _writes_handle, "writev": _writes_handle,
    "pwritev": _writes_handle, "ftruncate": _writes_handle, "fchmod": _writes_handle,
    "sendfile": _copies, "copy_file_range": _copies_range,
}  # fmt: skip
#: What of these tells whether a path is there.
_TELLS: Final = frozenset({"stat", "lstat", "fstat"})
_READS: Final = frozenset({"read", "pread"})
_WRITES: Final = frozenset({"write", "pwrite"})
#: What goes by a descriptor that need not be a file, and whether it only writes.
_BY_DESCRIPTOR: Final = {
    "read": False, "readv": False, "write": True, "writev": True, "sendfile": False,
    "pread": False, "preadv": False, "pwrite": True, "pwritev": True, "ftruncate": True,
    "copy_file_range": False,
}  # fmt: skip


#: What the trace shows of those that write nothing themselves.
_SHOWN: Final = {
    "mkdir": "made", "mkfifo": "made", "mknod": "made", "unlink": "removed", "remove": "removed",
    "rmdir": "removed", "rename": "moved", "replace": "moved", "link": "linked",
    "symlink": "linked", "chmod": "changed", "utime": "changed", "truncate": "truncated",
    "ftruncate": "truncated", "fchmod": "changed", "writev": "written", "pwritev": "written",
    "sendfile": "copied", "copy_file_range": "copied",
}  # fmt: skip


def _control(name: str, describe: Describe) -> None:
    @patch(f"os.{name}", optional=True)
    def call(worker: Worker, real: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            touched = describe(worker, args, kwargs)
        except (TypeError, ValueError):
            touched = None  # the original raises what there is to raise
        if touched is None:
            if name in _BY_DESCRIPTOR:
                unknown(worker, args[0] if args else None, _BY_DESCRIPTOR[name])
            return real(*args, **kwargs)
        may_crash = worker.hub.program.crashes.on
        at = caller(worker)
        shown = text(args[1]) if name in _WRITES and len(args) > 1 else _SHOWN.get(name)
        stepped = touch(worker, at, *touched, shown)
        call = partial(real, *args, **kwargs)
        try:
            result = made(worker, at, name, args, kwargs, call) if may_crash else call()
        except FileNotFoundError:
            if stepped and name in _TELLS:
                saw(worker, False)
            raise
        if stepped:
            if name in _TELLS:
                saw(worker, True)
            elif name == "access":
                saw(worker, result)
            elif name in _READS:
                saw(worker, text(result))
        return result


for _name, _describe in DESCRIBED.items():
    _control(_name, _describe)


@patch("os.open")
def os_open(
    worker: Worker, real: Any, path: Any, flags: int, mode: int = 0o777, *,
    dir_fd: int | None = None,
) -> int:  # fmt: skip
    names = PathNames(worker, path, dir_fd, not flags & getattr(os, "O_NOFOLLOW", 0))
    reads = [*names.all, *names.above]
    at = caller(worker)
    if flags & os.O_CREAT:
        shown = "made" if flags & os.O_EXCL else "made or emptied" if flags & os.O_TRUNC else "made"
        touch(worker, at, reads, [*names.all, names.listing], shown)
    elif flags & os.O_TRUNC:
        touch(worker, at, reads, names.all, "emptied")
    else:
        touch(worker, at, reads)
    paths = paths_of(worker.hub)

    def call() -> int:
        return paths.opens_bare(worker.number, real(path, flags, mode, dir_fd=dir_fd))

    follow = not flags & getattr(os, "O_NOFOLLOW", 0)
    descriptor: int = opened(worker, at, path, dir_fd, follow, flags, call)
    paths.opens(descriptor, names.all[-1])
    return descriptor


@patch("os.close")
def os_close(worker: Worker, real: Any, fd: int) -> None:
    closing(worker, fd)
    closed(worker, fd)
    paths_of(worker.hub).lets_go(fd)
    real(fd)


@patch("os.dup")
def os_dup(worker: Worker, real: Any, fd: int, /) -> int:
    """Both stand for one open file."""
    copy: int = real(fd)
    handles = paths_of(worker.hub).handles
    copied(worker, fd, copy)
    if fd in handles:
        # without locks: closing it gives nothing up as long as the other is open
        handles[copy] = type(handles[fd])(handles[fd].label, handles[fd].key)
    return copy


@patch("os.lseek")
def os_lseek(worker: Worker, real: Any, fd: int, position: int, whence: int, /) -> int:
    """To count from the end is to read how long the file is."""
    if whence == os.SEEK_END:
        touched = _on_handle(worker, fd, False)
        if touched is not None:
            touch(worker, caller(worker), *touched)
    return int(real(fd, position, whence))


def _close_temporary(worker: Worker, real: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    """A method of ``tempfile`` that has taken ``os.unlink`` as its default before."""
    kwargs.setdefault("unlink", os.unlink)
    return real(self, *args, **kwargs)


_CLOSER: Final[Any] = tempfile._TemporaryFileCloser  # type: ignore[attr-defined]
for _name, _method in list(vars(_CLOSER).items()):
    if inspect.isfunction(_method) and "unlink" in inspect.signature(_method).parameters:
        patch(f"tempfile._TemporaryFileCloser.{_name}")(_close_temporary)

#: Sets of ``os`` that say what its functions can do: they are asked for the functions themselves.
_ABILITIES: Final = ("supports_dir_fd", "supports_effective_ids", "supports_fd",
                     "supports_follow_symlinks")  # fmt: skip


def set_abilities(on: bool) -> None:
    """Let the replacements be known to be able to do what the real functions can."""
    for ability in _ABILITIES:
        known: set[Any] = getattr(os, ability, set())
        for row in declared[__name__]:
            if row.what in known:
                (known.add if on else known.discard)(row.by)
