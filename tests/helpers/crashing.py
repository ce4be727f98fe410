"""Programs that write files, of which it is known what a crash may leave of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OLD, NEW = "old", "new content"


@dataclass
class Files:
    """A directory of files; ``done``: what the program has been told is stored."""

    folder: Path
    done: list[Any] = field(default_factory=list)


def settings() -> Files:
    """A directory with one file, of the old content, that is durable."""
    files = Files(Path(tempfile.mkdtemp()))
    (files.folder / "a").write_text(OLD)
    return files


def empty() -> Files:
    """An empty directory."""
    return Files(Path(tempfile.mkdtemp()))


def sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save(files: Files, *, file: bool = True, directory: bool = True) -> None:
    """Write a file and rename it over the old one; ``file``, ``directory``: which is synced."""
    target = files.folder / "a"
    with open(f"{target}.tmp", "w") as new:
        new.write(NEW)
        if file:
            new.flush()
            os.fsync(new.fileno())
    os.replace(f"{target}.tmp", target)
    if directory:
        sync_directory(files.folder)
    files.done.append(NEW)


def save_unsynced(files: Files) -> None:
    save(files, file=False)


def save_file_synced(files: Files) -> None:
    save(files, directory=False)


def save_synced(files: Files) -> None:
    save(files)


async def save_unsynced_task(files: Files) -> None:
    save(files, file=False)


def one_of_both(files: Files) -> None:
    """After a crash the file has the old or the new content, and the new if that was promised."""
    found = (files.folder / "a").read_text()
    assert found in (OLD, NEW), f"torn: {found!r}"
    assert not files.done or found == NEW, "not durable"


def new_one(files: Files) -> None:
    assert (files.folder / "a").read_text() == NEW


def overwrite(files: Files) -> None:
    """A counter that is written in place, over two blocks of four bytes."""
    with open(files.folder / "a", "r+") as counter:
        counter.write("00000002")
        counter.flush()
        os.fsync(counter.fileno())


def counter() -> Files:
    files = Files(Path(tempfile.mkdtemp()))
    (files.folder / "a").write_text("99999991")
    return files


def whole_counter(files: Files) -> None:
    assert (files.folder / "a").read_text() in ("99999991", "00000002")


def log_of(records: int, *, checks: bool, sync: bool = True) -> Callable[[Files], None]:
    """A worker that appends records to a log, each with its length where ``checks``."""

    def append(files: Files) -> None:
        for number in range(records):
            with open(files.folder / "log", "ab") as log:
                record = f"record {number} is this".encode()
                log.write(b"%3d:%s\n" % (len(record), record) if checks else record + b"\n")
                log.flush()
                if sync:
                    os.fsync(log.fileno())
            files.done.append(record)

    return append


def log_file() -> Files:
    files = empty()
    (files.folder / "log").write_bytes(b"")
    return files


def read_log(files: Files) -> None:
    """Reads as many records as there are, and takes each line for one."""
    found = (files.folder / "log").read_bytes().split(b"\n")[:-1]
    _promised(files, found)
    assert all(line.startswith(b"record") and line.endswith(b"this") for line in found), found


def read_checked_log(files: Files) -> None:
    """Stops at the first record that is not whole, which is that of a crash."""
    found, left = [], (files.folder / "log").read_bytes()
    while left:
        length, _, rest = left.partition(b":")
        if not length.strip().isdigit() or rest[int(length) : int(length) + 1] != b"\n":
            break
        found.append(rest[: int(length)])
        left = rest[int(length) + 1 :]
    _promised(files, found)


def _promised(files: Files, found: list[bytes]) -> None:
    missing = [one for one in files.done if one not in found]
    assert not missing, f"promised, and gone: {missing}"
