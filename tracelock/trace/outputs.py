"""How every file of the tool comes to be: whole, or not at all.

One set of rules for all commands. A regular file is written beside its place under another name,
and takes it when it is complete, with the permissions of what it replaces. Symbolic links are
followed as far as the system would follow them. What is no regular file (a device, a pipe, a
standard stream of this process) is written into, and stays what it is.
"""

from __future__ import annotations

import gzip
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Final

from tracelock.errors import UsageError, cure_of
from tracelock.trace import text

__all__ = [
    "STANDARD_OUTPUT", "beside", "cannot", "check_output", "descriptor_of", "gzipped",
    "target_of", "write_new", "write_whole", "writing",
]  # fmt: skip

AnyPath = str | os.PathLike[str]

STANDARD_OUTPUT: Final = "/dev/stdout"
_STREAMS: Final = {"/dev/stdin": 0, STANDARD_OUTPUT: 1, "/dev/stderr": 2}
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/(self|thread-self|[0-9]+))/fd/([0-9]{1,9})")
_MOST_LINKS: Final = 40  # as many as Linux follows
_TRIES: Final = 1000
_LONGEST: Final = 40  # characters of a name that a temporary file has of it


# --- where to ------------------------------------------------------------------------------------
def descriptor_of(path: AnyPath) -> int | None:
    """The number of the open file of this process that a path leads to (``/dev/stdout``,
    ``/dev/fd/3``, a link to one of these), None for any other. Such a file is written into as it is
    open: to open it anew would begin at its start, where it is one that the shell has opened."""
    name = os.path.normpath(os.path.join(os.getcwd(), os.fspath(path)))
    for _ in range(_MOST_LINKS):
        if name in _STREAMS:
            return _STREAMS[name]
        found = _DESCRIPTOR.fullmatch(name)
        if found is not None and found[1] in (None, "self", "thread-self", str(os.getpid())):
            return int(found[2])
        try:
            name = os.path.normpath(os.path.join(os.path.dirname(name), os.readlink(name)))
        except (OSError, ValueError):
            break
    return None


def check_output(path: AnyPath, *, make_folder: bool = False) -> None:
    """Raises UsageError, before anything is run, where a file cannot be written."""
    name = os.fspath(path)
    if not name:
        raise UsageError("cannot write a file without a name")
    if descriptor_of(name) is not None:
        return
    with writing(name):
        try:
            mode = os.stat(name).st_mode
        except FileNotFoundError:
            mode = 0
        except ValueError as problem:  # a zero in the name
            raise cannot(name, problem) from problem
    if stat.S_ISDIR(mode):
        raise UsageError(f"cannot write {name}: it is a folder")
    if mode and not os.access(name, os.W_OK):
        raise UsageError(f"cannot write {name}: no permission to write it")
    if mode and not stat.S_ISREG(mode):
        return
    folder = os.path.dirname(os.path.realpath(name))
    while make_folder and not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise UsageError(f"cannot write {name}: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _no_entry(name, folder)


def target_of(path: AnyPath, make_folder: bool = True) -> Path | None:
    """The file to be replaced (links followed), its folder made; None for what is written into."""
    with writing(path), suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
        if descriptor_of(path) is not None or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            return None  # and not opened: a pipe would wait for its reader
        there = _opened(path)
        if there is not None:
            os.close(there)
    return _place_of(path, make_folder)


def _opened(path: AnyPath) -> int | None:
    """A descriptor of what is there already; None where nothing is.

    It is for the system to say whether a link may be followed (one of somebody else's in a folder
    that everybody may write to may not), and whether a file may be written.
    """
    with writing(path):
        try:
            return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)
        except FileNotFoundError:
            return None
        except IsADirectoryError:
            raise UsageError(f"cannot write {os.fspath(path)}: it is a folder") from None
        except ValueError as problem:  # a zero in the name
            raise cannot(path, problem) from problem


def _place_of(path: AnyPath, make_folder: bool) -> Path:
    target = Path(os.path.realpath(path))
    if make_folder:
        with writing(path):
            target.parent.mkdir(parents=True, exist_ok=True)
    return target


# --- whole files ---------------------------------------------------------------------------------
def write_whole(
    path: AnyPath, parts: Iterable[str], *, make_folder: bool = False, follow: bool = True
) -> int:
    """Write a file as a whole or not at all, compressed if it is a ``.gz``; its size in bytes.

    ``make_folder``: make the folder that it goes to. ``follow``: write what a link leads to, as is
    right for a name that the user has given; else the link itself is replaced, which somebody may
    have put where the tool was to write. Raises UsageError where it cannot be written.
    """
    if not follow and os.path.islink(path):
        return _replace(path, Path(path), None, parts)
    descriptor = descriptor_of(path)
    if descriptor is not None:
        return _into(path, descriptor, parts)
    there = _opened(path)
    if there is None:
        return _replace(path, _place_of(path, make_folder), None, parts)
    with writing(path), os.fdopen(there, "wb") as sink:
        now = os.fstat(sink.fileno())
        if not stat.S_ISREG(now.st_mode):
            return _fill(sink, parts)
        stream = _stream_at(now)
    if stream is not None:
        return _into(path, stream, parts)
    return _replace(path, _place_of(path, make_folder), now, parts)


