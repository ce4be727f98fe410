"""The functions of ``os`` that touch files, under control, and the table of all file patches.

``os.path.exists`` and its like, ``pathlib``, ``shutil``, ``glob`` and ``tempfile`` are Python code
that calls these by their names in ``os``, on every version, and so are controlled with them.

Not controlled: files that were opened before there was control, memory maps, extended attributes,
and whatever opens files in C (databases, ``io.FileIO`` called directly, other programs).
"""

from __future__ import annotations

import builtins
import inspect
import os
import tempfile
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.files import locks as file_locks
from tracelock.instrument.files import objects as file_objects
from tracelock.instrument.files.access import Names, next_name, paths_of, saw, text, touch
from tracelock.instrument.worker import Worker, here

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
    names = Names(worker, path, kwargs.get("dir_fd"), follow)
    return [*names.all, *names.above], []


def _looks_at_link(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    names = Names(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return [names.own, *names.above], []


def _lists(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _first(args, kwargs, "path")
    if isinstance(path, int):
        touched = _on_handle(worker, path, False)
        return None if touched is None else ([*touched[0], f"{touched[0][0]}/"], [])
    names = Names(worker, "." if path is None else path, None, True)
    return [*names.all, f"{names.all[-1]}/", *names.above], []


def _changes(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = _first(args, kwargs, "path")
    if isinstance(path, int):
        return _on_handle(worker, path, True)
    names = Names(worker, path, kwargs.get("dir_fd"), kwargs.get("follow_symlinks", True))
    return names.above, names.all


def _makes(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    names = Names(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return names.above, [*names.all, names.listing]


def _removes_directory(
    worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Touch | None:
    names = Names(worker, _first(args, kwargs, "path"), kwargs.get("dir_fd"), False)
    return [*names.above, f"{names.own}/"], [names.own, names.listing]


def _moves(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    named = dict(zip(("src", "dst"), args, strict=False)) | kwargs
    source = Names(worker, named.get("src", "."), kwargs.get("src_dir_fd"), False)
    target = Names(worker, named.get("dst", "."), kwargs.get("dst_dir_fd"), False)
    writes = [source.own, source.listing, *target.all, target.listing]
    writes += source.below(worker) + target.below(worker)
    return [*source.above, *target.above], writes


def _links(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    named = dict(zip(("src", "dst"), args, strict=False)) | kwargs
    source = Names(worker, named.get("src", "."), kwargs.get("src_dir_fd"), False)
    target = Names(worker, named.get("dst", "."), kwargs.get("dst_dir_fd"), False)
    return [*source.all, *source.above, *target.above], [target.own, target.listing]


def _links_to(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    path = args[1] if len(args) > 1 else kwargs.get("dst", ".")
    names = Names(worker, path, kwargs.get("dir_fd"), False)
    return names.above, [names.own, names.listing]


def _reads_handle(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    fd = _first(args, kwargs, "fd")
    return _on_handle(worker, fd, False) if isinstance(fd, int) else None


def _writes_handle(worker: Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Touch | None:
    fd = _first(args, kwargs, "fd")
    return _on_handle(worker, fd, True) if isinstance(fd, int) else None


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


def _controlled(name: str, real: Any, describe: Describe) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        worker = here()
        if worker is None:
            return real(*args, **kwargs)
        try:
            touched = describe(worker, args, kwargs)
        except (TypeError, ValueError):
            return real(*args, **kwargs)  # which raises what there is to raise
        if touched is None:
            return real(*args, **kwargs)
        shown = text(args[1]) if name in _WRITES and len(args) > 1 else _DONE.get(name)
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

    call.__name__ = call.__qualname__ = name
    return call


_DONE: Final = {
    "mkdir": "made", "mkfifo": "made", "mknod": "made", "unlink": "removed", "remove": "removed",
    "rmdir": "removed", "rename": "moved", "replace": "moved", "link": "linked",
    "symlink": "linked", "chmod": "changed", "utime": "changed", "truncate": "truncated",
    "ftruncate": "truncated", "fchmod": "changed", "writev": "written", "pwritev": "written",
    "sendfile": "copied", "copy_file_range": "copied",
}  # fmt: skip

real_os_open: Final = os.open
real_os_close: Final = os.close
real_os_dup: Final = os.dup
real_os_lseek: Final = os.lseek


def os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
    """``os.open``."""
    worker = here()
    if worker is None:
        return real_os_open(path, flags, mode, dir_fd=dir_fd)
    names = Names(worker, path, dir_fd, not flags & getattr(os, "O_NOFOLLOW", 0))
    reads = [*names.all, *names.above]
    at = caller(worker)
    if flags & os.O_CREAT:
        shown = "made" if flags & os.O_EXCL else "made or emptied" if flags & os.O_TRUNC else "made"
        touch(worker, at, reads, [*names.all, names.listing], shown)
    elif flags & os.O_TRUNC:
        touch(worker, at, reads, names.all, "emptied")
    else:
        touch(worker, at, reads)
    descriptor = real_os_open(path, flags, mode, dir_fd=dir_fd)
    paths_of(worker.hub).opens(descriptor, names.all[-1])
    return descriptor


def os_close(fd: int) -> None:
    """``os.close``."""
    worker = here()
    if worker is not None:
        file_locks.closing(worker, fd)
    real_os_close(fd)


def os_dup(fd: int, /) -> int:
    """``os.dup``: both stand for one open file."""
    worker = here()
    made = real_os_dup(fd)
    if worker is not None:
        handles = paths_of(worker.hub).handles
        if fd in handles:
            again = handles[made] = type(handles[fd])(handles[fd].label, handles[fd].key)
            again.locked = set()  # closing it gives nothing up as long as the other is open
    return made


def os_lseek(fd: int, position: int, whence: int, /) -> int:
    """``os.lseek``: to count from the end is to read how long the file is."""
    worker = here()
    if worker is not None and whence == os.SEEK_END:
        touched = _on_handle(worker, fd, False)
        if touched is not None:
            touch(worker, caller(worker), *touched)
    return real_os_lseek(fd, position, whence)


def _closer(original: Any) -> Callable[..., Any]:
    """A method of ``tempfile`` that has taken ``os.unlink`` as its default before."""

    def close(self: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("unlink", os.unlink)
        return original(self, *args, **kwargs)

    close.__name__ = close.__qualname__ = original.__name__
    return close


CALLS: Final[dict[str, Callable[..., Any]]] = {
    **{
        name: _controlled(name, getattr(os, name), describe)
        for name, describe in DESCRIBED.items()
        if hasattr(os, name)
    },
    "open": os_open, "close": os_close, "dup": os_dup, "lseek": os_lseek,
    "fdopen": file_objects.fdopen,
}  # fmt: skip
REAL: Final = {name: getattr(os, name) for name in CALLS}
#: Sets of ``os`` that say what its functions can do: they are asked for the functions themselves.
_ABILITIES: Final = ("supports_dir_fd", "supports_effective_ids", "supports_fd",
                     "supports_follow_symlinks")  # fmt: skip


def abilities(on: bool) -> None:
    """Let the patched functions be known to be able to do what the real ones can."""
    for ability in _ABILITIES:
        known: set[Any] = getattr(os, ability, set())
        for name, by in CALLS.items():
            if REAL[name] in known:
                (known.add if on else known.discard)(by)


def replacements() -> list[tuple[str, Any, str, Any, Callable[..., Any]]]:
    """Name, owner (None: in all modules), attribute, original, and ours, of each file patch."""
    found: list[tuple[str, Any, str, Any, Callable[..., Any]]] = [
        (f"os.{name}", None, name, REAL[name], by) for name, by in CALLS.items()
    ]
    found.append(("builtins.open", None, "open", builtins.open, file_objects.open_file))
    if file_locks.fcntl is not None:
        for name, by in (("flock", file_locks.flock), ("lockf", file_locks.lockf)):
            found.append((f"fcntl.{name}", None, name, getattr(file_locks.fcntl, name), by))
    sequence: Any = tempfile._RandomNameSequence  # type: ignore[attr-defined]
    found.append((
        "tempfile._RandomNameSequence.__next__", sequence, "__next__",
        sequence.__dict__["__next__"], next_name,
    ))  # fmt: skip
    closer: Any = tempfile._TemporaryFileCloser  # type: ignore[attr-defined]
    for name, method in list(closer.__dict__.items()):
        if inspect.isfunction(method) and "unlink" in inspect.signature(method).parameters:
            label = f"tempfile._TemporaryFileCloser.{name}"
            found.append((label, closer, name, method, _closer(method)))
    return found
