"""Which program shows which bug, in which version of a library, on which Python.

A program has ``setup()``, ``workers`` and ``check(state)``, as ``tracelock.explore`` takes them.
The coroutine functions of an asyncio program look at ``state["tasks"]``, their tasks in the order
of ``workers``, so that one worker starts them all. The same program on a version in which the bug
is mended must stay silent.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

EVERY = ((3, 11), (3, 12), (3, 13))


@dataclass(frozen=True, slots=True)
class Case:
    """One program on one version.

    ``pins``: what it needs beside the standard library and ``typing_extensions`` (which tracelock
    itself depends on by way of pydantic), for ``pip install --no-deps``.
    ``instrument``: the modules whose shared accesses are scheduling points. ``pythons``: the
    versions on which the bug (or its mend) is. ``kinds``: the failures that are the bug. ``clock``:
    that under which it comes up (``adversarial``: a thread takes longer than a timer).
    """

    name: str
    program: str
    pins: tuple[str, ...]
    instrument: tuple[str, ...]
    mended: bool = False
    pythons: tuple[tuple[int, int], ...] = EVERY
    kinds: tuple[str, ...] = ("deadlock",)
    tasks: bool = False
    gc: bool = False
    clock: str = "virtual"

    def missing(self) -> str:
        """Why this case cannot run in this process, "" if it can."""
        if sys.version_info[:2] not in self.pythons:
            places = ", ".join(f"{major}.{minor}" for major, minor in self.pythons)
            return f"this is of Python {places}"
        for pin in self.pins:
            name, _, wanted = pin.partition("==")
            try:
                there = version(name)
            except PackageNotFoundError:
                return f"{name} {wanted} is not installed"
            if there != wanted:
                return f"needs {name} {wanted}, {there} is installed"
        return ""

    def arguments(self) -> dict[str, Any]:
        """What ``tracelock.explore`` and ``tracelock.replay`` get of it."""
        program = importlib.import_module(f"tests.corpus.{self.program}")
        workers: Sequence[Callable[..., Any]] = program.workers
        if self.tasks:
            assert all(inspect.iscoroutinefunction(work) for work in workers)

            async def main(state: Any) -> None:
                state["ticks"] = {}
                state["tasks"] = [asyncio.create_task(work(state)) for work in program.workers]
                await asyncio.gather(*state["tasks"], return_exceptions=True)

            workers = [main]
        return {
            "setup": program.setup,
            "workers": workers,
            "check": program.check,
            "instrument": list(self.instrument),
            "backend": "asyncio" if self.tasks else "threading",
        }


_LIMITS = ("deprecated==1.2.14", "wrapt==1.16.0", "packaging==24.0")
CASES = [
    Case(
        "cachetools-ttl", "cachetools_ttl", ("cachetools==5.3.1",), ("cachetools",),
        kinds=("finally",),
    ),
    Case(
        "loguru-finalizer", "loguru_finalizer", ("loguru==0.6.0",), ("loguru",), gc=True,
    ),
    Case(
        "loguru-finalizer-mended", "loguru_finalizer", ("loguru==0.7.3",), ("loguru",),
        mended=True, gc=True,
    ),
    Case(
        "filelock-singleton", "filelock_singleton", ("filelock==3.13.1",),
        ("filelock", "weakref"), kinds=("finally",),
    ),
    Case(
        "filelock-singleton-mended", "filelock_singleton", ("filelock==4.2.11",),
        ("filelock", "weakref"), mended=True,
    ),
    Case(
        "rich-live-stop", "rich_live_stop",
        ("rich==9.8.0", "colorama==0.4.6", "pygments==2.18.0", "commonmark==0.9.1"),
        ("rich.live",),
    ),
    Case(
        "rich-live-stop-mended", "rich_live_stop",
        ("rich==13.7.1", "markdown-it-py==3.0.0", "mdurl==0.1.2", "pygments==2.18.0"),
        ("rich.live",), mended=True,
    ),
    Case(
        "zict-pop", "zict_pop", ("zict==3.0.0",), ("zict", "_collections_abc"), kinds=("finally",),
    ),
    Case("cached-property", "cached_property", (), ("functools",), pythons=((3, 11),)),
    Case(
        "cached-property-mended", "cached_property", (), ("functools",), mended=True,
        pythons=((3, 12), (3, 13)),
    ),
    Case(
        "asyncio-condition", "asyncio_condition", (), ("asyncio.locks",),
        pythons=((3, 11), (3, 12)), tasks=True,
    ),
    Case(
        "asyncio-condition-mended", "asyncio_condition", (), ("asyncio.locks",), mended=True,
        pythons=((3, 13),), tasks=True,
    ),
    Case(
        "anyio-lock", "anyio_lock", ("anyio==4.12.1", "idna==3.7", "sniffio==1.3.1"),
        ("anyio._backends._asyncio",), tasks=True,
    ),
    Case(
        "anyio-lock-mended", "anyio_lock",
        ("anyio==4.16.0", "idna==3.7"),
        ("anyio._backends._asyncio",), mended=True, tasks=True,
    ),
    Case("async-lru-clear", "async_lru_clear", ("async-lru==2.0.3",), ("async_lru",), tasks=True),
    Case(
        "async-lru-clear-mended", "async_lru_clear", ("async-lru==2.0.4",), ("async_lru",),
        mended=True, tasks=True,
    ),
    Case(
        "limits-expiry", "limits_expiry", ("limits==5.2.0", *_LIMITS), ("limits",),
        kinds=("finally",), tasks=True, clock="adversarial",
    ),
    Case(
        "limits-expiry-mended", "limits_expiry", ("limits==5.8.0", *_LIMITS), ("limits",),
        mended=True, tasks=True, clock="adversarial",
    ),
]  # fmt: skip
BY_NAME = {case.name: case for case in CASES}
