"""Broken streams: a reader that went away is no error. Imports nothing of substance."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def discard_output(stream: TextIO) -> None:
    """Discard what is still in the buffers of a broken stream."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


@contextlib.contextmanager
def closed_quietly() -> Iterator[None]:
    """Output that argparse prints by itself may meet a closed pipe, too: that is no error."""
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is None:
                continue
            try:
                stream.flush()
            except (OSError, ValueError):
                discard_output(stream)
