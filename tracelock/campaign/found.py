"""What there is to search below a folder: scenarios, and programs in Python."""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tracelock.errors import TracelockError, UsageError

SCENARIO: Final = "scenario"  # steps of the scenario language
PYTHON: Final = "python"  # a scenario of Python code
PROGRAM: Final = "program"  # a module with what ``explore`` is given
#: Those that run code that a file names.
OF_CODE: Final = (PYTHON, PROGRAM)
#: The name in a module that makes it a program.
WORKERS: Final = "workers"
#: Bytes of a file that are looked at for what it is.
_HEAD: Final = 64_000
_MARK: Final = "tracelock-scenario/"
#: The failures that each word of a scenario's ``expect`` tells of.
EXPECTED: Final = {"passes": (), "fails": ("failed", "crashed"), "deadlock": ("deadlock",)}
_ENDINGS: Final = (".yaml", ".yml", ".json", ".py")


@dataclass(frozen=True, slots=True)
class CampaignSubject:
    """One thing to search. ``file``: its path below the folder; ``kind``: see above; ``digest``: of
    the file; ``text``: the scenario's; ``backend``: that it is searched on ("": the natural one);
    ``expected``: the kinds of failure that its ``expect`` tells of. ``module``, ``root``: the name
    of a program's module, and the folder it is imported from. ``problem``: why it cannot be
    searched, "" where it can."""

    file: str
    kind: str
    digest: str
    text: str = ""
    backend: str = ""
    expected: tuple[str, ...] = ()
    module: str = ""
    root: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """What it is called: the file, and the backend where the scenario names some."""
        return f"{self.file} [{self.backend}]" if self.backend else self.file


def subjects(folder: str) -> list[CampaignSubject]:
    """The scenarios and programs below ``folder``, by name; nothing is imported.

    A scenario is a ``.yaml``, ``.yml`` or ``.json`` file that says it is one in its ``format``. A
    program is a ``.py`` file that assigns to ``workers``, or imports that name. Folders and files
    whose name begins with a dot, and ``__pycache__``, are passed over. A scenario with ``expect``
    is one subject on each backend that this names. Raises UsageError where there is no such folder,
    or nothing in it.
    """
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is no folder: a campaign takes one with scenarios and programs")
    found = [one for path in _files(folder) for one in _subjects(path, folder)]
    if not found:
        raise UsageError(
            f"there is nothing to search in {folder}: a campaign takes scenarios (.yaml, .yml or "
            f".json with {_MARK}1 as their format), and .py files that assign to {WORKERS!r} what "
            "tracelock.explore is given"
        )
    modules: dict[str, str] = {}
    checked = []
    for one in found:
        if one.kind == PROGRAM and (other := modules.setdefault(one.module, one.name)) != one.name:
            why = f"its module {one.module} is called like that of {other}: rename one of them"
            one = replace(one, problem=why)
        checked.append(one)
    return checked


def _files(folder: str) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(one for one in folders if one[0] != "." and one != "__pycache__")
        for name in sorted(files):
            if name[0] != "." and name.endswith(_ENDINGS):
                yield Path(where, name)


def _subjects(path: Path, folder: str) -> Iterator[CampaignSubject]:
    name = path.relative_to(folder).as_posix()
    try:
        data = path.read_bytes()
    except OSError as error:
        yield CampaignSubject(name, SCENARIO, "", problem=f"cannot read it: {error.strerror}")
        return
    digest = hashlib.sha256(data).hexdigest()[:16]
    if path.suffix == ".py":
        yield from _programs(path, name, data, digest)
    elif _MARK.encode() in data[:_HEAD] and b"tracelock-trace/" not in data[:_HEAD]:
        yield from _scenarios(path, name, data, digest)


def _scenarios(path: Path, name: str, data: bytes, digest: str) -> Iterator[CampaignSubject]:
    from tracelock.scenario.loading import load_scenario_text

    try:
        text = data.decode("utf-8")
        scenario = load_scenario_text(text, str(path))
    except (UnicodeDecodeError, TracelockError) as error:
        yield CampaignSubject(name, SCENARIO, digest, problem=str(error))
        return
    kind = SCENARIO if scenario.python is None else PYTHON
    for backend, expected in scenario.expect.items():
        yield CampaignSubject(name, kind, digest, text, backend, EXPECTED[expected.verdict])
    if not scenario.expect:
        yield CampaignSubject(name, kind, digest, text)


def _programs(path: Path, name: str, data: bytes, digest: str) -> Iterator[CampaignSubject]:
    if WORKERS.encode() not in data:
        return
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):
        return  # it says nothing of being a program
    if WORKERS not in set(_names(tree)):
        return
    root, parts = path.resolve().parent, [path.stem]
    while (root / "__init__.py").exists() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    yield CampaignSubject(name, PROGRAM, digest, module=".".join(parts), root=str(root))


def _names(tree: ast.Module) -> Iterator[str]:
    """What a module assigns to, or imports by name, outside of functions and classes."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
