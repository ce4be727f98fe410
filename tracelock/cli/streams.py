"""Broken streams: a reader that went away is no error. Imports nothing of substance."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO


def to_nowhere(stream: TextIO) -> None:
    """Let what is still in the buffers of a broken stream vanish."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


@contextlib.contextmanager
def closed_quietly() -> Iterator[None]:
    """argparse prints by itself: let it meet a closed pipe in peace, too."""
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is None:
                continue
            try:
                stream.flush()
            except (OSError, ValueError):
                to_nowhere(stream)
