"""The fixture ``tracelock_explore``: explorations in the body of a test, kept with the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.pytest_plugin.failure_text import failure_text
from tracelock.pytest_plugin.replaying import Replaying

if TYPE_CHECKING:
    from tracelock.session.explored import Explored


def explorer(item: pytest.Item) -> Callable[..., Explored]:
    """``tracelock.explore`` for one test. Its explorations are numbered in their order."""
    number = 0

    def explore(scenario: Any = None, **arguments: Any) -> Explored:
        """See ``tracelock.explore``."""
        nonlocal number
        from tracelock.session import api
        from tracelock.session.targets import python_of

        this, number = number, number + 1
        replaying = Replaying.of(item.config)
        if replaying is not None:
            return replaying.explore(item, this, scenario, arguments)
        first = [*arguments.pop("first", ()), *kept.earlier(kept.path_for(item, this))]
        explored = api.explore(scenario, first=first, **arguments)
        trace = explored.trace if explored.failed else None
        if trace is not None:
            python = python_of(trace)
            if isinstance(python, dict):
                python["pytest"] = kept.node_id(item)
                if this:
                    python["exploration"] = this
        kept.note(item, this, trace, failure_text(explored) if trace is not None else "")
        return explored

    return explore
