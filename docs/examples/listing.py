"""Which examples there are: a folder for each situation, in it a program for each runtime.

Each is a module with two programs as ``tracelock.explore`` takes them, ``BUGGY`` and ``FIXED``.
Beside it lies the smallest failing schedule of the buggy one, as a trace; ``about.md`` in the
folder says what happens, and why the fix works.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
#: The situations in the order of their pages, and the runtimes in that of a page.
SITUATIONS = (
    "line_protocol", "retried_payment", "leaking_pool", "cache_stampede", "lost_update",
    "expired_lease", "stale_read", "partitioned_store",
)  # fmt: skip
RUNTIMES = ("threads", "asyncio", "trio")


def names(begin: tuple[str, ...] = ("",)) -> list[str]:
    """The examples whose names begin with one of these: ``stale_read/on_trio``."""
    every = (f"{situation}/on_{runtime}" for situation in SITUATIONS for runtime in RUNTIMES)
    return [name for name in every if name.startswith(begin)]


def load(name: str) -> Any:
    """The module of an example."""
    return importlib.import_module(f"docs.examples.{name.replace('/', '.')}")
