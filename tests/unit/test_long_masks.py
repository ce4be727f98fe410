"""Masks of long executions are what a list of them is; and a search by them comes to the same."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.backends.rules import ASYNCIO_RULES, THREADING_RULES
from tracelock.explore.running import Runner
from tracelock.explore.search import Budget, search
from tracelock.scenario.loading import load_scenario
from tracelock.scenario.program import Program
from tracelock.schedulers import thinking
from tracelock.schedulers.dpor import scheduler as dpor
from tracelock.schedulers.dpor.long_masks import LongMasks, not_after
from tracelock.schedulers.dpor.parsimonious import ParsimoniousScheduler
from tracelock.schedulers.dpor.subtree import Subtree, SubtreeScheduler

DATA = Path(__file__).resolve().parents[1] / "data" / "oracles"


@settings(max_examples=amount(30, 300))
@given(st.data())
def test_it_is_a_list(data: Any) -> None:
    steps: list[tuple[int]] = []
    listed: list[int] = []
    begun = data.draw(st.integers(0, 5))
    masks: Any = None
    for number in range(data.draw(st.integers(1, 40))):
        if number == begun:
            masks = LongMasks(listed, steps)
        if steps and data.draw(st.integers(0, 9)) == 0:  # back, as for another execution
            length = data.draw(st.integers(0, len(steps) - 1))
            for one in (steps, listed, *([] if masks is None else [masks])):
                del one[length:]
        here = len(steps)
        if data.draw(st.integers(0, 3)):  # what happens before is before with all before it
            mask = 0
            for e in data.draw(st.lists(st.integers(0, here - 1))) if here else []:
                mask |= listed[e] | 1 << e
        else:
            mask = data.draw(st.integers(0, (1 << here) - 1))
        listed.append(mask)
        if masks is not None:
            masks.append(mask)
        steps.append((data.draw(st.integers(0, 3)),))
    if masks is not None:
        for read in (masks, pickle.loads(pickle.dumps(masks))):
            assert [*read] == listed == read[:] and len(read) == len(listed)
            assert read[-1] == listed[-1]
            for e in range(len(listed)):
                assert not_after(read, e) == not_after(listed, e)
                assert not_after(listed, e) == [
                    one for one in range(e + 1, len(listed)) if not listed[one] >> e & 1
                ]


@pytest.mark.parametrize("kind", [dpor.DporScheduler, ParsimoniousScheduler])
@pytest.mark.parametrize("stem", ["inc-3", "lastzero-3", "philosophers-3", "cas-5", "sections-3x2"])
def test_a_search_by_them_is_the_same(
    stem: str, kind: type[dpor.DporScheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    (entry,) = [one for one in json.loads((DATA / "traces.json").read_text())
                if Path(one["scenario"]).stem == stem]  # fmt: skip
    made = Program(load_scenario(DATA / f"{stem}.json"))
    whole = [search(Runner(made, rules), kind(), Budget(), every=True)
             for rules in (THREADING_RULES, ASYNCIO_RULES)]  # fmt: skip
    monkeypatch.setattr(dpor, "LONG", 0)
    for rules, other in zip((THREADING_RULES, ASYNCIO_RULES), whole, strict=True):
        searched = kind()
        found = search(Runner(made, rules), searched, Budget(), every=True)
        assert searched.history is not None and isinstance(searched.history.before, LongMasks)
        assert not searched.history.before._odd
        assert (found.schedules, found.redundant) == (other.schedules, other.redundant)
        assert {key: one.count for key, one in found.outcomes.items()} == {
            key: one.count for key, one in other.outcomes.items()
        }
    assert whole[0].schedules == entry["executions"]


@pytest.mark.parametrize("kind", [dpor.DporScheduler, ParsimoniousScheduler])
def test_what_takes_too_long_to_compare_is_given_up(
    kind: type[dpor.DporScheduler], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The execution counts, nothing is claimed of the rest, and no other begins."""
    runner = Runner(Program(load_scenario(DATA / "inc-3.json")), THREADING_RULES)
    time = Budget(None, 600.0)
    monkeypatch.setattr(thinking, "monotonic", lambda: math.inf)
    found = search(runner, kind(), time, every=True)
    assert (found.schedules, found.exhaustive) == (1, False)
    part = SubtreeScheduler(Subtree.whole())  # of which it has to be known what is left
    whole = search(runner, part, time, every=True)
    assert whole.exhaustive and whole.schedules > 1


def test_searches_in_several_threads_keep_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they come and go."""
    thread = 1
    monkeypatch.setattr(thinking, "get_ident", lambda: thread)
    one, other = thinking.thinking_until(-math.inf), thinking.thinking_until(-math.inf)
    with thinking.thinking_until(None):
        one.__enter__()
        assert thinking.late()
        thread = 2
        assert not thinking.late()
        other.__enter__()
        thread = 1
        one.__exit__(None, None, None)
        assert not thinking.late()
    thread = 2
    other.__exit__(None, None, None)
    assert not thinking.late() and not thinking._until