def write_new(names: Iterable[str], parts: Iterable[str]) -> str:
    """Write a file under the first of these names that is free, which is returned; they are in one
    folder. A name that is a link is taken, wherever that leads. Raises UsageError where it cannot
    be written, or none is free."""
    name = temporary = None
    try:
        for name in names:
            if temporary is None:
                temporary = _written(name, Path(name), None, parts)[0]
            with writing(name), suppress(FileExistsError):
                _give_name(temporary, name)
                return name
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    raise UsageError(f"cannot write {name}: all names like it are taken")


def _give_name(temporary: Path, name: str) -> None:
    """Give a file a name that is free. Raises FileExistsError where it is not."""
    try:
        os.link(temporary, name)
    except FileExistsError:
        raise
    except OSError:  # not every file system has a second name for a file: take the name first
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(temporary, name)


def _replace(
    path: AnyPath, target: Path, before: os.stat_result | None, parts: Iterable[str]
) -> int:
    temporary, size = _written(path, target, before, parts)
    try:
        with writing(path):
            os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return size


def _written(
    path: AnyPath, target: Path, before: os.stat_result | None, parts: Iterable[str]
) -> tuple[Path, int]:
    """The parts in a file beside ``target``, with the rights of what was there ``before``."""
    temporary, raw = beside(target, f".{target.name[:_LONGEST]}.{os.getpid()}", ".tmp", path)
    try:
        with writing(path), raw:
            if before is not None:
                _same_rights(raw.fileno(), before)
            return temporary, _fill(raw, parts, packed=target.suffix == ".gz")
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _same_rights(descriptor: int, before: os.stat_result) -> None:
    mode = stat.S_IMODE(before.st_mode)
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        try:
            os.fchown(descriptor, before.st_uid, before.st_gid)
        except OSError:  # what another owner and group may do is not for these to do
            mode &= 0o707
    os.fchmod(descriptor, mode)


def _stream_at(file: os.stat_result) -> int | None:
    """The standard stream of this process that is redirected to this very file."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if os.path.samestat(file, os.fstat(descriptor)):
                return descriptor
    return None


def _into(path: AnyPath, descriptor: int, parts: Iterable[str]) -> int:
    """Write into a file that is open. A reader of standard output that has gone wants no more.

    Standard streams end at terminals: what these would obey is written as JSON writes it."""
    if descriptor > 2:
        with writing(path), os.fdopen(os.dup(descriptor), "wb") as sink:
            return _fill(sink, parts)
    stream = (None, sys.stdout, sys.stderr)[descriptor]
    if stream is None:
        raise UsageError(f"cannot write {os.fspath(path)}: it is closed")
    size = 0
    with writing(path), suppress(BrokenPipeError):
        stream.flush()
        for part in parts:
            data = text.encode(text.visible(part))
            size += len(data)
            if hasattr(stream, "buffer"):
                stream.buffer.write(data)
            else:
                stream.write(data.decode("utf-8"))
        stream.flush()
    return size


def _fill(raw: IO[bytes], parts: Iterable[str], packed: bool = False) -> int:
    with gzipped(raw) if packed else nullcontext(raw) as sink:
        size = sum(sink.write(text.encode(part)) for part in parts)
    return raw.tell() if packed else size


def gzipped(raw: IO[bytes]) -> gzip.GzipFile:
    """What compresses into ``raw``."""
    # No name and no time in it, so that equal traces are equal bytes. Level 6 costs a third of
    # the time of 9 for two per cent more size.
    return gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0)


# --- files beside others, and what is wrong ------------------------------------------------------
def beside(target: Path, stem: str, suffix: str, path: AnyPath) -> tuple[Path, IO[bytes]]:
    """A new file in the target's folder, under the first free name. ``path``: what the user calls
    the target.

    Not ``tempfile``: its files are readable by their owner alone, and a trace is to be shared.
    """
    for number in range(1, _TRIES):
        middle = "" if number == 1 else f".{number}"
        temporary = target.with_name(f"{stem}{middle}{suffix}")
        try:
            return temporary, open(temporary, "xb")
        except FileExistsError:
            continue
        except PermissionError as problem:
            raise _no_entry(path, target.parent) from problem
        except OSError as problem:
            raise cannot(path, problem) from problem
    raise UsageError(f"cannot write {os.fspath(path)}: {_TRIES} unfinished files lie beside it")


def _no_entry(path: AnyPath, folder: AnyPath) -> UsageError:
    return UsageError(
        f"cannot write {os.fspath(path)}: no permission to write in {os.fspath(folder)} (a file is "
        "made beside its place first, so that it is never half there)"
    )


def cannot(path: AnyPath, problem: Exception) -> UsageError:
    """What to tell the user who wants this file written."""
    why = problem.strerror if isinstance(problem, OSError) and problem.strerror else problem
    return UsageError(f"cannot write {os.fspath(path)}: {why}{cure_of(problem)}")


@contextmanager
def writing(path: AnyPath) -> Iterator[None]:
    """What the system refuses in this block is a :class:`UsageError` that names ``path``."""
    try:
        yield
    except OSError as problem:
        raise cannot(path, problem) from problem
