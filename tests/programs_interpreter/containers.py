"""Containers: items, keys with methods in Python, iteration, tests before use."""

from __future__ import annotations

import queue
from typing import Any

from tests.programs_interpreter.program import Program


def hits() -> dict[str, int]:
    return {"page": 0}


def hit(counts: dict[str, int]) -> None:
    counts["page"] += 1


def cells() -> list[int]:
    return [0, 0]


def add_to_cell(row: list[int]) -> None:
    row[1] += 1


class Version:
    """A key with a hash and an equality of its own."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.numbers == other.numbers


NEWEST = Version(3, 12)


def downloads() -> dict[Version, int]:
    return {Version(3, 12): 0}


def download(counts: dict[Version, int]) -> None:
    counts[NEWEST] += 1


class Headers:
    """A mapping in Python."""

    def __init__(self) -> None:
        self.stored: dict[str, int] = {"retries": 0}

    def __getitem__(self, name: str) -> int:
        return self.stored[name.lower()]

    def __setitem__(self, name: str, value: int) -> None:
        self.stored[name.lower()] = value


def retry(headers: Headers) -> None:
    headers["Retries"] += 1


def retried_twice(headers: Headers) -> bool:
    return headers.stored["retries"] == 2


class Cache:
    def __init__(self) -> None:
        self.stored: dict[str, object] = {}
        self.got: list[object] = []

    def load(self) -> object:
        found = self.stored.get("key")
        if found is None:
            found = self.stored["key"] = object()
        return found

    def load_in_one(self, name: str) -> object:
        return self.stored.setdefault("key", name)


def load(cache: Cache) -> None:
    cache.got.append(cache.load())


def load_first(cache: Cache) -> None:
    cache.got.append(cache.load_in_one("first"))


def load_second(cache: Cache) -> None:
    cache.got.append(cache.load_in_one("second"))


def one_object(cache: Cache) -> bool:
    return len({id(one) for one in cache.got}) == 1


class Registry:
    def __init__(self) -> None:
        self.plugins = {"csv": 1, "json": 2, "xml": 3}
        self.names: list[str] = []


def list_plugins(registry: Registry) -> None:
    for name in registry.plugins:
        registry.names.append(name.upper())


def add_plugin(registry: Registry) -> None:
    registry.plugins["toml"] = 4


def listed(registry: Registry) -> bool:
    return len(registry.names) >= 3


class Jobs:
    def __init__(self) -> None:
        self.waiting: queue.Queue[str] = queue.Queue()
        self.waiting.put("job")
        self.done: list[str] = []


def take_job(jobs: Jobs) -> None:
    if not jobs.waiting.empty():
        jobs.done.append(jobs.waiting.get_nowait())


def one_done(jobs: Jobs) -> bool:
    return jobs.done == ["job"]


class Pair:
    def __init__(self) -> None:
        self.left, self.right = 1, 2


def swap(pair: Pair) -> None:
    pair.left, pair.right = pair.right, pair.left


def swapped_twice(pair: Any) -> bool:
    return (pair.left, pair.right) == (1, 2)


PROGRAMS = [
    Program(
        "dict: hits['page'] += 1", hits, (hit, hit), lambda counts: counts["page"] == 2,
        "right", "breaks",
        "BINARY_SUBSCR, BINARY_OP and STORE_SUBSCR of a dict with a str key, which hashes and"
        " compares in C. Without the GIL the dict is locked for each of them, not for both.",
    ),
    Program(
        "list: row[1] += 1", cells, (add_to_cell, add_to_cell), lambda row: row == [0, 2],
        "right", "breaks",
        "an item of a list read and written, int added: no check. Without the GIL both may read 0.",
    ),
    Program(
        "dict: a key with __hash__ in Python", downloads, (download, download),
        lambda counts: list(counts.values()) == [2], "breaks", "breaks",
        "STORE_SUBSCR hashes the key again: the RESUME of __hash__ checks between read and write.",
    ),
    Program(
        "a mapping in Python", Headers, (retry, retry), retried_twice,
        "breaks", "breaks",
        "__setitem__ is a Python function: its RESUME checks after __getitem__ has read.",
    ),
    Program(
        "cache: get, then store", Cache, (load, load), one_object, "breaks", "breaks",
        "a check follows the call of dict.get (and that of object): both may find nothing.",
    ),
    Program(
        "cache: setdefault", Cache, (load_first, load_second), one_object, "right", "right",
        "dict.setdefault with a str key is one step with the GIL, and holds the lock of the dict"
        " without it.",
    ),
    Program(
        "registry: listed while it grows", Registry, (list_plugins, add_plugin), listed,
        "breaks", "breaks",
        "each round of the loop jumps back and checks: a key that is added meanwhile makes the next"
        " FOR_ITER raise RuntimeError.",
    ),
    Program(
        "queue: empty(), then get_nowait()", Jobs, (take_job, take_job), one_done,
        "breaks", "breaks",
        "empty() and get_nowait() are Python functions: both may see the one job, and one of them"
        " raises queue.Empty.",
    ),
    Program(
        "a swap of two attributes", Pair, (swap, swap), swapped_twice, "right", "breaks",
        "two reads and two writes of plain attributes: no check. Without the GIL the second may"
        " read `left` after the first has written it and before it has written `right`.",
    ),
]  # fmt: skip
