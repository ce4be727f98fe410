"""Generated programs of real code whose truth an oracle knows: none that is wrong passes, none that
is right fails, by the default strategy within 1,000 schedules."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tests.oracles.small_programs import MODELS, VARIABLES, Small, draw
from tracelock import Explored

#: How many of each model, half of them right.
AMOUNT = {"threads": 76, "asyncio": 50, "trio": 24}


def program(model: str, place: int) -> Small:
    """The program of a place: right at even ones, wrong at odd ones."""
    drawn = (draw(model, seed) for seed in itertools.count(1_000 * place))
    return next(one for one in drawn if one.right() == (place % 2 == 0))


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.syspath_prepend(tmp_path)
    name = "small_program"
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def explored(small: Small, module: str, folder: Path, check: Any, **options: Any) -> Explored:
    """The exploration of the program as a module."""
    (folder / f"{module}.py").write_text(small.text())
    code = importlib.import_module(module)
    return tracelock.explore(
        setup=code.Shared, check=check, instrument=[module], seconds=None,
        workers=[getattr(code, f"worker_{n}") for n in range(len(small.workers))],
        backend="threading" if small.model == "threads" else small.model, shrink=False, **options,
    )  # fmt: skip


def values(shared: object) -> tuple[int, ...]:
    return tuple(getattr(shared, name) for name in VARIABLES)


@pytest.mark.parametrize(
    ("model", "place"), [(model, place) for model in MODELS for place in range(AMOUNT[model])]
)
def test_the_verdict_is_the_truth(model: str, place: int, module: str, tmp_path: Path) -> None:
    small = program(model, place)
    allowed = small.serial_outcomes()
    found = explored(
        small, module, tmp_path, lambda shared: values(shared) in allowed, schedules=1_000,
        confirm=1,
    )  # fmt: skip
    expected = ("passed", "verified") if place % 2 == 0 else ("failed", "deadlock")
    assert found.verdict in expected, f"{found.summary}\n{allowed}\n{small.text()}"


@pytest.mark.parametrize(
    ("model", "place"), [(model, place) for model in MODELS for place in range(100, 112)]
)
def test_dpor_reaches_what_the_oracle_reaches(
    model: str, place: int, module: str, tmp_path: Path
) -> None:
    """The oracle and the engine agree on every end, not only on whether there is a bad one."""
    small = program(model, place)
    reached: set[Any] = set()

    def check(shared: object) -> None:
        reached.add(values(shared))

    found = explored(
        small, module, tmp_path, check, strategy="dpor", schedules=20_000, every=True, confirm=0
    )
    assert found.stopped == "", found.summary
    if any(way.kind == "deadlock" for way in found.ways):
        reached.add("deadlock")
    assert reached == small.outcomes(), small.text()
