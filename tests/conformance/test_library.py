"""Every scenario of the library does what its ``expect`` says, in all schedules of each backend."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import pytest

from tests.oracles.brute import all_states
from tracelock.errors import UnsupportedError
from tracelock.scenario.language.models import BACKENDS, Scenario
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.scenario.program import Program
from tracelock.session import check_supported, rules_of

LIBRARY = Path(__file__).resolve().parents[2] / "scenarios"
FILES = sorted(LIBRARY.glob("*.yaml"))
#: What each word of ``expect`` means: some run ends like this (all runs, for ``passes``).
KINDS = {"passes": ("passed",), "fails": ("failed", "crashed"), "deadlock": ("deadlock",)}
#: Loops too long to try every schedule of: in the data, longer number -> shorter one.
SHORTER = {"200000": "4", "100000": "2"}


@cache
def scenario_in(path: Path) -> Scenario:
    return load_scenario(path)


@cache
def small_program(path: Path) -> Program:
    """The file compiled, its long loops cut short."""
    text = json.dumps(scenario_in(path).to_data())
    for long, short in SHORTER.items():
        text = re.sub(rf"\b{long}\b", short, text)
    return Program(scenario_from_data(json.loads(text)))


def supported(scenario: Scenario, backend: str) -> bool:
    try:
        check_supported(scenario, backend)
    except UnsupportedError:
        return False
    return True


CASES = [
    pytest.param(path, backend, id=f"{path.stem}-{backend}")
    for path in FILES
    for backend in BACKENDS
]
#: The files on the backends that they say something of.
EXPECTED = [
    pytest.param(path, backend, id=f"{path.stem}-{backend}")
    for path in FILES
    for backend in BACKENDS
    if backend in scenario_in(path).expect
]


def test_there_is_a_library() -> None:
    assert len(FILES) >= 40


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_well_kept(path: Path) -> None:
    scenario = scenario_in(path)
    assert scenario.name == path.stem.replace("_", "-")
    assert len(scenario.description.split()) >= 20, "a description that teaches"
    assert scenario.expect
    # words_like_this outside of `code` send the reader to other files of the library
    prose = re.sub(r"`[^`]*`", "", scenario.description)
    for other in re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", prose):
        assert (LIBRARY / f"{other}.yaml").exists(), other


@pytest.mark.parametrize(("path", "backend"), CASES)
def test_expectation(path: Path, backend: str) -> None:
    scenario = scenario_in(path)
    expected = scenario.expect.get(backend)
    # a backend is left out if and only if it refuses the file
    assert supported(scenario, backend) == (expected is not None)
    if expected is None:
        return
    found = all_states(small_program(path), rules_of(backend))
    kinds = KINDS[expected.verdict]
    if expected.verdict == "passes":
        assert found.verdicts == set(kinds)
        assert expected.switches is None
    else:
        assert found.verdicts & set(kinds)
        # one kind of trouble in each file: nothing worse hides behind what is expected
        assert found.verdicts <= {"passed", *kinds}
        assert expected.switches == found.switches(*kinds)
