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
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.files.access import PathNames, paths_of, saw, text, touch
from tracelock.instrument.files.locks import closing
from tracelock.instrument.patching import declared, patch
from tracelock.instrument.worker import Worker

#: How an operation touches its path: the names it reads, those it writes.
Touch = tuple[list[str], list[str]]
Describe = Callable[[Worker, tuple[Any, ...], dict[str, Any]], Touch | None]


def _first(args: tuple[Any, ...], kwargs: dict[str, Any], *names: str) -> Any:
    if args:
        return args[0]
    return next((kwargs[name] for name in names if name in kwargs), ".")


def _on_handle(worker: Worker, fd: int, write: bool) -> Touch | None:
    handle = paths_of(worker.hub).handles.get(fd)
    if handle is None:
        return None
    return ([], [handle.label]) if write else ([handle.label], [])


# --- how each of them touches its path -----------------------------------------------------
def _looks(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _first(args, kwargs, "path")
    if isinstance(path, int):
        return _on_handle(worker, path, False)
    follow = kwargs.get("follow_symlinks", True)
    names = PathNames(worker, path, kwargs.get("dir_fd"), follow)
    return [*names.all, *names.above], []


def _looks_at_link(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    names = PathNames(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return [names.own, *names.above], []


def _lists(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _first(args, kwargs, "path")
    if isinstance(path, int):
        touched = _on_handle(worker, path, False)
        return None if touched is None else ([*touched[0], f"{touched[0][0]}/"], [])
    names = PathNames(worker, "." if path is None else path, None, True)
    return [*names.all, f"{names.all[-1]}/", *names.above], []


def _changes(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _first(args, kwargs, "path")
    if isinstance(path, int):
        return _on_handle(worker, path, True)
    names = PathNames(worker, path, kwargs.get("dir_fd"), kwargs.get("follow_symlinks", True))
    return names.above, names.all


def _makes(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    names = PathNames(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return names.above, [*names.all, names.listing]


def _removes_directory(
    worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Touch | None:
    names = PathNames(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return [*names.above, f"{names.own}/"], [names.own, names.listing]


def _moves(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    named = dict(zip(("src", "dst"), args, strict=False)) | kwargs
    source = PathNames(worker, named.get("src", "."), kwargs.get("src_dir_fd"), False)
    target = PathNames(worker, named.get("dst", "."), kwargs.get("dst_dir_fd"), False)
    writes = [source.own, source.listing, *target.all, target.listing]
    writes += source.below(worker) + target.below(worker)
    return [*source.above, *target.above], writes


def _links(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    named = dict(zip(("src", "dst"), args, strict=False)) | kwargs
    source = PathNames(worker, named.get("src", "."), kwargs.get("src_dir_fd"), False)
    target = PathNames(worker, named.get("dst", "."), kwargs.get("dst_dir_fd"), False)
    return [*source.all, *source.above, *target.above], [target.own, target.listing]


def _links_to(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = args[1] if len(args) > 1 else kwargs.get("dst", ".")
    names = PathNames(worker, path, kwargs.get("dir_fd"), False)
    return names.above, [names.own, names.listing]


def _uses_handle(write: bool) -> Describe:
    def describe(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
        fd = _first(args, kwargs, "fd")
        return _on_handle(worker, fd, write) if isinstance(fd, int) else None

    return describe


_reads_handle, _writes_handle = _uses_handle(False), _uses_handle(True)


def _copies(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    """``sendfile(out, in)``; ``copy_file_range`` and ``splice`` have them the other way round."""
    out, source = args[:2] if len(args) > 1 else (kwargs.get("out_fd"), kwargs.get("in_fd"))
    reads = _on_handle(worker, source, False) if isinstance(source, int) else None
    writes = _on_handle(worker, out, True) if isinstance(out, int) else None
    if reads is None and writes is None:
        return None
    return (reads or ([], []))[0], (writes or ([], []))[1]


def _copies_range(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    if len(args) > 1:
        return _copies(worker, (args[1], args[0]), {})
    return _copies(worker, (), {"out_fd": kwargs.get("dst"), "in_fd": kwargs.get("src")})


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
            return real(*args, **kwargs)
        shown = text(args[1]) if name in _WRITES and len(args) > 1 else _SHOWN.get(name)
        stepped = touch(worker, caller(worker), *touched, shown)
        try:
            result = real(*args, **kwargs)
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
    descriptor: int = real(path, flags, mode, dir_fd=dir_fd)
    paths_of(worker.hub).opens(descriptor, names.all[-1])
    return descriptor


@patch("os.close")
def os_close(worker: Worker, real: Any, fd: int) -> None:
    closing(worker, fd)
    real(fd)


@patch("os.dup")
def os_dup(worker: Worker, real: Any, fd: int, /) -> int:
    """Both stand for one open file."""
    copy: int = real(fd)
    handles = paths_of(worker.hub).handles
    if fd in handles:
        again = handles[copy] = type(handles[fd])(handles[fd].label, handles[fd].key)
        again.locked = set()  # closing it gives nothing up as long as the other is open
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
