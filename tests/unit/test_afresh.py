"""Every schedule draws the same random numbers, and it is known whether one has drawn any."""

from __future__ import annotations

import logging
import random
import sys
from collections.abc import Callable

import pytest

from tracelock.instrument import afresh
from tracelock.instrument.afresh import Afresh

DRAWS: list[Callable[[], object]] = [
    random.random,
    lambda: random.getrandbits(1),
    lambda: random.gauss(0, 1),
    lambda: random.seed(3),
    lambda: random.shuffle([1, 2, 3]),
    lambda: [random.random() for _ in range(312)],  # the whole state of the generator, once
    lambda: [random.getrandbits(32) for _ in range(1248)],
    lambda: random.setstate(random.Random(7).getstate()),
]


@pytest.fixture(params=[True, False], ids=["seen", "not seen"])
def fresh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> object:
    """With the place of the generator seen in memory, and where it cannot be."""
    monkeypatch.setattr(afresh, "_PLACE_SEEN", request.param)
    made = Afresh()
    yield made
    made.close()


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="as CPython has it in memory")
def test_the_place_of_the_generator_is_seen() -> None:
    assert afresh._PLACE_SEEN


@pytest.mark.parametrize("draw", DRAWS)
def test_each_schedule_draws_from_the_same_beginning(
    fresh: Afresh, draw: Callable[[], object]
) -> None:
    fresh.begin()
    fresh.end()
    assert not fresh.drew
    fresh.begin()
    draw()
    fresh.end()
    assert fresh.drew
    fresh.begin()
    first = [random.random(), random.gauss(0, 1)]
    fresh.begin()
    assert [random.random(), random.gauss(0, 1)] == first


def test_the_process_goes_on_as_if_there_had_been_none() -> None:
    random.seed(11)
    expected = random.Random(11).random()
    made = Afresh()
    made.begin()
    random.random()
    made.close()
    assert random.random() == expected


def test_loggers_remember_their_levels_when_a_schedule_begins() -> None:
    logger, child = logging.getLogger(__name__), logging.getLogger(f"{__name__}.below.child")
    logger.setLevel(logging.ERROR)  # which lets all forget them
    made = Afresh()
    logger.isEnabledFor(7)
    for _ in range(2):
        made.begin()
        for one in (logger, child):
            assert list(one._cache) == [10, 20, 30, 40, 50]
            assert [level for level, yes in one._cache.items() if yes] == [40, 50]
    made.close()
    logger.setLevel(logging.NOTSET)
