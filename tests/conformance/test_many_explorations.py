"""Many explorations in one process, half of them ending in a deadlock, a death or a stuck worker:
nothing is left of any."""

from __future__ import annotations

import gc
import sys

import pytest

from tests.helpers.forked import it_can_be_forked
from tests.helpers.many import KINDS, explore, left

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.usefixtures(it_can_be_forked.__name__),
]
#: Those that take a second or two each, for a worker that does not go on has to be waited for.
SLOW = ("a loop without end", "stuck in C")


def _round(names: list[str]) -> None:
    for kind in names:
        assert explore(kind, 8) == KINDS[kind][2], kind


def test_nothing_is_left_of_any() -> None:
    quick = [kind for kind in KINDS if kind not in SLOW]
    _round([*KINDS])
    before = left()
    _round(quick)
    _round(quick)  # what is kept in mind between explorations is there by now
    gc.collect()
    objects = len(gc.get_objects())
    _round(quick)
    _round(quick)
    after = left()
    gc.collect()
    more = len(gc.get_objects()) - objects
    assert before == after
    assert before["locks are the original"]
    assert more < 16 * len(quick), more  # of what one exploration makes there are thousands
