"""Recorded failures of the connection pools that check once, with the source they ran."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import tracelock
from tests.helpers import pool_asyncio, pool_threads

FOLDER = Path(__file__).resolve().parents[1] / "data" / "code"
MODULES: dict[str, ModuleType] = {"pool_threads": pool_threads, "pool_asyncio": pool_asyncio}


def pool(name: str) -> tuple[tracelock.Trace, dict[str, str]]:
    """The trace of a pool and its sources, by the names that it has for them."""
    test = (FOLDER / f"{name}_test.txt").read_text(encoding="utf-8")
    sources = {"pool.py": inspect.getsource(MODULES[name]), "test_pool.py": test}
    return tracelock.load_trace(FOLDER / f"{name}.json"), sources


def page_of(name: str, **more: object) -> str:
    """The page of a pool."""
    trace, sources = pool(name)
    return tracelock.render_report(trace, sources=sources, **more)  # type: ignore[arg-type]
