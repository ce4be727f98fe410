"""The house is as ``tracelock/ARCHITECTURE.md`` draws it: every import of the package is read.

Imports point down, those inside functions too. Rooms have rooms inside, which know of each other
only what stands here. No imports go round in a circle at run time. And the tests keep to theirs.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import EXTENDED

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tracelock"

#: The floors of the house, the ground floor first. A room imports from lower floors only.
FLOORS = (
    ("errors", "interpreter"),
    ("ops", "history"),
    ("objects", "scenario", "trace"),
    ("schedulers", "names"),
    ("engine", "analysis"),
    ("backends", "instrument", "report", "export"),
    ("explore",),
    ("session", "testing"),
    ("compare", "atomicity", "campaign", "debugger", "audit", "stateful"),
    ("teeth",),
    ("cli", "pytest_plugin"),
    ("__main__", "_public"),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: What a room must not know even though it lies below.
FORBIDDEN = {
    "objects": {"scenario", "trace"},
    "trace": {"scenario", "objects"},
    "schedulers": {"scenario", "trace"},
    "names": {"scenario", "objects"},
    "engine": {"scenario"},
    "analysis": {"scenario", "objects", "schedulers"},
    "export": {"schedulers", "engine", "objects"},
    "report": {"scenario", "schedulers", "engine", "objects"},
}
#: Rooms inside rooms: which of their neighbours in the same room each may import. The files that
#: lie in the outer room itself are open to all of them.
INNER: dict[str, set[str]] = {
    "analysis/derived": set(),
    "analysis/finders": {"derived"},
    "backends/processes": set(),
    "backends/tasks": set(),
    "backends/threads": set(),
    "cli/asking": {"learning", "usage"},
    "cli/learning": {"usage"},
    "cli/usage": {"learning"},
    "debugger/dap": set(),
    "audit/atomic": set(),
    "engine/linearise": set(),
    "explore/shrink": set(),
    "explore/spread": set(),
    "explore/states": set(),
    "export/forced": set(),
    "history/models": set(),
    "instrument/accesses": {"rewrite"},
    "instrument/account": {"accesses"},
    "instrument/crashes": set(),
    "instrument/databases": {"files"},
    "instrument/files": {"crashes", "outside"},
    "instrument/gil": {"accesses", "account", "files", "rewrite"},
    "instrument/inputs": {"rewrite"},
    "instrument/invariants": set(),
    "instrument/isolation": {"account", "gil", "processes", "rewrite"},
    "instrument/loops": {"crashes", "network", "scanning", "threads"},
    "instrument/network": {"account", "crashes", "outside"},
    "instrument/outside": {"files"},
    "instrument/processes": {"account", "files", "threads"},
    "instrument/rewrite": {"accesses"},
    "instrument/scanning": {"accesses", "processes", "rewrite"},
    "instrument/state": {"threads"},
    "instrument/threads": {"crashes", "gil", "network"},
    "report/comparison": set(),
    "report/failure": set(),
    "report/html": set(),
    "report/panes": {"failure", "html", "redaction"},
    "report/redaction": set(),
    "scenario/checks": {"language"},
    "scenario/compile": {"language"},
    "scenario/documents": {"language"},
    "scenario/language": {"documents"},
    "schedulers/dpor": set(),
    "session/elsewhere": set(),
    "session/forcing": set(),
    "session/interpreters": set(),
}
#: Nothing below the faces prints, exits or reads the command line.
FACES = {"cli", "pytest_plugin", "__main__"}
#: A folder with more files than this is a list, not a room.
MOST_FILES = 26
MOST_LINES = 440

# What is still to be mended. Each list may only become shorter: an entry that is not true any
# more fails a test too.
#: Rooms in which some modules import each other in a circle at run time.
CIRCLES_IN: set[str] = set()
#: Names that several classes of the package have.
DEFINED_TWICE: set[str] = set()

MODULES = sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def dotted(path: Path) -> str:
    """The name of a module: ``tracelock.engine.controller``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMED = {dotted(path): path for path in MODULES}


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def inner_room(path: Path) -> str:
    """``instrument/loops``, or "" where the file lies in no room inside a room."""
    parts = path.relative_to(PACKAGE).parts
    return "/".join(parts[:2]) if len(parts) > 2 else ""


def only_for_types(tree: ast.AST) -> set[ast.AST]:
    """What stands under ``if TYPE_CHECKING:``, which never runs."""
    found: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found.update(inner for statement in node.body for inner in ast.walk(statement))
    return found


@cache
def imports(path: Path, running: bool = False) -> tuple[tuple[str, int], ...]:
    """The modules of the package that a file imports, with the line of each.

    ``running``: without those that are imported for their types alone.
    """
    tree = tree_of(path)
    left_out = only_for_types(tree) if running else set()
    found: set[tuple[str, int]] = set()
    for node in ast.walk(tree):
        if node in left_out:
            continue
        if isinstance(node, ast.Import):
            found.update((alias.name, node.lineno) for alias in node.names if alias.name in NAMED)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the room"
            module = node.module or ""
            for alias in node.names:
                full = f"{module}.{alias.name}"
                if full in NAMED:
                    found.add((full, node.lineno))
                elif module in NAMED and module != "tracelock":
                    found.add((module, node.lineno))
    return tuple(sorted(found))


def circles() -> list[list[str]]:
    """Modules that import each other at run time, function bodies counted (Tarjan 1972)."""
    graph = {
        name: {other for other, _ in imports(path, running=True)} - {name}
        for name, path in NAMED.items()
    }
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            place = stack.index(name)
            component = stack[place:]
            del stack[place:]
            if len(component) > 1:
                found.append(sorted(component))

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


