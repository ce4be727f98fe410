"""Rewritten sources kept on disk, beside what Python itself keeps: to rewrite takes a while.

``__pycache__/bank.cpython-311-tracelock.pyc`` holds the code of ``bank.py`` twice, as it is and
rewritten. In the latter stand marks; what they stand for (hooks, places) is written down by name. A
file counts if it was made of the same source, for the same module, by the same Python and by the
same rewriting code, and if it is whole. As with Python's own files, ``sys.pycache_prefix`` says
where they go and ``PYTHONDONTWRITEBYTECODE`` that none is written; where none can be, none is.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import hashlib
import importlib.util
import marshal
import operator
import os
import sys
from types import CodeType
from typing import Any, Final

from tracelock.instrument.accesses import hooks, spread_calls
from tracelock.instrument.accesses.places import Closure, Home
from tracelock.instrument.contexts import identity
from tracelock.instrument.rewrite.sites import Site

_MAGIC: Final = b"tracelock rewritten 1\n"
_DIGEST: Final = 32
#: Where functions are that rewritten code calls.
_CALLED: Final = {
    "hooks": hooks, "spread_calls": spread_calls, "operator": operator, "builtins": builtins,
}  # fmt: skip
#: Files that say how sources are rewritten, in the folder ``instrument``.
_RULES: Final = (
    "rewrite/caching.py", "rewrite/codes.py", "rewrite/expressions.py", "rewrite/operators.py",
    "rewrite/patterns.py", "rewrite/rewriting.py", "rewrite/scopes.py", "rewrite/sites.py",
    "rewrite/trees.py", "accesses/containers.py", "accesses/callbacks.py", "accesses/functions.py",
    "accesses/hooks.py", "accesses/matching.py", "accesses/places.py", "accesses/unordered.py",
)  # fmt: skip


class KeptCode:
    """What a file holds: the plain code, the rewritten code with marks, and what these are."""

    __slots__ = ("marked", "objects", "plain", "sites")

    def __init__(
        self, plain: CodeType, marked: CodeType, objects: list[object], sites: list[Site]
    ) -> None:
        self.plain = plain
        self.marked = marked
        self.objects = objects
        self.sites = sites


@functools.cache
def _rules() -> bytes:
    """What tells this rewriting code from any other, b"" where that cannot be told."""
    folder = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    found = hashlib.sha256(f"{sys.version} {sys.flags.optimize}".encode())
    found.update(importlib.util.MAGIC_NUMBER)
    try:
        for name in _RULES:
            with open(os.path.join(folder, name), "rb") as file:
                found.update(file.read())
    except OSError:
        return b""
    return found.digest()


def key_of(*parts: object) -> bytes:
    """What has to be the same for a file to count; b"" where nothing is to be kept."""
    rules = _rules()
    return rules and hashlib.sha256(repr((rules, *parts)).encode()).digest()


def path_for(source: str, more: str = "") -> str | None:
    """Where the rewritten code of a source file is kept, None where nothing is."""
    try:
        path = importlib.util.cache_from_source(source)
    except NotImplementedError:  # this Python keeps none
        return None
    return f"{path.removesuffix('.pyc')}-tracelock{more}.pyc"


def read(path: str, key: bytes) -> KeptCode | None:
    """What is kept in a file, None where that is nothing, something else, or not whole."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError:
        return None
    begin = len(_MAGIC) + 2 * _DIGEST
    body = memoryview(data)[begin:]
    if data[: begin - _DIGEST] != _MAGIC + key:
        return None
    if data[begin - _DIGEST : begin] != hashlib.sha256(body).digest():
        return None
    plain, marked, places, objects = marshal.loads(body)
    sites = [Site(*place) for place in places]
    return KeptCode(plain, marked, [_object(one, sites) for one in objects], sites)


def write(path: str, key: bytes, kept: KeptCode, source: str) -> None:
    """Keep this, if files are to be written and can be."""
    if sys.dont_write_bytecode:
        return
    number = {identity(site): place for place, site in enumerate(kept.sites)}
    body = marshal.dumps((
        kept.plain, kept.marked, [(one.file, one.line, one.function) for one in kept.sites],
        [_described(one, number) for one in kept.objects],
    ))  # fmt: skip
    data = b"".join((_MAGIC, key, hashlib.sha256(body).digest(), body))
    temporary = f"{path}.{os.getpid()}.{identity(kept)}"
    with contextlib.suppress(OSError):
        mode = os.stat(source).st_mode | 0o200
        os.makedirs(os.path.dirname(path), exist_ok=True)
        there = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o666)
        try:
            with open(there, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _described(obj: Any, numbers: dict[int, int]) -> tuple[Any, ...]:
    """What rewritten code has for a constant, by names."""
    if type(obj) is Site:
        return ("site", numbers[identity(obj)])
    if type(obj) is Home:
        return ("home", obj.name)
    if type(obj) is Closure:
        return ("closure", obj.file, obj.function)
    called: str = obj.__name__
    for name, module in _CALLED.items():
        if getattr(module, called, None) is obj:
            return ("call", name, called)
    raise AssertionError(obj)


def _object(described: tuple[Any, ...], sites: list[Site]) -> object:
    match described:
        case ("site", number):
            return sites[number]
        case ("home", name):
            return Home(name)
        case ("closure", file, function):
            return Closure(file, function)
        case ("call", module, name):
            return getattr(_CALLED[module], name)
    raise AssertionError(described)
