"""Real files: what is at a path, and how it is made to be what it was or what a crash has left."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from typing import Final

from tracelock.errors import UsageError
from tracelock.instrument.crashes.model import DIRECTORY, FILE, LINK, Found

#: A file that is larger is not kept in memory, in bytes.
MOST: Final = 16 << 20
#: What is neither a file, a directory nor a link: it is left alone.
OTHER: Final = "other"


def found_at(path: str) -> Found | None:
    """What there is at a path, None for nothing. Raises UsageError for a file that is too large."""
    try:
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            return (DIRECTORY, b"")
        if stat.S_ISLNK(status.st_mode):
            return (LINK, os.fsencode(os.readlink(path)))
        if not stat.S_ISREG(status.st_mode):
            return (OTHER, b"")
        if status.st_size > MOST:
            raise UsageError(
                f"crash_consistency: {path} has {status.st_size >> 20} MB, and no more than "
                f"{MOST >> 20} MB of a file are kept, to lose parts of it and to put it back: let "
                "`setup` make a smaller one"
            )
        return (FILE, _read(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _read(path: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except PermissionError:
        return b""  # who may not read it sees none of it afterwards either
    try:
        parts = []
        while part := os.read(descriptor, MOST):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)


def mode_at(path: str) -> int:
    """The permissions of what is at a path."""
    try:
        return stat.S_IMODE(os.lstat(path).st_mode)
    except OSError:
        return 0o644


def remove(path: str) -> None:
    """Nothing is at this path any more, nor below it."""
    found = found_kind(path)
    if found is None:
        return
    if found == DIRECTORY:
        with contextlib.suppress(OSError):
            os.chmod(path, 0o700)
        for name in os.listdir(path):
            remove(os.path.join(path, name))
        os.rmdir(path)
    else:
        os.unlink(path)


def found_kind(path: str) -> str | None:
    """Whether a directory, a link, a file or something else is at a path; None for nothing."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(mode):
        return DIRECTORY
    return LINK if stat.S_ISLNK(mode) else FILE if stat.S_ISREG(mode) else OTHER


def put(path: str, wanted: Found | None, mode: int) -> None:
    """Have this at a path, in the place of whatever is there. A directory keeps what is in it."""
    kind = wanted[0] if wanted is not None else None
    if kind == OTHER or (kind == DIRECTORY and found_kind(path) == DIRECTORY):
        return
    remove(path)
    if wanted is None:
        return
    if kind == DIRECTORY:
        os.mkdir(path, mode)
    elif kind == LINK:
        os.symlink(os.fsdecode(wanted[1]), path)
    else:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
        )
        try:
            left = memoryview(wanted[1])
            while left:
                left = left[os.write(descriptor, left) :]
        finally:
            os.close(descriptor)
        os.chmod(path, mode)


def change_to(now: Mapping[str, Found], wanted: Mapping[str, Found]) -> list[str]:
    """Make real files what ``wanted`` says, where they are what ``now`` says: the paths that were
    touched."""
    changed = [path for path in {*now, *wanted} if now.get(path) != wanted.get(path)]
    modes = {path: mode_at(path) for path in changed if path in now}
    # what a rename that was lost had moved has the permissions that it has elsewhere now
    known = {found: mode_at(path) for path, found in now.items()}
    for path in sorted(changed, reverse=True):  # what is below a directory before it
        if path not in wanted or (path in now and now[path][0] != wanted[path][0]):
            remove(path)
    for path in sorted(changed):
        if path in wanted:
            found = wanted[path]
            usual = 0o755 if found[0] == DIRECTORY else 0o644
            put(path, found, modes.get(path, known.get(found, usual)))
    return changed
