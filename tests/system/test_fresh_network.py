"""Traces of a network in memory, replayed in fresh processes."""

from __future__ import annotations

import pytest

from tests.helpers.lost_updates import NAMES, failing, fresh_replays


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_replays_whatever_the_process(name: str) -> None:
    """Plain and over TLS, whose keys and signatures are others each time. 20 of 20:
    ``tests/bench/bench_network.py replays``."""
    assert fresh_replays(name, failing(name), [4321]) == [True]
