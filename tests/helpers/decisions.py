"""Where the schedules of a few programs run, told by a process that is given what else to load:
``python -m tests.helpers.decisions [loaded FOLDER]``."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.helpers.apart import Account, add, add_safely
from tests.helpers.forked import explored

#: Nothing of it is used by any of the programs below.
MODULES = (
    "sqlite3", "ctypes", "ctypes.util", "xml.dom.minidom", "xml.etree.ElementTree", "xml.sax",
    "curses", "decimal", "zlib", "bz2", "lzma", "ssl", "asyncio", "multiprocessing",
    "multiprocessing.sharedctypes", "concurrent.futures", "logging.handlers", "unittest.mock",
    "http.server", "urllib.request", "email.message", "tkinter", "readline", "mmap", "resource",
    "pydantic", "pydantic_core", "yaml", "jinja2", "markupsafe", "hypothesis", "trio", "msgpack",
    "rpds", "psutil", "numpy", "lxml.etree", "cffi",
)  # fmt: skip
#: A module like those of the program, of which no code is run; an object in it changes in each
#: schedule all the same, by a function that is written in C.
NEIGHBOUR = """
import ctypes, functools, io, sys, yaml, pydantic_core
LIBC = ctypes.CDLL(None)
TEXT = io.StringIO()
def ticks():
    yield from range(1000)
TICKS = ticks()
next(TICKS)
@functools.lru_cache(maxsize=2)
def cached(number):
    return number
cached(1)
class Model:
    serializer = pydantic_core.SchemaSerializer({"type": "int"})
THING = yaml.CLoader("")
sys.addaudithook(vars(THING).__setitem__)
"""


def tick(account: Account) -> None:
    sys.audit("tick", account.total)
    add(account)


def ticks() -> Iterator[int]:
    yield from range(1_000)


TICKS = ticks()


def leaks(account: Account) -> None:
    tick(account)
    next(TICKS)


@functools.lru_cache(maxsize=2)
def cached(number: int) -> int:
    return number


cached(0)


def fills(account: Account) -> None:
    tick(account)
    cached(1)


def calls_c(account: Account) -> None:
    from pydantic_core import to_json

    to_json(1)
    tick(account)


def names_ctypes(account: Account) -> None:
    import ctypes

    tick(account)
    if account.total > 100:
        ctypes.string_at(0)


def programs() -> Iterator[tuple[str, Callable[[Account], Any]]]:
    mine = ticks()
    numbers: list[int] = []

    def counts(account: Account) -> None:
        tick(account)
        numbers.append(next(mine))

    yield from (
        ("plain", tick), ("safe", add_safely), ("the caller's own", counts), ("leaks", leaks),
        ("fills", fills), ("calls C", calls_c), ("names ctypes", names_ctypes),
    )  # fmt: skip


def main() -> None:
    if len(sys.argv) > 1:
        for name in MODULES:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        folder = Path(sys.argv[1])
        (folder / "neighbour.py").write_text(NEIGHBOUR, encoding="utf-8")
        sys.path.append(str(folder))
        importlib.import_module("neighbour")
    told = {}
    for name, worker in programs():
        _, isolation = explored(worker, add, schedules=8, strategy="random")
        told[name] = [isolation.apart, isolation.forks, isolation.why]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
