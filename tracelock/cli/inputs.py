"""The files that a command is given to read: ``@name`` is a scenario that comes with the package,
one of another kind is told what it is and what to do with it, and where there is none of that name,
which was probably meant."""

from __future__ import annotations

import argparse
import gzip
import os
import re
import shlex
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Final

from tracelock.cli.learning.shipped import path_of
from tracelock.cli.options import READ_COMPARISON, READ_SCENARIO, READ_SOURCE, READ_TRACE
from tracelock.cli.usage.suggestions import nearest
from tracelock.errors import UsageError

#: By what is read, the kinds of files that are right, the usual one first.
_RIGHT: Final = {
    READ_SCENARIO: ("scenario",), READ_TRACE: ("trace",), READ_SOURCE: ("scenario", "trace"),
    READ_COMPARISON: ("trace", "comparison"),
}  # fmt: skip
#: What each kind is called.
_NAMES: Final = {
    "scenario": "a scenario", "trace": "a trace", "comparison": "a comparison",
    "checkpoint": "a checkpoint of a search", "python": "Python code", "page": "a page",
    "folder": "a folder",
}  # fmt: skip
#: The kind is looked for in so many bytes.
_PEEK: Final = 1 << 16
_JSON: Final = re.compile(rb'"format"\s*:\s*"tracelock-(trace|scenario|comparison|checkpoint)/')
_YAML: Final = re.compile(rb"^format\s*:\s*[\"']?tracelock-scenario/", re.M)
_OF_PYTHON: Final = re.compile(rb'"python"\s*:\s*\{')
#: Where files of a kind usually lie, and so many names at most are looked at in a folder.
_FOLDERS: Final = {"scenario": "scenarios", "trace": "traces"}
_ENDINGS: Final = {"scenario": (".yaml", ".yml", ".json"), "trace": (".json", ".json.gz")}
_MOST: Final = 10_000


def check_inputs(options: argparse.Namespace) -> None:
    """Put the path in the place of each ``@name``; raises UsageError for the first file that cannot
    be what its command reads."""
    for dest, use in options.files.items():
        if use in _RIGHT and (given := getattr(options, dest)) is not None:
            many = isinstance(given, list)
            setattr(options, dest, [path_of(one) for one in given] if many else path_of(given))
    if options.command == "validate":  # it tells of each file by itself
        return
    for dest, use in options.files.items():
        given = getattr(options, dest)
        if use not in _RIGHT or given is None or getattr(options, "token", None) is not None:
            continue
        for path in given if isinstance(given, list) else [given]:
            if said := mistaken(path, use, options.command):
                raise UsageError(said)


def mistaken(path: str, use: str, command: str) -> str:
    """What to say of a file that is of another kind than ``use`` asks for, or not there but nearly;
    "" where there is nothing to say, though it may be damaged."""
    right = _RIGHT[use]
    try:
        there = os.path.lexists(path)
    except ValueError:
        return ""
    if not there:
        near = _near(path, right)
        return f"{path}: there is no such file: did you mean {near}?" if near else ""
    kind, of_python = kind_of(path)
    if not kind or kind in right:
        return ""
    wanted = " or ".join(_NAMES[one].removeprefix("a ") for one in right)
    order = "; check takes the trace first, then the scenario" if command == "check" else ""
    todo = _todo(kind, shlex.quote(path), right[0], of_python)
    return f"{path}: this is {_NAMES[kind]}, not a {wanted}: {todo}{order}"


def kind_of(path: str) -> tuple[str, bool]:
    """What kind of file this is, "" where it does not say, and whether it is a trace or scenario of
    Python code. A pipe, which can be read once, is not looked into."""
    if os.path.isdir(path):
        return "folder", False
    if not os.path.isfile(path):
        return "", False
    if path.endswith((".py", ".pyi", ".ipynb")):
        return "python", True
    try:
        with open(path, "rb") as file:
            start = file.read(_PEEK)
        if start.startswith(b"\x1f\x8b"):
            with gzip.open(path, "rb") as packed:
                start = packed.read(_PEEK)
    except (OSError, EOFError, zlib.error):
        return "", False
    of_python = _OF_PYTHON.search(start) is not None
    if start[:100].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "page", False
    kinds = [found.decode() for found in _JSON.findall(start)]
    if kinds:  # a trace holds its scenario
        kind = next((one for one in kinds if one != "scenario"), "scenario")
        return kind, of_python
    return ("scenario" if _YAML.search(start) else "", of_python)


def _todo(kind: str, path: str, wanted: str, of_python: bool) -> str:
    """What can be done with a file that is none of what was wanted."""
    allowed = " --allow-call" if of_python else ""
    name = os.path.basename(path)
    match kind:
        case "trace":
            return f"'tracelock replay {path}{allowed}' runs it again, 'show' prints its steps"
        case "scenario":
            return f"'tracelock explore {path}' looks for a run that fails, and keeps its trace"
        case "comparison":
            return f"'tracelock report {path} -o comparison.html' makes a page of it"
        case "checkpoint":
            return f"a search goes on from it by --checkpoint {path}"
        case "page":
            return "it is there to be read; what can be replayed is the trace that it was made from"
        case "folder":
            return "name a file in it"
    if name.startswith("test_") or name.endswith("_test.py"):
        return f"'pytest --tracelock {path}' explores its tests, and keeps traces in .tracelock/"
    if wanted == "trace":
        return "'pytest --tracelock' explores tests of it, and keeps traces in .tracelock/"
    return (
        "'pytest --tracelock' explores tests of it, tracelock.explore(workers=[...]) functions, "
        "and a scenario may name these (python:)"
    )


def _near(path: str, kinds: tuple[str, ...]) -> str | None:
    """The file that was probably meant: the name may lack its ending or its folder."""
    folder, name = os.path.split(path)
    folders = [folder, *(_FOLDERS[kind] for kind in kinds if kind in _FOLDERS and not folder)]
    endings = tuple(ending for kind in kinds for ending in _ENDINGS.get(kind, ()))
    found: dict[str, str] = {}
    for where in folders:
        for one in _names_in(where or ".", endings):
            found.setdefault(_stem(one), os.path.join(where, one))
    best = nearest(_stem(name), found)  # an ending that they have in common makes nothing alike
    return None if best is None else found[best]


def _names_in(folder: str, endings: tuple[str, ...]) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from sorted(
                one.name for one in islice(entries, _MOST) if one.name.endswith(endings)
            )
    except (OSError, ValueError):
        return


def _stem(name: str) -> str:
    return name.partition(".")[0] if not name.startswith(".") else name
