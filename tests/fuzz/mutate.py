"""Mutations of documents: of their structure, by what the schema knows, and of their bytes.

Everything is drawn from the ``Random`` that is given, so that a number names an input for ever.
"""

from __future__ import annotations

import copy
import gzip
import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import yaml

from tracelock.scenario.language.jsonschema import scenario_schema

ROOT: Final = Path(__file__).parents[2]

#: Values that no field is meant to have.
HOSTILE: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-320,
    float("nan"), float("inf"), "", " ", "0", "-1", "x", "[]", "1 // 0", "1" * 5000, "a" * 100_000,
    "\x00", "\x1b[31m", "\u202e", "\ud800", "'''\"\"\"", "</script>", "../../etc/passwd", "${x}",
    "true", "null", "x[0]", "x[-1]", "x[99999999999999999999]", "len(x)", "[[0] * 99999] * 99999",
    "'a' * 99999 in 'b' * 99999", "max(x, x)", "os:system", [], {}, [[]], [{}], {"": None},
    [None] * 1000, {"a": {"b": {"c": {}}}}, {"repeat": 10**18, "do": []},
)  # fmt: skip


def deep(levels: int) -> Any:
    """Lists in lists."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


@cache
def words() -> tuple[str, ...]:
    """Every key, constant and enumerated word of the published schema."""
    found: set[str] = set()

    def look(node: Any) -> None:
        if isinstance(node, dict):
            found.update(node.get("properties", ()))
            found.update(w for w in node.get("enum", ()) if isinstance(w, str))
            if isinstance(node.get("const"), str):
                found.add(node["const"])
            for part in node.values():
                look(part)
        elif isinstance(node, list):
            for part in node:
                look(part)

    look(scenario_schema())
    return tuple(sorted(found))


@cache
def scenarios() -> tuple[Any, ...]:
    """The scenarios of the library, as data."""
    read = (yaml.safe_load(path.read_text()) for path in sorted(ROOT.glob("scenarios/*.yaml")))
    return tuple(json.loads(json.dumps(data)) for data in read)


@cache
def traces() -> tuple[Any, ...]:
    """The traces of the library, as data."""
    return tuple(json.loads(path.read_text()) for path in sorted(ROOT.glob("traces/*.json")))


def scenario(random: Random) -> bytes:
    """A mutated scenario."""
    return written(random, mutated(random, random.choice(scenarios())))


def trace(random: Random) -> bytes:
    """A mutated trace, sometimes compressed."""
    data = written(random, mutated(random, random.choice(traces())))
    return gzip.compress(data, 1) if random.random() < 0.1 else data


def mutated(random: Random, document: Any) -> Any:
    """A copy of ``document`` with a few changes of its structure."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((0, 1, 1, 1, 2, 3, 8))):
        places = _places(document)
        if not places:
            break
        holder, key = random.choice(places)
        with suppress(RecursionError):  # of what nested lists were put into each other before
            _CHANGES[random.randrange(len(_CHANGES))](random, holder, key, places)
    return document


def _places(document: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [document]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            keys: Any = list(node)
        elif isinstance(node, list):
            keys = range(len(node))
        else:
            continue
        found += [(node, key) for key in keys]
        todo += [node[key] for key in keys]
    return found


def _hostile(random: Random, holder: Any, key: Any, places: Any) -> None:
    holder[key] = copy.deepcopy(random.choice(HOSTILE))


def _moved(random: Random, holder: Any, key: Any, places: Any) -> None:
    other, there = random.choice(places)
    holder[key] = copy.deepcopy(other[there])


def _word(random: Random, holder: Any, key: Any, places: Any) -> None:
    holder[key] = random.choice(words())


def _gone(random: Random, holder: Any, key: Any, places: Any) -> None:
    del holder[key]
    places[:] = []


def _renamed(random: Random, holder: Any, key: Any, places: Any) -> None:
    if isinstance(holder, dict):
        holder[random.choice(words())] = holder[key]


def _again(random: Random, holder: Any, key: Any, places: Any) -> None:
    if isinstance(holder, list):
        holder[key:key] = [copy.deepcopy(holder[key]) for _ in range(random.choice((1, 2, 40)))]


def _nudged(random: Random, holder: Any, key: Any, places: Any) -> None:
    value = holder[key]
    if isinstance(value, int | float):
        holder[key] = value + random.choice((-1, 1, 2, 1000, -1000))
    elif isinstance(value, str) and value:
        at = random.randrange(len(value))
        holder[key] = value[:at] + random.choice("[]()*'\"\\ -+,:.=\n\x00é") + value[at + 1 :]


def _nested(random: Random, holder: Any, key: Any, places: Any) -> None:
    holder[key] = deep(random.choice((5, 60, 300)))


_CHANGES: Final = (_hostile, _moved, _word, _gone, _renamed, _again, _nudged, _nudged, _nested)


def written(random: Random, document: Any) -> bytes:
    """The bytes of a document, sometimes damaged."""
    lines = random.random() < 0.3
    try:
        data = json.dumps(document, indent=1 if lines else None).encode()
    except RecursionError:  # deeper than the encoder goes: as deep as that, at least
        data = b"[" * 5000 + b"]" * 5000
    if random.random() < 0.25:
        for _ in range(random.choice((1, 1, 3))):
            at = random.randrange(len(data) + 1)
            match random.randrange(4):
                case 0:
                    data = data[:at]
                case 1:
                    data = data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
                case 2:
                    data = data[:at] + data[random.randrange(len(data) + 1) :]
                case _:
                    data = (
                        data[:at] + random.choice((b"\x00", b"\xff", b"[" * 400, b'"')) + data[at:]
                    )
    return data