# --- rooms and floors ------------------------------------------------------------------------
def test_imports_point_down() -> None:
    wrong = []
    for path in MODULES:
        if path == PACKAGE / "__init__.py":
            continue
        room = room_of(path)
        assert room in FLOOR, f"{room} is not in the picture of the house"
        for name, line in imports(path):
            other = room_of(NAMED[name])
            if other != room and (
                FLOOR.get(other, 99) >= FLOOR[room] or other in FORBIDDEN.get(room, ())
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {room} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_rooms_inside_rooms_know_only_the_neighbours_they_need() -> None:
    wrong, used = [], set()
    for path in MODULES:
        here = inner_room(path)
        assert not here or here in INNER, f"{here} is not in the picture of the house"
        for name, line in imports(path):
            there = inner_room(NAMED[name])
            if not here or not there or here == there or room_of(path) != room_of(NAMED[name]):
                continue
            neighbour = there.partition("/")[2]
            used.add((here, neighbour))
            if neighbour not in INNER[here]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {here} imports {name}")
    assert not wrong, "\n".join(wrong)
    allowed = {(here, there) for here, others in INNER.items() for there in others}
    assert allowed == used, "what no room needs any more is not allowed any more"
    there = {inner_room(path) for path in MODULES} - {""}
    assert there == set(INNER)


def test_no_imports_go_round_at_run_time() -> None:
    found = circles()
    rooms = {circle[0].split(".")[1] for circle in found}
    assert rooms <= CIRCLES_IN, found
    assert rooms == CIRCLES_IN, f"mended: take off the list {CIRCLES_IN - rooms}"


def test_the_check_for_circles_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files that import each other, one of them inside a function, are a circle."""
    names = ["tracelock.errors", "tracelock.ops", "tracelock.engine.limits"]
    wanted = {names[0]: [names[1]], names[1]: [names[2]], names[2]: [names[0]]}

    def chained(path: Path, running: bool = False) -> tuple[tuple[str, int], ...]:
        return tuple((other, 1) for other in wanted.get(dotted(path), ()))

    monkeypatch.setitem(globals(), "imports", chained)
    assert circles() == [sorted(names)]


def test_what_is_imported_for_types_alone_is_no_circle() -> None:
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\ndef f():\n    import b"
    )
    inside = only_for_types(tree)
    named = {alias.name for node in inside if isinstance(node, ast.Import) for alias in node.names}
    assert named == {"a"}


# --- the size and the names of things --------------------------------------------------------
def test_nothing_below_the_faces_prints_or_exits() -> None:
    wrong = []
    for path in MODULES:
        if room_of(path) in FACES:
            continue
        for node in ast.walk(tree_of(path)):
            printing = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("print", "input", "exit", "quit")
            )
            reading = (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and (node.value.id, node.attr) in {("sys", "argv"), ("sys", "exit")}
            )
            if printing or reading:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")
    assert not wrong, "\n".join(wrong)


def test_modules_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in MODULES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long


def test_folders_stay_small() -> None:
    files = Counter(path.parent for path in MODULES)
    assert not {str(folder): count for folder, count in files.items() if count > MOST_FILES}


def test_a_class_name_means_one_thing() -> None:
    places: defaultdict[str, set[str]] = defaultdict(set)
    for path in MODULES:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].add(dotted(path))
    twice = {name for name, where in places.items() if len(where) > 1}
    new = {name: sorted(places[name]) for name in twice - DEFINED_TWICE}
    assert not new
    assert twice == DEFINED_TWICE, f"mended: take off the list {DEFINED_TWICE - twice}"


# --- the tests' own rooms --------------------------------------------------------------------
def modules_used(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{alias.name}" for alias in node.names)})
    return found


UNIT = sorted((ROOT / "tests" / "unit").glob("test_*.py"))
#: What a unit test does without: other processes, pytest in pytest, a browser, brute force.
NOT_IN_UNIT = {
    "subprocess", "multiprocessing", "tests.system", "tests.conformance",
    "tests.oracles.brute", "tests.oracles.classes", "tests.oracles.python_ends",
    "tests.oracles.task_ends",
}  # fmt: skip


def test_unit_tests_start_nothing() -> None:
    wrong = []
    for path in UNIT:
        wrong += [
            f"{path.name} uses {name}"
            for name in sorted(modules_used(path))
            if any(f"{name}.".startswith(f"{room}.") for room in NOT_IN_UNIT)
        ]
        if "pytester" in path.read_text(encoding="utf-8") and path.name != Path(__file__).name:
            wrong.append(f"{path.name} runs pytest in pytest")
    assert not wrong, "these belong into tests/conformance or tests/system"


#: Oracles, and all that each may use of the package: never what it is there to check.
PARSING = {"tracelock.scenario.language.expressions"}
ORACLES = {
    "brute": set(), "world": set(), "things": set(), "task_things": set(), "language": set(),
    "lowering": PARSING,
}  # fmt: skip


@pytest.mark.parametrize("name", ORACLES)
def test_oracles_do_not_use_what_they_check(name: str) -> None:
    used = {one for one, _ in imports(ROOT / "tests" / "oracles" / f"{name}.py")}
    assert used == ORACLES[name]


def test_the_table_of_extended_tests_names_tests_there_are() -> None:
    for file, tests in EXTENDED.items():
        tree = tree_of(ROOT / "tests" / file)
        there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert tests.keys() <= there, file
