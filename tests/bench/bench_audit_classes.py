"""Audits of classes that nobody here wrote, of the standard library and of PyPI: what was found,
what it cost, and how many anomalies fail as exported programs, which need no tracelock.

``python -m tests.bench.bench_audit_classes [--seconds S] [NAME ...]``: those whose names have a
NAME in them, of all. A library that is not installed is left out, and said. Each audit is a process
of its own. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any, Final

F: Final = "tests.bench.facades"


@dataclass(frozen=True)
class Subject:
    """``library``: that has to be installed; ``how``: arguments of ``tracelock.audit``."""

    name: str
    cls: str
    library: str = ""
    how: dict[str, Any] = field(default_factory=dict)


def _of(name: str, cls: str, library: str = "", **how: Any) -> Subject:
    return Subject(name, cls, library, how)


_LINE: Final = ["put", "get", "qsize", "get_nowait"]
STANDARD: Final = (
    _of("queue.Queue", "queue:Queue", init="Queue(1)", methods=_LINE),
    _of("queue.LifoQueue", "queue:LifoQueue", init="LifoQueue(1)", methods=_LINE),
    _of("queue.PriorityQueue", "queue:PriorityQueue", init="PriorityQueue(1)", methods=_LINE),
    _of("collections.Counter", "collections:Counter",
        methods=["update", "total", "x[k]=v", "x[k]", "pop", "most_common"]),
    _of("collections.OrderedDict", "collections:OrderedDict",
        methods=["x[k]=v", "popitem", "move_to_end", "len", "keys"]),
    _of("collections.deque", "collections:deque",
        methods=["append", "pop", "popleft", "rotate", "len", "iter"]),
    _of("functools.lru_cache", "functools:lru_cache", init="lru_cache(1)(abs)"),
    _of("weakref.WeakValueDictionary", "weakref:WeakValueDictionary",
        methods=["x[k]=v", "pop", "setdefault", "len", "in"]),
    _of("logging.handlers.MemoryHandler", "logging.handlers:MemoryHandler",
        init="MemoryHandler(2)", methods=["flush", "close", "acquire", "release"]),
    _of("concurrent.futures.Future", "concurrent.futures:Future",
        methods=["set_result", "cancel", "done", "cancelled", "set_running_or_notify_cancel"]),
    _of("threading.Barrier", "threading:Barrier", init="Barrier(2)"),
    _of("asyncio.Lock", "asyncio:Lock"),
    _of("asyncio.Event", "asyncio:Event"),
    # a wait may return without being told, as its documentation says
    _of("asyncio.Condition", f"{F}:Condition", contract={"wait": "rendezvous"}),
    _of("asyncio.Semaphore", "asyncio:Semaphore"),
    _of("asyncio.BoundedSemaphore", "asyncio:BoundedSemaphore"),
    _of("asyncio.Barrier", "asyncio:Barrier", init="Barrier(2)"),
    _of("asyncio.Queue", "asyncio:Queue", init="Queue(1)", methods=[*_LINE, "join", "task_done"]),
    _of("asyncio.LifoQueue", "asyncio:LifoQueue", init="LifoQueue(1)", methods=_LINE),
    _of("asyncio.PriorityQueue", "asyncio:PriorityQueue", init="PriorityQueue(1)", methods=_LINE),
)  # fmt: skip
PYPI: Final = (
    _of("aiorwlock.RWLock", f"{F}:ReadWriteLock", "aiorwlock"),
    _of("aiolimiter.AsyncLimiter", "aiolimiter:AsyncLimiter", "aiolimiter",
        init="AsyncLimiter(1, 10)", methods=["acquire", "has_capacity"]),
    _of("async_lru.alru_cache", f"{F}:CachedFunction", "async_lru",
        contract={"call": "cancels"}),
    _of("aiocache.SimpleMemoryCache", f"{F}:MemoryCache", "aiocache"),
    _of("aiocache.RedLock", f"{F}:MemoryLock", "aiocache"),
    _of("purgatory", f"{F}:Breaker", "purgatory"),
    _of("aiobreaker.CircuitBreaker", f"{F}:OtherBreaker", "aiobreaker"),
    _of("janus (tasks)", f"{F}:async_queue", "janus", init="async_queue()",
        methods=["put", "get", "qsize", "shutdown"]),
    _of("asyncio_throttle.Throttler", "asyncio_throttle:Throttler", "asyncio_throttle",
        init="Throttler(rate_limit=1)", methods=["acquire"]),
    _of("asyncstdlib.cached_property", f"{F}:CachedProperty", "asyncstdlib"),
    _of("anyio.CapacityLimiter", f"{F}:Limiter", "anyio",
        strategies={"name": "['a', 'b']"}),
    _of("cachetools.LRUCache", "cachetools:LRUCache", "cachetools",
        init="LRUCache(2)", methods=["x[k]", "x[k]=v", "len", "pop"]),
    _of("boltons.LRU", "boltons.cacheutils:LRU", "boltons", init="LRU(2)",
        methods=["x[k]", "x[k]=v", "copy", "pop", "len"]),
    _of("expiringdict.ExpiringDict", "expiringdict:ExpiringDict", "expiringdict",
        init="ExpiringDict(2, 60)", methods=["x[k]", "x[k]=v", "pop", "items", "len"]),
    _of("pybreaker.CircuitBreaker", "pybreaker:CircuitBreaker", "pybreaker",
        init="CircuitBreaker(fail_max=2)", methods=["open", "close", "half_open", "current_state"]),
    _of("pyrate_limiter.InMemoryBucket", "pyrate_limiter:InMemoryBucket", "pyrate_limiter",
        init="InMemoryBucket([Rate(1, 1000)])", methods=["put", "count", "flush"],
        strategies={"item": "[RateItem('a', 0), RateItem('a', 1)]"}),
    _of("limits.MemoryStorage", "limits.storage:MemoryStorage", "limits",
        methods=["incr", "get", "clear", "decr"], strategies={"amount": "[1]"}),
    _of("readerwriterlock.RWLockFair", f"{F}:ThreadReadWriteLock", "readerwriterlock"),
    _of("blinker.Signal", f"{F}:Signal", "blinker"),
    _of("zict.LRU", "zict:LRU", "zict", init="LRU(2, {})",
        methods=["x[k]", "x[k]=v", "del x[k]", "in", "len"]),
    _of("pluggy.PluginManager", f"{F}:Plugins", "pluggy"),
    _of("prometheus_client.Gauge", "prometheus_client:Gauge", "prometheus_client",
        init="Gauge('g', 'd', registry=None)", methods=["inc", "dec", "set", "collect"],
        ignore=["timestamp"]),
    _of("cacheout.Cache", "cacheout:Cache", "cacheout", init="Cache(maxsize=2)",
        methods=["get", "set", "add", "delete", "size", "keys"]),
    _of("jinja2.LRUCache", "jinja2.utils:LRUCache", "jinja2", init="LRUCache(2)",
        methods=["get", "x[k]=v", "items", "setdefault", "len"]),
    _of("token_bucket.Limiter", "token_bucket:Limiter", "token_bucket",
        init="Limiter(1, 2, MemoryStorage())", methods=["consume"]),
    _of("dogpile.cache region", f"{F}:Region", "dogpile"),
)  # fmt: skip
#: Anomalies of one kind, of which one is run as a program, at most.
_PROGRAMS: Final = 5


def audited(subject: Subject, seconds: float) -> dict[str, Any]:
    """One row, in this process."""
    import tracelock

    how = {"calls": 1, "seconds": seconds, **subject.how}
    if subject.cls.startswith(F) and subject.library:
        how["instrument"] = [subject.library]  # what stands before it is not what is asked about
    with tempfile.TemporaryDirectory() as folder:
        begun = perf_counter()
        found = tracelock.audit(subject.cls, **{**how, "folder": folder})
        kinds: dict[tuple[str, str], Any] = {}
        for cell in found.anomalies:
            kinds.setdefault((cell.kind, cell.about), cell)
        confirmed = [_fails(cell, folder) for cell in list(kinds.values())[:_PROGRAMS]]
        every = [cell.verdict for cell in found.every]
        reasons = sorted({cell.reason for cell in found.every if cell.verdict == "passed"})
        return {
            "verdict": found.verdict, "verified": every.count("verified"), "cells": len(every),
            "kinds": [
                f"{cell.kind}{f' ({about})' if about else ''}: {cell.client}: {cell.detail}"
                for (_, about), cell in kinds.items()
            ],
            "confirmed": f"{sum(confirmed)}/{len(confirmed)}" if confirmed else "",
            "clients": found.clients, "schedules": found.schedules, "reasons": reasons[:2],
            "seconds": round(perf_counter() - begun, 1),
        }  # fmt: skip


def _fails(cell: Any, folder: str) -> bool:
    """Whether an anomaly fails as a program that is run without tracelock."""
    if cell.recorded is None:
        return False
    cell.recorded.save(Path(folder) / "trace.json")
    root = str(Path(__file__).resolve().parents[2])
    forced = Path(folder) / "forced.py"
    forced.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}"}
    line = ["-m", "tracelock", "export", "trace.json", "--as", "python", "-o", "forced.py"]
    for arguments in (line, ["forced.py"]):
        try:
            done = subprocess.run(
                [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        if not forced.exists():
            return False
    return done.returncode == 1


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("names", nargs="*")
    options.add_argument("--seconds", type=float, default=20.0)
    options.add_argument("--one", action="store_true", help="the one of this name, as JSON")
    given = options.parse_args()
    subjects = [
        one for one in (*STANDARD, *PYPI)
        if not given.names or any(name in one.name for name in given.names)
    ]  # fmt: skip
    if given.one:
        (subject,) = [one for one in subjects if one.name == given.names[0]]
        print(json.dumps(audited(subject, given.seconds)))
        return 0
    print(f"load {os.getloadavg()[0]:.1f}, {sys.version.split()[0]}, {given.seconds:g} s each\n")
    print("| class | verdict | cells verified | fail alone | clients | schedules | s | what |")
    print("|---|---|---|---|---|---|---|---|")
    for subject in subjects:
        if subject.library and find_spec(subject.library) is None:
            print(f"| {subject.name} | not installed | | | | | | |")
            continue
        line = ["-m", "tests.bench.bench_audit_classes", "--one", subject.name]
        try:
            done = subprocess.run(
                [sys.executable, *line, "--seconds", str(given.seconds)], capture_output=True,
                text=True, timeout=given.seconds * 4 + 700, check=False,
            )  # fmt: skip
            row = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            told = (done.stderr.strip().splitlines() or ["?"])[-1]
            print(f"| {subject.name} | error | | | | | | {told[:300]} |")
            continue
        what = "; ".join([*row["kinds"], *(row["reasons"] if not row["kinds"] else [])])
        print(
            f"| {subject.name} | {row['verdict']} | {row['verified']}/{row['cells']} | "
            f"{row['confirmed']} | {row['clients']} | {row['schedules']:,} | {row['seconds']} | "
            f"{what.replace('|', '/')[:500]} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
