"""What ``open`` gives a worker: the objects of ``io`` on top of a raw file that is controlled.

What others can see of a file changes when bytes go to the operating system, not when they are
written to a buffer. So it is the raw file below the buffer that has the scheduling points: a
buffered ``write`` is one where the buffer overflows, is flushed or closed; a buffered ``read``
is one where the buffer has to be filled. The objects above are the interpreter's own.
"""

from __future__ import annotations

import io
import os
from functools import partial
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.files.access import PathNames, paths_of, saw, text, touch, unknown
from tracelock.instrument.files.durable import closed, cut, opened, written
from tracelock.instrument.files.locks import closing
from tracelock.instrument.outside.files import outside_file
from tracelock.instrument.patching import patch
from tracelock.instrument.worker import Worker, here

#: The flags of ``os.open`` of each mode, as far as they change what is on the disk.
_FLAGS: Final = {
    "r": 0, "w": os.O_CREAT | os.O_TRUNC, "x": os.O_CREAT | os.O_EXCL,
    "a": os.O_CREAT | os.O_APPEND,
}  # fmt: skip
_OPENED: Final = {"a": "opened to append", "w": "made or emptied", "x": "made"}


class ControlledFile(io.FileIO):
    """A raw file whose reads and writes are scheduling points."""

    _label: str = ""

    def _reads(self) -> Worker | None:
        worker = here()
        if worker is None:
            return None
        if not self._label:
            unknown(worker, self.fileno(), False)
            return None
        return worker if touch(worker, caller(worker, 3), [self._label]) else None

    def _writes(self, shown: Any) -> None:
        worker = here()
        if worker is None:
            return
        if self._label:
            touch(worker, caller(worker, 3), (), [self._label], shown)
        else:
            unknown(worker, self.fileno(), True)

    def _shown(self, worker: Worker | None, data: Any) -> Any:
        if worker is not None and data is not None:
            saw(worker, text(data))
        return data

    def readinto(self, buffer: Any) -> Any:
        worker = self._reads()
        count = super().readinto(buffer)
        if worker is not None and count is not None:
            saw(worker, text(memoryview(buffer).cast("B")[:count]))
        return count

    def read(self, size: int | None = -1) -> Any:
        if size is None or size < 0:
            return self.readall()
        return self._shown(self._reads(), super().read(size))

    def readall(self) -> Any:
        return self._shown(self._reads(), super().readall())

    def write(self, data: Any) -> Any:
        self._writes(text(memoryview(data).cast("B")))
        worker = here()
        if worker is None or not self._label:
            return super().write(data)
        return written(worker, caller(worker), self.fileno(), data, partial(super().write, data))

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        self._writes(f"truncated to {size}")
        worker = here()
        if worker is None or not self._label:
            return super().truncate(size)
        call = partial(super().truncate, size)
        return int(cut(worker, caller(worker), self.fileno(), size, call))

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            self._reads()
        return super().seek(offset, whence)

    def close(self) -> None:
        if not self.closed:
            worker = here()
            if worker is not None and self._label and self.closefd:
                closing(worker, self.fileno())
                closed(worker, self.fileno())
        super().close()


@patch("builtins.open")
def open_file(
    worker: Worker,
    real: Any,
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    """Opening is a step where it makes, empties or looks for the file."""
    arguments = (mode, buffering, encoding, errors, newline, closefd, opener)
    kinds = set(mode) if isinstance(mode, str) else set()
    sound = len(kinds) == len(mode) and kinds <= set("axrwb+t") and len(kinds & set("axrw")) == 1
    binary = "b" in kinds
    if (
        not sound
        or ("t" in kinds and binary)
        or (binary and (encoding is not None or errors is not None or newline is not None))
        or (not binary and buffering == 0)
    ):
        return real(file, *arguments)  # which raises what there is to raise
    if opener is None and (outside := outside_file(worker, file, mode)) is not None:
        return real(file, *arguments[:-1], outside)
    if encoding is None and not binary:
        encoding = io.text_encoding(None, 2)
    number = isinstance(file, int)
    paths = paths_of(worker.hub)
    paths.lets_go(file)
    label, looked = "", False
    if number:
        handle = paths.handles.get(file)
        label = "" if handle is None else handle.label
    elif opener is None:
        names = PathNames(worker, file, None, True)
        label = names.all[-1]
        at = caller(worker)
        if kinds & set("awx"):
            touch(
                worker, at, [*names.all, *names.above], [*names.all, names.listing],
                _OPENED[(kinds & set("awx")).pop()],
            )  # fmt: skip
        else:
            looked = touch(worker, at, [*names.all, *names.above])
    make = partial(ControlledFile, file, "".join(k for k in mode if k not in "bt"), closefd, opener)
    try:
        if number or opener is not None:
            raw = make()
        else:
            kind = next((k for k in "awx" if k in kinds), "r")
            raw = opened(worker, caller(worker), file, None, True, _FLAGS[kind], make)
    except FileNotFoundError:
        if looked:
            saw(worker, False)
        raise
    if looked:
        saw(worker, True)
    try:
        if not number:
            descriptor = raw.fileno()
            known = paths.handles.get(descriptor) if opener is not None else None
            raw._label = label if known is None else known.label
            if known is None and label:
                paths.opens(descriptor, label)
        else:
            raw._label = label
        return _dress(raw, mode, kinds, buffering, encoding, errors, newline)
    except BaseException:
        raw.close()
        raise


def _dress(
    raw: ControlledFile,
    mode: str,
    kinds: set[str],
    buffering: int,
    encoding: str | None,
    errors: str | None,
    newline: str | None,
) -> Any:
    """The buffer and the text layer that ``open`` puts on a raw file."""
    binary = "b" in kinds
    line = buffering == 1 and not binary
    if buffering == 1 or (buffering < 0 and raw.isatty()):
        buffering, line = -1, not binary and (line or buffering < 0)
    if buffering < 0:
        size = getattr(raw, "_blksize", 0)
        buffering = size if size > 1 else io.DEFAULT_BUFFER_SIZE
    if buffering == 0:
        return raw
    buffer: Any
    if "+" in kinds:
        buffer = io.BufferedRandom(raw, buffering)
    elif kinds & set("awx"):
        buffer = io.BufferedWriter(raw, buffering)
    else:
        buffer = io.BufferedReader(raw, buffering)
    if binary:
        return buffer
    dressed = io.TextIOWrapper(buffer, encoding, errors, newline, line)
    dressed.mode = mode  # type: ignore[misc]
    return dressed


@patch("os.fdopen")
def fdopen(
    worker: Worker, real: Any, fd: int, mode: str = "r", buffering: int = -1, encoding: Any = None,
    *args: Any, **kwargs: Any,
) -> Any:  # fmt: skip
    if not isinstance(fd, int):
        raise TypeError(f"invalid fd type ({type(fd)}, expected integer)")
    return open_file(fd, mode, buffering, encoding, *args, **kwargs)
