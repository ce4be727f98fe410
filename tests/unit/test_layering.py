"""Imports point down only: every import of the package, those inside functions too, is read."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "tracelock"

#: The floors of the house, the ground floor first. A room imports from lower floors only.
FLOORS = (
    ("errors",),
    ("ops",),
    ("objects", "scenario", "trace"),
    ("schedulers",),
    ("engine", "analysis"),
    ("backends", "instrument", "report", "export"),
    ("explore",),
    ("session", "testing"),
    ("compare",),
    ("cli", "pytest_plugin"),
    ("__main__",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
#: What a room must not know even though it lies below.
FORBIDDEN = {
    "objects": {"scenario", "trace"},
    "trace": {"scenario", "objects"},
    "schedulers": {"scenario", "trace"},
    "engine": {"scenario"},
    "analysis": {"scenario", "objects", "schedulers"},
    "export": {"schedulers", "engine", "objects"},
    "report": {"scenario", "schedulers", "engine", "objects"},
}
#: Nothing below the faces prints, exits or reads the command line.
FACES = {"cli", "pytest_plugin", "__main__"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imported_rooms(tree: ast.AST) -> set[tuple[str, int]]:
    rooms: set[tuple[str, int]] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative imports hide the room"
            names = [node.module or ""]
            if node.module == "tracelock":
                names = [f"tracelock.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tracelock" and len(parts) > 1 and parts[1] != "__version__":
                rooms.add((parts[1], node.lineno))
    return rooms


@pytest.mark.parametrize(
    "path", [p for p in MODULES if p.name != "__init__.py" or p.parent != PACKAGE], ids=str
)
def test_imports_point_down(path: Path) -> None:
    room = room_of(path)
    assert room in FLOOR, f"{room} is not in the picture of the house"
    wrong = [
        f"line {line}: {room} imports {other}"
        for other, line in sorted(imported_rooms(ast.parse(path.read_text(encoding="utf-8"))))
        if other != room
        and (FLOOR.get(other, 99) >= FLOOR[room] or other in FORBIDDEN.get(room, ()))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("path", [p for p in MODULES if room_of(p) not in FACES], ids=str)
def test_nothing_below_the_faces_prints_or_exits(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "input", "exit", "quit"), f"line {node.lineno}"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("sys", "argv"), ("sys", "exit")}, (
                f"line {node.lineno}"
            )


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_modules_stay_small(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 440, f"{lines} lines"
